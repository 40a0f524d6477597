#!/usr/bin/env bats
# Saved state: running VMs without guest agent and paused ones are saved for the instant of the set, and return to exactly what they
# were. One set mixes all methods.

load helpers
load product

child=ledger-child
saved="saved & 'one'"
paused=paused-one
stopped=stopped-one

setup_file() {
    product_setup
    vm_define "$child"
    vm_define "$saved" --no-agent --memory 256 --disk qcow2 --disk raw
    vm_define "$paused" --no-agent --memory 128
    vm_define "$stopped"
    vm_boot "$child" "$saved" "$paused"
    vm_command "$saved" run data0
    vm_command "$saved" run data1
    virsh -q suspend --domain "$paused"
}

teardown_file() {
    for name in "$child" "$saved" "$paused" "$stopped"; do
        vm_destroy_everything "$name"
    done
    product_teardown
}

# boots NAME: how often the VM has been booted, by its console.
boots() {
    grep -c 'Linux version' "$(vm_console "$1")"
}

# all_as_before: every VM is what it was, the saved one writes on and was never booted again.
all_as_before() {
    local last
    vm_assert_running_and_thawed "$child" || return
    vm_is "$saved" running || return
    vm_is "$paused" paused || return
    [ "$(vm_state "$stopped")" = "shut off" ] || return
    last=$(vm_command "$saved" last data0) || return
    wait_for 30 has_records "$saved" data0 $((${last#last } + 3)) || return
    wait_for 30 nothing_left
}
has_records() {
    local last
    last=$(vm_command "$1" last "$2") && ((${last#last } >= $3))
}

# show_tells_pauses: of the last backup, also that all memory was saved before the first guest was frozen.
show_tells_pauses() {
    run -0 --separate-stderr vmshadow show latest --json
    [ "$(jq -c '[.vms[] | select(.pause) | [.name, .consistency, .saved_state.continues]] | sort' <<<"$output")" = \
        "$(jq -nc --arg p "$paused" --arg s "$saved" '[[$p, "saved-state", "paused"], [$s, "saved-state", "running"]]')" ]
    run -0 jq '([.vms[].pause // empty | .saved_ns] | max) <= ([.vms[].frozen_from_ns | select(. > 0)] | min)' <<<"$output"
    [ "$output" = true ]
    run -0 --separate-stderr vmshadow show latest
    [[ "$output" =~ \ vm\ +paused\ +"VM $saved" && "$output" =~ \ vm\ +"memory saved"\ +"VM $saved" ]]
}

@test "B3: one set of child snapshot, saved, paused and stopped VMs: each is what it was before" {
    for name in "$child" "$saved" "$paused" "$stopped"; do
        virsh -q dumpxml --inactive --domain "$name" >"$TMPDIR/before.$(vm_id "$name")"
    done
    run -0 --separate-stderr vmshadow backup --all --json --events "$TMPDIR/events"
    result=$output
    echo "# $(jq -c '[.vms[] | {name, method, frozen_ms, paused_ms}]' <<<"$result")" >&3
    all_as_before
    for name in "$child" "$saved" "$paused" "$stopped"; do
        diff "$TMPDIR/before.$(vm_id "$name")" <(virsh -q dumpxml --inactive --domain "$name")
    done
    method() { jq -r --arg name "$1" '.vms[] | select(.name == $name) | .method' <<<"$result"; }
    [ "$(method "$child")" = child-snapshot ]
    [ "$(method "$saved")" = saved-state ]
    [ "$(method "$paused")" = saved-state ]
    [ "$(method "$stopped")" = offline ]
    [ "$(jq --arg name "$saved" '.vms[] | select(.name == $name) | .paused_ms > 0' <<<"$result")" = true ]
    [ "$(jq --arg name "$paused" '.vms[] | select(.name == $name) | .paused_ms' <<<"$result")" = 0 ]
    show_tells_pauses
}
