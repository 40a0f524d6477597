#!/usr/bin/env bats
# The requester is killed or stopped at every step of a backup that saves VMs in place: the VMs go on by themselves, where they were;
# partial files go, nothing is listed, nothing is left.

load helpers
load product
load saved

setup_file() {
    product_setup --no-encryption
    saved_setup
}

teardown_file() {
    saved_teardown
    product_teardown
}

@test "the points of a backup are known" {
    find_points
    [ "$(wc -l <"$TMPDIR/names")" -ge 18 ]
}

# kill_at FIRST: at each third point from the first on.
kill_at() {
    local -a points
    mapfile -t points < <(sed -n "$1~3p" "$TMPDIR/names")
    interrupt_all KILL "${points[@]}"
}

@test "killed with -9 at every step of a backup with saved VMs (1 of 3)" {
    kill_at 1
}

@test "killed with -9 at every step of a backup with saved VMs (2 of 3)" {
    kill_at 2
}

@test "killed with -9 at every step of a backup with saved VMs (3 of 3)" {
    kill_at 3
}

@test "stopped with SIGSTOP in and after the pause" {
    interrupt_all STOP paused "memory saved" "before return" returned
}

@test "after all of that the paused VM goes on where it was, and every listed backup is whole" {
    resumed
    run -0 vmshadow verify
}
