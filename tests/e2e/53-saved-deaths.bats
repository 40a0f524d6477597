#!/usr/bin/env bats
# Death in the pause of a saved VM and while its memory is written: of the requester, of requester and watchdog, of libvirtd, of QEMU;
# and a pause that takes too long. Images are compressed, so that writing takes long enough to be hit.

load helpers
load product
load hypervisor
load saved

setup_file() {
    product_setup --no-encryption
    saved_setup
    slow_images gzip
}

teardown_file() {
    saved_teardown
    product_teardown
}

@test "killed while the memory is written" {
    start_backup
    wait_for 120 is_writing
    kill -9 $pid
    wait $pid || true
    wait_for 60 as_before
    [ "$(backups)" = "$listed" ]
}

@test "requester and watchdog killed while the memory is written: recover puts it right" {
    start_backup
    wait_for 120 is_writing
    pkill -9 -x vmshadow
    wait $pid || true
    wait_for 60 not_writing
    vm_is "$saved" paused
    run -0 vmshadow recover
    as_before
    [ "$(backups)" = "$listed" ]
}

@test "libvirtd is killed in the pause" {
    start_backup_to "before return"
    libvirtd_stop
    libvirtd_start
    kill -CONT $pid
    ended
    wait_for 60 as_before
    assert_listed_or_not
}

@test "libvirtd is killed while the memory is written" {
    start_backup
    wait_for 120 is_writing
    libvirtd_stop
    libvirtd_start
    ended
    wait_for 60 as_before
    assert_listed_or_not
}

@test "over --max-pause: the save is aborted and the VM goes on" {
    listed=$(backups)
    # The estimate is of an image that is not compressed: rounded up, it is the least limit that planning takes, if the next one is no
    # longer (4).
    for _ in 1 2 3 4 5; do
        limit=$(vmshadow inspect "$saved" --json | jq '.vms[0].pause_estimate_ms / 1000 | ceil')
        run vmshadow backup "$saved" --max-pause "$limit"
        [ $status = 4 ] || break
    done
    [ $status = 10 ]
    [[ "$output" == *"paused longer than the limit"* ]]
    wait_for 30 as_before
    [ "$(backups)" = "$listed" ]
}

@test "QEMU is killed in the pause: the set fails, the other VM is as it was" {
    start_backup_to "before return"
    kill -9 "$(cat "/run/libvirt/qemu/$saved.pid")"
    wait_for 20 vm_is "$saved" "shut off"
    kill -CONT $pid
    ended
    [ $status != 0 ]
    [ "$(backups)" = "$listed" ]
    wait_for 60 paused_as_before
    vm_is "$saved" "shut off"
    vm_boot "$saved"
}

@test "after all of that the paused VM goes on where it was, and every listed backup is whole" {
    resumed
    run -0 vmshadow verify
}
