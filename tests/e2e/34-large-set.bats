#!/usr/bin/env bats
# A set of more guests than are frozen at once (10, docs/libvirt.md): one instant for all of them all the same.

load helpers
load product

setup_file() {
    product_setup --no-encryption
    guests=()
    for number in 01 02 03 04 05 06 07 08 09 10 11 12; do
        guests+=("many-$number")
        vm_define "many-$number"
    done
    export guest_names="${guests[*]}"
    # shellcheck disable=SC2086 # a list of words
    vm_start $guest_names
    for name in $guest_names; do
        wait_for 300 vm_wait_channel "$name"
        wait_for 300 vm_wait_agent "$name"
    done
}

teardown_file() {
    for name in $guest_names; do
        vm_destroy_everything "$name"
    done
    product_teardown
}

setup() {
    read -ra guests <<<"$guest_names"
}

# backup_under_ledger: sets id, of a backup of all guests while a ledger goes round through them.
backup_under_ledger() {
    ledger_start "${guests[@]}" data0
    wait_for 120 ledger_reached 3
    id=$("$VMSHADOW" backup "${guests[@]}" --json | jq -r .backup) || return
    ledger_stop
    "$VMSHADOW" show "$id" --json >"$TMPDIR/show.json"
}

# in_step: are the numbers of the restored guests those of one instant?
in_step() {
    local name number first='' before=''
    for name in "${guests[@]}"; do
        number=$(records_last "$name" data0) || return
        echo "$name $number"
        first=${first:-$number}
        ((number <= ${before:-$number} && number >= first - 1)) || return
        before=$number
    done
}

@test "X1: twelve guests: all are frozen before the first disk is taken, and thawed after the last" {
    backup_under_ledger
    jq -r '.vms | "\(length) guests, frozen one after the other in \(([.[].frozen_from_ns] | max - min) / 1e6) ms, instants in " +
        "\(([.[].instant_ns] | max - min) / 1e6) ms, longest frozen \([.[].frozen_ms] | max) ms"' "$TMPDIR/show.json" | sed 's/^/# /' >&3
    jq -e '.vms | length == 12 and all(.method == "child-snapshot" and .frozen_from_ns > 0)' "$TMPDIR/show.json"
    jq -e '.vms | ([.[].frozen_from_ns] | max) < ([.[].instant_ns] | min)' "$TMPDIR/show.json"
    jq -e '.vms | ([.[].instant_ns] | max) < ([.[].thawed_ns] | min)' "$TMPDIR/show.json"
    for name in "${guests[@]}"; do
        vm_assert_running_and_thawed "$name"
    done
    nothing_left
    "$VMSHADOW" restore "$id" --yes >/dev/null
    in_step
}
