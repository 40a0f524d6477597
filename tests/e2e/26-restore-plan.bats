#!/usr/bin/env bats
# What the plan of a restore decides about files: whose they are, what is replaced, what stays. All VMs are off.

load helpers
load product

setup_file() {
    product_setup --no-encryption
}

teardown_file() {
    product_teardown
}

setup() {
    place=$VMSHADOW_TEST_DIR/place
    mkdir -p "$place" "$place/a" "$place/b" "$place/to"
}

teardown() {
    local name
    virsh -q list --all --name >"$TMPDIR/names"
    while read -r name; do
        [ -z "$name" ] || vm_destroy_everything "$name"
    done <"$TMPDIR/names"
    find "$images" -mindepth 1 -maxdepth 1 ! -type d -delete
    rm -rf "$place"
    nothing_left
}

# redefine NAME OLD NEW: the definition with one text instead of another.
redefine() {
    virsh -q dumpxml --inactive "$1" >"$TMPDIR/redefine.xml"
    sed -i "s#$2#$3#g" "$TMPDIR/redefine.xml"
    virsh -q define "$TMPDIR/redefine.xml"
}

# element NAME ELEMENT: its text in the definition.
element() {
    virsh -q dumpxml --inactive "$1" | sed -n "s#.*<$2>\(.*\)</$2>.*#\1#p"
}

# refused TEXT...: the last restore was refused, and its message has each text.
refused() {
    local text
    [ "$status" = 4 ] || fail "status $status: $output" || return
    for text; do
        [[ "$output" == *"$text"* ]] || fail "not said: $text: $output" || return
    done
}

# says TEXT: the last restore succeeded with such a notice.
says() {
    [ "$status" = 0 ] || fail "status $status: $output" || return
    [[ "$output" == *"$1"* ]] || fail "not said: $1: $output"
}

@test "a template's image stays under its clone when the template goes to another directory" {
    vm_define template --disk qcow2
    base=$(vm_disk template 0)
    vm_define clone --disk qcow2
    overlay=$(vm_disk clone 0)
    qemu-img create -q -f qcow2 -b "$base" -F qcow2 "$overlay"
    run -0 vmshadow backup template
    sum=$(sha256sum <"$base")
    run vmshadow restore latest
    refused "$base belongs to VM clone"
    run vmshadow restore latest --to "$place/to"
    says "$base is used by VM clone, too: it stays"
    [ "$(sha256sum <"$base")" = "$sum" ]
    disk_check clone
    disk_check template
    [ "$(vm_disk template 0)" = "$place/to/$(basename "$base")" ]
}

@test "without other users the VM's old file goes when it comes back elsewhere, and the plan says so" {
    vm_define single
    old=$(vm_disk single 0)
    run -0 vmshadow backup single
    run vmshadow restore latest --to "$place/to"
    says "$old, is removed"
    [ ! -e "$old" ]
    disk_check single
}

@test "one file under two paths is one file" {
    ln -s "$place/a" "$place/link"
    vm_define first --directory "$place/link"
    path=$(vm_disk first 0)
    run -0 vmshadow backup first
    virsh -q undefine first
    vm_define second --directory "$place/b"
    rm "$(vm_disk second 0)"
    redefine second "$(vm_disk second 0)" "$place/a/$(basename "$path")"
    echo second | dd of="$path" conv=notrunc status=none
    sum=$(sha256sum <"$path")
    run vmshadow restore latest
    refused "$path belongs to VM second"
    [ "$(sha256sum <"$path")" = "$sum" ]
    # Also when the file is missing: the other VM's would come back there.
    mv "$path" "$place/away"
    run vmshadow restore latest
    refused "$path belongs to VM second"
    # And by a hard link.
    mv "$place/away" "$place/a/hard"
    redefine second "$place/a/$(basename "$path")" "$place/a/hard"
    ln "$place/a/hard" "$path"
    run vmshadow restore latest
    refused "$path belongs to VM second"
}

@test "another VM's kernel or NVRAM is not taken for a place" {
    vm_define first --directory "$place/a"
    path=$(vm_disk first 0)
    run -0 vmshadow backup first
    vm_destroy_everything first
    vm_define second
    kernel=$(element second kernel)
    cp "$kernel" "$place/b/kernel"
    redefine second "$kernel" "$place/b/kernel"
    ln "$place/b/kernel" "$path"
    run vmshadow restore latest
    refused "$path belongs to VM second"
}

@test "a file that is not the VM's disk is never replaced" {
    vm_define owner
    path=$(vm_disk owner 0)
    run -0 vmshadow backup owner
    echo precious >"$place/to/$(basename "$path")"
    run vmshadow restore latest --to "$place/to"
    refused "$place/to/$(basename "$path") is there and is no disk of the VM"
    [ "$(cat "$place/to/$(basename "$path")")" = precious ]
    # In place: the VM lies elsewhere now, and somebody else has the name.
    mv "$path" "$place/a/moved"
    redefine owner "$path" "$place/a/moved"
    echo precious >"$path"
    run vmshadow restore latest
    refused "$path is there and is no disk of the VM"
    [ "$(cat "$path")" = precious ]
    rm "$path"
    run vmshadow restore latest
    says "$place/a/moved, is removed"
    [ "$(vm_disk owner 0)" = "$path" ]
    [ ! -e "$place/a/moved" ]
}

@test "a file where a lost VM had its disk is taken for it in place, with a notice, and nowhere else" {
    vm_define lost
    path=$(vm_disk lost 0)
    run -0 vmshadow backup lost
    virsh -q undefine lost
    cp "$path" "$place/to"
    run vmshadow restore latest --to "$place/to"
    refused "$place/to/$(basename "$path") is there and is no disk of the VM"
    run vmshadow restore latest
    says "$path is there: it is taken for the lost VM's disk and replaced"
    disk_check lost
}

@test "a kernel that is there stays, whatever it is; one that is missing is written" {
    vm_define boots
    kernel=$(element boots kernel)
    cp "$kernel" "$place/a/vmlinuz-1"
    ln -s vmlinuz-1 "$place/a/vmlinuz"
    redefine boots "$kernel" "$place/a/vmlinuz"
    run -0 vmshadow backup boots
    echo new >"$place/a/vmlinuz-2"
    ln -sfn vmlinuz-2 "$place/a/vmlinuz"
    run vmshadow restore latest
    says "$place/a/vmlinuz differs from the kernel in the backup: it stays as it is"
    [ "$(readlink "$place/a/vmlinuz")" = vmlinuz-2 ]
    [ "$(cat "$place/a/vmlinuz-2")" = new ]
    rm "$place/a/vmlinuz"
    run -0 vmshadow restore latest
    cmp "$place/a/vmlinuz" "$kernel"
}

@test "NVRAM is the VM's own: what is at its place is replaced only if it was this VM's" {
    vm_define firmware
    cp /etc/hostname "$place/a/code.fd"
    head -c 4096 /dev/urandom >"$place/a/vars.fd"
    cp "$place/a/vars.fd" "$place/b/old.fd"
    redefine firmware "</os>" "<loader readonly='yes' type='pflash'>$place/a/code.fd</loader><nvram>$place/a/vars.fd</nvram></os>"
    run -0 vmshadow backup firmware
    echo changed >"$place/a/vars.fd"
    run -0 vmshadow restore latest
    cmp "$place/a/vars.fd" "$place/b/old.fd"
    redefine firmware "$place/a/vars.fd" "$place/b/vars.fd"
    echo precious >"$place/a/vars.fd"
    run vmshadow restore latest
    refused "$place/a/vars.fd is there and is not the VM's nvram now"
    [ "$(cat "$place/a/vars.fd")" = precious ]
    virsh -q undefine firmware --keep-nvram
    run vmshadow restore latest
    says "$place/a/vars.fd is there: it is taken for the lost VM's nvram and replaced"
    cmp "$place/a/vars.fd" "$place/b/old.fd"
}

@test "a disk behind a symbolic link is restored behind it, and the definition names the file" {
    vm_define linked
    path=$(vm_disk linked 0)
    run -0 vmshadow backup linked
    mv "$path" "$place/a/big.raw"
    ln -s "$place/a/big.raw" "$path"
    echo changed | dd of="$path" conv=notrunc status=none
    run vmshadow restore latest
    says "$path is a symbolic link: the disk is restored to $place/a/big.raw"
    [ "$(vm_disk linked 0)" = "$place/a/big.raw" ]
    [ "$(readlink "$path")" = "$place/a/big.raw" ]
    disk_check linked
    rm "$place/a/big.raw"
    run vmshadow restore latest
    refused "$path is a symbolic link that leads nowhere"
}

@test "B10: a disk on a block device comes back as a file with --to, and is refused in place" {
    vm_define block
    path=$(vm_disk block 0)
    device=$(losetup -f --show "$path")
    virsh -q dumpxml --inactive block >"$TMPDIR/block.xml"
    sed -i "s#<disk type='file'#<disk type='block'#; s#<source file='$path'#<source dev='$device'#" "$TMPDIR/block.xml"
    virsh -q define "$TMPDIR/block.xml"
    [ "$(vm_disk block 0)" = "$device" ]
    run -0 vmshadow backup block
    run vmshadow restore latest
    refused "disk vda" "type 'block'" "--to DIR"
    run -0 vmshadow restore latest --to "$place/to"
    [ "$(vm_disk block 0)" = "$place/to/$(basename "$device")" ]
    cmp "$device" "$place/to/$(basename "$device")"
    losetup -d "$device"
    disk_check block
}

# on_device NAME: a VM with its disk on a loop device, backed up; sets device and its image, and the backup's id.
on_device() {
    vm_define "$1"
    image=$(vm_disk "$1" 0)
    device=$(losetup -f --show "$image")
    virsh -q dumpxml --inactive "$1" >"$TMPDIR/device.xml"
    sed -i "s#<disk type='file'#<disk type='block'#; s#<source file='$image'#<source dev='$device'#" "$TMPDIR/device.xml"
    virsh -q define "$TMPDIR/device.xml"
    cp --sparse=always "$image" "$TMPDIR/content"
    id=$("$VMSHADOW" backup "$1" --json | jq -r .backup)
    # What is overwritten has data where the backup has none.
    head -c 64M /dev/urandom >"$device"
}

@test "B10: a disk on a block device is restored onto it when the user gives its content up" {
    on_device inplace
    before=$(virsh -q dumpxml --inactive inplace)
    run vmshadow restore "$id"
    refused "type 'block'" "--overwrite-block"
    run -0 vmshadow restore "$id" --overwrite-block --dry-run
    says "block device $device is overwritten in place"
    run -1 cmp -s "$device" "$TMPDIR/content"
    run -0 vmshadow restore "$id" --overwrite-block
    cmp "$device" "$TMPDIR/content"
    diff <(echo "$before") <(virsh -q dumpxml --inactive inplace)
    [ ! -L "$images/inplace" ]
    # The same when the VM is lost.
    head -c 64M /dev/urandom >"$device"
    virsh -q undefine inplace
    run -0 vmshadow restore "$id" --overwrite-block
    cmp "$device" "$TMPDIR/content"
    vm_start inplace
    vm_wait_channel inplace
    virsh -q destroy inplace
    losetup -d "$device"
}

@test "B10: a block device that is not fit to be overwritten is refused, untouched" {
    on_device unfit
    cp "$image" "$TMPDIR/old"
    # of another VM
    sed "s#<name>unfit<#<name>other<#; /<uuid>/d" "$TMPDIR/device.xml" >"$TMPDIR/other.xml"
    virsh -q define "$TMPDIR/other.xml"
    run vmshadow restore "$id" --overwrite-block
    refused "$device belongs to VM other"
    virsh -q undefine other
    # no disk of the VM as it is now
    sed "s#$device#/dev/vmshadow-none#" "$TMPDIR/device.xml" >"$TMPDIR/elsewhere.xml"
    virsh -q define "$TMPDIR/elsewhere.xml"
    run vmshadow restore "$id" --overwrite-block
    refused "$device is no disk of the VM as it is now"
    virsh -q define "$TMPDIR/device.xml"
    # of another size
    losetup -d "$device"
    losetup "$device" "$image" --sizelimit 32M
    run vmshadow restore "$id" --overwrite-block
    refused "$device has 33554432 bytes, the disk in the backup 67108864"
    losetup -d "$device"
    cmp "$image" "$TMPDIR/old"
    # in use by the host
    cp "$TMPDIR/content" "$image"
    losetup "$device" "$image"
    mkdir "$TMPDIR/mounted"
    mount -o ro "$device" "$TMPDIR/mounted"
    run vmshadow restore "$id" --overwrite-block
    umount "$TMPDIR/mounted"
    rmdir "$TMPDIR/mounted"
    refused "$device is in use on the host"
    # gone
    losetup -d "$device"
    run vmshadow restore "$id" --overwrite-block
    [ "$status" = 4 ]
    cmp "$image" "$TMPDIR/content"
}

@test "B10: a restore onto a block device that fails: the VM is defined as it was, and off" {
    on_device killed
    before=$(virsh -q dumpxml --inactive killed)
    vm_start killed
    run vmshadow restore "$id" --overwrite-block
    refused "--yes"
    VMSHADOW_TEST_POINT="device served:KILL" run vmshadow restore "$id" --overwrite-block --yes
    [ "$status" = 137 ]
    wait_for 60 vm_is killed "shut off"
    wait_for 60 nothing_left
    diff <(echo "$before") <(virsh -q dumpxml --inactive killed)
    # Interrupted, it says what no undo brings back.
    touch "$TMPDIR/hold"
    VMSHADOW_TEST_HOLD=publishing:$TMPDIR/hold "$VMSHADOW" restore "$id" --overwrite-block --events "$TMPDIR/events" \
        >"$TMPDIR/output" 2>&1 3>&- &
    pid=$!
    wait_for 60 grep -q PreRestore "$TMPDIR/events"
    wait_for 60 cmp "$device" "$TMPDIR/content"
    kill -TERM $pid
    rm "$TMPDIR/hold"
    status=0
    wait $pid || status=$?
    [ "$status" = 11 ] || fail "status $status: $(cat "$TMPDIR/output")"
    grep -q "block device $device was being overwritten: its old content is lost" "$TMPDIR/output"
    diff <(echo "$before") <(virsh -q dumpxml --inactive killed)
    vm_is killed "shut off"
    run -0 vmshadow restore "$id" --overwrite-block
    cmp "$device" "$TMPDIR/content"
    losetup -d "$device"
}

@test "disks of two VMs of one plan that would be one file are refused" {
    vm_define one --directory "$place/a"
    vm_define two --directory "$place/b"
    for name in one two; do
        path=$(vm_disk $name 0)
        mv "$path" "$(dirname "$path")/disk.raw"
        redefine $name "$path" "$(dirname "$path")/disk.raw"
    done
    run -0 vmshadow backup one two
    run vmshadow restore latest --dry-run --to "$place/to"
    refused "$place/to/disk.raw is where disk vda of VM one would be restored, too"
    # The same in place, by two paths of a directory that both VMs lost.
    vm_destroy_everything one
    vm_destroy_everything two
    rmdir "$place/b"
    ln -s a "$place/b"
    run vmshadow restore latest
    refused "disk.raw is where disk vda of VM one would be restored, too"
}

@test "a kernel that two VMs share is written once; two kernels for one path are refused" {
    vm_define one
    vm_define two
    kernel=$(element one kernel)
    cp "$kernel" "$place/a/vmlinuz"
    cp "$kernel" "$place/b/vmlinuz"
    echo other >>"$place/b/vmlinuz"
    for name in one two; do
        redefine $name "$kernel" "$place/a/vmlinuz"
    done
    run -0 vmshadow backup one two
    vm_destroy_everything one
    vm_destroy_everything two
    rm "$place/a/vmlinuz"
    run -0 vmshadow restore latest
    cmp "$place/a/vmlinuz" "$kernel"
    redefine two "$place/a/vmlinuz" "$place/b/vmlinuz"
    run -0 vmshadow backup one two
    vm_destroy_everything one
    vm_destroy_everything two
    rm -r "$place/a/vmlinuz" "$place/b"
    ln -s a "$place/b"
    run vmshadow restore latest
    refused "the kernel of VM one would be restored, too, and they differ"
}

@test "a link to somebody's directory is no link of ours" {
    vm_define elsewhere --directory "$place/a"
    run -0 vmshadow backup elsewhere
    ln -s "$place/b" "$images/elsewhere"
    run vmshadow restore latest
    refused "$images/elsewhere is there and is no link of ours"
    [ "$(readlink "$images/elsewhere")" = "$place/b" ]
    # To where the VM is, or nowhere: ours.
    for target in "$place/a" "$place/nowhere"; do
        ln -sfn "$target" "$images/elsewhere"
        run -0 vmshadow restore latest
        [ "$(readlink "$images/elsewhere")" = "$place/a" ]
    done
    run -0 vmshadow restore latest --to "$place/to"
    [ "$(readlink "$images/elsewhere")" = "$place/to" ]
}

@test "a disk that the VM has got since is named in the plan and stays" {
    vm_define grown
    run -0 vmshadow backup grown
    make_file_system "$place/a/extra.raw" ext4 extra 16
    virsh -q attach-disk grown "$place/a/extra.raw" vdz --config >/dev/null
    run vmshadow restore latest --dry-run
    says "disk vdz ($place/a/extra.raw) is not in the backup: it stays where it is, but is no longer part of the VM"
    run -0 vmshadow restore latest
    [ -e "$place/a/extra.raw" ]
    [ "$(vm_disks grown | wc -l)" = 1 ]
}

@test "a disk that stays keeps the image that it needs" {
    vm_define layered --disk qcow2
    base=$(vm_disk layered 0)
    run -0 vmshadow backup layered
    qemu-img create -q -f qcow2 -b "$base" -F qcow2 "$place/a/extra.qcow2"
    virsh -q attach-disk layered "$place/a/extra.qcow2" vdz --subdriver qcow2 --config >/dev/null
    run vmshadow restore latest
    refused "disk vdz" "$base"
    run vmshadow restore latest --to "$place/to"
    says "$base is needed by disk vdz, too: it stays"
    qemu-img check -q "$place/a/extra.qcow2"
}

@test "--to takes a relative directory, and names itself when there is none" {
    vm_define relative
    run -0 vmshadow backup relative
    cd "$place"
    run vmshadow restore latest --to nowhere
    refused "--to nowhere: No such file or directory"
    touch file
    run vmshadow restore latest --to file
    refused "--to file: it is no directory"
    mkdir "$place"/gr$'\xfc'n
    ln -s gr$'\xfc'n link
    run vmshadow restore latest --to link
    refused "--to link: its path is not UTF-8"
    run -2 vmshadow restore latest --to gr$'\xfc'n
    [[ "$output" == *"--to: 'gr\xfcn' is not UTF-8"* ]]
    run -0 vmshadow restore latest --to to
    [ "$(dirname "$(vm_disk relative 0)")" = "$place/to" ]
    [ "$(readlink "$images/relative")" = "$place/to" ]
}

@test "a VM with snapshots or checkpoints is not replaced" {
    vm_define kept --disk qcow2
    run -0 vmshadow backup kept
    virsh -q snapshot-create-as kept one >/dev/null
    run vmshadow restore latest
    refused "VM kept" "snapshots or checkpoints" "snapshot-delete"
    [ "$(virsh -q snapshot-list kept --name)" = one ]
    virsh -q snapshot-delete kept one >/dev/null
    run -0 vmshadow restore latest
}
