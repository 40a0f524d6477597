#!/usr/bin/env bats
# What takes long in the return of saved VMs: a libvirtd that is away while images are all that is left of VMs, and a QEMU that does not
# answer. Most of this file is waiting.

load helpers
load product
load hypervisor
load saved

library=$(dirname "$VMSHADOW")/tests/e2e/tools/failing-call.so
memory=/var/lib/libvirt/qemu/vmshadow

setup_file() {
    product_setup --no-encryption
    saved_setup
}

teardown_file() {
    saved_teardown
    product_teardown
}

teardown() {
    rm -f "$TMPDIR/hold" "$TMPDIR/failing"
}

is_kept() {
    [ -n "$(find "$memory" -path '*.memory*/image')" ] || fail "there is no image"
}

# fail_to_start VM: a backup that saves it and starts it again, which fails as long as $TMPDIR/failing is there; then libvirtd is killed.
# Sets pid.
fail_to_start() {
    : >"$TMPDIR/failing"
    LD_PRELOAD=$library VMSHADOW_TEST_FAIL_WHILE=virDomainRestoreFlags:$TMPDIR/failing VMSHADOW_TEST_SAVE=restart \
        "$VMSHADOW" backup "$1" >"$TMPDIR/output" 2>&1 3>&- &
    pid=$!
    wait_for 120 grep -q virDomainRestoreFlags "$TMPDIR/failing"
    libvirtd_stop
    rm "$TMPDIR/failing"
}

@test "X5: libvirtd dies while VMs are nothing but their images: requester, watchdog and recover keep them" {
    fail_to_start "$paused"
    ended # the requester leaves it to its watchdog, which does not get on either
    [ $status != 0 ]
    is_kept
    pgrep -x vmshadow
    libvirtd_start
    wait_for 60 as_before
    fail_to_start "$saved"
    pkill -9 -x vmshadow
    wait $pid || true
    run ! vmshadow recover
    is_kept
    libvirtd_start
    run -0 vmshadow recover
    as_before
}

is_busy() {
    [ "$(virsh -q domcontrol "$saved")" != ok ]
}

# gone: the run is over. libvirt is not asked.
gone() {
    ! pgrep -x vmshadow
}

@test "X2: a pause that comes after everybody has gone is found and ended, however late it comes" {
    touch "$TMPDIR/hold"
    VMSHADOW_TEST_HOLD=prepared:$TMPDIR/hold "$VMSHADOW" backup "$saved" >"$TMPDIR/output" 2>&1 3>&- &
    pid=$!
    wait_for 60 eval '[ -n "$(find $memory -name "*.memory")" ]'
    qemu=$(cat "/run/libvirt/qemu/$saved.pid")
    kill -STOP "$qemu"
    rm "$TMPDIR/hold"
    wait_for 30 is_busy
    kill -9 $pid
    wait $pid || true
    run ! wait_for 70 gone # twice the time that libvirt lets others wait for the lock, and more
    kill -CONT "$qemu"
    wait_for 60 as_before
    vm_is "$saved" running
}

@test "after all of that the paused VM goes on where it was, and every listed backup is whole" {
    as_before
    resumed
    run -0 vmshadow verify
}
