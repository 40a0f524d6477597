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

# read_running NAME FILE: the same disk by a backup job of the VM, while it runs but has not come to writing.
read_running() {
    virsh -q start --domain "$1" --paused 3>&-
    ask prepare "$1" vda
    ask begin "$1"
    read_instant "$1" vda "$TMPDIR/vda.read"
    cmp "$2" "$TMPDIR/vda.read"
    ask check "$1"
    ask end "$1"
    rm "$TMPDIR/vda.read"
}

@test "B10: pass-through, iSCSI, shared and transient disks of a definition are left out by name, others are not" {
    local file=$VMSHADOW_TEST_DIR/some.raw loop
    loop=$(cat "$VMSHADOW_TEST_DIR/loop")
    truncate -s 1M "$file"
    virsh -q pool-define /dev/stdin <<XML
<pool type='iscsi'><name>an iSCSI pool</name><source><host name='192.0.2.1'/><device path='iqn.2026-01.org.example:t'/></source>
<target><path>/dev/disk/by-path</path></target></pool>
XML
    virsh -q pool-define-as here dir --target "$VMSHADOW_TEST_DIR"
    virsh -q pool-start here
    define_with_disk many "<disk type='file'><source file='$file'/><target dev='vda'/></disk>
<disk type='block' device='lun'><source dev='$loop'/><target dev='sda' bus='scsi'/></disk>
<disk type='network'><source protocol='iscsi' name='iqn.2026-01.org.example:t/1'><host name='192.0.2.1'/></source><target dev='vdb'/></disk>
<disk type='volume'><source pool='an iSCSI pool' volume='unit:0:0:1' mode='host'/><target dev='vdc'/></disk>
<disk type='volume'><source pool='here' volume='some.raw'/><target dev='vdd'/></disk>
<disk type='nvme'><source type='pci' managed='yes' namespace='1'><address domain='0' bus='1' slot='0' function='0'/></source><target dev='vde'/></disk>
<disk type='file'><source file='$file'/><target dev='vdf'/><shareable/></disk>
<disk type='file'><source file='$file'/><target dev='vdg'/><transient/></disk>
<disk type='block'><source dev='$loop'/><target dev='vdh'/></disk>
<disk type='network'><source protocol='rbd' name='pool/image'><host name='192.0.2.2'/></source><target dev='vdi'/></disk>"
    probe_start
    ask describe many
    [[ $answer == *"; vda included 1048576 raw:$file; "* ]]
    [[ $answer == *"; sda left-out 0 raw:$loop (pass-through disk (device='lun'): back it up inside the guest)"* ]]
    [[ $answer == *"; vdb left-out 0 raw:(network) (iSCSI disk (protocol='iscsi'): back it up inside the guest)"* ]]
    [[ $answer == *"; vdc left-out 0 raw:(network) (iSCSI disk (storage pool an iSCSI pool of type iscsi): back it"* ]]
    [[ $answer == *"; vdd included 1048576 raw:$file; "* ]]
    [[ $answer == *"; vde left-out 0 raw:(network) (pass-through disk (host NVMe device): back it up inside the guest)"* ]]
    [[ $answer == *"; vdf left-out 0 raw:$file (disk shared with other VMs"* ]]
    [[ $answer == *"; vdg left-out 0 raw:$file (transient disk: "* ]]
    [[ $answer == *"; vdh included 67108864 raw:$loop; "* ]]
    [[ $answer == *"; vdi included 0 raw:(network)"* ]]
    # A volume is read by its path.
    ask prepare many vda vdd
    ask begin many
    read_instant many vdd "$TMPDIR/vdd.read"
    cmp "$file" "$TMPDIR/vdd.read"
    ask end many
    probe_end
    virsh -q undefine --domain many
    virsh -q pool-destroy here
    rm "$file" "$TMPDIR/vdd.read"
}

@test "images of a VM that is off are cloned where the file system can, and what the VM writes later is not read" {
    image_copy "$VMSHADOW_TEST_DIR/clones/$chain-data0.qcow2" qcow2 "$TMPDIR/vda.off"
    image_copy "$VMSHADOW_TEST_DIR/clones/$chain-data1.raw" raw "$TMPDIR/vdb.off"
    probe_start
    ask describe "$chain"
    [[ $answer == "off agent=channel save=none; vda included 67108864 qcow2:"* ]]
    ask prepare "$chain" vda vdb
    ask begin "$chain"
    echo "# two disks cloned in $took ms" >&3
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
    ask open "$chain" vda
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
    rm "$TMPDIR/vda.read"
    ask check "$device"
    dd if=/dev/urandom of="$loop" bs=4096 seek=9 count=1 conv=notrunc status=none # not even synced
    refused failed check "$device"
    [[ $answer == *"$loop was written meanwhile" ]]
    ask end "$device"
    read_running "$device" "$loop"
    probe_end
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
    rm "$TMPDIR/vda.read"
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
    read_running "$network" "$VMSHADOW_TEST_DIR/network.raw"
    virsh -q destroy --domain "$network"
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
    run -1 pgrep qemu-nbd # saved VMs stand still while instants begin
    ask open "$chain" vda
    ask open "$chain" vda
    ask open "$chain" vdb
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
