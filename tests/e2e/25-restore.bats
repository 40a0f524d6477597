#!/usr/bin/env bats
# What a backup names and what a restore does to definitions and places, with VMs that are off: no guest has to boot.

load helpers
load product

setup_file() {
    product_setup
}

teardown_file() {
    for name in files elsewhere agentless pair1 pair2; do
        vm_destroy_everything $name
    done
    product_teardown
}

teardown() {
    nothing_left
}

@test "B1: the component names every file of the VM, and the caption its method" {
    vm_define files --disk qcow2-chain --disk raw
    run -0 --separate-stderr vmshadow inspect files --json
    vm=$(jq '.vms[0]' <<<"$output")
    [ "$(jq -r .uuid <<<"$vm")" = "$(virsh -q domuuid files)" ]
    [ "$(jq -r .caption <<<"$vm")" = 'Backup Using Saved State\files' ]
    paths=$(jq -r '.files[].path' <<<"$vm")
    for path in /etc/libvirt/qemu/files.xml $images/files-data0.qcow2 $images/files-data0.qcow2.base $images/files-data1.raw; do
        grep -qxF "$path" <<<"$paths" || fail "$path is not named: $paths"
    done
    for role in kernel initrd; do
        [ "$(jq -r --arg role $role '[.files[] | select(.role == $role)] | length' <<<"$vm")" = 1 ]
    done
}

@test "B4: a running VM without guest agent would be paused, and is refused where that is not allowed" {
    vm_define agentless --no-agent
    vm_start agentless
    run -0 --separate-stderr vmshadow inspect agentless --json
    [ "$(jq -r '.vms[0].method' <<<"$output")" = saved-state ]
    [ "$(jq '.vms[0].conditions[0].holds' <<<"$output")" = false ]
    [ "$(jq '.vms[0].conditions[1].holds' <<<"$output")" = true ]
    [ "$(jq -r '.vms[0].refused' <<<"$output")" = null ]
    [ "$(jq '.vms[0] | .pause_estimate_ms > 0 and .memory_in_use > 0 and .write_rate > 0' <<<"$output")" = true ] || fail "$output"
    run -0 vmshadow inspect agentless
    [[ "$output" == *"Memory in use: "*"iB, written with "*"/s"* ]]
    # What the backup will refuse is to be seen before, also what a file says.
    run -0 --separate-stderr vmshadow inspect agentless --refuse-saved-state --json
    [[ "$(jq -r '.vms[0].refused' <<<"$output")" == *"--refuse-saved-state"*"condition 1 "* ]]
    run -0 --separate-stderr vmshadow inspect agentless --saved-state-dir /proc/none --json
    [ "$(jq -c '.vms[0] | [.refused, .pause_estimate_ms, .memory_in_use, .write_rate]' <<<"$output")" = "[null,null,null,null]" ] || fail "$output"
    mkdir "$TMPDIR/configuration"
    echo "max-pause = 1ms" >"$TMPDIR/configuration/vmshadow.conf"
    VMSHADOW_CONFIG_DIR=$TMPDIR/configuration run -0 --separate-stderr vmshadow inspect agentless --json
    [[ "$(jq -r '.vms[0].refused' <<<"$output")" == *"longer than the limit"*"--max-pause"* ]]
    run -4 --separate-stderr vmshadow backup agentless --refuse-saved-state
    [[ "$stderr" == *"VM agentless"*"--refuse-saved-state"*"condition 1 "*"agent"* ]]
    run -4 --separate-stderr vmshadow backup agentless --max-pause 1ms
    [[ "$stderr" == *"VM agentless"*"--max-pause"* ]]
    vm_is agentless running
    virsh -q destroy agentless
    [ "$(backups)" = 0 ]
}

@test "R0: a restore tells PreRestore, then every copy, then PostRestore" {
    vm_define pair1
    vm_define pair2 --disk qcow2
    run -0 vmshadow backup pair1 pair2
    run -0 vmshadow restore latest --events "$TMPDIR/events"
    run -0 jq -r '.name' "$TMPDIR/events"
    names=$(grep -xE 'Identify|PreRestore|Copy|PostRestore' <<<"$output" | tr '\n' ' ')
    [ "$names" = "Identify PreRestore Copy Copy PostRestore " ] || fail "$names"
    [ "$(jq -s 'map(select(.result != "VSS_S_OK")) | length' "$TMPDIR/events")" = 0 ]
    # No copy begins before PreRestore ended, none ends after PostRestore began.
    run -0 jq -s '(map(select(.name == "PreRestore").end_ns) | max) <= (map(select(.name == "Copy").start_ns) | min)
        and (map(select(.name == "Copy").end_ns) | max) <= (map(select(.name == "PostRestore").start_ns) | min)' "$TMPDIR/events"
    [ "$output" = true ]
    for name in pair1 pair2; do
        vm_is $name "shut off"
    done
}

@test "R2: the VM that is there is replaced, with what was defined for it since" {
    before=$(virsh -q dumpxml --inactive pair1)
    virt_name=$(virsh -q domuuid pair1)
    virsh -q desc pair1 --config --new-desc "changed since" >/dev/null
    run -0 --separate-stderr vmshadow restore latest pair1 --json
    [ "$(jq -r '.vms[0].replaces' <<<"$output")" = off ]
    [ "$(virsh -q domuuid pair1)" = "$virt_name" ]
    diff <(virsh -q dumpxml --inactive pair1) <(echo "$before")
    # The other VM of the backup was not named.
    virsh -q desc pair2 --config --new-desc "changed since" >/dev/null
    run -0 vmshadow restore latest pair1
    [ "$(virsh -q desc pair2)" = "changed since" ]
}

@test "R5: outside the default location a link leads to the VM; an old link of ours is replaced, anything else fails the plan" {
    mkdir -p "$VMSHADOW_TEST_DIR/place"
    vm_define elsewhere --directory "$VMSHADOW_TEST_DIR/place"
    run -0 vmshadow backup elsewhere
    before=$(virsh -q dumpxml --inactive elsewhere)
    echo "somebody's" >"$images/elsewhere"
    run -4 --separate-stderr vmshadow restore latest
    [[ "$stderr" == *"$images/elsewhere"* ]]
    [ "$(cat "$images/elsewhere")" = "somebody's" ]
    diff <(virsh -q dumpxml --inactive elsewhere) <(echo "$before")
    rm "$images/elsewhere"
    for _ in 1 2; do
        run -0 vmshadow restore latest
        [ "$(readlink "$images/elsewhere")" = "$VMSHADOW_TEST_DIR/place" ]
    done
    rm "$images/elsewhere"
    vm_destroy_everything elsewhere
    rmdir "$VMSHADOW_TEST_DIR/place"
}
