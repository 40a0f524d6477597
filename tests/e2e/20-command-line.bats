#!/usr/bin/env bats
# The command line with the real workflows behind it: what every command prints, as docs/json.md and the man page say. The VM is
# off, so nothing has to boot.

load helpers
load product

vm="off & 'quoted' grün"

setup_file() {
    product_setup
    vm_define "$vm"
}

teardown_file() {
    vm_destroy_everything "$vm"
    product_teardown
}

# documented SECTION COMMAND...: runs the command with --json and compares what it prints with docs/json.md.
documented() {
    local section=$1
    shift
    run -0 --separate-stderr vmshadow "$@" --json
    [ "$(wc -l <<<"$output")" = 1 ] || fail "more than one line: $output"
    echo "$output" >"$TMPDIR/output.json"
    (cd "$tests_root/.." && tests/static/check-json-doc "$section" "$TMPDIR/output.json")
}

@test "every command prints the JSON that is documented" {
    documented init init --repo "$TMPDIR/other" --chunk-size 256K
    documented config config
    documented writers writers
    documented providers providers
    documented inspect inspect --all
    documented backup backup "$vm" --events "$TMPDIR/events"
    [ "$(jq -r '.vms[0].name' <<<"$output")" = "$vm" ]
    documented list list
    documented diff diff latest latest
    documented show show latest
    documented restore restore latest --dry-run
    [ "$(jq -r '.vms[0].replaces' <<<"$output")" = off ]
    documented restore restore latest "$vm" --yes
    documented verify verify
    documented recover recover
    nothing_left
}

@test "every event of a run is a documented line of JSON" {
    [ "$(wc -l <"$TMPDIR/events")" -gt 10 ]
    (cd "$tests_root/.." && tests/static/check-json-doc events "$TMPDIR/events")
    run -0 jq -s 'map(.start_ns <= .end_ns) | all' "$TMPDIR/events"
    [ "$output" = true ]
}

@test "an error is one JSON object, too" {
    run -3 --separate-stderr vmshadow inspect nobody --json
    echo "$output" >"$TMPDIR/error.json"
    (cd "$tests_root/.." && tests/static/check-json-doc error "$TMPDIR/error.json")
    [ "$(jq -r .error.exit_code <<<"$output")" = 3 ]
    [[ "$(jq -r .error.message <<<"$output")" == *nobody* ]]
    [ -z "$stderr" ]
}

@test "writers reads like vssadmin list writers" {
    run -0 --separate-stderr vmshadow writers
    [[ "$output" == *"Writer name: 'Microsoft Hyper-V VSS Writer'
   Writer Id: {66841cd4-6ded-4f4b-8f17-fd23f8ddc3de}
   Writer Instance Id: {"*"}
   State: [1] Stable
   Last error: No error"* ]]
    [[ "$output" != *Provider* ]]
    first=$(vmshadow writers --json | jq -r '.writers[0].instance_id')
    second=$(vmshadow writers --json | jq -r '.writers[0].instance_id')
    [ "$first" != "$second" ]
}

@test "providers reads like vssadmin list providers" {
    run -0 --separate-stderr vmshadow providers
    [[ "$output" == "Provider name: 'vmshadow QEMU provider'
   Provider type: Software
   Provider Id: {"*"}
   Version: "* ]]
}

@test "text output names the VM as it is" {
    run -0 --separate-stderr vmshadow inspect "$vm"
    [[ "$output" == *"VM name: '$vm'"* ]]
    [[ "$output" == *"Method: offline"* ]]
    run -0 --separate-stderr vmshadow backup "$vm"
    [[ "$output" == *"VM $vm: offline"* ]]
    [[ "$stderr" == *"$vm"*"100%"* ]]
    run -0 --separate-stderr vmshadow list
    [[ "$output" == *"$vm"* ]]
    run -0 --separate-stderr vmshadow show latest
    [[ "$output" == *"Conditions of a child VM snapshot:"*"[2] NO   the VM is running"* ]]
    [[ "$output" == *"PrepareForSnapshot"*"VSS_S_OK"* ]]
    run -0 --separate-stderr vmshadow verify
    [[ "$output" == *"0 faults."* ]]
    run -0 --separate-stderr vmshadow recover
    [[ "$output" == *"nothing to undo"* ]]
}

@test "closed standard descriptors are not taken by files of the repository" {
    for closed in "0<&-" "1>&-" "2>&-" "0<&- 1>&- 2>&-"; do
        rm -rf "$TMPDIR/closed"
        bash -c "'$VMSHADOW' init --no-encryption --repo '$TMPDIR/closed' $closed"
        run -0 env -u VMSHADOW_PASSPHRASE_FILE "$VMSHADOW" verify --repo "$TMPDIR/closed"
    done
}

@test "interrupted, it undoes what it began and says so" {
    rm -f "$TMPDIR/events"
    touch "$TMPDIR/hold"
    before=$(backups)
    VMSHADOW_TEST_HOLD=copying:$TMPDIR/hold "$VMSHADOW" backup "$vm" --events "$TMPDIR/events" >"$TMPDIR/output" 2>&1 &
    backup=$!
    wait_for 20 grep -q PostFinalCommit "$TMPDIR/events"
    kill -INT $backup
    kill -INT $backup
    status=0
    wait $backup || status=$?
    rm "$TMPDIR/hold"
    [ $status = 11 ] || fail "status $status: $(cat "$TMPDIR/output")"
    grep -q "vmshadow: error: " "$TMPDIR/output"
    [ "$(backups)" = "$before" ]
    nothing_left
}
