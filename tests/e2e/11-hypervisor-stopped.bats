#!/usr/bin/env bats
# Instants of VMs that are off: clones where the file system can, the image itself where it cannot, and what is told when a
# VM was started meanwhile.

load helpers
load hypervisor

chain="off & 'chain'" # on xfs, which clones
plain=plain           # on ext4, which does not
device=device         # a block device
network=network       # an NBD server

setup_file() {
    make_place xfs 700 "$VMSHADOW_TEST_DIR/clones"
    vm_define "$chain" --directory "$VMSHADOW_TEST_DIR/clones" --disk qcow2-chain --disk raw
    make_place ext4 300 "$VMSHADOW_TEST_DIR/plain"
    vm_define "$plain" --directory "$VMSHADOW_TEST_DIR/plain" --disk raw --disk qcow2-chain
    make_disk "$VMSHADOW_TEST_DIR/device.raw" raw ext4 data0 64
    loop=$(losetup --find --show "$VMSHADOW_TEST_DIR/device.raw")
    echo "$loop" >"$VMSHADOW_TEST_DIR/loop"
    define_with_disk "$device" "<disk type='block'><driver name='qemu' type='raw'/><source dev='$loop'/><target dev='vda' bus='virtio'/></disk>"
    make_disk "$VMSHADOW_TEST_DIR/network.raw" raw ext4 data0 64
    define_with_disk "$network" "<disk type='network'><driver name='qemu' type='raw'/><source protocol='nbd' name='an export'><host transport='unix' socket='$VMSHADOW_TEST_DIR/nbd-server'/></source><target dev='vda' bus='virtio'/></disk>"
}

teardown_file() {
    local name
    for name in "$chain" "$plain" "$device" "$network"; do
        vm_destroy_everything "$name"
    done
    losetup -d "$(cat "$VMSHADOW_TEST_DIR/loop")"
    remove_place "$VMSHADOW_TEST_DIR/clones"
    remove_place "$VMSHADOW_TEST_DIR/plain"
}

teardown() {
    local name
    probe_kill
    [ -z "${server_pid-}" ] || kill -9 "$server_pid" 2>/dev/null || true
    for name in "$chain" "$plain" "$device" "$network"; do
        virsh -q destroy --domain "$name" >/dev/null 2>&1 || true
    done
}

# define_with_disk NAME ELEMENTS: a VM whose only disks are these.
define_with_disk() {
    vm_define "$1" && virsh -q dumpxml --domain "$1" >"$TMPDIR/define.xml" || return
    python3 - "$TMPDIR/define.xml" "$2" <<'PYTHON' || return
import re
import sys

text = open(sys.argv[1]).read()
with open(sys.argv[1], "w") as file:
    file.write(re.sub("<disk .*</disk>", lambda match: sys.argv[2], text, flags=re.DOTALL))
PYTHON
    virsh -q define "$TMPDIR/define.xml" >/dev/null && rm "$images/$1-data0.raw"
}

# start_and_write NAME: the VM starts during a copy, works, and commits a record.
start_and_write() {
    vm_start "$1" && vm_wait_channel "$1" && vm_command "$1" commit data0 next
}

@test "images of a VM that is off are cloned where the file system can, and what the VM writes later is not read" {
    image_copy "$VMSHADOW_TEST_DIR/clones/$chain-data0.qcow2" qcow2 "$TMPDIR/vda.off"
    image_copy "$VMSHADOW_TEST_DIR/clones/$chain-data1.raw" raw "$TMPDIR/vdb.off"
    probe_start
    ask describe "$chain"
    [[ $answer == "off agent=channel save=none; vda included 67108864 qcow2:"* ]]
    ask prepare "$chain" vda vdb
    ask begin "$chain"
    echo "# two disks cloned and served in $took ms" >&3
    [ "$(find "$VMSHADOW_TEST_DIR/clones" -name '.vmshadow-*' | wc -l)" = 3 ]
    start_and_write "$chain"
    # A block commit even writes into the backing image.
    virsh -q blockcommit --domain "$chain" vda --active --pivot --wait >/dev/null
    read_instant "$chain" vda "$TMPDIR/vda.read"
    read_instant "$chain" vdb "$TMPDIR/vdb.read"
    ask check "$chain"
    cmp "$TMPDIR/vda.off" "$TMPDIR/vda.read"
    cmp "$TMPDIR/vdb.off" "$TMPDIR/vdb.read"
    ask end "$chain"
    probe_end
    rm "$TMPDIR"/vd?.*
    vm_is "$chain" running
}

@test "an image that cannot be cloned is read without a lock: the VM starts, and the check tells it" {
    image_copy "$VMSHADOW_TEST_DIR/plain/$plain-data1.qcow2" qcow2 "$TMPDIR/vdb.off"
    probe_start
    ask prepare "$plain" vda vdb
    ask begin "$plain"
    read_instant "$plain" vdb "$TMPDIR/vdb.read"
    cmp "$TMPDIR/vdb.off" "$TMPDIR/vdb.read"
    ask check "$plain"
    start_and_write "$plain"
    refused failed check "$plain"
    [[ $answer == *"it was started during the copy" ]]
    # Also when it is off again.
    vm_shutdown "$plain"
    refused failed check "$plain"
    [[ $answer == *"it was started during the copy" ]]
    ask end "$plain"
    # A new one sees nothing of that.
    ask prepare "$plain" vda
    ask begin "$plain"
    ask check "$plain"
    dd if=/dev/zero of="$VMSHADOW_TEST_DIR/plain/$plain-data0.raw" bs=512 seek=1 count=1 conv=notrunc status=none
    refused failed check "$plain"
    [[ $answer == *"$plain-data0.raw was written meanwhile" ]]
    ask end "$plain"
    probe_end
    rm "$TMPDIR"/vd?.*
}

@test "with hold-stopped the VM cannot be started as long as its image is read" {
    probe_start --hold-stopped
    ask prepare "$chain" vda
    ask begin "$chain"
    [ -z "$(find "$VMSHADOW_TEST_DIR/clones" -name '.vmshadow-*')" ]
    run ! vm_start "$chain"
    [[ $output == *'Failed to get "write" lock'* ]]
    ask check "$chain"
    ask end "$chain"
    vm_start "$chain"
    probe_end
}

@test "a block device is read in place, and a write to it is noticed" {
    local loop
    loop=$(cat "$VMSHADOW_TEST_DIR/loop")
    probe_start
    ask describe "$device"
    [[ $answer == *"; vda included 67108864 raw:$loop" ]]
    ask prepare "$device" vda
    ask begin "$device"
    read_instant "$device" vda "$TMPDIR/vda.read"
    cmp "$loop" "$TMPDIR/vda.read"
    ask check "$device"
    dd if=/dev/urandom of="$loop" bs=4096 seek=9 count=1 conv=notrunc status=none # not even synced
    refused failed check "$device"
    [[ $answer == *"$loop was written meanwhile" ]]
    ask end "$device"
    probe_end
    rm "$TMPDIR/vda.read"
}

@test "a network disk of a VM that is off is read, and a start meanwhile is noticed" {
    qemu-nbd --persistent --shared=0 -f raw --socket="$VMSHADOW_TEST_DIR/nbd-server" --export-name="an export" \
        "$VMSHADOW_TEST_DIR/network.raw" >/dev/null 2>&1 3>&- &
    server_pid=$!
    wait_for 10 test -S "$VMSHADOW_TEST_DIR/nbd-server"
    probe_start
    ask describe "$network"
    [[ $answer == *"; vda included 0 raw:(network)" ]]
    ask prepare "$network" vda
    ask begin "$network"
    ask open "$network" vda
    [ "${answer##* }" = 67108864 ]
    read_instant "$network" vda "$TMPDIR/vda.read"
    cmp "$VMSHADOW_TEST_DIR/network.raw" "$TMPDIR/vda.read"
    ask check "$network"
    vm_start "$network"
    virsh -q destroy --domain "$network"
    refused failed check "$network"
    [[ $answer == *"it was started during the copy" ]]
    ask end "$network"
    # When libvirtd was restarted nobody can tell.
    ask prepare "$network" vda
    ask begin "$network"
    libvirtd_stop
    libvirtd_start
    refused failed check "$network"
    [[ $answer == *"libvirt was restarted during the copy"* ]]
    ask end "$network"
    rm "$TMPDIR/vda.read"
    kill "$server_pid"
    wait "$server_pid" || true
    probe_end
}

@test "a saved VM is read like one that is off" {
    start_and_write "$chain"
    virsh -q managedsave --domain "$chain"
    image_copy "$(vm_disk "$chain" 0)" "$(vm_disks "$chain" | sed -n 1p | cut -f2)" "$TMPDIR/vda.off"
    probe_start
    ask describe "$chain"
    [[ $answer == "saved agent=channel save=/var/lib/libvirt/qemu/save/$chain.save; "* ]]
    ask prepare "$chain" vda
    ask begin "$chain"
    read_instant "$chain" vda "$TMPDIR/vda.read"
    cmp "$TMPDIR/vda.off" "$TMPDIR/vda.read"
    ask check "$chain"
    ask end "$chain"
    probe_end
    virsh -q managedsave-remove --domain "$chain"
    rm "$TMPDIR"/vda.*
}

@test "X5: a requester killed while it serves a stopped VM leaves no server and no clone" {
    probe_start
    ask prepare "$chain" vda vdb
    ask begin "$chain"
    [ "$(pgrep -c qemu-nbd)" = 2 ]
    kill -9 "$probe_pid"
    probe_pid=
    wait_for 20 no_run_left
}

@test "what qemu-nbd could only open by probing is refused by name" {
    local place=$VMSHADOW_TEST_DIR/plain
    probe_start
    # A backing image whose format is written down nowhere.
    qemu-img create -q -f qcow2 "$place/unsafe.qcow2" 1M
    qemu-img rebase -u -f qcow2 -b "$place/$plain-data0.raw" -F raw "$place/unsafe.qcow2"
    python3 - "$place/unsafe.qcow2" <<'PYTHON'
import struct
import sys

with open(sys.argv[1], "r+b") as image:  # header extension 0xE2792ACA: format of the backing image
    header = image.read(4096)
    at = header.index(struct.pack(">I", 0xE2792ACA))
    image.seek(at)
    image.write(struct.pack(">I", 0x12345678))
PYTHON
    # An image that keeps its data in another file.
    qemu-img create -q -f qcow2 -o "data_file=$place/data.bin,data_file_raw=on" "$place/outside.qcow2" 1M
    define_with_disk strange "<disk type='file'><driver name='qemu' type='qcow2'/><source file='$place/unsafe.qcow2'/><target dev='vda'/></disk><disk type='file'><driver name='qemu' type='qcow2'/><source file='$place/outside.qcow2'/><target dev='vdb'/></disk><disk type='file'><driver name='qemu' type='raw'/><source file='$place/missing.raw'/><target dev='vdc'/></disk>"
    refused refused prepare strange vda
    [[ $answer == *"disk vda: the format of the backing image $place/$plain-data0.raw is written down nowhere"* ]]
    refused refused prepare strange vdb
    [[ $answer == *"disk vdb: image $place/outside.qcow2 keeps its data in another file"* ]]
    refused not-found prepare strange vdc
    [[ $answer == *"disk vdc: image $place/missing.raw: No such file or directory" ]]
    refused not-found prepare strange vdz
    [ -z "$(ls "$jobs_directory")" ]
    virsh -q undefine --domain strange
    probe_end
}
