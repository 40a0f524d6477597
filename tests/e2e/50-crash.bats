#!/usr/bin/env bats
# The requester is killed or stopped at every step of a backup and of a restore: guests go on by themselves, thawed; jobs, scratch
# and sockets go; every listed backup restores.

load helpers
load product

a=first
b=second

setup_file() {
    product_setup
    vm_define "$a"
    vm_define "$b" --disk qcow2
    vm_boot "$a" "$b"
}

teardown_file() {
    vm_destroy_everything "$a"
    vm_destroy_everything "$b"
    product_teardown
}

settled() {
    nothing_left && vm_assert_running_and_thawed "$a" && vm_assert_running_and_thawed "$b"
}

# interrupt_backups SIGNAL FIRST STEP: a backup for each point from FIRST on, until one passes. A stopped requester is killed by
# its watchdog.
interrupt_backups() {
    local signal=$1 point status log=$TMPDIR/points-$1
    for ((point = $2; point < 100; point += $3)); do
        status=0
        VMSHADOW_TEST_POINT=$point:$signal VMSHADOW_TEST_POINT_LOG=$log \
            timeout 60 "$VMSHADOW" backup "$a" "$b" >"$TMPDIR/output" 2>&1 || status=$?
        if [ $status = 0 ]; then
            echo "# $signal: $((point - 1)) points" >&3
            ((point > 10)) || fail "only $point points"
            return
        fi
        [ $status = 137 ] || fail "point $point ($(tail -n 1 "$log")): status $status: $(cat "$TMPDIR/output")" || return
        wait_for 40 settled || fail "point $point: $(tail -n 1 "$log")" || return
    done
    fail "it never passes"
}

@test "killed with -9 at every step of a backup" {
    interrupt_backups KILL 1 1
}

@test "stopped with SIGSTOP at steps of a backup" {
    interrupt_backups STOP 2 3
}

@test "after all of that every listed backup restores" {
    run -0 vmshadow verify
    vm_command "$a" mark data0 "last of all"
    run -0 vmshadow backup "$a" "$b"
    vm_destroy_everything "$a"
    run -0 vmshadow restore latest "$a"
    run -0 records_check "$a" data0
    [[ "$output" == *"last of all"* ]]
    vm_boot "$a"
}

# The VM is there, defined once, whole, with the records it had or those of the backup.
one_whole_vm() {
    [ "$(virsh -q list --all --name | grep -cx "$b")" = 1 ] || fail "$b is not defined" || return
    [ -z "$(find "$images" -name '*vmshadow-*')" ] || fail "files: $(find "$images" -name '*vmshadow-*')" || return
    nothing_left
}

@test "killed with -9 at every step of a restore: the old VM or the new one, never neither" {
    vm_shutdown "$b"
    for ((point = 1; point < 100; point++)); do
        status=0
        VMSHADOW_TEST_POINT=$point:KILL VMSHADOW_TEST_POINT_LOG=$TMPDIR/restore-points \
            timeout 60 "$VMSHADOW" restore latest "$b" >"$TMPDIR/output" 2>&1 || status=$?
        [ $status = 0 ] && break
        [ $status = 137 ] || fail "point $point: status $status: $(cat "$TMPDIR/output")"
        wait_for 40 one_whole_vm || fail "point $point: $(tail -n 1 "$TMPDIR/restore-points")"
        disk_check "$b"
        [ -n "$(records_check "$b" data0)" ]
    done
    echo "# $((point - 1)) points" >&3
    ((point > 10))
    one_whole_vm
    vm_boot "$b"
}

@test "requester and watchdog killed together: recover puts it right" {
    "$VMSHADOW" backup "$a" "$b" --events "$TMPDIR/events" >"$TMPDIR/output" 2>&1 &
    pid=$!
    wait_for 20 grep -q PostSnapshot "$TMPDIR/events"
    pkill -9 -x vmshadow
    wait $pid || true
    vm_assert_running_and_thawed "$a"
    run -0 --separate-stderr vmshadow recover --json
    [ "$(jq '.runs | length' <<<"$output")" = 1 ]
    [ "$(jq '.runs[0].left' <<<"$output")" = 0 ]
    settled
    run -0 --separate-stderr vmshadow recover --json
    [ "$(jq '.runs | length' <<<"$output")" = 0 ]
}

@test "a restore that a power cut ended is put right only on purpose, and never over what was done by hand since" {
    vm_shutdown "$b"
    VMSHADOW_TEST_HOLD=copying:$TMPDIR/hold2 "$VMSHADOW" backup "$b" >/dev/null 2>&1
    touch "$TMPDIR/hold2"
    VMSHADOW_TEST_HOLD=copying:$TMPDIR/hold2 "$VMSHADOW" restore latest "$b" --events "$TMPDIR/restore-events" \
        >"$TMPDIR/output" 2>&1 &
    pid=$!
    wait_for 20 grep -q PreRestore "$TMPDIR/restore-events"
    pkill -9 -x vmshadow # requester and watchdog, as a power cut would
    wait $pid || true
    rm "$TMPDIR/hold2"
    run ! virsh -q dominfo --domain "$b"
    # The administrator helps himself: another disk, the VM runs.
    vm_define "$b" --memory 144 --disk qcow2 --uuid "$(sed -n 's/.*"uuid":"\([^"]*\)".*/\1/p' <<<"$(vmshadow show latest --json)" | head -n 1)"
    vm_boot "$b"
    vm_command "$b" mark data0 "by hand"
    run -0 vmshadow backup "$a"
    [[ "$output" == *"vmshadow recover"* ]]
    vm_assert_running_and_thawed "$b"
    run -7 vmshadow backup "$b"
    [[ "$output" == *"recover"* ]]
    run -12 vmshadow recover
    [[ "$output" == *"left alone"* ]]
    vm_assert_running_and_thawed "$b"
    [ "$(virsh -q dumpxml --inactive --domain "$b" | grep -c '147456</memory>')" = 1 ]
    vm_shutdown "$b"
    run -0 records_check "$b" data0
    [[ "$output" == *"by hand"* ]]
    rm -f /var/lib/vmshadow/runs/*.journal
    rm -f "$images"/*vmshadow-aside* "$images"/.vmshadow-*
}
