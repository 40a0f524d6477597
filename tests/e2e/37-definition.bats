#!/usr/bin/env bats
# Disks of the VM as it runs against those of its definition: what was attached or detached live, and what cannot come back as it was.

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
    for name in plugged odd; do
        vm_destroy_everything "$name"
    done
    rm -f "$images"/extra.raw "$images"/later.raw "$images"/next-kernel
    nothing_left
}

# plug: VM plugged runs with disk vdy, which its definition does not have; that has vdz, another kernel and no initrd.
plug() {
    vm_define plugged "$@" || return
    make_disk "$images/extra.raw" raw ext4 extra 16 || return
    make_disk "$images/later.raw" raw ext4 later 16 || return
    if [ $# -gt 0 ]; then vm_start plugged; else vm_boot plugged; fi || return
    virsh -q attach-disk plugged "$images/extra.raw" vdy --subdriver raw --live >/dev/null || return
    virsh -q attach-disk plugged "$images/later.raw" vdz --subdriver raw --config >/dev/null || return
    echo next >"$images/next-kernel"
    virsh -q dumpxml plugged --inactive |
        sed "s#<initrd>.*</initrd>##; s#<kernel>.*</kernel>#<kernel>$images/next-kernel</kernel>#" >"$TMPDIR/plugged.xml"
    virsh -q define "$TMPDIR/plugged.xml"
}

# targets [--inactive]: of VM plugged, in a line.
targets() {
    vm_disks plugged "$@" | cut -f1 | sort | paste -sd ' '
}

@test "a disk attached to the running VM only is backed up, and its file comes back; what only the definition has is named" {
    plug
    run -0 --separate-stderr vmshadow inspect plugged --json
    [ "$(jq -c '[.vms[0].disks[] | select(.live_only) | [.target, .included]]' <<<"$output")" = '[["vdy",true]]' ]
    [ "$(jq -c '[.vms[0].disks[] | select(.included | not) | .target]' <<<"$output")" = '["vdz"]' ]
    run -0 vmshadow inspect plugged
    [[ "$output" == *"vdy "*"attached to the running VM only"* ]]
    run -0 --separate-stderr vmshadow backup plugged --json
    [[ "$stderr" == *"disk vdy was attached to the running VM only"* ]]
    [ "$(jq -r '.vms[0].method' <<<"$output")" = child-snapshot ]
    [ "$(jq -c '[.vms[0].left_out[] | [.target, .path]]' <<<"$output")" = "[[\"vdz\",\"$images/later.raw\"]]" ]
    defined=$(targets --inactive)
    sum=$(sha256sum <"$images/extra.raw")

    # Over the VM that runs, and after it was lost.
    echo spoiled | dd of="$images/extra.raw" conv=notrunc status=none
    run -0 vmshadow restore latest --yes
    [[ "$output" == *"$images/extra.raw comes back and is not attached"* ]]
    [[ "$output" == *", the initrd in the backup, is not named by the definition: it is left in the backup"* ]]
    [ "$(sha256sum <"$images/extra.raw")" = "$sum" ]
    vm_is plugged "shut off"
    [ "$(targets)" = "$defined" ]
    vm_destroy_everything plugged
    [ ! -e "$images/later.raw" ]
    rm -f "$images/extra.raw" "$images/next-kernel"
    run -0 vmshadow restore latest
    [[ "$output" == *"disk vdz is not in the backup"*"$images/later.raw is not there"* ]]
    [ "$(sha256sum <"$images/extra.raw")" = "$sum" ]
    [ "$(targets --inactive)" = "$defined" ]
    [ "$(cat "$images/next-kernel")" = next ]
    make_disk "$images/later.raw" raw ext4 later 16
    disk_check plugged
}

@test "from saved state a disk attached to the running VM only is there again, until the VM is off" {
    plug --no-agent
    run -0 vmshadow backup plugged
    live=$(targets) defined=$(targets --inactive)
    vm_destroy_everything plugged
    rm -f "$images/extra.raw"
    mkdir "$VMSHADOW_TEST_DIR/files"
    run -0 vmshadow restore latest --to "$VMSHADOW_TEST_DIR/files"
    [[ "$output" == *"disk vdy was attached to the running VM only: it is in the saved state"* ]]
    [ "$(targets --inactive)" = "$defined" ]
    vm_start plugged
    [ "$(targets)" = "$live" ]
    [ "$(vm_disks plugged | grep ^vdy | cut -f3)" = "$VMSHADOW_TEST_DIR/files/extra.raw" ]
}

@test "an encrypted disk and a slice of a file are refused at planning, with the way to leave them out" {
    vm_define odd
    secret=$(cat /proc/sys/kernel/random/uuid)
    virsh -q secret-define /dev/stdin <<<"<secret ephemeral='no' private='yes'><uuid>$secret</uuid></secret>"
    truncate -s 4M "$images/extra.raw"
    disk() {
        echo "<disk type='file'><driver name='qemu' type='$1'/><source file='$images/extra.raw'>$3</source><target dev='$2' bus='virtio'/></disk>" \
            >"$TMPDIR/disk.xml"
        virsh -q attach-device odd "$TMPDIR/disk.xml" --config
    }
    disk qcow2 vdx "<encryption format='luks'><secret type='passphrase' uuid='$secret'/></encryption>"
    disk raw vdy "<slices><slice type='storage' offset='1048576' size='1048576'/></slices>"
    run -0 --separate-stderr vmshadow inspect odd
    [[ "$output" == *"REFUSED: disk vdx is encrypted by QEMU"*"--exclude-disk odd:vdx"* ]]
    run -4 vmshadow backup odd
    [[ "$output" == *"VM odd: disk vdx is encrypted by QEMU"* ]]
    run -4 vmshadow backup odd --exclude-disk odd:vdx
    [[ "$output" == *"VM odd: disk vdy is a slice of its file"*"--exclude-disk odd:vdy"* ]]
    run -0 vmshadow backup odd --exclude-disk odd:vdx --exclude-disk odd:vdy
    virsh -q secret-undefine "$secret"
}

@test "an undo that ended after the old VM was started again is done to its end: the VM goes on" {
    vm_define plugged --no-agent
    vm_start plugged
    run -0 vmshadow backup plugged
    VMSHADOW_TEST_POINT="memory loaded:STOP" "$VMSHADOW" restore latest --yes >"$TMPDIR/output" 2>&1 3>&- &
    restore=$!
    wait_for 60 vm_is plugged paused
    pkill -9 -x vmshadow # the watchdog, too
    wait $restore || true
    status=0
    VMSHADOW_TEST_POINT="old VM put back:KILL" "$VMSHADOW" recover >"$TMPDIR/output" 2>&1 || status=$?
    [ $status = 137 ] || fail "status $status: $(cat "$TMPDIR/output")"
    vm_is plugged running
    id=$(virsh -q domid plugged)
    run -0 --separate-stderr vmshadow recover --json
    [ "$(jq '.runs[0].left' <<<"$output")" = 0 ]
    vm_is plugged running
    [ "$(virsh -q domid plugged)" = "$id" ]
}
