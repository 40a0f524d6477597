#!/usr/bin/env bats
# Saved state in the repository, and VMs that come back saved (rows B3, R8): they continue where they were.

load helpers
load product

setup_file() {
    product_setup
    vm_define saved --disk qcow2-chain
    vm_boot saved
    for _ in 1 2 3; do
        vm_command saved commit data0 next
    done
    boot_id=$(vm_command saved bootid)
    saved_at=$(uptime_of saved)
    export boot_id saved_at
    virsh -q managedsave --domain saved
}

teardown_file() {
    vm_destroy_everything saved
    product_teardown
}

teardown() {
    rm -f "$TMPDIR/hold"
    nothing_left
}

# has_saved_state NAME: libvirt knows it.
has_saved_state() {
    [ "$(virsh -q dominfo --domain "$1" | sed -n 's/^Managed save: *//p')" = yes ]
}

image=/var/lib/libvirt/qemu/save/saved.save

@test "B3: a saved VM is backed up with its save image, which is left as it is" {
    before=$(stat -c '%i %s %y' $image)
    run -0 --separate-stderr vmshadow inspect saved --json
    [ "$(jq -r '.vms[0] | "\(.method) \(.refused) \(.caption)"' <<<"$output")" = 'offline null Backup Using Saved State\saved' ]
    run -0 --separate-stderr vmshadow backup saved --json
    [ "$(jq -r '.vms[0].saved_state | "\(.continues) \(.size)"' <<<"$output")" = "running $(stat -c %s $image)" ]
    [ "$(stat -c '%i %s %y' $image)" = "$before" ]
    has_saved_state saved
    vm_is saved "shut off"
    [ "$(vmshadow list --json | jq -r '.backups[0].vms[0].continues')" = running ]
    run -0 vmshadow show latest
    [[ "$output" == *"saved state"*"continues running"* ]]
    run -0 vmshadow verify
    # Once more: it is known, chunk by chunk.
    run -0 --separate-stderr vmshadow backup saved --json
    [ "$(jq '.vms[0].saved_state.bytes_stored' <<<"$output")" = 0 ]
}

@test "a saved VM that is started during the copy starts, and the set fails with that reason" {
    touch "$TMPDIR/hold"
    before=$(backups)
    VMSHADOW_TEST_HOLD=copying:$TMPDIR/hold "$VMSHADOW" backup saved --events "$TMPDIR/events" >"$TMPDIR/output" 2>&1 3>&- &
    backup=$!
    wait_for 20 grep -q PostFinalCommit "$TMPDIR/events"
    virsh -q start --domain saved
    rm "$TMPDIR/hold"
    status=0
    wait $backup || status=$?
    [ $status = 1 ]
    grep -q 'VM saved: .*started' "$TMPDIR/output" || fail "$(cat "$TMPDIR/output")"
    [ "$(backups)" = "$before" ]
    vm_wait_channel saved
    [ "$(vm_command saved bootid)" = "$boot_id" ]
    virsh -q managedsave --domain saved
}

# uptime_of NAME: whole seconds.
uptime_of() {
    local answer
    answer=$(vm_command "$1" uptime) || return
    answer=${answer#uptime }
    echo "${answer%.*}"
}

# continues NAME BOOT_ID SECONDS: is started and goes on where it was: no second boot, the uptime and the records go on.
continues() {
    local seconds
    virsh -q start --domain "$1" 3>&- && vm_wait_channel "$1" || return
    [ "$(vm_command "$1" bootid)" = "$2" ] || fail "$1 has booted again" || return
    seconds=$(uptime_of "$1")
    ((seconds >= $3)) || fail "uptime $seconds after $3" || return
    vm_command "$1" commit data0 next
}

@test "R8: a saved VM that was lost comes back saved and continues" {
    vm_destroy_everything saved
    run -0 --separate-stderr vmshadow restore latest --json
    [ "$(jq -r '.vms[0] | "\(.comes_back) \(.continues)"' <<<"$output")" = "saved running" ]
    has_saved_state saved
    vm_is saved "shut off"
    [ "$(ls -A /var/lib/libvirt/qemu/save)" = saved.save ]
    continues saved "$boot_id" "$saved_at"
    virsh -q destroy --domain saved
    records_check --crash saved data0
}
