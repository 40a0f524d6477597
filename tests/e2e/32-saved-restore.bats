#!/usr/bin/env bats
# Saved state in the repository, and VMs that come back saved (rows B3, R8): they continue where they were, no second boot.
# `saved` is saved by virsh; `live` and `still` have no agent, run and are paused, so vmshadow saves them itself.

load helpers
load product

saves=/var/lib/libvirt/qemu/save
image=$saves/saved.save

setup_file() {
    local name
    product_setup --no-encryption
    vm_define saved --disk qcow2-chain --disk raw
    vm_define live --no-agent --disk qcow2
    vm_define still --no-agent
    vm_define child
    vm_define off
    for name in saved live still child off; do # libvirt orders controllers when it reads its own XML again
        definition $name >"$TMPDIR/$name.xml"
        virsh -q define "$TMPDIR/$name.xml"
    done
    vm_boot saved live still child
    for name in saved live still child; do
        vm_command $name commit data0 next
        vm_command $name commit data0 next
        vm_command $name bootid >"$TMPDIR/$name.boot"
        uptime_of $name >"$TMPDIR/$name.uptime"
    done
    virsh -q suspend still
    virsh -q managedsave --domain saved
}

teardown_file() {
    local name
    for name in saved live still child off; do
        vm_destroy_everything $name
    done
    product_teardown
}

teardown() {
    rm -f "$TMPDIR/hold"
    nothing_left
    # Nothing of an import, and nothing set aside.
    [ -z "$(find $saves "$images" -name '*vmshadow*')" ] || fail "$(ls -A $saves "$images")"
}

# has_saved_state NAME: libvirt knows it.
has_saved_state() {
    [ "$(virsh -q dominfo --domain "$1" | sed -n 's/^Managed save: *//p')" = yes ] || fail "$1 is not saved"
}

# uptime_of NAME: whole seconds.
uptime_of() {
    local answer
    answer=$(vm_command "$1" uptime) || return
    answer=${answer#uptime }
    echo "${answer%.*}"
}

# goes_on NAME: it runs on from where it was: no second boot, the uptime and the records go on.
goes_on() {
    local answer
    vm_wait_channel "$1" || return
    [ "$(vm_command "$1" bootid)" = "$(cat "$TMPDIR/$1.boot")" ] || fail "$1 has booted again" || return
    answer=$(uptime_of "$1")
    ((answer >= $(cat "$TMPDIR/$1.uptime"))) || fail "$1 is up for $answer s" || return
    answer=$(vm_command "$1" commit data0 next)
    ((${answer#committed } > 2)) || fail "$1: $answer"
}

# continues NAME: it is saved, and goes on once it is started.
continues() {
    has_saved_state "$1" && virsh -q start --domain "$1" 3>&- && vm_is "$1" running && goes_on "$1"
}

# off_and_whole NAME: powers it off; its file systems are whole but for their journals, as are its records.
off_and_whole() {
    virsh -q destroy --domain "$1" && disk_check --crash "$1" && records_check --crash "$1" data0
}

# first_backup: id of the oldest, of `saved` as it was at first.
first_backup() {
    "$VMSHADOW" list --json | jq -r '.backups[0].id'
}

definition() {
    virsh -q dumpxml --inactive --domain "$1"
}

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
    virsh -q start --domain saved 3>&-
    rm "$TMPDIR/hold"
    status=0
    wait $backup || status=$?
    [ $status = 1 ]
    grep -q 'VM saved\b.*started' "$TMPDIR/output" || fail "$(cat "$TMPDIR/output")"
    [ "$(backups)" = "$before" ]
    goes_on saved
    virsh -q managedsave --domain saved
}

@test "R8: a saved VM that was lost comes back saved and continues, its definition but for the disks as it was" {
    before=$(definition saved)
    vm_destroy_everything saved
    run -0 --separate-stderr vmshadow restore latest --json
    [ "$(jq -r '.vms[0] | "\(.comes_back) \(.continues)"' <<<"$output")" = "saved running" ]
    vm_is saved "shut off"
    [ "$(ls -A $saves)" = saved.save ]
    diff <(definition saved) <(echo "$before")
    continues saved
    off_and_whole saved
}

@test "R8: over a VM that is saved, to another directory: the old saved state goes with the old VM" {
    run -0 vmshadow restore latest
    mkdir "$VMSHADOW_TEST_DIR/elsewhere"
    before=$(definition saved)
    run -0 vmshadow restore latest --to "$VMSHADOW_TEST_DIR/elsewhere"
    [[ "$output" == *"its saved state goes with it"* ]]
    [ "$(ls -A $saves)" = saved.save ]
    diff <(definition saved) <(sed "s|$images/saved|$VMSHADOW_TEST_DIR/elsewhere/saved|" <<<"$before")
    continues saved
    # It runs on the new disks only.
    [ "$(vm_disk saved 0)" = "$VMSHADOW_TEST_DIR/elsewhere/saved-data0.qcow2" ]
    off_and_whole saved
    run -0 vmshadow restore latest
    [ -z "$(ls -A "$VMSHADOW_TEST_DIR/elsewhere")" ]
    continues saved
    virsh -q managedsave --domain saved
}

@test "memory that cannot be loaded: the old VM is back, saved, and continues" {
    cp $image "$TMPDIR/good.save"
    # Behind header and XML is QEMU's part; its beginning is made unreadable.
    size=$((92 + $(od -An -tu4 -j20 -N4 $image)))
    dd if=/dev/zero of=$image bs=1 seek=$size count=4096 conv=notrunc status=none
    run -0 vmshadow backup saved
    cp "$TMPDIR/good.save" $image
    before=$(definition saved)
    run -1 vmshadow restore latest
    [[ "$output" == *"VM saved: saved state: its memory cannot be loaded"* ]] || fail "$output"
    [[ "$output" == *"--discard-saved"* ]]
    diff <(definition saved) <(echo "$before")
    [ "$(ls -A $saves)" = saved.save ]
    continues saved
    virsh -q destroy --domain saved
    # Without its memory it comes back off.
    run -0 vmshadow restore latest --discard-saved
    [[ "$output" == *"comes back off"* ]]
    run -1 has_saved_state saved
    disk_check --crash saved
    rm "$TMPDIR/good.save"
}

@test "R8: one set of child snapshot, saved, paused, managed-saved and stopped VMs: all lost, all restored" {
    run -0 vmshadow restore "$(first_backup)" saved
    vm_is still paused
    run -0 --separate-stderr vmshadow backup saved live still child off --json
    [ "$(jq -r '[.vms[] | "\(.name) \(.method) \(.saved_state.continues)"] | join(", ")' <<<"$output")" = \
        "child child-snapshot null, live saved-state running, off offline null, saved offline running, still saved-state paused" ]
    vm_is live running
    for name in saved live still child off; do
        definition $name >"$TMPDIR/$name.xml"
        vm_destroy_everything $name
    done
    run -0 vmshadow restore latest
    [ "$(ls -A $saves | sort | tr '\n' ' ')" = "live.save saved.save still.save " ]
    for name in saved live still child off; do
        diff "$TMPDIR/$name.xml" <(definition $name)
        vm_is $name "shut off"
    done
    run -1 has_saved_state child
    run -1 has_saved_state off
    disk_check child
    [ "$(records_last child data0)" = 2 ]
    continues saved
    continues live
    has_saved_state still
    virsh -q start --domain still 3>&-
    vm_is still paused
    virsh -q resume still
    goes_on still
    for name in saved live still; do
        off_and_whole $name
    done
}

@test "R8: with a left-out disk a saved VM comes back off, and continues only when that is said" {
    run -0 vmshadow restore "$(first_backup)" saved
    run -0 vmshadow backup saved --exclude-disk saved:vdb
    run -0 vmshadow restore latest --dry-run
    [[ "$output" == *"comes back off: disk vdb was left out"*"--continue-saved"* ]]
    run -0 --separate-stderr vmshadow restore latest --json
    [ "$(jq -r '.vms[0] | "\(.comes_back) \(.continues)"' <<<"$output")" = "off null" ]
    run -1 has_saved_state saved
    [ -z "$(ls -A $saves)" ]
    run -0 vmshadow restore latest --continue-saved
    [[ "$output" == *"continues although disk vdb was left out"* ]]
    continues saved
    off_and_whole saved
}

@test "R8: a transient VM comes back as it can: defined for good, saved, and continues" {
    definition live >"$TMPDIR/live.xml"
    virsh -q undefine live
    virsh -q create "$TMPDIR/live.xml" 3>&-
    vm_wait_channel live
    vm_command live bootid >"$TMPDIR/live.boot"
    echo 0 >"$TMPDIR/live.uptime"
    run -0 vmshadow backup live
    vm_is live running
    virsh -q destroy --domain live
    run -0 vmshadow restore latest
    [[ "$output" == *"was a transient domain"* ]]
    [ "$(virsh -q dominfo live | sed -n 's/^Persistent: *//p')" = yes ]
    continues live
    off_and_whole live
}
