#!/usr/bin/env bats
# Rows of docs/checklist.md that no other file shows. Their numbers are those of the page.

load helpers
load product

agent=row-agent
plain=row-plain
off=row-off

setup_file() {
    product_setup
    vm_define "$agent"
    vm_define "$plain" --no-agent --memory 128
    vm_define "$off"
    vm_boot "$agent" "$plain"
}

teardown_file() {
    for name in "$agent" "$plain" "$off"; do
        vm_destroy_everything "$name"
    done
    product_teardown
}

# inspected NAME FILTER: of what inspect says of the VM.
inspected() {
    vmshadow inspect "$1" --json 2>/dev/null | jq -r ".vms[0] | $2"
}

# fact_of NUMBER NAME: why that condition does not hold; nothing when it holds.
fact_of() {
    inspected "$2" ".conditions[] | select(.number == $1 and (.holds | not)) | .fact"
}

@test "row 85: one component for each VM: its UUID, and a caption with name and method" {
    run -0 --separate-stderr vmshadow inspect --all --json
    [ "$(jq '.vms | length' <<<"$output")" = 3 ]
    for name in "$agent" "$plain" "$off"; do
        [ "$(jq -r --arg n "$name" '.vms[] | select(.name == $n) | .uuid' <<<"$output")" = "$(virsh -q domuuid --domain "$name")" ]
    done
    [ "$(inspected "$agent" .caption)" = "Backup Using Child Partition Snapshot\\$agent" ]
    [ "$(inspected "$plain" .caption)" = "Backup Using Saved State\\$plain" ]
    [ "$(inspected "$off" .caption)" = "Backup Using Saved State\\$off" ]
}

@test "row 86: each condition that does not hold takes the child snapshot away, and says why" {
    [ "$(inspected "$agent" '[.conditions[].holds] | all')" = true ]
    [[ "$(fact_of 1 "$plain")" == *agent* ]]
    [[ "$(fact_of 2 "$off")" == *"is off"* ]]
    make_place ext4 16 /var/lib/libvirt/elsewhere
    run -0 --separate-stderr vmshadow inspect "$agent" --snapshot-location "$agent=/var/lib/libvirt/elsewhere" --json
    [ "$(jq -c '[.vms[0].conditions[] | select(.holds | not) | .number]' <<<"$output")" = "[3]" ]
    [ "$(jq -r '.vms[0].method' <<<"$output")" = saved-state ]
    remove_place /var/lib/libvirt/elsewhere
    virsh -q suspend --domain "$agent"
    [[ "$(fact_of 2 "$agent")" == *paused* ]]
    virsh -q resume --domain "$agent"
    vm_command "$agent" agent stop
    [[ "$(fact_of 1 "$agent")" == *agent* ]]
    vm_command "$agent" agent start
    vm_wait_agent "$agent"
    [ "$(inspected "$agent" .method)" = child-snapshot ]
}

@test "row 90: the freeze begins and ends inside PrepareForSnapshot" {
    run -0 vmshadow backup "$agent" --events "$TMPDIR/events"
    run -0 --separate-stderr vmshadow show latest --json
    vm=$(jq -c .vms[0] <<<"$output")
    [ "$(jq .frozen_file_systems <<<"$vm")" -gt 0 ]
    event() { jq --arg n "$1" "select(.name == \$n) | .$2" "$TMPDIR/events"; }
    [ "$(event PrepareForSnapshot start_ns)" -le "$(jq .frozen_from_ns <<<"$vm")" ]
    [ "$(jq .frozen_from_ns <<<"$vm")" -le "$(jq .instant_ns <<<"$vm")" ]
    [ "$(jq .instant_ns <<<"$vm")" -le "$(jq .thawed_ns <<<"$vm")" ]
    [ "$(jq .thawed_ns <<<"$vm")" -le "$(event PrepareForSnapshot end_ns)" ]
    [ "$(event PrepareForSnapshot end_ns)" -le "$(event Freeze start_ns)" ]
}

# Why 245: docs/checklist.md, row 96; 30-main-job.bats runs a VM with such characters.
@test "row 96: a name of 245 bytes with blanks, quotes, markup and UTF-8 works all through" {
    name="row 96: & <b> \"zwei\" 'drei' \$(vier) %s ; * ünïcødé 漢字 "
    while [ "$(printf %s "$name" | wc -c)" -lt 245 ]; do
        name+=x
    done
    vm_define "$off-96"
    uuid=$(virsh -q domuuid --domain "$off-96")
    virsh -q domrename --domain "$off-96" "$name"
    run -0 vmshadow inspect "$name"
    [[ "$output" == *"$name"* ]]
    run -0 vmshadow backup "$name"
    [ "$(vmshadow list --json | jq -r '.backups[-1].vms[0].name')" = "$name" ]
    sum=$(sha256sum <"$(vm_disk "$uuid" 0)")
    vm_destroy_everything "$uuid"
    run ! virsh -q dominfo "$uuid"
    mkdir "$VMSHADOW_TEST_DIR/place of $off"
    run -0 vmshadow restore latest "$name" --to "$VMSHADOW_TEST_DIR/place of $off"
    [ "$(virsh -q domname "$uuid")" = "$name" ]
    disk=$(vm_disk "$uuid" 0)
    [ "$(dirname "$disk")" = "$VMSHADOW_TEST_DIR/place of $off" ]
    [ "$(sha256sum <"$disk")" = "$sum" ]
    [ -L "$images/$name" ]
    vm_destroy_everything "$uuid"
    rm -r "$VMSHADOW_TEST_DIR/place of $off" "${images:?}/$name"
}

@test "row 105: the instance id is new at each start, the class id is not" {
    run -0 --separate-stderr vmshadow writers --json
    first=$(jq -r .writers[0].instance_id <<<"$output")
    [ "$(jq -r .writers[0].id <<<"$output")" = 66841cd4-6ded-4f4b-8f17-fd23f8ddc3de ]
    run -0 --separate-stderr vmshadow writers --json
    [ "$(jq -r .writers[0].id <<<"$output")" = 66841cd4-6ded-4f4b-8f17-fd23f8ddc3de ]
    [ "$(jq -r .writers[0].instance_id <<<"$output")" != "$first" ]
}

# As a user who has no right to libvirt; its socket is not open to him.
as_nobody() {
    setpriv --reuid=65534 --regid=65534 --clear-groups env -u VMSHADOW_PASSPHRASE_FILE HOME=/ "$@"
}

@test "row 107: a user without rights can neither list metadata nor freeze" {
    chmod 700 /run/libvirt/libvirt-sock
    install -m 755 "$VMSHADOW" /run/vmshadow-of-nobody
    run -13 as_nobody /run/vmshadow-of-nobody inspect --all
    [[ "$output" == *"[libvirt-denied]"* ]]
    run ! as_nobody /run/vmshadow-of-nobody writers
    run ! as_nobody /run/vmshadow-of-nobody backup "$agent"
    run ! as_nobody cat "$VMSHADOW_REPO/vmshadow-repository"
    vm_assert_running_and_thawed "$agent"
    nothing_left
    rm /run/vmshadow-of-nobody
}

is_thawed() {
    vm_assert_running_and_thawed "$agent"
}
is_stopped() {
    [ "$(ps -o state= -p "$1")" = T ]
}

@test "row 108: nothing waits for a disk between freeze and thaw: state, repository, events and log on a frozen file system" {
    make_place ext4 256 /var/lib/vmshadow/frozen
    cp -a "$VMSHADOW_REPO" /var/lib/vmshadow/frozen/repository
    VMSHADOW_TEST_POINT=frozen:STOP VMSHADOW_STATE_DIR=/var/lib/vmshadow/frozen/state \
        "$VMSHADOW" backup "$agent" --verbose --repo /var/lib/vmshadow/frozen/repository --events /var/lib/vmshadow/frozen/events \
        >/var/lib/vmshadow/frozen/output 2>&1 &
    pid=$!
    wait_for 30 is_stopped $pid
    fsfreeze --freeze /var/lib/vmshadow/frozen
    kill -CONT $pid
    status=0
    wait_for 20 is_thawed || status=$?
    fsfreeze --unfreeze /var/lib/vmshadow/frozen
    [ $status = 0 ]
    wait $pid || status=$?
    cat /var/lib/vmshadow/frozen/output
    [ $status = 0 ]
    remove_place /var/lib/vmshadow/frozen
    nothing_left
}
