#!/usr/bin/env bats
# Wrong input and a wrong world: a clear error, its documented exit code, nothing changed.

load helpers
load product

vm=one

setup_file() {
    product_setup
    vm_define "$vm"
    run -0 vmshadow backup "$vm"
}

teardown_file() {
    vm_destroy_everything "$vm"
    product_teardown
}

@test "wrong passphrase" {
    (umask 077 && echo wrong >"$TMPDIR/wrong")
    run -5 vmshadow list --passphrase-file "$TMPDIR/wrong"
    [[ "$output" == *passphrase* ]]
    run -5 vmshadow backup "$vm" --passphrase-file "$TMPDIR/wrong"
    run -5 vmshadow restore latest --passphrase-file "$TMPDIR/wrong"
    [ "$(backups)" = 1 ]
}

@test "unknown VM, unknown backup, no repository" {
    run -3 vmshadow backup "no such VM"
    [[ "$output" == *"no such VM"* ]]
    run -3 vmshadow inspect "no such VM"
    run -3 vmshadow restore 00000000
    run -3 vmshadow restore latest "no such VM"
    run -3 vmshadow list --repo "$TMPDIR/nowhere"
    [[ "$output" == *"$TMPDIR/nowhere"* ]]
    [ "$(backups)" = 1 ]
    nothing_left
}

@test "no libvirt, a remote URI" {
    run -8 vmshadow inspect "$vm" --connect "qemu+unix:///system?socket=/run/nobody-listens"
    [[ "$output" == *libvirt* ]]
    run -2 vmshadow inspect "$vm" --connect qemu+ssh://host/system
    [[ "$output" == *"not a local one"* ]]
}

@test "damaged repository: verify tells what is touched, restore changes nothing" {
    cp -a "$VMSHADOW_REPO" "$TMPDIR/damaged"
    while read -r pack; do
        size=$(stat -c %s "$pack")
        printf 'damage' | dd of="$pack" bs=1 seek=$((size / 2)) conv=notrunc status=none
    done < <(find "$TMPDIR/damaged/packs" -type f)
    run -6 vmshadow verify --repo "$TMPDIR/damaged"
    [[ "$output" == *"$vm"* ]]
    before=$(virsh -q dumpxml --inactive --domain "$vm")
    sum=$(sha256sum <"$(vm_disk "$vm" 0)")
    run -6 vmshadow restore latest --repo "$TMPDIR/damaged"
    [ "$(virsh -q dumpxml --inactive --domain "$vm")" = "$before" ]
    [ "$(sha256sum <"$(vm_disk "$vm" 0)")" = "$sum" ]
    nothing_left
}

@test "a restore over a running VM asks, and needs --yes in scripts" {
    vm_boot "$vm"
    boot=$(vm_command "$vm" bootid)
    run -4 vmshadow restore latest </dev/null
    [[ "$output" == *"--yes"* ]]
    [ "$(vm_command "$vm" bootid)" = "$boot" ]
    vm_shutdown "$vm"
}

@test "a failed restore puts the old VM back, running again" {
    vm_boot "$vm"
    vm_command "$vm" commit data0 next
    disk=$(vm_disk "$vm" 0)
    cp -a "$VMSHADOW_REPO" "$TMPDIR/damaged2"
    while read -r pack; do
        size=$(stat -c %s "$pack")
        printf 'damage' | dd of="$pack" bs=1 seek=$((size / 2)) conv=notrunc status=none
    done < <(find "$TMPDIR/damaged2/packs" -type f)
    run -6 vmshadow restore latest --yes --repo "$TMPDIR/damaged2"
    vm_is "$vm" running
    vm_wait_channel "$vm"
    [ "$(vm_command "$vm" last data0)" = "last 1" ]
    [ "$(find "$(dirname "$disk")" -name '*vmshadow-*' | wc -l)" = 0 ]
    nothing_left
    vm_shutdown "$vm"
}

@test "without encryption: init says what it gives up, and backups restore" {
    export VMSHADOW_REPO=$TMPDIR/plain
    run -0 vmshadow init --no-encryption
    [[ "$output" == *"read"* ]]
    unset VMSHADOW_PASSPHRASE_FILE
    run -0 vmshadow backup "$vm" </dev/null
    run -0 vmshadow restore latest </dev/null
    run -0 vmshadow verify
}

@test "four VMs: Freeze and Thaw of the VM writer make no libvirt call" {
    for name in f1 f2 f3 f4; do
        vm_define $name --memory 128
    done
    vm_boot f1 f2 f3 f4
    run -0 vmshadow backup f1 f2 f3 f4 --events "$TMPDIR/events"
    for name in f1 f2 f3 f4; do
        vm_assert_running_and_thawed $name
    done
    calls() { jq --arg n "$1" -r 'select(.name == $n) | .libvirt_calls' "$TMPDIR/events" | tail -n 1; }
    [ "$(calls PrepareForSnapshot)" -gt 0 ]
    [ "$(calls EndPrepareSnapshots)" = "$(calls Freeze)" ]
    [ "$(calls PostCommitSnapshots)" = "$(calls Thaw)" ]
    echo "# frozen: $(vmshadow show latest --json | jq -c '[.vms[].frozen_ms]') ms" >&3
    for name in f1 f2 f3 f4; do
        vm_destroy_everything $name
    done
}

@test "a passphrase given for a repository that says it needs none is an error" {
    run -0 vmshadow init --no-encryption --repo "$TMPDIR/exchanged"
    run ! vmshadow list --repo "$TMPDIR/exchanged"
    [[ "$output" == *"passphrase"* ]]
}
