#!/usr/bin/env bats
# PrepareForSnapshot: a VM that is not what was planned fails the set before anything is frozen; NVRAM and TPM state are taken.

load helpers
load product

a=steady
b=changing

setup_file() {
    product_setup --no-encryption
    vm_define "$a"
    vm_define "$b" --bus scsi --xml "<panic model='isa'/>"
    virsh -q dumpxml --inactive --security-info --domain "$b" | sed 's|<on_crash>[a-z]*<|<on_crash>preserve<|' >"$TMPDIR/crash.xml"
    virsh -q define "$TMPDIR/crash.xml"
    vm_boot "$a" "$b"
}

teardown_file() {
    vm_destroy_everything "$a"
    vm_destroy_everything "$b"
    product_teardown
}

# change_after_planning COMMAND...: a backup of both VMs, in which COMMAND runs between PrepareForBackup and the second look.
# Sets status and output.
change_after_planning() {
    rm -f "$TMPDIR/events"
    touch "$TMPDIR/hold"
    VMSHADOW_TEST_HOLD=planned:$TMPDIR/hold "$VMSHADOW" backup "$a" "$b" --events "$TMPDIR/events" >"$TMPDIR/output" 2>&1 &
    local backup=$!
    wait_for 30 grep -q PrepareForBackup "$TMPDIR/events"
    "$@"
    rm "$TMPDIR/hold"
    status=0
    wait $backup || status=$?
    output=$(cat "$TMPDIR/output")
}

# assert_refused_in_snapshot: PrepareForSnapshot said so, no guest was frozen, nothing is left.
assert_refused_in_snapshot() {
    [ $status = 1 ]
    [ "$(jq -r 'select(.name == "PrepareForSnapshot") | .result' "$TMPDIR/events")" = VSS_E_WRITERERROR_RETRYABLE ]
    [ "$(backups)" = 0 ]
    vm_assert_running_and_thawed "$a"
}

@test "a VM that is paused between planning and PrepareForSnapshot fails the set" {
    change_after_planning virsh -q suspend --domain "$b"
    assert_refused_in_snapshot
    [[ "$output" == *"VM $b changed since planning: it was running and is paused"* ]]
    vm_is "$b" paused
    virsh -q resume --domain "$b"
    vm_assert_running_and_thawed "$b"
    nothing_left
}

@test "a disk that is plugged in between planning and PrepareForSnapshot fails the set" {
    truncate -s 1M "$images/plugged.raw"
    change_after_planning virsh -q attach-disk --domain "$b" "$images/plugged.raw" sdb --targetbus scsi --subdriver raw --live
    assert_refused_in_snapshot
    [[ "$output" == *"VM $b changed since planning: it has got disk sdb ($images/plugged.raw)"* ]]
    vm_assert_running_and_thawed "$b"
    virsh -q detach-disk --domain "$b" sdb --live
    wait_for 20 disk_is_gone "$b" sdb
    rm "$images/plugged.raw"
    nothing_left
}

disk_is_gone() {
    ! vm_disks "$1" | grep -q "^$2"
}

@test "a disk that moves, or gets a block job, between planning and PrepareForSnapshot fails the set" {
    change_after_planning virsh -q blockcopy --domain "$b" sda --dest "$images/moved.raw" --format raw --transient-job --wait --pivot
    assert_refused_in_snapshot
    [[ "$output" == *"VM $b changed since planning: disk sda was on $images/$b-data0.raw and is on $images/moved.raw"* ]]
    change_after_planning virsh -q blockcopy --domain "$b" sda --dest "$images/copy.raw" --format raw --transient-job --bandwidth 1
    assert_refused_in_snapshot
    [[ "$output" == *"VM $b changed since planning: disk sda has a block job"* ]]
    virsh -q blockjob --domain "$b" sda --abort
    rm "$images/copy.raw"
    vm_assert_running_and_thawed "$b"
    nothing_left
}

@test "a VM whose only disk is left out does not cost the others their backup" {
    run -0 --separate-stderr vmshadow backup "$a" "$b" --exclude-disk "$b:*" --json
    [ "$(jq -c '[.vms[] | [.method, (.disks | map(select(.bytes_read != null)) | length)]] | sort' <<<"$output")" = '[["child-snapshot",0],["child-snapshot",1]]' ] ||
        fail "$output"
    vm_assert_running_and_thawed "$a"
    vm_assert_running_and_thawed "$b"
    run -0 vmshadow backup "$b" --exclude-disk "$b:*"
    nothing_left
}

# assert_refused_at_planning WORDS: of the VM $b; no writer was told of a backup, and the other guest was left alone.
assert_refused_at_planning() {
    local listed
    listed=$(backups)
    rm -f "$TMPDIR/events"
    run -4 --separate-stderr vmshadow backup "$a" "$b" --events "$TMPDIR/events"
    # shellcheck disable=SC2154
    [[ "$stderr" == *"VM $b: $1"* ]] || fail "$stderr"
    run -0 grep -q Identify "$TMPDIR/events"
    run -1 grep -q -e PrepareForBackup -e PrepareForSnapshot "$TMPDIR/events"
    run -0 --separate-stderr vmshadow inspect "$b" --json
    [[ "$(jq -r '.vms[0].refused' <<<"$output")" == "$1"* ]] || fail "$output"
    [ "$(backups)" = "$listed" ]
    vm_assert_running_and_thawed "$a"
    nothing_left
}

@test "a VM that has crashed is refused at planning, before any guest is touched" {
    # What the guest's driver of that device does: the port 0x505 tells QEMU of a panic.
    vm_command "$b" --limit 3 --no-wait shell "printf '\\1' | dd of=/dev/port bs=1 seek=1285" || true
    wait_for 30 vm_is "$b" crashed
    assert_refused_at_planning "it has crashed"
    vm_is "$b" crashed
    virsh -q destroy --domain "$b"
}

@test "a VM that is off and whose image cannot be read is refused at planning, before any guest is touched" {
    disk=$(vm_disk "$b" 0)
    vm_is "$b" "shut off" || virsh -q destroy --domain "$b"
    mv "$disk" "$disk.away"
    assert_refused_at_planning "disk sda: image $disk: No such file or directory"
    # Without the disk there is nothing to refuse.
    run -0 vmshadow backup "$b" --exclude-disk "$b:sda"
    # aes: for luks qemu-img measures the processor first, and gives up where it is busy.
    qemu-img create -q -f qcow2 --object secret,id=s,data=secret -o encrypt.format=aes,encrypt.key-secret=s "$disk" 1M
    virsh -q dumpxml --inactive --security-info --domain "$b" >"$TMPDIR/defined.xml"
    sed "s|type='raw'/>|type='qcow2'/>|" "$TMPDIR/defined.xml" >"$TMPDIR/changed.xml"
    virsh -q define "$TMPDIR/changed.xml"
    run -0 --separate-stderr vmshadow inspect "$b" --json
    [[ "$(jq -r '.vms[0].refused' <<<"$output")" == "disk sda: image $disk is encrypted by QEMU; leave the disk out"* ]] || fail "$output"
    virsh -q define "$TMPDIR/defined.xml"
    mv "$disk.away" "$disk"
}

# NVRAM lies in flash, with SeaBIOS in the place of UEFI: it leaves the NVRAM alone, so that the test knows its content.
@test "NVRAM of a running VM comes back as it was at the instant" {
    nvram=/var/lib/libvirt/qemu/nvram/firmware.fd
    mkdir -p "${nvram%/*}"
    head -c 65536 /dev/urandom >"$nvram"
    cp "$nvram" "$TMPDIR/nvram"
    vm_define firmware
    virsh -q dumpxml --inactive firmware | sed "s|^  <os>|&<loader readonly='yes' type='pflash'>/usr/share/seabios/bios-256k.bin</loader><nvram>$nvram</nvram>|" >"$TMPDIR/firmware.xml"
    virsh -q define "$TMPDIR/firmware.xml"
    vm_boot firmware
    rm -f "$TMPDIR/events"
    touch "$TMPDIR/hold"
    VMSHADOW_TEST_HOLD=copying:$TMPDIR/hold "$VMSHADOW" backup firmware --events "$TMPDIR/events" >"$TMPDIR/output" 2>&1 &
    backup=$!
    wait_for 30 grep -q PostFinalCommit "$TMPDIR/events"
    head -c 65536 /dev/urandom >"$TMPDIR/later"
    cat "$TMPDIR/later" >"$nvram"
    rm "$TMPDIR/hold"
    wait $backup
    cmp "$TMPDIR/later" "$nvram"
    vm_destroy_everything firmware
    [ ! -e "$nvram" ]
    run -0 vmshadow restore latest
    cmp "$TMPDIR/nvram" "$nvram"
    vm_boot firmware
    vm_destroy_everything firmware
    nothing_left
}

@test "the state of an emulated TPM comes back, and a lock file in it is left out" {
    uuid=6f0ad1ee-54a5-4d3c-9be1-0c6f0d9c1a36
    state=/var/lib/libvirt/swtpm/$uuid
    # libvirt takes the definition only where swtpm is, and asks for no more than what it can do while the VM is off.
    if ! command -v swtpm_setup >/dev/null; then
        mount -t tmpfs tools /usr/local/bin
        for tool in swtpm swtpm_setup swtpm_ioctl; do
            printf '#!/bin/sh\necho "{\\"type\\": \\"swtpm_setup\\", \\"features\\": [\\"tpm-2.0\\"]}"\n' >/usr/local/bin/$tool
            chmod 755 /usr/local/bin/$tool
        done
    fi
    vm_define trusted --uuid "$uuid" --xml "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
    mkdir -p "$state/tpm2"
    head -c 4096 /dev/urandom >"$state/tpm2/tpm2-00.permall"
    cp "$state/tpm2/tpm2-00.permall" "$TMPDIR/permall"
    touch "$state/tpm2/.lock"
    run -0 vmshadow backup trusted
    vm_destroy_everything trusted
    rm -rf "$state"
    run -0 vmshadow restore latest
    cmp "$TMPDIR/permall" "$state/tpm2/tpm2-00.permall"
    [ ! -e "$state/tpm2/.lock" ]
    vm_destroy_everything trusted
    rm -rf "$state"
    ! mountpoint -q /usr/local/bin || umount /usr/local/bin
    nothing_left
}
