#!/usr/bin/env bats
# What a restore makes and what it takes back: never a file of somebody else, and images with the mode and size that they had.
# The VMs are off: no guest has to boot.

load helpers
load product

setup_file() {
    product_setup --no-encryption
}

teardown_file() {
    product_teardown
}

teardown() {
    local name
    rm -f "$TMPDIR/hold"
    for name in foreign lost vhd private kernel odd; do
        vm_destroy_everything $name
    done
    nothing_left
}

# start_held_restore: a restore in the background that waits before its images get their names. start_planned_restore: one that waits
# between its plan and PreRestore. release ends the waiting and sets status.
hold_restore() {
    rm -f "$TMPDIR/events"
    : >"$TMPDIR/hold"
    VMSHADOW_TEST_HOLD=$1:$TMPDIR/hold "$VMSHADOW" restore latest --events "$TMPDIR/events" >"$TMPDIR/output" 2>&1 3>&- &
    restore=$!
}
start_held_restore() {
    hold_restore publishing
    wait_for 20 image_has_data
}
start_planned_restore() {
    hold_restore "restore planned"
    wait_for 20 grep -q Identify "$TMPDIR/events"
}
release() {
    rm "$TMPDIR/hold"
    status=0
    wait $restore || status=$?
}

# image_has_data: an image in the making does.
image_has_data() {
    local image
    image=$(temporary_image) && [ -n "$image" ] && (($(stat -c %b "$image") > 0))
}
temporary_image() {
    find "$images" -name '.vmshadow-*.tmp'
}

# define_lost: a VM with a backup and nothing else left; sets disk.
define_lost() {
    vm_define lost --disk qcow2
    disk=$(vm_disk lost 0)
    run -0 vmshadow backup lost
    virsh -q undefine lost
    rm "$disk"
}

# An image may have been copied while its VM was off: there is no frozen state to insist on.
file_system_whole() {
    disk_check --crash "$1"
}

@test "a file that somebody made at the place of a lost image is left alone" {
    define_lost
    start_held_restore
    echo precious >"$disk"
    release
    [ $status != 0 ]
    grep -qF "$disk" "$TMPDIR/output" || fail "$(cat "$TMPDIR/output")"
    [ "$(cat "$disk")" = precious ]
    [ -z "$(temporary_image)" ]
    run -1 virsh -q dominfo lost
    rm "$disk"
    run -0 vmshadow restore latest
    file_system_whole lost
}

@test "a file that somebody made while the old image was aside is left alone, and both are kept" {
    vm_define foreign --disk raw
    disk=$(vm_disk foreign 0)
    run -0 vmshadow backup foreign
    start_held_restore
    echo precious >"$disk"
    release
    [ $status != 0 ]
    [ "$(cat "$disk")" = precious ]
    aside=("$disk".vmshadow-aside-*)
    [ ${#aside[@]} = 1 ] && [ -f "${aside[0]}" ] || fail "$(ls -la "$images")"
    # Once it is out of the way, the old image takes its place.
    rm "$disk"
    run -0 vmshadow recover
    [ ! -e "${aside[0]}" ]
    file_system_whole foreign
}

# refused_since WORDS: the planned restore ended as one that is busy, saying what happened to the disk and what to do; nothing was changed.
refused_since() {
    release
    [ $status = 7 ] || fail "status $status: $(cat "$TMPDIR/output")" || return
    grep -qF "$disk $1 since the restore was planned" "$TMPDIR/output" || fail "$(cat "$TMPDIR/output")" || return
    grep -q "^vmshadow: hint: .*restore again.*\[file-changed-since-planning\]" "$TMPDIR/output" || fail "$(cat "$TMPDIR/output")" || return
    ! grep -q PostRestore "$TMPDIR/events" || fail "PostRestore was sent"
    [ -z "$(find "$images" -name '*vmshadow-*')" ] || fail "$(ls -la "$images")"
}

@test "a file that appears between plan and PreRestore is refused, and stays" {
    define_lost
    start_planned_restore
    echo precious >"$disk"
    refused_since "has appeared"
    [ "$(cat "$disk")" = precious ]
    run -1 virsh -q dominfo lost
    rm "$disk"
}

@test "the old image written to, replaced or removed between plan and PreRestore is refused, and the VM stays as it is" {
    vm_define foreign --disk raw
    disk=$(vm_disk foreign 0)
    run -0 vmshadow backup foreign
    start_planned_restore
    echo precious | dd of="$disk" conv=notrunc status=none
    refused_since "was written to"
    [ "$(head -c 8 "$disk")" = precious ]
    # Of the same size and time of writing, and where the file system gives inodes again, perhaps of the same inode.
    start_planned_restore
    cp -p "$disk" "$TMPDIR/copy"
    rm "$disk"
    cp -p "$TMPDIR/copy" "$disk"
    refused_since "was replaced by another file"
    start_planned_restore
    mv "$disk" "$TMPDIR/away"
    refused_since "has gone"
    mv "$TMPDIR/away" "$disk"
    vm_is foreign "shut off"
    run -0 vmshadow restore latest
    file_system_whole foreign
}

@test "killed at every step of the restore of a lost VM: the VM is there with its image, or neither; and what others made stays" {
    define_lost
    for ((point = 1; point < 60; point++)); do
        status=0
        VMSHADOW_TEST_POINT=$point:KILL VMSHADOW_TEST_POINT_LOG=$TMPDIR/points \
            timeout 60 "$VMSHADOW" restore latest >"$TMPDIR/output" 2>&1 3>&- || status=$?
        [ $status = 0 ] && break
        [ $status = 137 ] || fail "point $point: status $status: $(cat "$TMPDIR/output")"
        wait_for 20 nothing_left
        [ -z "$(temporary_image)" ]
        virsh -q dominfo lost >/dev/null 2>&1 && there=yes || there=no
        [ -e "$disk" ] && image=yes || image=no
        [ $there = $image ] || fail "point $point ($(tail -n 1 "$TMPDIR/points")): the VM: $there, the image: $image"
    done
    ((point > 5 && point < 60))
    grep -q 'image published' "$TMPDIR/points"
    file_system_whole lost
    virsh -q undefine lost
    rm "$disk"
    # Stopped just before the image gets its name: the file that somebody made meanwhile is left alone. The last step
    # of its kind before the image is published is the one of its final name.
    point=$(sed '/image published/,$d' "$TMPDIR/points" | grep remove-file | tail -n 1 | cut -d' ' -f1)
    VMSHADOW_TEST_POINT=$point:STOP "$VMSHADOW" restore latest >"$TMPDIR/output" 2>&1 3>&- &
    restore=$!
    wait_for 20 grep -q '^State:.T' /proc/$restore/status
    [ ! -e "$disk" ] && [ -n "$(temporary_image)" ]
    echo precious >"$disk"
    # The watchdog kills it and undoes its steps.
    status=0
    wait $restore || status=$?
    [ $status = 137 ]
    wait_for 20 nothing_left
    [ "$(cat "$disk")" = precious ]
    [ -z "$(temporary_image)" ]
    rm "$disk"
}

@test "a fixed VHD of odd size comes back equal" {
    vm_define vhd --disk raw
    raw=$(vm_disk vhd 0)
    disk=$images/vhd-data0.vhd
    truncate -s 70001152 "$raw" # between two geometries
    qemu-img convert -f raw -O vpc -o subformat=fixed,force_size=on "$raw" "$disk"
    virsh -q dumpxml --inactive vhd | sed "s#$raw#$disk#; s#type='raw'#type='vpc'#" >"$TMPDIR/vhd.xml"
    virsh -q define "$TMPDIR/vhd.xml"
    size=$(qemu-img info -f vpc --output json "$disk" | jq '."virtual-size"')
    [ "$size" = 70001152 ]
    run -0 vmshadow backup vhd
    cp "$disk" "$TMPDIR/before.vhd"
    run -0 vmshadow restore latest
    run -0 qemu-img info -f vpc --output json "$disk"
    [ "$(jq '."virtual-size"' <<<"$output")" = "$size" ]
    run -0 qemu-img compare -f vpc -F vpc "$TMPDIR/before.vhd" "$disk"
    rm "$raw" "$TMPDIR/before.vhd"
}

@test "an image in the making is nobody else's to read, whatever the mode it will have" {
    for format in raw qcow2; do
        vm_define private --disk $format
        disk=$(vm_disk private 0)
        chown 123:45 "$disk"
        chmod 644 "$disk"
        run -0 vmshadow backup private
        start_held_restore
        [ "$(stat -c '%a %u' "$(temporary_image)")" = "600 0" ]
        release
        [ $status = 0 ] || fail "$(cat "$TMPDIR/output")"
        [ "$(stat -c '%a %u:%g' "$disk")" = "644 123:45" ]
        vm_destroy_everything private
    done
}

# define_with_kernel_in DIRECTORY
define_with_kernel_in() {
    local old
    mkdir -p "$1"
    vm_define kernel --disk raw
    old=$(virsh -q dumpxml --inactive kernel | sed -n 's#.*<kernel>\(.*\)</kernel>.*#\1#p')
    cp "$old" "$1/image"
    virsh -q dumpxml --inactive kernel | sed "s#<kernel>.*</kernel>#<kernel>$1/image</kernel>#" >"$TMPDIR/kernel.xml"
    virsh -q define "$TMPDIR/kernel.xml"
}

@test "directories that were lost come back with their owners and modes, and go when the restore fails" {
    place=$VMSHADOW_TEST_DIR/lost-directory
    define_with_kernel_in "$place/inner"
    chmod 711 "$place"
    chown 123:45 "$place/inner"
    chmod 750 "$place/inner"
    run -0 vmshadow backup kernel
    rm -r "$place"
    # Killed before and after the point of no return, and in between: all of it or none of it is there.
    for ((point = 1; point < 100; point++)); do
        status=0
        VMSHADOW_TEST_POINT=$point:KILL VMSHADOW_TEST_POINT_LOG=$TMPDIR/kernel-points \
            timeout 60 "$VMSHADOW" restore latest >"$TMPDIR/output" 2>&1 3>&- || status=$?
        [ $status = 0 ] && break
        [ $status = 137 ] || fail "point $point: status $status: $(cat "$TMPDIR/output")"
        wait_for 20 nothing_left
        case $(tail -n 1 "$TMPDIR/kernel-points") in
        *"past the point"* | *struck*) ;;
        *) [ ! -e "$place" ] || fail "point $point ($(tail -n 1 "$TMPDIR/kernel-points")): $(ls -laR "$place")" ;;
        esac
    done
    ((point < 100))
    grep -q remove-directory "$TMPDIR/kernel-points"
    [ "$(stat -c '%a %u:%g' "$place")" = "711 0:0" ]
    [ "$(stat -c '%a %u:%g' "$place/inner")" = "750 123:45" ]
    [ -s "$place/inner/image" ]
    rm -r "$place"
}

@test "a state directory with characters that mean something in a URI" {
    vm_define odd --disk raw --disk qcow2
    export VMSHADOW_STATE_DIR="$VMSHADOW_TEST_DIR/a b%20&#?+é"
    run -0 vmshadow backup odd
    run -0 vmshadow restore latest
    file_system_whole odd
    [ -z "$(find "$VMSHADOW_STATE_DIR" -name '*.sock' -o -name '*.journal')" ]
    rm -r "$VMSHADOW_STATE_DIR"
}
