#!/usr/bin/env bats
# Each call to libvirt of a backup with a saved VM, and of a restore of one, fails once, one after the other: the VM is as it was before
# each time, and nothing is left. tools/failing-call.c stands in front of libvirt's library.

load helpers
load product
load saved

saves=/var/lib/libvirt/qemu/save
library=$(dirname "$VMSHADOW")/tests/e2e/tools/failing-call.so

setup_file() {
    product_setup --no-encryption
    saved_setup
}

teardown_file() {
    saved_teardown
    vm_destroy_everything lost
    product_teardown
}

# backup_failing N|NAME: in which the N-th call fails, or each of that name.
backup_failing() {
    rm -f "$TMPDIR/call"
    status=0
    LD_PRELOAD=$library VMSHADOW_TEST_FAIL=$1:$TMPDIR/call timeout 120 "$VMSHADOW" backup "$saved" "$paused" \
        >"$TMPDIR/output" 2>&1 || status=$?
}

# calls_to_fail before|in|after: the numbers of the calls to fail before the first that changes a VM, from there to the VM's return, and
# after it: all of those in between, and of the others the first of each name, since planning asks the same of each VM twice. The
# order is not quite the same in each run: VMs are saved in parallel.
calls_to_fail() {
    awk -v part="$1" '
        BEGIN { now = "before" }
        now == "before" && /^(virDomainSuspend|virDomainSaveFlags)$/ { now = "in" }
        now == part && (now == "in" || !seen[$0]++) { print NR }
        /^virDomainResume$/ { now = "after" }' "$TMPDIR/calls"
}

@test "the calls of a backup are seen" {
    backup_failing 0
    cat "$TMPDIR/output"
    [ $status = 0 ]
    cp "$TMPDIR/call" "$TMPDIR/calls"
    echo "# $(wc -l <"$TMPDIR/calls") calls, of which $(for part in before in after; do calls_to_fail $part; done | wc -l) are to fail" >&3
    for name in virDomainSuspend virDomainSnapshotCreateXML virDomainSaveFlags virDomainRestoreFlags virDomainBackupBegin \
        virDomainResume virDomainAbortJob; do
        grep -qx $name "$TMPDIR/call"
    done
    as_before
}

# fail_call N: a backup whose N-th call fails; it fails or not, and then all is as before.
fail_call() {
    local name
    backup_failing "$1"
    name=$(cat "$TMPDIR/call")
    echo "$1 $name: status $status: $(head -n 1 "$TMPDIR/output")"
    [ $status != 124 ] || fail "call $1 ($name): no end: $(cat "$TMPDIR/output")" || return
    wait_for 60 as_before || fail "call $1 ($name): status $status: $(cat "$TMPDIR/output")" || return
    [ $status != 0 ] || listed=$((listed + 1))
    [ "$(backups)" = "$listed" ] || fail "call $1 ($name): status $status, $(backups) backups"
}

# fail_part before|in|after LEAST: all of them; LEAST is how many fail the backup at least.
fail_part() {
    local number failed=0 rounds=0
    listed=$(backups)
    for number in $(calls_to_fail "$1"); do
        fail_call "$number" || return
        rounds=$((rounds + 1))
        [ $status = 0 ] || failed=$((failed + 1))
    done
    echo "# $rounds calls, $failed fail the backup" >&3
    ((failed >= $2)) || fail "only $failed fail the backup"
}

@test "each kind of call before the pause fails once: no VM was touched" {
    fail_part before 5
}

@test "one failed save: no other VM is paused" {
    rm -f "$TMPDIR/points"
    VMSHADOW_TEST_POINT=0:KILL VMSHADOW_TEST_POINT_LOG=$TMPDIR/points backup_failing virDomainSaveFlags
    [ "$(cat "$TMPDIR/call")" = virDomainSaveFlags ]
    [ $status != 0 ]
    [ "$(grep -c ' paused$' "$TMPDIR/points")" = 1 ] # the one that was paused before, which is saved first
    as_before
}

@test "each call from the pause to the return fails once: the VMs are as before, nothing is left" {
    fail_part in 8
}

@test "each kind of call after the return fails once: the VMs are as before, nothing is left" {
    fail_part after 1
    resumed
    run -0 vmshadow verify
}

@test "a VM that libvirt cannot save in place is saved and started again" {
    before=$(cat "/run/libvirt/qemu/$saved.pid")
    # VIR_ERR_OPERATION_UNSUPPORTED
    VMSHADOW_TEST_FAIL_CODE=84 backup_failing virDomainSnapshotCreateXML
    [ $status = 0 ] || fail "$(cat "$TMPDIR/output")"
    [ "$(cat "$TMPDIR/call")" = virDomainSnapshotCreateXML ]
    [ "$(cat "/run/libvirt/qemu/$saved.pid")" != "$before" ] || fail "it is the same QEMU"
    wait_for 60 as_before
}

# restore_failing N: in which the N-th call fails.
restore_failing() {
    rm -f "$TMPDIR/call"
    status=0
    LD_PRELOAD=$library VMSHADOW_TEST_FAIL=$1:$TMPDIR/call timeout 120 "$VMSHADOW" restore latest >"$TMPDIR/output" 2>&1 3>&- ||
        status=$?
}

# fail_restore LEAST COMMAND: the calls of a restore fail that are in $TMPDIR/call: the first of each name from the first that changes a
# VM, without mere questions about a VM. COMMAND tells whether all is as it has to be then; LEAST is how many fail the restore at least.
fail_restore() {
    local number name failed=0 rounds=0
    for number in $(awk '/^virDomain(Undefine|DefineXML)/ { on = 1 }
        on && !/Domain(Is|Has|GetXML|GetAuto)/ && !seen[$0]++ { print NR }' "$TMPDIR/call"); do
        restore_failing "$number"
        name=$(cat "$TMPDIR/call")
        echo "$number $name: status $status: $(grep '^vmshadow:' "$TMPDIR/output" | tail -n 1)"
        wait_for 60 "$2" || fail "call $number ($name): status $status: $(cat "$TMPDIR/output")" || return
        rounds=$((rounds + 1))
        [ $status = 0 ] || failed=$((failed + 1))
    done
    echo "# $rounds calls, $failed fail the restore" >&3
    ((failed >= $1)) || fail "only $failed fail the restore"
}

# is_saved: the VM is saved, the old one or the new one, and nothing else is there.
is_saved() {
    nothing_left && [ "$(ls -A $saves)" = "$saved.save" ] && [ -z "$(find "$images" -name '*vmshadow*')" ] || return
    [ "$(virsh -q dominfo --domain "$saved" | sed -n 's/^Managed save: *//p')" = yes ] &&
        diff <(virsh -q dumpxml --inactive --domain "$saved") "$TMPDIR/saved.xml"
}

@test "each kind of call of a restore over a saved VM fails once: it is saved, and continues" {
    virsh -q dumpxml --inactive "$saved" >"$TMPDIR/saved.xml" # libvirt orders controllers when it reads its own XML again
    virsh -q managedsave --domain "$saved"
    virsh -q define "$TMPDIR/saved.xml"
    virsh -q dumpxml --inactive "$saved" >"$TMPDIR/saved.xml"
    run -0 vmshadow backup "$saved"
    restore_failing 0
    cat "$TMPDIR/output"
    [ $status = 0 ]
    wait_for 60 is_saved
    fail_restore 4 is_saved
    virsh -q start --domain "$saved" 3>&-
    vm_wait_channel "$saved"
    [ "$(vm_command "$saved" bootid)" = "$(cat "$VMSHADOW_TEST_DIR/bootid")" ]
}

# is_lost: nothing of the VM is there, or all of it when the restore was done.
is_lost() {
    nothing_left || return
    if [ $status = 0 ]; then
        [ "$(ls -A $saves)" = lost.save ] || fail "$(ls -A $saves)" || return
        vm_destroy_everything lost
    fi
    [ -z "$(ls -A $saves; find "$images" -name 'lost*')" ] || fail "$(ls -A $saves "$images")" || return
    [ -z "$(virsh -q list --all --name | grep -x lost)" ] || fail "lost is defined"
}

@test "each kind of call of a restore of a lost VM, with its adapters cut, fails once: nothing is left of it" {
    ip link add front type bridge
    ip link set front up
    echo "<network><name>lab</name><bridge name='labbridge'/></network>" >"$TMPDIR/lab.xml"
    virsh -q net-define "$TMPDIR/lab.xml"
    virsh -q net-start lab
    vm_define lost --no-agent --memory 128 --xml "
        <interface type='bridge'><source bridge='front'/><model type='virtio'/></interface>
        <interface type='network'><source network='lab'/><model type='virtio'/></interface>"
    vm_boot lost
    virsh -q managedsave --domain lost
    run -0 vmshadow backup lost
    vm_destroy_everything lost
    virsh -q net-destroy lab # it is not active: what is loaded has to be told again
    ip link delete front     # it is not there: its link is cut
    restore_failing 0
    cat "$TMPDIR/output"
    [ $status = 0 ]
    for name in virDomainDefineXMLFlags virDomainRestoreFlags virDomainUpdateDeviceFlags virDomainManagedSave \
        virDomainManagedSaveDefineXML; do
        grep -qx $name "$TMPDIR/call"
    done
    wait_for 60 is_lost
    fail_restore 5 is_lost
}
