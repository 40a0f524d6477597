#!/usr/bin/env bats
# VMs that are off: backed up without being started; one that is started during the copy must start.

load helpers
load product

off=stopped
chain="stopped & 'chain'"

setup_file() {
    product_setup --no-encryption
    make_place xfs 512 "$VMSHADOW_TEST_DIR/reflink"
    vm_define "$off"
    vm_define "$chain" --disk qcow2-chain --directory "$VMSHADOW_TEST_DIR/reflink"
    vm_boot "$off" "$chain"
    for name in "$off" "$chain"; do
        for _ in 1 2 3 4 5; do
            vm_command "$name" commit data0 next
        done
        vm_shutdown "$name"
    done
}

teardown() {
    [ -z "${away-}" ] || fsfreeze -u "$away" 2>/dev/null || true
}

teardown_file() {
    vm_destroy_everything "$off"
    vm_destroy_everything "$chain"
    remove_place "$VMSHADOW_TEST_DIR/reflink"
    product_teardown
}

@test "a set of stopped VMs is backed up, destroyed and restored, a disk outside the default location with its link" {
    run -0 --separate-stderr vmshadow inspect "$off" "$chain" --json
    [ "$(jq -r '[.vms[].method] | unique | join(" ")' <<<"$output")" = offline ]
    run -0 --separate-stderr vmshadow backup "$off" "$chain" --json
    [ "$(jq -r '[.vms[].frozen_ms] | add' <<<"$output")" = 0 ]
    vm_is "$off" "shut off"
    vm_is "$chain" "shut off"
    nothing_left
    vm_destroy_everything "$off"
    vm_destroy_everything "$chain"
    run -0 --separate-stderr vmshadow restore latest --json
    [ "$(records_last "$off" data0)" = 5 ]
    [ "$(records_last "$chain" data0)" = 5 ]
    disk_check "$off"
    [ "$(readlink "/var/lib/libvirt/images/$chain")" = "$VMSHADOW_TEST_DIR/reflink" ]
    [ ! -e "/var/lib/libvirt/images/$off" ]
    vm_boot "$off" "$chain"
    vm_shutdown "$off"
    vm_shutdown "$chain"
}

# begin_copy VM [OPTION...]: a backup that waits in the middle of its copy until end_copy.
begin_copy() {
    local name=$1
    shift
    rm -f "$TMPDIR/events"
    touch "$TMPDIR/hold"
    VMSHADOW_TEST_HOLD=copying:$TMPDIR/hold "$VMSHADOW" backup "$name" --events "$TMPDIR/events" "$@" \
        >"$TMPDIR/output" 2>&1 &
    backup=$!
    wait_for 20 grep -q PostFinalCommit "$TMPDIR/events"
}
end_copy() {
    rm "$TMPDIR/hold"
    wait $backup
}

@test "a stopped VM that is started during the copy starts, and the set fails with that reason" {
    begin_copy "$off"
    virsh -q start --domain "$off"
    status=0
    end_copy || status=$?
    output=$(cat "$TMPDIR/output")
    [ $status = 1 ]
    [[ "$output" == *"$off"*"started"* ]]
    vm_wait_channel "$off"
    [ "$(backups)" = 1 ]
    vm_shutdown "$off"
    nothing_left
}

@test "on a file system with reflinks it starts, too, and the backup is whole" {
    begin_copy "$chain"
    virsh -q start --domain "$chain"
    end_copy
    vm_wait_channel "$chain"
    vm_command "$chain" commit data0 6
    vm_shutdown "$chain"
    [ "$(backups)" = 2 ]
    nothing_left
    run -0 vmshadow restore latest --yes
    [ "$(records_last "$chain" data0)" = 5 ]
}

@test "with --hold-stopped it does not start while it is copied" {
    begin_copy "$off" --hold-stopped
    run -1 virsh -q start --domain "$off"
    end_copy
    [ "$(backups)" = 3 ]
    vm_boot "$off"
    vm_shutdown "$off"
    nothing_left
}

@test "R6: restored to another directory, the definition names the new place and nothing else of it changes" {
    vm_define moved --disk raw --disk qcow2-chain
    virsh -q dumpxml --inactive moved >"$TMPDIR/moved.xml"
    virsh -q define "$TMPDIR/moved.xml"
    virsh -q dumpxml --inactive moved >"$TMPDIR/moved.xml"
    run -0 vmshadow backup moved
    mkdir "$VMSHADOW_TEST_DIR/else & where"
    run -0 vmshadow restore latest --to "$VMSHADOW_TEST_DIR/else & where"
    sed "s|$images/moved|$VMSHADOW_TEST_DIR/else \&amp; where/moved|" "$TMPDIR/moved.xml" >"$TMPDIR/expected.xml"
    diff "$TMPDIR/expected.xml" <(virsh -q dumpxml --inactive moved)
    [ "$(readlink "$images/moved")" = "$VMSHADOW_TEST_DIR/else & where" ]
    [ ! -e "$images/moved-data0.raw" ]
    disk_check moved
    run -0 vmshadow restore latest
    diff "$TMPDIR/moved.xml" <(virsh -q dumpxml --inactive moved)
    [ -z "$(ls -A "$VMSHADOW_TEST_DIR/else & where")" ]
    vm_destroy_everything moved
    rm -f "$images/moved"
    nothing_left
}

# storage_away DIRECTORY: whoever writes there waits in the kernel, not to be killed; what looks at images of it does so. Sets away.
storage_away() {
    away=$1
    make_place ext4 64 "$away"
    mkdir -p "$TMPDIR/bin"
    cat >"$TMPDIR/bin/qemu-img" <<SCRIPT
#!/bin/bash
case "\$*" in
*"$away/"*) echo "\$*" >>"$TMPDIR/asked" && echo >"$away/written" ;;
esac
exec $(command -v qemu-img) "\$@"
SCRIPT
    chmod +x "$TMPDIR/bin/qemu-img"
}

@test "storage that does not answer holds up neither other VMs nor, for ever, its own" {
    storage_away "$VMSHADOW_TEST_DIR/away"
    vm_define away --directory "$away"
    fsfreeze -f "$away"
    PATH=$TMPDIR/bin:$PATH run -0 vmshadow backup "$off"
    [ ! -e "$TMPDIR/asked" ] || fail "$(cat "$TMPDIR/asked")"
    PATH=$TMPDIR/bin:$PATH run -0 timeout 120 "$VMSHADOW" inspect away --json
    fsfreeze -u "$away"
    [[ "$output" == *"disk vda: image $away/"*"did not end in time"* ]] || fail "$output"
    run -0 grep -c . "$TMPDIR/asked"
    [ "$output" = 1 ] # description
    vm_destroy_everything away
    wait_for 20 remove_place "$away"
    rm -r "$TMPDIR/bin" "$TMPDIR/asked"
}

@test "left-out disks are reported by name: pass-through, iSCSI, CD-ROM" {
    truncate -s 1M "$images/medium.iso"
    vm_define leftout --xml "<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='iscsi' name='iqn.2026-11.example:one/1'><host name='127.0.0.1' port='3260'/></source><target dev='vdb' bus='virtio'/></disk><disk type='block' device='lun'><driver name='qemu' type='raw'/><source dev='/dev/vmshadow-no-such-lun'/><target dev='sda' bus='scsi'/></disk><disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='$images/medium.iso'/><target dev='sdb' bus='sata'/><readonly/></disk><controller type='scsi' index='0' model='virtio-scsi'/>"
    run -0 --separate-stderr vmshadow inspect leftout --json
    [ "$(jq -r '.vms[0].disks[] | select(.included) | .target' <<<"$output")" = vda ]
    for target in vdb sda sdb; do
        [ -n "$(jq -r --arg t $target '.vms[0].disks[] | select(.target == $t) | .reason' <<<"$output")" ]
    done
    run -0 --separate-stderr vmshadow backup leftout --json
    [ "$(jq -r '[.vms[0].left_out[].target] | sort | join(" ")' <<<"$output")" = "sda sdb vdb" ]
    virsh -q dumpxml --inactive leftout >"$TMPDIR/leftout.xml"
    virsh -q define "$TMPDIR/leftout.xml" # libvirt orders controllers when it reads its own XML again
    run -0 vmshadow backup leftout
    before=$(virsh -q dumpxml --inactive leftout)
    vm_destroy_everything leftout
    run -0 vmshadow restore latest
    diff <(virsh -q dumpxml --inactive leftout) <(echo "$before")
    virsh -q undefine leftout
    rm -f "$images"/leftout* "$images/medium.iso"
}
