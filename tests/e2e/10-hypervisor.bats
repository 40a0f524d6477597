#!/usr/bin/env bats
# The hypervisor room on running VMs: domains and disks (B10), instants of disks by backup jobs (B7, X1), and what undoes
# them (X2, X5). Its counterpart for VMs that are off is 11-hypervisor-stopped.bats.

load helpers
load hypervisor

vm="hv & 'quoted' grün"

setup_file() {
    make_place ext4 200 "$VMSHADOW_TEST_DIR/small"
    tune2fs -m 0 "$(findmnt -n -o SOURCE "$VMSHADOW_TEST_DIR/small")" >/dev/null # full for root, too
    dd if=/dev/zero of="$VMSHADOW_TEST_DIR/medium.iso" bs=1M count=1 status=none
    vm_define "$vm" --driver error_policy=stop --disk raw:ext4:260 --driver error_policy=report --disk raw:ext4:260 \
        --driver '' --disk qcow2-chain:xfs \
        --xml "<disk type='file' device='cdrom'><source file='$VMSHADOW_TEST_DIR/medium.iso'/><target dev='sdx' bus='sata'/><readonly/></disk>" \
        --xml "<disk type='file' device='cdrom'><target dev='sdy' bus='sata'/><readonly/></disk>" \
        --xml "<disk type='file'><source file='$VMSHADOW_TEST_DIR/medium.iso'/><target dev='sdz' bus='usb'/><readonly/></disk>"
    vm_boot "$vm"
}

teardown_file() {
    vm_destroy_everything "$vm"
    remove_place "$VMSHADOW_TEST_DIR/small"
}

teardown() {
    events_stop
    chattr -i "$jobs_directory" 2>/dev/null || true
    probe_kill
    # So that one failure does not become many.
    virsh -q blockjob --domain "$vm" vda --abort >/dev/null 2>&1 || true
    virsh -q resume --domain "$vm" >/dev/null 2>&1 || true
}

@test "B10: disks are described with their chains, and CD-ROM and read-only media are left out by name" {
    probe_start
    ask list
    [ "$answer" = "$vm" ]
    ask describe "$vm"
    [[ $answer == "running agent=connected save=none; "* ]]
    [[ $answer == *"; vda included 272629760 raw:$images/$vm-data0.raw; "* ]]
    [[ $answer == *"; vdc included 335544320 qcow2:$images/$vm-data2.qcow2 <- qcow2:$images/$vm-data2.qcow2.base; "* ]]
    [[ $answer == *"; sdx left-out 1048576 raw:$VMSHADOW_TEST_DIR/medium.iso (CD-ROM medium)"* ]]
    [[ $answer == *"; sdy left-out 0  (empty CD-ROM drive)"* ]]
    [[ $answer == *"; sdz left-out 1048576 raw:$VMSHADOW_TEST_DIR/medium.iso (read-only medium)"* ]]
    refused not-found describe "no such VM"
    ask describe "$(virsh -q domuuid --domain "$vm")"
    ask volumes "$vm"
    [ "$answer" = "/data/data0 ext4 vda 0; /data/data1 ext4 vdb 0; /data/data2 xfs vdc 0" ]
    probe_end
}

@test "a remote libvirt is refused and a missing one told, with what to do" {
    run -1 "$probe" --uri qemu+ssh://root@elsewhere/system </dev/null
    [[ $output == "error usage libvirt URI \"qemu+ssh://root@elsewhere/system\" is not a local one"* ]]
    LIBVIRT_DEFAULT_URI=qemu+tcp://elsewhere/system run -1 "$probe" </dev/null
    [[ $output == *"(from LIBVIRT_DEFAULT_URI)"* ]]
    run -1 "$probe" --uri test:///default </dev/null
    [[ $output == "error usage"* ]]
    run -1 "$probe" --uri "qemu+unix:///system?socket=/no/such/socket" </dev/null
    [[ $output == "error connection no connection to libvirt"* ]]
}

@test "X1: an instant is what was on the disks when the guest was frozen, whatever the guest writes later" {
    local target
    vm_command "$vm" run data0
    vm_command "$vm" run data2
    probe_start
    ask guard "$vm"
    ask prepare "$vm" vda vdc
    ask freeze "$vm" 10
    echo "# frozen in $took ms" >&3
    last0=$(vm_command "$vm" last data0) last2=$(vm_command "$vm" last data2)
    ask begin "$vm"
    echo "# job of two disks begun in $took ms" >&3
    image_copy "$images/$vm-data0.raw" raw "$TMPDIR/vda.frozen"
    image_copy "$images/$vm-data2.qcow2" qcow2 "$TMPDIR/vdc.frozen"
    ask thaw "$vm" 10
    # It goes on and overwrites.
    wait_for 20 eval '[ "$(vm_command "$vm" last data0)" != "$last0" ]'
    wait_for 20 eval '[ "$(vm_command "$vm" last data2)" != "$last2" ]'
    ask check "$vm"
    ask open "$vm" vda
    [ "${answer##* }" = 272629760 ]
    for target in vda vdc; do
        read_instant "$vm" $target "$TMPDIR/$target.read"
        cmp "$TMPDIR/$target.frozen" "$TMPDIR/$target.read"
        file_system_check "$TMPDIR/$target.read" frozen
        rm "$TMPDIR/$target.read" "$TMPDIR/$target.frozen"
    done
    refused not-found open "$vm" vdb
    ask end "$vm"
    echo "# job ended in $took ms" >&3
    ask end "$vm"
    refused failed open "$vm" vda
    vm_command "$vm" halt data0
    vm_command "$vm" halt data2
    vm_assert_running_and_thawed "$vm"
    ask undo-all
    probe_end
}

@test "a disk with a foreign block job is refused before anything, and only our own job is ever aborted" {
    probe_start
    ask prepare "$vm" vda
    virsh -q blockcopy --domain "$vm" vda --dest "$VMSHADOW_TEST_DIR/copy.raw" --format raw --bandwidth 1 --transient-job
    refused busy begin "$vm"
    [[ $answer == *"a block copy job of somebody else runs on disk vda"* ]]
    ask end "$vm"
    refused busy prepare "$vm" vda vdb
    [ -z "$(ls "$jobs_directory")" ]
    virsh -q blockjob --domain "$vm" vda --info 2>&1 | grep "Block Copy"
    virsh -q blockjob --domain "$vm" vda --abort
    rm -f "$VMSHADOW_TEST_DIR/copy.raw"

    # Another tool's backup job stays, also when ours was prepared before it.
    ask prepare "$vm" vda
    mkdir "$jobs_directory/other"
    cat >"$TMPDIR/other.xml" <<XML
<domainbackup mode='pull'><server transport='unix' socket='$jobs_directory/other/x.sock'/>
<disks><disk name='vdb' backup='yes' type='file'><scratch file='$jobs_directory/other/x.scratch'/></disk></disks></domainbackup>
XML
    virsh -q backup-begin --domain "$vm" "$TMPDIR/other.xml"
    refused busy begin "$vm"
    [[ $answer == *"another program's backup job runs"* ]]
    ask end "$vm"
    ask undo-all
    virsh -q backup-dumpxml --domain "$vm" | grep -q other/x.sock
    virsh -q domjobabort --domain "$vm"
    wait_for 10 no_job "$vm"
    rm -rf "$jobs_directory/other"
    probe_end
}

# begin_overrun TARGET RESERVE: a job whose scratch space is in a small place.
begin_overrun() {
    events_start
    probe_start --scratch "$VMSHADOW_TEST_DIR/small" --reserve "$2"
    ask room
    ask prepare "$vm" "$1"
    ask begin "$vm"
}

# assert_overrun TARGET VOLUME: the run was voided, the job is gone, the guest goes on, and no write of it was lost.
assert_overrun() {
    local before until=$((SECONDS + 60))
    until refused space undo-check 2>/dev/null; do # not wait_for: the answer must come to this shell
        ((SECONDS < until)) || fail "the run was not voided: $answer" || return
        sleep 0.1
    done
    [[ $answer == *"scratch space in $VMSHADOW_TEST_DIR/small ran short"* ]]
    wait_for 20 no_job "$vm"
    wait_for 20 vm_is "$vm" running
    before=$(vm_command "$vm" overwritten "$2")
    wait_for 20 eval '[ "$(vm_command "$vm" overwritten "'"$2"'")" != "$before" ]'
    run -0 vm_command "$vm" overwrite "$2" stop
    echo "# $1: $output" >&3
    [[ $output == *" errors 0" ]]
    [ -z "$(find "$VMSHADOW_TEST_DIR/small" -name '*.scratch')" ]
    refused failed check "$vm"
    tell end "$vm" && hear || true
    events_stop
}

@test "X2: scratch space that runs short ends the job before the guest is paused (error policy stop)" {
    [[ "$(vm_command "$vm" --limit 120 fill data0 200)" == "filled 200" ]]
    begin_overrun vda $((96 << 20))
    vm_command "$vm" overwrite data0 200 0
    assert_overrun vda data0
    never_paused
    probe_end
    vm_assert_running_and_thawed "$vm"
}

@test "X2: scratch space that runs short ends the job before the guest loses a write (error policy report)" {
    [[ "$(vm_command "$vm" --limit 120 fill data1 200)" == "filled 200" ]]
    begin_overrun vdb $((96 << 20))
    vm_command "$vm" overwrite data1 200 0
    assert_overrun vdb data1
    never_paused
    probe_end
    vm_assert_running_and_thawed "$vm"
}

@test "X2: a guest that full scratch space has paused goes on after the job was aborted" {
    local watchdog
    begin_overrun vda $((16 << 20))
    watchdog=$(pgrep -f "hypervisor-probe watchdog")
    kill -STOP "$watchdog" # too slow for this guest
    vm_command "$vm" overwrite data0 200 0
    wait_for 60 vm_is "$vm" paused
    kill -CONT "$watchdog"
    assert_overrun vda data0
    probe_end
    vm_assert_running_and_thawed "$vm"
}

@test "a paused VM has an instant, and its end leaves it paused" {
    virsh -q suspend --domain "$vm"
    probe_start
    ask prepare "$vm" vda vdc
    ask begin "$vm"
    read_instant "$vm" vdc "$TMPDIR/vdc.read"
    ask check "$vm"
    ask end "$vm"
    vm_is "$vm" paused
    probe_end
    vm_is "$vm" paused
    virsh -q resume --domain "$vm"
    vm_assert_running_and_thawed "$vm"
    rm "$TMPDIR/vdc.read"
}

@test "X5: libvirtd may be killed and started again during a job" {
    probe_start
    ask guard "$vm"
    ask prepare "$vm" vda vdc
    ask freeze "$vm" 10
    ask begin "$vm"
    image_copy "$images/$vm-data0.raw" raw "$TMPDIR/vda.frozen"
    libvirtd_stop
    libvirtd_start
    ask thaw-until "$vm" 20 # at first libvirt may say that the agent is not connected
    ask check "$vm"
    read_instant "$vm" vda "$TMPDIR/vda.read"
    cmp "$TMPDIR/vda.frozen" "$TMPDIR/vda.read"
    rm "$TMPDIR/vda.frozen" "$TMPDIR/vda.read"
    ask end "$vm"
    ask undo-all
    probe_end
    vm_assert_running_and_thawed "$vm"
}

@test "X5: a requester killed while libvirtd is away leaves nothing once libvirtd is back" {
    probe_start
    ask guard "$vm"
    ask prepare "$vm" vda
    ask freeze "$vm" 10
    ask begin "$vm"
    libvirtd_stop
    kill -9 "$probe_pid"
    libvirtd_is_asked_for
    libvirtd_start
    wait_for 40 vm_assert_running_and_thawed "$vm"
    wait_for 40 no_run_left
}

@test "X2: a requester that is stopped with SIGSTOP is killed, the job aborted and the guest thawed" {
    probe_start
    ask guard "$vm"
    ask prepare "$vm" vda vdc
    ask freeze "$vm" 10
    ask begin "$vm"
    kill -STOP "$probe_pid"
    wait_for 30 vm_assert_running_and_thawed "$vm"
    wait_for 30 no_run_left
}

# begun_and_killed: a requester that dies with a frozen guest and a job; the directory's state is changed by the COMMAND before.
begun_and_killed() {
    probe_start
    ask guard "$vm"
    ask prepare "$vm" vda
    ask freeze "$vm" 10
    ask begin "$vm"
    "$@"
    kill -9 "$probe_pid"
    wait_for 60 vm_assert_running_and_thawed "$vm"
    wait_for 60 no_job "$vm"
}

@test "X2: the job is aborted and the guest thawed although the job's directory cannot be renamed" {
    begun_and_killed chattr +i "$jobs_directory"
    pgrep -f 'hypervisor-probe watchdog' >/dev/null # it goes on: a late call could still make its socket
    chattr -i "$jobs_directory"
    wait_for 60 no_run_left
}

@test "X2: what stands in the way of removing the job's directory keeps no watchdog alive" {
    begun_and_killed eval 'mkdir "$(echo "$jobs_directory"/*)/strange"'
    wait_for 60 eval '! pgrep -f "hypervisor-probe( |$)"'
    rmdir "$jobs_directory"/*.void/strange
    run -0 "$probe" recover
    no_run_left
}

@test "X5: a requester killed at any moment of freeze and begin leaves the guest thawed and without a job" {
    local delay
    for delay in 0.01 0.06 0.12 0.25; do
        probe_start
        ask guard "$vm"
        ask prepare "$vm" vda vdc
        tell freeze "$vm" 10
        tell begin "$vm"
        sleep $delay # which moment, not a wait for anything
        kill -9 "$probe_pid"
        eval "exec $probe_in>&- $probe_out<&-"
        wait_for 30 no_run_left
        vm_assert_running_and_thawed "$vm"
        # A call that libvirtd still had in hand would show now.
        sleep 0.5
        vm_assert_running_and_thawed "$vm"
        nothing_left
    done
}

@test "X2: a freeze that takes too long is bounded, and the guest is thawed when it goes on" {
    vm_command "$vm" agent hang-freeze
    probe_start
    ask guard "$vm"
    began=$SECONDS
    tell freeze "$vm" 3
    hear && fail "the freeze was not bounded"
    ((SECONDS - began <= 8))
    refused connection ping "$vm" 2
    tell thaw-until "$vm" 2
    hear && fail "the guest says thawed while it hangs"
    # Now the freeze, which nobody waits for any more, happens.
    vm_command "$vm" agent normal
    ask thaw-until "$vm" 40
    vm_assert_running_and_thawed "$vm"
    probe_end
    vm_assert_running_and_thawed "$vm"
}

@test "X1: guests that are silent do not keep others waiting" {
    vm_command "$vm" agent pause
    probe_start
    ask crowd "$vm" 1
    echo "# longest look at the state while 16 calls wait for a silent agent: ${answer% *} ms" >&3
    ((${answer% *} < 1500))
    [ "${answer#* }" = 16 ]
    vm_command "$vm" agent normal
    ask thaw-until "$vm" 40
    probe_end
}

@test "X4: a definition that a killed restore has removed comes back, and the VM runs again" {
    virsh -q dumpxml --domain "$vm" --inactive >"$TMPDIR/before.xml"
    virsh -q autostart --domain "$vm"
    probe_start
    ask set-aside "$vm"
    run ! virsh -q dominfo --domain "$vm"
    kill -9 "$probe_pid"
    wait_for 20 vm_is "$vm" running
    wait_for 20 no_run_left
    virsh -q dumpxml --domain "$vm" --inactive | diff "$TMPDIR/before.xml" -
    virsh -q dominfo --domain "$vm" | grep "^Autostart: *enable$"
    virsh -q autostart --domain "$vm" --disable
    vm_wait_channel "$vm"
    vm_wait_agent "$vm"
}

@test "a QEMU that ends during the job fails the check, and nothing is left" {
    probe_start
    ask guard "$vm"
    ask prepare "$vm" vda vdc
    ask begin "$vm"
    virsh -q destroy --domain "$vm"
    refused failed check "$vm"
    [[ $answer == *"was stopped during the copy"* ]]
    ask end "$vm"
    ask undo-all
    probe_end
    vm_is "$vm" "shut off"
}

@test "a QEMU that runs as a user of its own makes its socket and scratch files" {
    sed -i -e 's/^user = .*/user = "libvirt-qemu"/' -e 's/^group = .*/group = "libvirt-qemu"/' \
        -e 's/^dynamic_ownership = .*/dynamic_ownership = 1/' /etc/libvirt/qemu.conf
    chown libvirt-qemu:libvirt-qemu /var/lib/libvirt/qemu
    chmod 750 /var/lib/libvirt/qemu
    chmod 777 /run/vmshadow-test "$VMSHADOW_TEST_DIR/console"
    chmod o+x /run/vmshadow-test "$VMSHADOW_TEST_HOST" "$VMSHADOW_TEST_DIR"
    libvirtd_stop
    libvirtd_start
    vm_boot "$vm"
    pgrep -u libvirt-qemu qemu-system
    for place in '' "$VMSHADOW_TEST_DIR/small"; do
        probe_start ${place:+--scratch "$place"} --reserve 1000000
        ask guard "$vm"
        ask prepare "$vm" vda vdc
        ask freeze "$vm" 10
        ask begin "$vm"
        ask thaw "$vm" 10
        read_instant "$vm" vdc "$TMPDIR/vdc.read"
        ask end "$vm"
        ask undo-all
        probe_end
    done
    rm "$TMPDIR/vdc.read"
    vm_assert_running_and_thawed "$vm"
}
