#!/usr/bin/env bats
# The test infrastructure itself: that the host is private, that the guest does what the tests ask of it, and that the checks
# which other tests rely on fail when they must.

load helpers

plain=plain
odd="odd & 'quoted' \"twice\" grün"

setup_file() {
    vm_define "$plain" --disk raw --disk qcow2:xfs
    vm_define "$odd" --disk qcow2-chain --disk raw:ext4:96
    vm_boot "$plain" "$odd"
}

teardown_file() {
    vm_destroy_everything "$plain"
    vm_destroy_everything "$odd"
}

@test "the host is private" {
    [ "$(cat /proc/1/comm)" = init ]
    [ "$(hostname)" = vmshadow-test ]
    run ! pgrep -x systemd
    [ "$(find /sys/class/net -type l -printf '%f ')" = "lo " ]
    [ -z "$(ls -A /var/lib/vmshadow)" ]
    run -0 virsh -q uri
    [ "$output" = qemu:///system ]
    # The libvirtd that answers is a process of this host, and sees its mounts.
    pid=$(cat /run/libvirtd.pid)
    [ "$(readlink "/proc/$pid/ns/mnt")" = "$(readlink /proc/self/ns/mnt)" ]
}

@test "guests mount their disks and commit records" {
    [ "$(vm_command "$plain" volumes)" = "volumes data0 data1" ]
    [ "$(vm_command "$odd" volumes)" = "volumes data0 data1" ]
    first=$(vm_command "$plain" commit data1 next)
    number=${first#committed }
    [ "$(vm_command "$plain" commit data1 $((number + 1)))" = "committed $((number + 1))" ]
    [ "$(vm_command "$plain" last data1)" = "last $((number + 1))" ]
    run -1 vm_command "$plain" commit data1 $((number + 7))
    [ "$output" = "error the next record is $((number + 2))" ]
    [ "$(vm_command "$plain" scan data1)" = "good $((number + 1))" ]
    grep -q "recorder: data1 committed $((number + 1))" "$(vm_console "$plain")"
}

@test "a name with special characters works in every helper" {
    vm_is "$odd" running
    [ "$(vm_command "$odd" ping)" = pong ]
    [ "$(vm_disk "$odd" 1)" = "$images/$odd-data1.raw" ]
    vm_assert_running_and_thawed "$odd"
    vm_command "$odd" mark data0 "a & b 'c' grün"
    run -0 records_check --crash "$odd" data0
    [[ "$output" == *"mark 0 a & b 'c' grün"* ]]
}

@test "freeze and thaw are seen from inside and from outside" {
    vm_assert_running_and_thawed "$plain"
    virsh -q domfsfreeze --domain "$plain"
    [ "$(vm_command "$plain" "frozen?" data0)" = frozen ]
    [ "$(vm_command "$plain" "frozen?" data1)" = frozen ]
    run ! vm_assert_running_and_thawed "$plain"
    # A commit on a frozen volume is held back, everything else is answered; it is done after the thaw.
    before=$(vm_command "$plain" last data0)
    [ "$(vm_command "$plain" --no-wait commit data0 next)" = "blocked commit" ]
    [ "$(vm_command "$plain" last data0)" = "$before" ]
    [ "$(vm_command "$plain" ping)" = pong ]
    virsh -q domfsthaw --domain "$plain"
    [ "$(vm_command "$plain" wait data0)" = "committed $((${before#last } + 1))" ]
    vm_assert_running_and_thawed "$plain"
}

@test "an image taken while frozen is whole without its journal, one taken while writing is not" {
    vm_command "$plain" run data0
    vm_command "$plain" run data1
    sleep_until_records "$plain" data0 20
    sleep_until_records "$plain" data1 20
    virsh -q domfsfreeze --domain "$plain"
    data0=$(vm_command "$plain" last data0)
    data1=$(vm_command "$plain" last data1)
    disk_check "$plain"
    # A record is reported after its fsync: at most one is on the disk that was not yet reported.
    for pair in "data0 ${data0#last }" "data1 ${data1#last }"; do
        read -r volume reported <<<"$pair"
        last=$(records_last "$plain" "$volume")
        ((last == reported || last == reported + 1))
    done
    virsh -q domfsthaw --domain "$plain"
    sleep_until_records "$plain" data0 $((${data0#last } + 20))
    sleep_until_records "$plain" data1 $((${data1#last } + 20))
    for index in 0 1; do
        IFS=$'\t' read -r _ format path < <(vm_disks "$plain" | sed -n "$((index + 1))p")
        image_copy "$path" "$format" "$TMPDIR/live.raw"
        run -1 file_system_check "$TMPDIR/live.raw" frozen
        [[ "$output" == *"it was not frozen"* ]]
        rm "$TMPDIR/live.raw"
    done
    halted=$(vm_command "$plain" halt data0)
    [[ "$halted" == halted\ * ]]
    vm_command "$plain" halt data1
}

# sleep_until_records NAME VOLUME COUNT
sleep_until_records() {
    wait_for 20 has_records "$@"
}
has_records() {
    local last
    last=$(vm_command "$1" last "$2") && ((${last#last } >= $3))
}

@test "a damaged, a missing and a torn record are found" {
    file=$TMPDIR/records
    check=$("$tests_root/guest/build")/record-check
    vm_command "$odd" mark data1 "before anything"
    for _ in 1 2 3 4 5; do
        vm_command "$odd" commit data1 next
    done
    vm_command "$odd" mark data1 "after five"
    virsh -q domfsfreeze --domain "$odd"
    run -0 records_check "$odd" data1
    [ "$output" = $'mark 0 before anything\nmark 5 after five\nlast 5' ]
    image_copy "$(vm_disk "$odd" 1)" raw "$TMPDIR/image"
    virsh -q domfsthaw --domain "$odd"
    with_mounted "$TMPDIR/image" as-it-is bash -c 'cp "$1/records" "$0"' "$file"
    [ "$(stat -c %s "$file")" = $((7 * 512)) ]

    flip() { # FILE OFFSET: one bit
        printf "\\$(printf %o $(($(od -An -tu1 -j "$2" -N 1 "$1") ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
    }
    "$check" "$file"
    for offset in $((512 * 2 + 100)) $((512 * 2 + 8)) $((512 * 1)) $((512 * 3 + 511)) 30; do
        cp "$file" "$file.bad"
        flip "$file.bad" "$offset"
        run -1 "$check" "$file.bad"
        run -1 "$check" --crash "$file.bad"
    done
    # A record missing in the middle; the last torn; a hole.
    { head -c 1024 "$file" && tail -c +1537 "$file"; } >"$file.bad"
    run -1 "$check" --crash "$file.bad"
    head -c 3400 "$file" >"$file.bad"
    run -1 "$check" "$file.bad"
    run -0 "$check" --crash "$file.bad"
    [[ "$output" == *"last 5"*torn ]]
    cp "$file" "$file.bad" && dd if=/dev/zero of="$file.bad" bs=512 seek=3 count=2 conv=notrunc status=none
    run -1 "$check" --crash "$file.bad"
    rm "$file" "$file.bad" "$TMPDIR/image"
}

@test "the agent can be stopped, held up and made to fail" {
    vm_command "$plain" agent stop
    run ! virsh -q domfsfreeze --domain "$plain"
    vm_command "$plain" agent normal
    vm_wait_agent "$plain"

    vm_command "$plain" agent fail-freeze
    run ! virsh -q domfsfreeze --domain "$plain"
    vm_command "$plain" agent normal
    vm_assert_running_and_thawed "$plain"

    # A freeze that hangs goes on when the agent does, although nobody waits for it any more.
    vm_command "$plain" agent hang-freeze
    virsh -q domfsfreeze --domain "$plain" >/dev/null 2>&1 3>&- &
    client=$!
    wait_for 10 freeze_hangs "$plain"
    [ "$(vm_command "$plain" "frozen?" data0)" = writable ]
    kill -9 $client
    vm_command "$plain" agent normal
    wait_for 10 is_frozen "$plain"
    wait_for 40 virsh -q domfsthaw --domain "$plain"
    vm_assert_running_and_thawed "$plain"
}
freeze_hangs() {
    [[ "$(vm_command "$1" agent status)" == *"a freeze waits" ]]
}
is_frozen() {
    [ "$(vm_command "$1" "frozen?" data0)" = frozen ]
}

@test "a backup job runs, is seen by nothing_left, and leaves nothing when aborted" {
    nothing_left
    cat >"$TMPDIR/job.xml" <<XML
<domainbackup mode='pull'>
  <server transport='unix' socket='/run/vmshadow-test/job.sock'/>
  <disks>
    <disk name='vda' type='file'><scratch file='$VMSHADOW_TEST_DIR/job-vda'/></disk>
    <disk name='vdb' type='file'><scratch file='$VMSHADOW_TEST_DIR/job-vdb'/></disk>
  </disks>
</domainbackup>
XML
    virsh -q backup-begin --domain "$plain" "$TMPDIR/job.xml"
    run -1 nothing_left
    run -0 nbdinfo --size "nbd+unix:///vda?socket=/run/vmshadow-test/job.sock"
    [ "$output" = $((64 * 1024 * 1024)) ]
    virsh -q domjobabort --domain "$plain"
    wait_for 10 nothing_left
    [ ! -e "$VMSHADOW_TEST_DIR/job-vda" ]
    rm -f "$TMPDIR/job.xml"
}

@test "the ledger keeps two guests in step, also over a freeze" {
    ledger_start "$plain" "$odd" data0
    wait_for 20 ledger_reached 40
    virsh -q domfsfreeze --domain "$odd"
    virsh -q domfsfreeze --domain "$plain"
    a=$(records_last "$plain" data0)
    b=$(records_last "$odd" data0)
    ((b <= a && a <= b + 1))
    virsh -q domfsthaw --domain "$plain"
    virsh -q domfsthaw --domain "$odd"
    wait_for 20 ledger_reached $((b + 20))
    ledger_stop
    [ "$(vm_command "$plain" last data0)" = "last $ledger_last" ]
    [ "$(vm_command "$odd" last data0)" = "last $ledger_last" ]
}

@test "overwriting real data fills the scratch space of a job" {
    vm_command "$plain" fill data0 16
    make_place ext4 40 "$VMSHADOW_TEST_DIR/small"
    cat >"$TMPDIR/job.xml" <<XML
<domainbackup mode='pull'>
  <server transport='unix' socket='/run/vmshadow-test/job.sock'/>
  <disks>
    <disk name='vda' type='file'><scratch file='$VMSHADOW_TEST_DIR/small/job-vda'/></disk>
    <disk name='vdb' backup='no'/>
  </disks>
</domainbackup>
XML
    virsh -q backup-begin --domain "$plain" "$TMPDIR/job.xml"
    vm_command "$plain" overwrite data0 16 0
    wait_for 20 scratch_larger_than "$VMSHADOW_TEST_DIR/small/job-vda" $((15 * 1024))
    [[ "$(vm_command "$plain" overwrite data0 stop)" == "overwritten "*" errors 0" ]]
    virsh -q domjobabort --domain "$plain"
    wait_for 10 nothing_left
    remove_place "$VMSHADOW_TEST_DIR/small"
    run ! findmnt "$VMSHADOW_TEST_DIR/small"
}
scratch_larger_than() {
    (($(du -k "$1" | cut -f1) >= $2))
}

@test "a place for reflinks and a bridge can be made" {
    make_place xfs 320 "$VMSHADOW_TEST_DIR/reflink"
    head -c 1M /dev/urandom >"$VMSHADOW_TEST_DIR/reflink/a"
    cp --reflink=always "$VMSHADOW_TEST_DIR/reflink/a" "$VMSHADOW_TEST_DIR/reflink/b"
    remove_place "$VMSHADOW_TEST_DIR/reflink"
    make_bridge test0
    ip link del test0
}

@test "a guest shuts down in order, by its agent's host and by the power button" {
    vm_define brief --no-agent
    vm_boot brief
    run -0 vm_command brief agent status
    [[ "$output" == absent* ]]
    vm_command brief commit data0 1
    vm_shutdown brief
    disk_check brief
    [ "$(records_last brief data0)" = 1 ]
    vm_boot brief
    [ "$(vm_command brief commit data0 next)" = "committed 2" ]
    virsh -q shutdown --mode acpi --domain brief
    wait_for 30 vm_is brief "shut off"
    [ "$(records_last brief data0)" = 2 ]
    vm_destroy_everything brief
    run ! virsh -q dominfo --domain brief
    [ -z "$(ls "$images" | grep brief)" ]
}

@test "a libvirtd that crashes is started again, as on a real host" {
    local before
    before=$(cat /run/libvirtd.pid)
    kill -SEGV "$before"
    wait_for 30 eval '[ "$(cat /run/libvirtd.pid)" != "'"$before"'" ] && virsh -q list'
}

@test "another host beside this one knows nothing of it, and leaves nothing" {
    export VMSHADOW_TEST_BASE=$TMPDIR/base
    mkdir "$VMSHADOW_TEST_BASE"
    run -0 "$tests_root/host/run" bash -c 'virsh -q list --all --name; pgrep -c libvirtd'
    [ "${output//[[:space:]]/}" = 1 ]
    run -7 "$tests_root/host/run" sh -c 'exit 7'
    [ -z "$(ls "$VMSHADOW_TEST_BASE")" ]

    for signal in KILL TERM; do
        "$tests_root/host/run" sleep 1000 >/dev/null 2>&1 3>&- &
        outer=$!
        wait_for 10 pgrep -x -f '(/bin/)?sleep 1000'
        kill -$signal $outer
        wait_for 10 is_empty "$VMSHADOW_TEST_BASE"
        run ! pgrep -x -f '(/bin/)?sleep 1000'
    done
}
is_empty() {
    [ -z "$(ls "$1")" ]
}
