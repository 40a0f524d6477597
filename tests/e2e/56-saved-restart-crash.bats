#!/usr/bin/env bats
# As 52-saved-crash.bats, where libvirt cannot save VMs in place: they are saved and started again from the image of their memory.

load helpers
load product
load saved

setup_file() {
    product_setup
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

@test "after all of that the paused VM goes on where it was, and every listed backup is whole" {
    resumed
    run -0 vmshadow verify
}
