#!/usr/bin/env bats
# Seeing: what show, list and diff tell of two backups, the first of a running VM and one that is off, the second of the latter alone.
# Without a passphrase, which would cost a part of a second each time.

load helpers

running="seen & 'running'"
off=seen-off

# in_another_second TIME: for wait_for.
in_another_second() {
    [ "$(date -u +%FT%T)" != "${1%.*}" ]
}

setup_file() {
    export VMSHADOW_REPO=$VMSHADOW_TEST_DIR/repository
    "$VMSHADOW" init --no-encryption >/dev/null
    truncate -s 1M "$images/seen.iso"
    vm_define "$running"
    vm_define "$off" --xml "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='$images/seen.iso'/><target dev='sdb' bus='sata'/><readonly/></disk><interface type='user'/>"
    vm_boot "$running"
    date -u +%FT%T.%3NZ >"$TMPDIR/began"
    vmshadow backup "$running" "$off" --json | jq -r .backup >"$TMPDIR/first"
    date -u +%FT%T.%3NZ >"$TMPDIR/ended"
    wait_for 5 in_another_second "$(cat "$TMPDIR/ended")"
    # Eight chunks of the repository's 256 KiB.
    dd if=/dev/urandom of="$(vm_disk "$off" 0)" bs=1M seek=20 count=2 conv=notrunc status=none
    vmshadow backup "$off" --json | jq -r .backup >"$TMPDIR/second"
}

teardown_file() {
    vm_destroy_everything "$running"
    vm_destroy_everything "$off"
    rm -f "$images/seen.iso"
    rm -rf "$VMSHADOW_REPO"
}

setup() {
    first=$(cat "$TMPDIR/first")
    second=$(cat "$TMPDIR/second")
}

@test "show tells method, consistency and times of each VM" {
    run -0 --separate-stderr vmshadow show "$first" --json
    vm=$(jq --arg n "$running" '.vms[] | select(.name == $n)' <<<"$output")
    [ "$(jq -r '.method + " " + .consistency + " " + .state' <<<"$vm")" = "child-snapshot file-system running" ]
    # Times of day with milliseconds, in order, within the run.
    jq -r '.frozen_from, .instant, .thawed' <<<"$vm" | cat "$TMPDIR/began" - "$TMPDIR/ended" >"$TMPDIR/times"
    sort -c "$TMPDIR/times" || fail "$(cat "$TMPDIR/times")"
    [ "$(jq .frozen_ms <<<"$vm")" -gt 0 ]
    vm=$(jq --arg n "$off" '.vms[] | select(.name == $n)' <<<"$output")
    [ "$(jq -r '.method + " " + .consistency + " " + .state' <<<"$vm")" = "offline off off" ]
    [ "$(jq -c '[.frozen_from, .instant, .thawed]' <<<"$vm")" = "[null,null,null]" ]
    run -0 --separate-stderr vmshadow show "$first"
    [[ "$output" == *"VM name: '$running'"*"Method: child VM snapshot"*"Consistency: file system: "*"Frozen from: 20"*"Thawed: 20"* ]]
    [[ "$output" == *"VM name: '$off'"*"Method: offline"*"Consistency: off: "* ]]
}

@test "show tells what was left out and why" {
    run -0 --separate-stderr vmshadow show "$second"
    [[ "$output" =~ sdb\ +left\ out:\ .*CD-ROM ]]
}

@test "show has the record as a time line: what begins first stands first, a VM's steps within the event that takes them" {
    run -0 --separate-stderr vmshadow show "$first"
    grep -A 1000 'Time line, in milliseconds from 20' <<<"$output" | tail -n +3 >"$TMPDIR/line"
    [ "$(wc -l <"$TMPDIR/line")" -gt 12 ]
    sort -c -s -n -k 1,1 "$TMPDIR/line"
    # A stage that is about one disk names it.
    for name in "$running" "$off"; do
        grep -qF "QEMU provider, VM $name, disk vda" <(grep BeginPrepareSnapshot "$TMPDIR/line")
    done
    # Names of the rows that are about the instant, in order; the VM is frozen from before the instant until after it.
    awk '{ print $4 }' "$TMPDIR/line" | grep -xE 'PrepareForSnapshot|frozen|instant|Freeze|CommitSnapshots|Thaw|Copy' |
        uniq | tr '\n' ' ' >"$TMPDIR/names"
    [ "$(cat "$TMPDIR/names")" = "PrepareForSnapshot frozen instant Freeze CommitSnapshots Thaw Copy " ] || fail "$(cat "$TMPDIR/names")"
    awk '$4 == "frozen" { begin = $1; end = $1 + $2 } $4 == "instant" { at = $1 } END { exit !(begin < at && at < end) }' "$TMPDIR/line"
}

@test "inspect tells the rule of each kind of disk" {
    truncate -s 1M "$images"/seen-{shared,dropped,fixed}.raw
    kind() {
        echo "<disk type='file'><driver name='qemu' type='raw'/><source file='$images/seen-$1.raw'/><target dev='$2' bus='virtio'/>$3</disk>"
    }
    vm_define seen-kinds --xml "$(kind shared vdb '<shareable/>')$(kind dropped vdc '<transient/>')$(kind fixed vdd '<readonly/>')" \
        --xml "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>" \
        --xml "<disk type='network'><source protocol='iscsi' name='iqn.2026-01.org.example:t/1'><host name='192.0.2.1'/></source><target dev='vde' bus='virtio'/></disk>"
    run -0 --separate-stderr vmshadow inspect seen-kinds
    vm_destroy_everything seen-kinds
    rows=("vda .* included" "vdb .* left out .*: disk shared with other VMs" "vdc .* left out .*: transient disk" "vdd .* left out .*: read-only medium"
        "sda .* left out .*empty CD-ROM drive" "vde .* left out .*iSCSI disk")
    for row in "${rows[@]}"; do
        grep -qE "^ +$row" <<<"$output" || fail "no $row in $output"
    done
}

# listed OPTION...: ids of the backups that are listed.
listed() {
    vmshadow list --json "$@" | jq -r '[.backups[].id] | join(" ")'
}

@test "list chooses by VM and by time" {
    [ "$(listed)" = "$first $second" ]
    [ "$(listed --vm "$running")" = "$first" ]
    [ "$(listed --vm 'seen*')" = "$first $second" ]
    [ "$(listed --vm "$(virsh -q domuuid "$off")")" = "$first $second" ]
    [ "$(listed --vm seen)" = "" ]
    [ "$(listed --since "$(date -d tomorrow +%F)")" = "" ]
    [ "$(listed --until "$(date -d yesterday +%F)")" = "" ]
    [ "$(listed --since "$(date -d yesterday +%F)" --until "$(date -d tomorrow +%F)")" = "$first $second" ]
    # To the second: the second backup is later than the first.
    time=$(vmshadow show "$second" --json | jq -r .time)
    [ "$(listed --since "$time")" = "$second" ]
    [ "$(listed --until "$(date -u -d "$time - 1 second" +%FT%TZ)")" = "$first" ]
    run -0 --separate-stderr vmshadow list --vm "$running"
    [ "$(wc -l <<<"$output")" = 2 ]
    [[ "$output" == "BACKUP"*"TIME"*"HOST"*"SIZE"*"STORED"*"VMS"*"$first  20"*"$running, $off" ]]
}

@test "a time that is none is a clear error" {
    run -2 --separate-stderr vmshadow list --since 2026-02-30
    [[ "$stderr" == *"--since: '2026-02-30' is not a time: write 2026-11-23"* ]]
    run -2 --separate-stderr vmshadow list --until last-week --json
    [[ "$(jq -r .error.message <<<"$output")" == *"--until: 'last-week'"* ]]
}

@test "a damaged backup is listed whatever is chosen: nobody knows what it is" {
    junk=$VMSHADOW_REPO/backups/$(cat /proc/sys/kernel/random/uuid)
    echo junk >"$junk"
    run -6 --separate-stderr vmshadow list --vm nobody --json
    [ "$(jq -c '[(.backups | length), (.damaged | length)]' <<<"$output")" = "[0,1]" ]
    run -6 --separate-stderr vmshadow verify --json
    [ "$(jq -r '[.faults[].object] | join(" ")' <<<"$output")" = "backups/${junk##*/}" ]
    rm "$junk"
}

@test "diff tells the changed bytes of each disk, and VMs that only one backup has" {
    run -0 --separate-stderr vmshadow diff "$first" "$second" --json
    [ "$(jq -r '.from.id + " " + .to.id' <<<"$output")" = "$first $second" ]
    [ "$(jq -c --arg n "$off" '.vms[] | select(.name == $n) | [.change, .changed_bytes, .disks[0].target, .disks[0].changed_bytes]' \
        <<<"$output")" = '["changed",2097152,"vda",2097152]' ]
    [ "$(jq -c --arg n "$running" '.vms[] | select(.name == $n) | [.change, .disks[0].size_to, .disks[0].changed_bytes > 0]' \
        <<<"$output")" = '["removed",null,true]' ]
    run -0 --separate-stderr vmshadow diff "$first" "$first" --json
    [ "$(jq -c '[.changed_bytes, ([.vms[].change] | unique)]' <<<"$output")" = '[0,["same"]]' ]
    run -0 --separate-stderr vmshadow diff "$second" latest
    [[ "$output" == *"$off  vda   same    0 bytes  64.0 MiB"*"0 bytes changed"* ]]
    run -3 --separate-stderr vmshadow diff "$first" 00000000
    run -2 --separate-stderr vmshadow diff "$first"
}
