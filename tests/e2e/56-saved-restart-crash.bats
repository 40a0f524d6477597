#!/usr/bin/env bats
# As 52-saved-crash.bats, where libvirt cannot save VMs in place: they are saved and started again from the image of their memory.

load helpers
load product
load saved

library=$(dirname "$VMSHADOW")/tests/e2e/tools/failing-call.so

setup_file() {
    product_setup --no-encryption
    saved_setup
    export VMSHADOW_TEST_SAVE=restart
}

teardown_file() {
    saved_teardown
    product_teardown
}

@test "killed with -9 at every step of save and return, with save and start" {
    interrupt_all KILL paused "before save" "saved and off" "memory saved" "before return" returned
}

@test "stopped with SIGSTOP in and after the pause, with save and start" {
    interrupt_all STOP "saved and off" "before return"
}

# The run gives up meanwhile, after some attempts, and its watchdog goes on.
@test "libvirt refuses to start the VMs from their images for longer: the images are kept, and the VMs go on from them" {
    : >"$TMPDIR/failing"
    LD_PRELOAD=$library VMSHADOW_TEST_FAIL_WHILE=virDomainRestoreFlags:$TMPDIR/failing \
        "$VMSHADOW" backup "$saved" "$paused" >"$TMPDIR/output" 2>&1 3>&- &
    pid=$!
    status=0
    wait $pid || status=$?
    [ $status != 0 ] || fail "$(cat "$TMPDIR/output")"
    grep -q virDomainRestoreFlags "$TMPDIR/failing"
    vm_is "$saved" "shut off" && vm_is "$paused" "shut off"
    rm "$TMPDIR/failing"
    wait_for 60 as_before
}

@test "after all of that the paused VM goes on where it was, and every listed backup is whole" {
    resumed
    run -0 vmshadow verify
}
