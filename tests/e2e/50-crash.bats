#!/usr/bin/env bats
# The requester is killed or stopped at every step of a backup and of a restore: guests go on by themselves, thawed; jobs, scratch
# and sockets go; every listed backup restores.

load helpers
load product

a=first
b=second

setup_file() {
    product_setup --no-encryption
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

@test "killed with -9 at every step of a backup" {
    local log=$TMPDIR/points
    for ((point = 1; point < 100; point++)); do
        status=0
        VMSHADOW_TEST_POINT=$point:KILL VMSHADOW_TEST_POINT_LOG=$log \
            timeout 60 "$VMSHADOW" backup "$a" "$b" >"$TMPDIR/output" 2>&1 || status=$?
        [ $status = 0 ] && break
        [ $status = 137 ] || fail "point $point ($(tail -n 1 "$log")): status $status: $(cat "$TMPDIR/output")"
        wait_for 40 settled || fail "point $point: $(tail -n 1 "$log")"
    done
    echo "# $((point - 1)) points" >&3
    ((point > 10 && point < 100))
    settled
}

# stop_at POINT VM VERB [ARGUMENT...]: the requester stops itself there; its watchdog kills it. It has a state directory of its own, so that
# several can be stopped at the same time: most of it is waiting.
stop_at() {
    local point=$1 name=$2 status=0
    shift 2
    VMSHADOW_STATE_DIR=/var/lib/vmshadow/stop-$name VMSHADOW_REPO=$VMSHADOW_REPO-stop \
        VMSHADOW_TEST_POINT=$point:STOP VMSHADOW_TEST_POINT_LOG=$TMPDIR/stopped-$name \
        timeout 120 "$VMSHADOW" "$@" "$name" >"$TMPDIR/output-$name" 2>&1 3>&- || status=$?
    echo $status >"$TMPDIR/status-$name"
}

# whole_vm NAME: it is there, defined once, with its disk, and nothing of a restore is.
whole_vm() {
    [ "$(virsh -q list --all --name | grep -cx "$1")" = 1 ] || fail "$1 is not defined" || return
    [ -z "$(find "$images" -name '*vmshadow-*')" ] || fail "files: $(find "$images" -name '*vmshadow-*')" || return
    [ -e "$(vm_disk "$1" 0)" ] || fail "$1 has no disk"
}

# stopped_or_passed NAME: how it went. A restored VM is whole, a VM that was backed up runs.
stopped_or_passed() {
    local status
    status=$(cat "$TMPDIR/status-$1")
    [ "$status" = 0 ] && passed[$1]=yes && return
    [ "$status" = 137 ] || fail "$1 ($(tail -n 1 "$TMPDIR/stopped-$1")): status $status: $(cat "$TMPDIR/output-$1")"
}

@test "stopped with SIGSTOP at every step of a backup and of a restore" {
    # Two VMs run and are backed up, two are off and are restored: one of each stops at the odd points, the other at the even ones.
    local name id
    for name in third fourth; do
        vm_define $name --disk qcow2
    done
    "$VMSHADOW" init --repo "$VMSHADOW_REPO-stop" --no-encryption
    id=$("$VMSHADOW" backup third fourth --repo "$VMSHADOW_REPO-stop" --json | jq -r .backup)
    local -A verb=([$a]=backup [$b]=backup [third]="restore $id" [fourth]="restore $id") passed=()
    for ((point = 1; point < 100 && ${#passed[@]} < 4; point += 2)); do
        pids=()
        for name in "${!verb[@]}"; do
            [ -z "${passed[$name]-}" ] || continue
            case $name in
            "$a" | third) odd=0 ;;
            *) odd=1 ;;
            esac
            # shellcheck disable=SC2086 # a verb and its argument
            stop_at $((point + odd)) "$name" ${verb[$name]} &
            pids+=($!)
        done
        wait "${pids[@]}"
        for name in "${!verb[@]}"; do
            [ -n "${passed[$name]-}" ] || stopped_or_passed "$name"
        done
        wait_for 60 settled || fail "points $point and $((point + 1)): $(tail -qn 1 "$TMPDIR"/stopped-*)"
        for name in third fourth; do
            whole_vm $name
        done
    done
    echo "# $(cat "$TMPDIR/stopped-$a" "$TMPDIR/stopped-$b" | wc -l) points of a backup," \
        "$(cat "$TMPDIR"/stopped-{third,fourth} | wc -l) of a restore" >&3
    ((${#passed[@]} == 4))
    (($(cat "$TMPDIR/stopped-$a" "$TMPDIR/stopped-$b" | wc -l) > 10))
    (($(cat "$TMPDIR"/stopped-{third,fourth} | wc -l) > 10))
    "$VMSHADOW" verify --repo "$VMSHADOW_REPO-stop"
    vm_destroy_everything third
    vm_destroy_everything fourth
    rm -rf "$VMSHADOW_REPO-stop"
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

one_whole_vm() {
    whole_vm "$b" && nothing_left
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
    ((point > 10 && point < 100))
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
    [[ "$output" == *"left alone"* ]] || fail "$output"
    vm_assert_running_and_thawed "$b"
    [ "$(virsh -q dumpxml --inactive --domain "$b" | grep -c '147456</memory>')" = 1 ]
    vm_shutdown "$b"
    run -0 records_check "$b" data0
    [[ "$output" == *"by hand"* ]]
    rm -f /var/lib/vmshadow/runs/*.journal
    rm -f "$images"/*vmshadow-aside* "$images"/.vmshadow-*
}
