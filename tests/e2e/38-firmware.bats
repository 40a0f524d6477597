#!/usr/bin/env bats
# UEFI variables (NVRAM) and an emulated TPM belong to the instant of the disks: of a VM that runs, that is saved in place, that is saved
# by somebody else, and that is off. What the TPM keeps (an NV index, the seed of its keys) is in swtpm's directory; what it only
# remembers (a PCR) is in the memory image; a value that it sealed is on the VM's disk, and only this TPM at this instant unseals it.

load helpers
load product

vm=firmware
nvram=/var/lib/libvirt/qemu/nvram/$vm.fd
variables=/sys/firmware/efi/efivars
guid=3a7e5c1d-8f42-4b6e-9c10-5d2f7b8a9e01
index=01500001
secret=5ea1edc0ffee0042
sealed=/data/data0/sealed
sealed_secret=0b5e55edca5cade5cafe0123456789ab

setup_file() {
    product_setup --no-encryption
    vm_define "$vm" --memory 256 --disk qcow2 --nvram "$nvram" \
        --xml '<tpm model="tpm-crb"><backend type="emulator" version="2.0"/></tpm>'
    vm_boot "$vm"
    guest "tpm define $index 0008 && tpm write $index $secret && tpm seal $sealed $sealed_secret"
    set_variable Before
}

teardown_file() {
    vm_destroy_everything "$vm"
    product_teardown
}

# guest COMMAND: a shell command in the guest; prints its output. A TPM that swtpm emulates for a guest that is emulated takes its time.
guest() {
    local answer
    answer=$(vm_command "$vm" shell "$1") || return
    while [ "$answer" = "blocked shell" ]; do
        answer=$(vm_command "$vm" wait shell) || return
    done
    [[ "$answer" == "exit 0 "* ]] || fail "$1: $answer" || return
    answer=${answer#exit 0 }
    echo "${answer%\\n}"
}

# set_variable NAME: an EFI variable that is not volatile (7: also for boot and run time), with its name as value.
set_variable() {
    guest "printf '\\007\\000\\000\\000$1' >$variables/$1-$guid"
}

# assert_as_at_the_instant: the guest has the variable Before, not After, its TPM has the secret and unseals the value on the disk.
assert_as_at_the_instant() {
    [ "$(guest "cd $variables && echo *-$guid")" = "Before-$guid" ] || fail "variables: $(guest "ls $variables")" || return
    [ "$(guest "tail -c +5 $variables/Before-$guid")" = Before ] || return
    [ "$(guest "tpm read $index 0008")" = "$secret" ] || fail "the TPM has $(guest "tpm read $index 0008")" || return
    unseals
}
unseals() {
    [ "$(guest "tpm unseal $sealed")" = "$sealed_secret" ] || fail "unsealed: $(guest "tpm unseal $sealed")"
}

# change: what must not come back. The TPM is cleared: it has another seed then, so that nothing which it sealed before can be
# unsealed, and no index.
change() {
    set_variable After
    guest "tpm clear"
    run ! unseals
    guest "tpm define $index 0008 && tpm write $index ffffffffffffffff && tpm seal $sealed ffff"
    run ! assert_as_at_the_instant
}

# backed_up METHOD: a backup by that method.
backed_up() {
    run -0 --separate-stderr vmshadow backup "$vm" --json
    [ "$(jq -r '.vms[0].method' <<<"$output")" = "$1" ] || fail "$output"
}

# lost: the host has nothing of the VM any more.
lost() {
    local uuid
    uuid=$(virsh -q domuuid --domain "$vm" | head -n 1)
    vm_destroy_everything "$vm"
    [ ! -e "$nvram" ] && [ -n "$uuid" ] && [ ! -e "/var/lib/libvirt/swtpm/$uuid" ]
}

# A PCR begins at zero with each start of the TPM; this extends it once, so that it tells.
measure() {
    guest "tpm extend 10 $(printf 'ab%.0s' {1..32})"
    boot=$(vm_command "$vm" bootid)
    pcr=$(guest "tpm pcr 10")
    [[ "$pcr" =~ ^[0-9a-f]{64}$ && ! "$pcr" =~ ^0*$ ]]
}

# continues: the VM goes on where it was measured, without a boot.
continues() {
    vm_start "$vm"
    vm_wait_channel "$vm"
    [ "$(vm_command "$vm" bootid)" = "$boot" ] || fail "it was booted"
    [ "$(guest "tpm pcr 10")" = "$pcr" ] || fail "the PCR is $(guest "tpm pcr 10"), not $pcr"
    assert_as_at_the_instant
}

@test "a running VM comes back with the EFI variables and the sealed value of its instant" {
    assert_as_at_the_instant
    backed_up child-snapshot
    change
    # In place, over the VM that runs: QEMU and swtpm write to what is replaced until they are ended.
    run -0 vmshadow restore latest --yes
    vm_is "$vm" "shut off"
    [ -z "$(find /var/lib/libvirt/qemu/nvram /var/lib/libvirt/swtpm -name '*vmshadow*')" ]
    vm_boot "$vm"
    assert_as_at_the_instant
}

@test "a VM saved in place continues with variables, sealed value and PCR of its instant" {
    measure
    vm_command "$vm" agent stop
    backed_up saved-state
    change
    lost
    run -0 vmshadow restore latest
    continues
}

@test "a VM that somebody else saved continues with variables, sealed value and PCR" {
    measure
    virsh -q managedsave --domain "$vm"
    backed_up offline
    lost
    run -0 vmshadow restore latest
    continues
}

@test "a VM that is off comes back with NVRAM and TPM state, byte for byte, and unseals" {
    state=$(find "/var/lib/libvirt/swtpm/$(virsh -q domuuid --domain "$vm" | head -n 1)" -name '*.permall')
    [ -n "$state" ]
    vm_shutdown "$vm"
    sums=$(sha256sum "$nvram" "$state")
    owners=$(stat -c '%n %U %G %a' "$nvram" "$state")
    backed_up offline
    lost
    run -0 vmshadow restore latest
    diff <(echo "$sums") <(sha256sum "$nvram" "$state")
    diff <(echo "$owners") <(stat -c '%n %U %G %a' "$nvram" "$state")
    vm_boot "$vm"
    assert_as_at_the_instant
}
