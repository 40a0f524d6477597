#!/usr/bin/env bats
# Saved state: running VMs without guest agent and paused ones are saved for the instant of the set, and return to exactly what they
# were. One set mixes all methods.

load helpers
load product

child=ledger-child
saved="saved & 'one'"
paused=paused-one
managed=managed-one
stopped=stopped-one

setup_file() {
    product_setup --no-encryption
    make_place ext4 96 "$VMSHADOW_TEST_DIR/small"
    vm_define "$child"
    vm_define "$saved" --no-agent --memory 256 --disk qcow2 --disk raw
    vm_define "$paused" --no-agent --memory 128
    vm_define "$managed" --no-agent --memory 128
    vm_define "$stopped"
    vm_boot "$child" "$saved" "$paused" "$managed"
    boot=$(vm_command "$saved" bootid)
    export boot
    virsh -q suspend --domain "$paused"
    virsh -q managedsave --domain "$managed"
}

teardown_file() {
    for name in "$child" "$saved" "$paused" "$managed" "$stopped"; do
        vm_destroy_everything "$name"
    done
    remove_place "$VMSHADOW_TEST_DIR/small"
    product_teardown
}

teardown() {
    rm -f "$TMPDIR/hold"
}

has_records() {
    local last
    last=$(vm_command "$1" last "$2") && ((${last#last } >= $3))
}

# goes_on: the saved VM runs, its disk takes records, and it was not booted again.
goes_on() {
    vm_is "$saved" running && vm_command "$saved" commit data0 next >/dev/null || return
    [ "$(vm_command "$saved" bootid)" = "$boot" ] || fail "$saved was booted again"
}

# all_as_before: every VM is what it was, and nothing is left.
all_as_before() {
    vm_assert_running_and_thawed "$child" && goes_on && vm_is "$paused" paused && vm_is "$stopped" "shut off" || return
    vm_is "$managed" "shut off" || return
    [[ "$(virsh -q dominfo --domain "$managed")" == *"Managed save:"*yes* ]] || fail "$managed has lost its saved state" || return
    wait_for 30 nothing_left
}

# of VM EXPRESSION: of the VM in the JSON $result.
of() {
    jq -r --arg name "$1" ".vms[] | select(.name == \$name) | $2" <<<"$result"
}

# held_backup PLACE ARGUMENT...: a backup that waits at PLACE until $TMPDIR/hold goes; sets pid.
held_backup() {
    local place=$1
    shift
    rm -f "$TMPDIR/events"
    touch "$TMPDIR/hold"
    VMSHADOW_TEST_HOLD=$place:$TMPDIR/hold "$VMSHADOW" backup "$@" --json --events "$TMPDIR/events" >"$TMPDIR/output" 2>&1 3>&- &
    pid=$!
}

@test "B3: one set of child snapshot, saved, paused, managed-saved and stopped VMs: each is what it was before" {
    for name in "$child" "$saved" "$paused" "$managed" "$stopped"; do
        virsh -q dumpxml --inactive --domain "$name" >"$TMPDIR/before.$(vm_id "$name")"
    done
    run -0 --separate-stderr vmshadow backup --all --json
    result=$output
    all_as_before
    for name in "$child" "$saved" "$paused" "$managed" "$stopped"; do
        diff "$TMPDIR/before.$(vm_id "$name")" <(virsh -q dumpxml --inactive --domain "$name")
    done
    echo "# paused for $(of "$saved" .paused_ms) ms, frozen for $(of "$child" .frozen_ms) ms" >&3
    [ "$(of "$child" .method) $(of "$saved" .method) $(of "$paused" .method)" = "child-snapshot saved-state saved-state" ]
    [ "$(of "$managed" .method) $(of "$stopped" .method)" = "offline offline" ]
    [ "$(of "$saved" '.paused_ms > 0') $(of "$paused" .paused_ms)" = "true 0" ]
    [ "$(of "$saved" .saved_state.continues) $(of "$paused" .saved_state.continues)" = "running paused" ]
    [ "$(of "$managed" .saved_state.continues) $(of "$child" .saved_state) $(of "$stopped" .saved_state)" = "running null null" ]
}

@test "X1: saved VMs are saved before the first guest is frozen, and go on after the last has thawed" {
    result=$(vmshadow show latest --json)
    frozen=$(of "$child" .frozen_from_ns) thawed=$(of "$child" .thawed_ns)
    for name in "$saved" "$paused"; do
        (($(of "$name" .pause.saved_ns) <= frozen && frozen < thawed && thawed <= $(of "$name" .pause.returning_ns)))
    done
    # The VM that is paused anyway does not wait in the pause of the other one, but the other way round.
    (($(of "$paused" .pause.saved_ns) <= $(of "$saved" .pause.paused_ns)))
    (($(of "$saved" '.pause.save_ms + .pause.instant_ms + .pause.resume_ms') >= $(of "$saved" .paused_ms)))
    [ "$(jq -c '[.vms[] | select(.pause) | [.name, .consistency, .saved_state.continues]] | sort' <<<"$result")" = \
        "$(jq -nc --arg p "$paused" --arg s "$saved" '[[$p, "saved-state", "paused"], [$s, "saved-state", "running"]]')" ]
    # As times of day: the instant lies within the pause; one that was paused before has an instant only.
    [ "$(of "$saved" '.paused_from < .instant and .instant < .returned and (.instant | test("^20.*[.][0-9]{3}Z$"))')" = true ]
    [ "$(of "$paused" '[.paused_from, .returned, .instant != null] | tostring')" = "[null,null,true]" ]
    run -0 --separate-stderr vmshadow show latest
    [[ "$output" =~ \ vm\ +paused\ +"VM $saved" && "$output" =~ \ vm\ +"memory saved"\ +"VM $saved" ]]
    [[ "$output" =~ \ vm\ +instant\ +"VM $saved" && "$output" =~ \ vm\ +instant\ +"VM $paused" ]]
    [[ "$output" == *"VM name: '$saved'"*"Paused from: 20"*"Instant: 20"*"Returned: 20"*"Paused for: "*"VM name: '$stopped'"* ]]
}

@test "a paused VM is saved again and again, by vmshadow and by libvirt" {
    run -0 vmshadow backup "$paused"
    virsh -q managedsave --domain "$paused"
    virsh -q start --domain "$paused"
    vm_is "$paused" paused
    run -0 vmshadow backup "$paused"
    all_as_before
}

# job_ended NAME: for wait_for.
job_ended() {
    [[ "$(virsh -q domjobinfo --domain "$1")" == *None* ]]
}

# push NAME TARGET FORMAT XML: a backup by libvirt of vda into the file.
push() {
    echo "<domainbackup mode='push'>$4<disks><disk name='vda' type='file'><target file='$2'/><driver type='$3'/></disk><disk name='vdb' backup='no'/></disks></domainbackup>" >"$TMPDIR/push.xml"
    virsh -q backup-begin --domain "$1" "$TMPDIR/push.xml" && wait_for 60 job_ended "$1"
}

# The second way takes 30 s: libvirt notices the end of the job late (docs/libvirt.md).
@test "change tracking of another program survives, also where a VM is saved and started again" {
    base=$images/base.raw next=$images/next.qcow2
    for way in in-place restart; do
        echo "<domaincheckpoint><name>theirs-$way</name><disks><disk name='vda' checkpoint='bitmap'/><disk name='vdb' checkpoint='no'/></disks></domaincheckpoint>" >"$TMPDIR/checkpoint.xml"
        echo "<domainbackup mode='push'><disks><disk name='vda' type='file'><target file='$base'/><driver type='raw'/></disk><disk name='vdb' backup='no'/></disks></domainbackup>" >"$TMPDIR/push.xml"
        virsh -q backup-begin --domain "$saved" "$TMPDIR/push.xml" "$TMPDIR/checkpoint.xml"
        wait_for 60 job_ended "$saved"
        vm_command "$saved" fill data0 5
        before=$(virsh -q domid --domain "$saved")
        VMSHADOW_TEST_SAVE=$way run -0 vmshadow backup "$saved"
        after=$(virsh -q domid --domain "$saved")
        if [ $way = in-place ]; then [ "$after" = "$before" ]; else [ "$after" != "$before" ]; fi
        vm_command "$saved" overwrite data0 3 1
        goes_on
        virsh -q suspend --domain "$saved"
        push "$saved" "$next" qcow2 "<incremental>theirs-$way</incremental>"
        qemu-img rebase -u -f qcow2 -F raw -b "$base" "$next"
        qemu-img compare -U -f qcow2 -F qcow2 "$next" "$(vm_disk "$saved" 0)"
        (($(qemu-img map --output=json "$next" | jq '[.[] | select(.depth == 0) | .length] | add') < 40 * 1048576))
        virsh -q resume --domain "$saved"
        virsh -q checkpoint-delete --domain "$saved" "theirs-$way"
        rm "$base" "$next"
    done
    all_as_before
}

@test "B4: a VM that cannot be saved, and has no guest agent, is refused by name at planning" {
    mkdir -p "$VMSHADOW_TEST_DIR/shared"
    vm_define sharing --no-agent --xml "<filesystem type='mount' accessmode='passthrough'><source dir='$VMSHADOW_TEST_DIR/shared'/><target dir='shared'/></filesystem>"
    vm_start sharing
    run -4 --separate-stderr vmshadow backup "$child" sharing
    [[ "$stderr" == *"VM sharing"*"cannot be saved"*"shares a file system"*"condition 1"* ]]
    [ "$(vmshadow inspect sharing --json | jq '.vms[0].refused != null')" = true ]
    vm_is sharing running
    vm_destroy_everything sharing
    all_as_before
}

@test "B4: a VM with an image that QEMU does not save is refused by name at planning, also where the disk is left out" {
    qemu-img create -q -f vpc "$images/foreign.vhd" 16M
    qemu-img create -q -f qcow2 -b "$images/foreign.vhd" -F vpc "$images/foreign.qcow2"
    vm_define foreign --no-agent --memory 128 --xml "<disk type='file'><driver name='qemu' type='qcow2'/><source file='$images/foreign.qcow2'/><target dev='vdb' bus='virtio'/></disk>"
    vm_start foreign
    run -1 virsh -q managedsave --domain foreign # it is so
    [[ "$output" == *"vpc format"*"does not support live migration"* ]]
    run -4 --separate-stderr vmshadow backup "$saved" foreign --events "$TMPDIR/events"
    [[ "$stderr" == *"VM foreign"*"cannot be saved"*"format vpc: disk vdb"*"condition 1"* ]]
    run -4 --separate-stderr vmshadow backup foreign --exclude-disk foreign:vdb
    run -1 grep -q PrepareForBackup "$TMPDIR/events"
    vm_is foreign running
    vm_destroy_everything foreign
    rm -f "$images"/foreign*
    all_as_before
}

@test "a managed-saved VM whose definition has other disks by now is refused at planning" {
    disk=$(vm_disk "$managed" 0)
    virsh -q dumpxml --inactive --security-info --domain "$managed" >"$TMPDIR/defined.xml"
    sed "s|$disk|$disk.other|" "$TMPDIR/defined.xml" >"$TMPDIR/changed.xml"
    cp --sparse=always "$disk" "$disk.other"
    virsh -q define "$TMPDIR/changed.xml"
    run -4 --separate-stderr vmshadow backup "$child" "$managed" --events "$TMPDIR/events"
    virsh -q define "$TMPDIR/defined.xml"
    rm "$disk.other"
    [[ "$stderr" == *"VM $managed"*"saved with disk"*"$disk.other"* ]]
    run -1 grep -q PrepareForBackup "$TMPDIR/events"
    all_as_before
}

@test "too little room for the memory is told before the pause" {
    run -9 --separate-stderr vmshadow backup "$child" "$saved" --saved-state-dir "$VMSHADOW_TEST_DIR/small" --scratch-reserve 16M --events "$TMPDIR/events"
    [[ "$stderr" == *"no room for memory"* ]]
    run -1 grep -q PrepareForBackup "$TMPDIR/events"
    all_as_before
}

@test "memory and scratch space in one file system need room for both" {
    local free
    make_place ext4 320 "$VMSHADOW_TEST_DIR/both"
    free=$(($(stat -f -c '%a * %S' "$VMSHADOW_TEST_DIR/both") >> 20))
    # Room for the memory alone (128 MiB and 64 for the rest) with 32 MiB to spare; scratch space wants 64.
    run -9 --separate-stderr vmshadow backup "$paused" --scratch "$VMSHADOW_TEST_DIR/both" --scratch-reserve $((free - 192 - 32))M --events "$TMPDIR/events"
    remove_place "$VMSHADOW_TEST_DIR/both"
    [[ "$stderr" == *"no room for memory"*"scratch space"* ]]
    run -1 grep -q PrepareForBackup "$TMPDIR/events"
    all_as_before
}

@test "X2: a pause longer than --max-pause is ended by the watchdog, and the set fails" {
    held_backup saved "$child" "$saved" --max-pause 5
    wait_for 30 vm_is "$saved" paused
    wait_for 60 vm_is "$saved" running
    rm "$TMPDIR/hold"
    status=0
    wait $pid || status=$?
    [ $status = 10 ] || fail "$status: $(cat "$TMPDIR/output")"
    grep -q "paused longer than the limit" "$TMPDIR/output"
    all_as_before
}

@test "X2: a watchdog that dies before the freeze: no guest is frozen, and the set fails" {
    library=$(dirname "$VMSHADOW")/tests/e2e/tools/failing-call.so
    rm -f "$TMPDIR/points"
    : >"$TMPDIR/hanging"
    LD_PRELOAD=$library VMSHADOW_TEST_FAIL_HANG=virDomainSnapshotCreateXML:$TMPDIR/hanging \
        VMSHADOW_TEST_POINT=0:KILL VMSHADOW_TEST_POINT_LOG=$TMPDIR/points \
        "$VMSHADOW" backup "$child" "$saved" >"$TMPDIR/output" 2>&1 3>&- &
    pid=$!
    wait_for 60 grep -q virDomainSnapshotCreateXML "$TMPDIR/hanging"
    kill -9 "$(pgrep -P $pid -f ' watchdog ')"
    rm "$TMPDIR/hanging"
    status=0
    wait $pid || status=$?
    [ $status = 1 ] || fail "$status: $(cat "$TMPDIR/output")"
    grep -q "watchdog" "$TMPDIR/output"
    grep -q paused "$TMPDIR/points"
    run -1 grep -i freeze "$TMPDIR/points"
    all_as_before
}

@test "a VM that somebody resumes in the pause fails the set" {
    held_backup saved "$child" "$saved"
    wait_for 30 vm_is "$saved" paused
    virsh -q resume --domain "$saved"
    rm "$TMPDIR/hold"
    status=0
    wait $pid || status=$?
    [ $status = 1 ] || fail "$status: $(cat "$TMPDIR/output")"
    grep -q "vm-changed-in-pause" "$TMPDIR/output"
    all_as_before
}

@test "a saved VM that is paused between planning and PrepareForSnapshot fails the set" {
    held_backup planned "$child" "$saved"
    wait_for 30 grep -q PrepareForBackup "$TMPDIR/events"
    virsh -q suspend --domain "$saved"
    rm "$TMPDIR/hold"
    status=0
    wait $pid || status=$?
    [ $status = 1 ] || fail "$status: $(cat "$TMPDIR/output")"
    grep -q "changed since planning" "$TMPDIR/output"
    virsh -q resume --domain "$saved"
    all_as_before
}

# ledger_backup A B: a backup under the load of a ledger over both, restored to see what is in it; both are running again then.
ledger_backup() {
    ledger_start "$1" "$2" data0
    wait_for 30 ledger_reached 5
    vmshadow backup "$1" "$2" >"$TMPDIR/output"
    ledger_stop
    vmshadow restore latest --yes >"$TMPDIR/output"
    last_first=$(records_last --crash "$1" data0)
    last_second=$(records_last --crash "$2" data0)
    echo "# $1: $last_first, $2: $last_second" >&3
    ((last_second <= last_first && last_first <= last_second + 1))
    vm_start "$1" "$2"
    vm_wait_channel "$1" "$2"
    vm_wait_agent "$child"
}

@test "X1: ledger between a child snapshot and a saved VM, both ways round" {
    ledger_backup "$child" "$saved"
    ledger_backup "$saved" "$child"
}
