#!/usr/bin/env bats
# Configuration and jobs: sets of VMs by name, pattern and tag, with what is left out. The VMs are off, so nothing has to boot.

load helpers
load product

one=web1
other="db & 'two'"
busy=busy # runs, in one test

setup_file() {
    product_setup
    vm_define "$one" --disk raw --disk raw:ext4:16
    dd if=/dev/urandom of="$(vm_disk "$one" 0)" bs=1M seek=16 count=24 conv=notrunc status=none # a copy that takes its time
    vm_define "$other" --disk raw:ext4:16
    virsh -q metadata "$other" urn:vmshadow --key vmshadow --set '<tags>nightly weekly</tags>' --config
    mkdir -p "$VMSHADOW_CONFIG_DIR/jobs.d"
}

teardown_file() {
    vm_destroy_everything "$one"
    vm_destroy_everything "$other"
    vm_destroy_everything "$busy"
    product_teardown
}

# job NAME LINE...: writes the file of a job.
job() {
    local name=$1
    shift
    printf '%s\n' "$@" >"$VMSHADOW_CONFIG_DIR/jobs.d/$name.conf"
}

# configuration LINE...: writes vmshadow.conf.
configuration() {
    printf '%s\n' "$@" >"$VMSHADOW_CONFIG_DIR/vmshadow.conf"
}

teardown() {
    rm -f "$VMSHADOW_CONFIG_DIR/vmshadow.conf" "$VMSHADOW_CONFIG_DIR"/jobs.d/*
}

# documented SECTION: compares the JSON in $output with docs/json.md.
documented() {
    echo "$output" >"$TMPDIR/output.json"
    (cd "$tests_root/.." && tests/static/check-json-doc "$1" "$TMPDIR/output.json")
}

# vms: the names of the VMs in the sets of the report in $output.
vms() {
    jq -r '[.sets[].vms[]] | sort | join("|")' <<<"$output"
}

@test "a file gives what the command line and the environment do not" {
    configuration "repo = $VMSHADOW_REPO" "passphrase-file = $VMSHADOW_PASSPHRASE_FILE" "workers = 1"
    run -0 --separate-stderr env -u VMSHADOW_REPO -u VMSHADOW_PASSPHRASE_FILE "$VMSHADOW" list --json
    run -0 --separate-stderr env -u VMSHADOW_REPO "$VMSHADOW" config --json
    documented config
    [ "$(jq -r '.settings[] | select(.key == "repo") | .source' <<<"$output")" = "$VMSHADOW_CONFIG_DIR/vmshadow.conf:1" ]
    [ "$(jq -r '.settings[] | select(.key == "passphrase-file") | .source' <<<"$output")" = "environment VMSHADOW_PASSPHRASE_FILE" ]
    [ "$(jq -r '.settings[] | select(.key == "workers") | .value' <<<"$output")" = 1 ]
    run -0 --separate-stderr vmshadow config
    [[ "$output" == *"workers"*"1"*"vmshadow.conf:3"* ]]
}

@test "a wrong line fails every command but recover, with file and line" {
    configuration "repo = $VMSHADOW_REPO" "" "hold-limits = 3s"
    job x "all = yes"
    for command in "init" "writers" "inspect --all" "backup --all" "list" "show latest" "restore latest" verify "run x" config; do
        echo "$command"
        # shellcheck disable=SC2086
        run -2 --separate-stderr vmshadow $command
        [[ "$stderr" == *"vmshadow.conf:3: there is no key 'hold-limits'"*"did you mean hold-limit?"* ]]
    done
    # Guests may be waiting for this one.
    run -0 --separate-stderr vmshadow recover
    [[ "$stderr" == *"warning"*"vmshadow.conf:3: there is no key 'hold-limits'"* ]]
    [ "$output" = "There was nothing to undo." ]
}

@test "a job takes VMs by name, pattern and tag, and leaves out what is excluded" {
    job nightly "vm = $one" "tag = nightly"
    run -0 --separate-stderr vmshadow run nightly --json
    documented run
    [ "$(vms)" = "$other|$one" ]
    [ "$(jq '.sets | length' <<<"$output")" = 1 ]
    job nightly "vm = w*1"
    run -0 --separate-stderr vmshadow run nightly --json
    [ "$(vms)" = "$one" ]
    job nightly "all = yes" "exclude-vm = db*"
    run -0 --separate-stderr vmshadow run nightly --json
    [ "$(vms)" = "$one" ]
    job nightly "tag = nightly"
    run -0 --separate-stderr vmshadow run nightly
    [[ "$output" == *"Job nightly on "*": success"*"$other"* ]]
    nothing_left
}

@test "a VM that is named and excluded is refused; one that is not there fails" {
    run -4 --separate-stderr vmshadow backup "$one" --exclude-vm 'web*'
    [[ "$stderr" == *"VM $one is named, and excluded by exclude-vm web*"* ]]
    job nightly "vm = $one" "vm = nobody"
    run -3 --separate-stderr vmshadow run nightly
    [[ "$stderr" == *"nobody"* ]]
    # No VM can have such a name; the report has to be JSON all the same.
    job nightly "vm = $one" "on-failure = cat >$TMPDIR/named"
    run -3 --separate-stderr vmshadow run nightly --vm $'gr\xfcn' --json
    [ "$(jq -r '.sets[0].vms | join("|")' <<<"$output")" = "$one|gr?n" ]
    [[ "$(cat "$TMPDIR/named")" == *"VM gr?n: there is no such VM"* ]]
    job nightly "vm = $one" $'vm = gr\xfcn'
    run -2 --separate-stderr vmshadow run nightly
    [[ "$stderr" == *"jobs.d/nightly.conf:2: the line is not UTF-8"* ]]
    job nightly "vm = nobody*"
    run -3 --separate-stderr vmshadow run nightly
    [[ "$stderr" == *"the pattern nobody* means no VM of this host"* ]]
    run -0 --separate-stderr vmshadow inspect "$one" --exclude-vm nobody --exclude-vm 'no*' --exclude-disk nobody:vda
    [[ "$stderr" == *"exclude-vm nobody: there is no such VM on this host"* ]]
    [[ "$stderr" == *"exclude-disk nobody:vda: there is no VM nobody on this host"* ]]
    [[ "$stderr" != *"no\*"* ]]
    job nightly "workers = 1"
    run -2 --separate-stderr vmshadow run nightly
    [[ "$stderr" == *"job nightly names no VM"* ]]
}

@test "an excluded disk is named and left out, and a restore leaves it as it is" {
    uuid=$(virsh -q domuuid --domain "$one")
    run -0 --separate-stderr vmshadow inspect "$one" --exclude-disk "w*:vdb" --json
    [ "$(jq -r '.vms[0].disks[] | select(.target == "vdb") | .reason' <<<"$output")" = "excluded by exclude-disk w*:vdb" ]
    configuration "exclude-disk = $one:vdb"
    run -0 --separate-stderr vmshadow backup "$one" --json
    [ "$(jq -r '.vms[0].left_out[] | select(.target == "vdb") | .reason' <<<"$output")" = "excluded by exclude-disk $one:vdb" ]
    [ "$(jq -r '[.vms[0].disks[].target] | join(" ")' <<<"$output")" = vda ]
    run -0 --separate-stderr vmshadow backup "$one" --exclude-disk "$one:vdz" --exclude-disk "$uuid:vdy" \
        --exclude-disk 'w*:vdx' --exclude-disk 'w*:vda' --exclude-disk 'db*:vdw'
    [[ "$stderr" == *"exclude-disk $one:vdz: VM $one has no disk vdz"* ]]
    [[ "$stderr" == *"exclude-disk $uuid:vdy: VM $one has no disk vdy"* ]]
    [[ "$stderr" == *"exclude-disk w*:vdx: no VM of the set that w* means has a disk vdx"* ]]
    [[ "$stderr" != *"w*:vda: no VM"* ]] # web1 has it
    [[ "$stderr" != *"exclude-disk db*:vdw"* ]] # no such VM in the set: nothing to tell
    run -0 --separate-stderr vmshadow backup "$one" --json
    before=$(stat -c %i-%Y-%s "$(vm_disk "$one" 1)")
    run -0 --separate-stderr vmshadow restore latest --yes --json
    [ "$(stat -c %i-%Y-%s "$(vm_disk "$one" 1)")" = "$before" ]
    [[ "$(jq -r '.vms[0].notices | join(" ")' <<<"$output")" == *"disk vdb is not in the backup"*"stays as it is"* ]]
    mv "$(vm_disk "$one" 1)" "$TMPDIR/away"
    run -0 --separate-stderr vmshadow restore latest --dry-run --json
    [[ "$(jq -r '.vms[0].notices | join(" ")' <<<"$output")" == *"disk vdb"*"$(vm_disk "$one" 1) is not there"* ]]
    mv "$TMPDIR/away" "$(vm_disk "$one" 1)"
}

@test "separate sets: one VM that is missing or fails does not cost the others their backup" {
    job nightly "vm = nobody" "vm = $one" "vm = $other" "separate = yes"
    mv "$(vm_disk "$one" 0)" "$TMPDIR/away"
    run --separate-stderr vmshadow run nightly --json
    mv "$TMPDIR/away" "$(vm_disk "$one" 0)"
    [ "$status" != 0 ]
    documented run
    [ "$(jq -r '.result' <<<"$output")" = failure ]
    [ "$(jq -r '.failed' <<<"$output")" = 2 ]
    [ "$(jq -r '.sets | length' <<<"$output")" = 3 ]
    [ "$(jq -r '[.sets[] | select(.backup) | .vms[]] | join("|")' <<<"$output")" = "$other" ]
    [[ "$(jq -r .error.message <<<"$output")" == *"2 of 3 sets failed"* ]]
}

# job_waits: the job waits for the backup that is $first, which is held, and then both are done.
job_waits() {
    local before second
    before=$(backups)
    "$VMSHADOW" run nightly >"$TMPDIR/second" 2>&1 3>&- &
    second=$!
    wait_for 60 grep -q "waiting for it" "$TMPDIR/second" || fail "$(cat "$TMPDIR/first" "$TMPDIR/second")" || return
    rm "$TMPDIR/hold"
    wait "$first" || return
    wait $second || return
    [ "$(backups)" = $((before + 2)) ] || fail "$(backups) backups" || return
    nothing_left
}

@test "a job waits for a run that holds one of its VMs" {
    job nightly "vm = $one"
    touch "$TMPDIR/hold"
    VMSHADOW_TEST_HOLD=copying:$TMPDIR/hold "$VMSHADOW" backup "$one" --events "$TMPDIR/events" \
        >"$TMPDIR/first" 2>&1 &
    first=$!
    wait_for 60 grep -q PostFinalCommit "$TMPDIR/events"
    job_waits
}

@test "a job waits for a run that has a block job on one of its VMs" {
    vm_define "$busy" --no-agent --memory 128 --disk raw
    vm_boot "$busy"
    job nightly "vm = $busy"
    rm -f "$TMPDIR/events"
    touch "$TMPDIR/hold"
    VMSHADOW_TEST_HOLD=copying:$TMPDIR/hold "$VMSHADOW" backup "$busy" --events "$TMPDIR/events" >"$TMPDIR/first" 2>&1 3>&- &
    first=$!
    wait_for 120 grep -q PostFinalCommit "$TMPDIR/events"
    job_waits
    vm_destroy_everything "$busy"
}

@test "after a run without failure older backups of the job go, never the newest of a VM" {
    job kept "vm = $one" "vm = $other" "keep-last = 2" "exclude-disk = $one:vdb"
    first=$(vmshadow run kept --json | jq -r '.sets[0].backup')
    job kept "vm = $one" "keep-last = 2"
    second=$(vmshadow run kept --json | jq -r '.sets[0].backup')
    third=$(vmshadow run kept --json | jq -r '.sets[0].backup')
    before=$(backups)
    run -0 --separate-stderr vmshadow run kept --json
    documented run
    # The first one is the newest of the other VM.
    [ "$(jq -r '[.retention.removed[].id] | join(" ")' <<<"$output")" = "$second" ] || fail "$output"
    [ "$(backups)" = "$before" ]
    run -0 --separate-stderr vmshadow list --json
    documented list
    [ "$(jq -r --arg f "$first" --arg t "$third" '[.backups[] | select(.job == "kept") | .id] | (index($f) != null) and (index($t) != null)' \
        <<<"$output")" = true ]
    job kept "vm = nobody" "vm = $one" "separate = yes" "keep-last = 1"
    run -3 --separate-stderr vmshadow run kept --json
    [ "$(jq .retention <<<"$output")" = null ]
    run -0 vmshadow verify
}

@test "commands get the report, figures go to node_exporter's directory, and the journal has fields of its own" {
    mkdir -p "$TMPDIR/metrics" /run/systemd/journal
    python3 -c "
import socket, sys
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind('/run/systemd/journal/socket')
print('ready', flush=True)
for _ in range(2):
    sys.stdout.buffer.write(journal.recv(1 << 20))
    sys.stdout.buffer.flush()
" >"$TMPDIR/journal" &
    journal=$!
    wait_for 30 grep -q ready "$TMPDIR/journal"
    configuration "metrics-directory = $TMPDIR/metrics" "report-format = json" "on-failure = cat >$TMPDIR/failure; exit 3"
    job told "vm = $one" "vm = db[0-9]*" "tag = none" "on-success = cat >$TMPDIR/success"
    run -0 --separate-stderr vmshadow run told --json --quiet
    [ "$(jq -r '.notices | join("|")' <<<"$output")" = "the pattern db[0-9]* means no VM of this host|the tag none is at no VM of this host" ]
    id=$(jq -r '.sets[0].backup' <<<"$output")
    [ "$(jq -c . <<<"$output")" = "$(jq -c . "$TMPDIR/success")" ]
    [ ! -e "$TMPDIR/failure" ]
    grep -qx 'vmshadow_job_success{job="told"} 1' "$TMPDIR/metrics/vmshadow_told.prom"
    grep -q '^vmshadow_job_last_success_timestamp_seconds' "$TMPDIR/metrics/vmshadow_told.prom"
    [ "$(stat -c %a "$TMPDIR/metrics/vmshadow_told.prom")" = 644 ]
    grep -qx 'vmshadow_job_notices{job="told"} 2' "$TMPDIR/metrics/vmshadow_told.prom"
    job told "vm = nobody" "vm = none*" "report-format = text"
    run -3 --separate-stderr vmshadow run told
    grep -q "^FAILED nobody: VM nobody: there is no such VM" "$TMPDIR/failure"
    grep -qx "NOTICE: the pattern none\* means no VM of this host" "$TMPDIR/failure"
    [[ "$stderr" == *"warning: job told: "*"ended with status 3"* ]]
    grep -qx 'vmshadow_job_success{job="told"} 0' "$TMPDIR/metrics/vmshadow_told.prom"
    grep -q '^vmshadow_job_last_success_timestamp_seconds' "$TMPDIR/metrics/vmshadow_told.prom"
    wait $journal
    rm /run/systemd/journal/socket
    grep -qx "VMSHADOW_JOB=told" "$TMPDIR/journal"
    grep -qx "VMSHADOW_VMS=1" "$TMPDIR/journal"
    grep -qx "VMSHADOW_BACKUP=$id" "$TMPDIR/journal"
    grep -qx "VMSHADOW_ERROR_ID=no-such-vm" "$TMPDIR/journal"
    grep -qx "VMSHADOW_NOTICE=the tag none is at no VM of this host" "$TMPDIR/journal"
    grep -qx "MESSAGE_ID=5f0a7d0f6c3b4a53a9c4b0f2f6d3a7e1" "$TMPDIR/journal"
    grep -qx "MESSAGE_ID=c1f4b8de27a94e07b6f1d95d0e8c4b32" "$TMPDIR/journal"
}

@test "a job that cannot begin tells of it, too" {
    configuration "on-failure = cat >$TMPDIR/begin" "repo = /nowhere"
    job told "all = yes"
    run -3 --separate-stderr env -u VMSHADOW_REPO "$VMSHADOW" run told
    grep -q "^Job told on .*: failure" "$TMPDIR/begin"
    grep -q "^FAILED: .*/nowhere" "$TMPDIR/begin"
}

@test "separate sets, interrupted: what was not begun is told, and the run fails" {
    job nightly "vm = $one" "vm = $other" "separate = yes" "on-failure = cat >$TMPDIR/told"
    rm -f "$TMPDIR/events"
    touch "$TMPDIR/hold"
    before=$(backups)
    VMSHADOW_TEST_HOLD=copying:$TMPDIR/hold "$VMSHADOW" run nightly --events "$TMPDIR/events" --json >"$TMPDIR/output" 2>&1 &
    run=$!
    # The names come in order: the first VM has little data, and its copy may be over before it could be held.
    wait_for 60 grep -q PostFinalCommit "$TMPDIR/events"
    kill -TERM $run
    status=0
    wait $run || status=$?
    rm "$TMPDIR/hold"
    [ $status = 11 ] || fail "status $status: $(cat "$TMPDIR/output")"
    output=$(grep '^{' "$TMPDIR/output")
    documented run
    [ "$(jq '.sets | length' <<<"$output")" = 2 ]
    [ "$(jq -r '.sets[-1].error.kind' <<<"$output")" = interrupted ]
    [ "$(backups)" -le $((before + 1)) ]
    grep -q "^FAILED $one: " "$TMPDIR/told"
    nothing_left
}

@test "forget takes a backup off the list, the newest of a VM only when it is said" {
    vmshadow backup "$other" >/dev/null 2>&1
    vmshadow backup "$other" >/dev/null 2>&1
    newest=$(vmshadow list --vm "$other" --json | jq -r '.backups[-1].id')
    older=$(vmshadow list --vm "$other" --json | jq -r '.backups[-2].id')
    before=$(backups)
    run -4 --separate-stderr vmshadow forget "$newest"
    [[ "$stderr" == *"is the newest one of VM $other"*"[newest-backup]"* ]]
    run -0 --separate-stderr vmshadow forget "$older" --json
    documented forget
    run -0 --separate-stderr vmshadow forget latest --newest
    [[ "$output" == "Backup $newest of "*" is off the list."* ]]
    [ "$(backups)" = $((before - 2)) ]
    run -0 vmshadow verify
}
