#!/usr/bin/env bats
# The requester is killed or stopped at every step of a backup that saves VMs in place: the VMs go on by themselves, where they were;
# partial files go, nothing is listed, nothing is left.

load helpers
load product
load saved

setup_file() {
    product_setup
    saved_setup
}

teardown_file() {
    saved_teardown
    product_teardown
}

@test "killed with -9 at every step of a backup with saved VMs" {
    interrupt_each KILL
}

@test "stopped with SIGSTOP before, in and after the pause" {
    for point in "before pause" paused "memory saved" "before return" returned; do
        interrupt "$point" STOP
    done
}

@test "after all of that the paused VM goes on where it was, and every listed backup is whole" {
    resumed
    run -0 vmshadow verify
}
