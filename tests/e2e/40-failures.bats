#!/usr/bin/env bats
# One VM of a set fails: no backup is listed, every VM is as it was before, nothing is left.

load helpers
load product

a=good
b=bad
library=$(dirname "$VMSHADOW")/tests/e2e/tools/failing-call.so

setup_file() {
    product_setup --no-encryption
    make_place ext4 96 "$VMSHADOW_TEST_DIR/scratch-place"
    vm_define "$a"
    vm_define "$b" --disk qcow2:ext4:192
    vm_boot "$a" "$b"
    vm_command "$b" --limit 60 fill data0 120
}

teardown_file() {
    vm_destroy_everything "$a"
    vm_destroy_everything "$b"
    remove_place "$VMSHADOW_TEST_DIR/scratch-place"
    product_teardown
}

assert_untouched() {
    vm_assert_running_and_thawed "$a"
    [ "$(backups)" = "${1:-0}" ]
    wait_for 20 nothing_left # a watchdog that asked a silent guest ends after its thaw
}

@test "a guest agent that hangs in the freeze" {
    vm_command "$b" agent hang-freeze
    run -8 vmshadow backup "$a" "$b" --freeze-limit 3
    # VM, step, and what to do.
    [[ "$output" == *"freeze: VM $b: "* ]]
    [[ "$output" == *"vmshadow: hint: "*"qemu-ga"*"--freeze-limit"*"[guest-not-frozen]"* ]]
    # The bad guest thaws as soon as its agent is back.
    vm_command "$b" agent normal
    wait_for 60 vm_assert_running_and_thawed "$b"
    assert_untouched
}

@test "X2: guests are not held frozen by a backup job that neither begins nor ends" {
    : >"$TMPDIR/hanging"
    : >"$TMPDIR/failing"
    LD_PRELOAD=$library VMSHADOW_TEST_FAIL_HANG=virDomainBackupBegin:$TMPDIR/hanging \
        VMSHADOW_TEST_FAIL_WHILE=virDomainAbortJob:$TMPDIR/failing \
        "$VMSHADOW" backup "$a" "$b" --hold-limit 3 >"$TMPDIR/output" 2>&1 3>&- &
    pid=$!
    wait_for 60 grep -q virDomainBackupBegin "$TMPDIR/hanging"
    wait_for 60 grep -q virDomainAbortJob "$TMPDIR/failing" # the watchdog tries
    wait_for 90 vm_assert_running_and_thawed "$a"
    wait_for 90 vm_assert_running_and_thawed "$b"
    kill -0 $pid # it still hangs, and the jobs have what they need
    [ "$(find /var/lib/libvirt/qemu/vmshadow -name '*.scratch' | wc -l)" = 2 ]
    rm "$TMPDIR/hanging" "$TMPDIR/failing"
    status=0
    wait $pid || status=$?
    [ $status = 10 ] || fail "$status: $(cat "$TMPDIR/output")"
    grep -q "held frozen longer than" "$TMPDIR/output"
    vm_assert_running_and_thawed "$b"
    assert_untouched
}

@test "a disk with a foreign block job is refused at planning" {
    disk=$(vm_disk "$b" 0)
    virsh -q blockcopy --domain "$b" vda --dest "$disk.copy" --format qcow2 --transient-job --bandwidth 1 >/dev/null
    run -4 vmshadow backup "$a" "$b"
    [[ "$output" == *"VM $b"*"vda"*"block job"* ]]
    run -0 virsh blockjob --domain "$b" vda
    [[ "$output" == *"Block Copy"* ]]
    virsh -q blockjob --domain "$b" vda --abort
    rm -f "$disk.copy"
    vm_assert_running_and_thawed "$b"
    assert_untouched
}

@test "the repository is full at half" {
    make_place ext4 64 "$VMSHADOW_TEST_DIR/small"
    VMSHADOW_REPO=$VMSHADOW_TEST_DIR/small/repository
    vmshadow init --no-encryption
    run -9 vmshadow backup "$a" "$b"
    [[ "$output" == *"space"* ]]
    vm_assert_running_and_thawed "$b"
    assert_untouched
    run -0 vmshadow verify
    remove_place "$VMSHADOW_TEST_DIR/small"
}

@test "QEMU is killed during the copy" {
    touch "$TMPDIR/hold"
    VMSHADOW_TEST_HOLD=copying:$TMPDIR/hold "$VMSHADOW" backup "$a" "$b" --events "$TMPDIR/events" >"$TMPDIR/output" 2>&1 &
    pid=$!
    wait_for 30 grep -q PostFinalCommit "$TMPDIR/events"
    pkill -9 -f "guest=$b,"
    rm "$TMPDIR/hold"
    status=0
    wait $pid || status=$?
    output=$(cat "$TMPDIR/output")
    [ $status = 1 ]
    [[ "$output" == *"VM $b was stopped during the copy"* ]]
    wait_for 10 vm_is "$b" "shut off"
    vm_boot "$b"
    assert_untouched
}

@test "scratch runs short under both error policies: the backup is lost, not the guest" {
    for policy in stop report; do
        vm_destroy_everything "$b"
        vm_define "$b" --driver error_policy=$policy --disk qcow2:ext4:192
        vm_boot "$b"
        vm_command "$b" --limit 60 fill data0 120
        vm_command "$b" overwrite data0 120 0
        touch "$TMPDIR/hold"
        VMSHADOW_TEST_HOLD=copying:$TMPDIR/hold run -9 vmshadow backup "$a" "$b" --scratch "$VMSHADOW_TEST_DIR/scratch-place" --scratch-reserve 48M
        [[ "$output" == *"scratch"* ]]
        answer=$(vm_command "$b" overwrite data0 stop)
        [[ "$answer" == *"errors 0" ]]
        vm_assert_running_and_thawed "$b"
        assert_untouched
        [ -z "$(find "$VMSHADOW_TEST_DIR/scratch-place" -type f)" ]
    done
}

@test "two runs for one VM: the second is told who holds it" {
    rm -f "$TMPDIR/events"
    touch "$TMPDIR/hold"
    VMSHADOW_TEST_HOLD=planned:$TMPDIR/hold "$VMSHADOW" backup "$a" --events "$TMPDIR/events" >"$TMPDIR/first" 2>&1 &
    first=$!
    wait_for 30 grep -q PrepareForBackup "$TMPDIR/events"
    lock_is_held "$a"
    run -7 vmshadow backup "$a"
    [[ "$output" == *"$a"* ]]
    rm "$TMPDIR/hold"
    wait $first
    vm_assert_running_and_thawed "$a"
    nothing_left
}

lock_is_held() {
    local file
    file=/var/lib/vmshadow/locks/$(virsh -q domuuid --domain "$1" | head -n 1)
    [ -e "$file" ] && ! flock -n "$file" true
}
