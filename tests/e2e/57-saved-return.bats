#!/usr/bin/env bats
# The return of VMs that are saved and started again from their images, when libvirt itself refuses or dies in it: the image, which is
# all that is left of such a VM then, is kept until the VM goes on. And what others do to a VM meanwhile is not undone. Images are
# compressed: the processes that do it are where a save or a start can be held.

load helpers
load product
load hypervisor
load saved

memory=/var/lib/libvirt/qemu/vmshadow

setup_file() {
    product_setup --no-encryption
    echo "<network><name>lab</name><bridge name='labbridge'/></network>" >"$VMSHADOW_TEST_DIR/lab.xml"
    virsh -q net-define "$VMSHADOW_TEST_DIR/lab.xml"
    virsh -q net-start lab
    saved_setup "<interface type='network'><source network='lab'/><model type='virtio'/></interface>"
    slow_images gzip
}

teardown_file() {
    saved_teardown
    virsh -q net-destroy lab
    virsh -q net-undefine lab
    product_teardown
}

teardown() {
    rm -f "$TMPDIR/hold"
}

# goes_on: the paused VM is as before, and goes on where it was.
goes_on() {
    wait_for 60 paused_as_before && resumed
}

# hold_gzip WORDS: stops the process in which libvirt compresses or reads an image, as soon as it is there; sets held.
hold_gzip() {
    wait_for 60 eval "held=\$(pgrep -x -f '$1') && kill -STOP \$held"
    held=$(pgrep -x -f "$1")
}

# start_backup_of ARGUMENT...: in the background; sets pid and listed.
start_backup_of() {
    listed=$(backups)
    "$VMSHADOW" backup "$@" >"$TMPDIR/output" 2>&1 3>&- &
    pid=$!
}

# held_backup ARGUMENT...: a backup that waits before the first pause until $TMPDIR/hold goes; sets pid and listed.
held_backup() {
    touch "$TMPDIR/hold"
    VMSHADOW_TEST_HOLD=prepared:$TMPDIR/hold start_backup_of "$@" --events "$TMPDIR/events"
    wait_for 60 eval '[ -n "$(find $memory -name "*.memory")" ]'
}

is_kept() {
    [ -n "$(find "$memory" -path '*.memory*/image')" ] || fail "there is no image"
}

@test "B9: a paused VM whose network is not active is refused at planning: it could not be started again" {
    virsh -q net-destroy lab
    run -4 --separate-stderr vmshadow backup "$saved" "$paused"
    virsh -q net-start lab
    [[ "$stderr" == *"VM $paused"*"network lab is not active"* ]]
    as_before
}

@test "libvirt itself refuses to start a VM from its image, since its network was stopped: the image is kept, and the VM goes on from it" {
    start_backup_of "$paused"
    hold_gzip '.*gzip -c'
    virsh -q net-destroy lab
    kill -CONT $held
    ended
    [ $status != 0 ]
    [[ "$(virsh -q domstate --reason "$paused")" == *"shut off (failed)"* ]]
    is_kept
    virsh -q net-start lab
    goes_on
    [ "$(backups)" = "$listed" ]
}

@test "libvirtd is killed while it starts a VM from its image: the VM goes on from it" {
    start_backup_of "$paused"
    hold_gzip '.*gzip -dc'
    libvirtd_stop
    kill -KILL $held
    is_kept
    libvirtd_start
    ended
    goes_on
    assert_listed_or_not
}

@test "X2: a VM that somebody resumes or pauses before its turn is not touched: its state is theirs" {
    held_backup "$saved" "$paused"
    virsh -q resume --domain "$paused"
    virsh -q suspend --domain "$saved"
    rm "$TMPDIR/hold"
    ended
    [ $status = 1 ]
    [[ "$(cat "$TMPDIR/output")" == *"VM $paused changed since planning: it was paused and is running"* ]]
    vm_is "$paused" running
    vm_is "$saved" paused
    virsh -q suspend --domain "$paused"
    virsh -q resume --domain "$saved"
    as_before
    held_backup "$saved"
    virsh -q suspend --domain "$saved"
    rm "$TMPDIR/hold"
    ended
    [ $status = 1 ]
    [[ "$(cat "$TMPDIR/output")" == *"VM $saved changed since planning: it was running and is paused"* ]]
    vm_is "$saved" paused
    virsh -q resume --domain "$saved"
    as_before
    [ "$(backups)" = "$listed" ]
}

@test "a VM that went on and was saved by somebody is not overwritten by the older image: it is kept, and named" {
    other=$VMSHADOW_TEST_DIR/other.img
    VMSHADOW_TEST_POINT="memory saved:STOP" start_backup_of "$paused"
    wait_for 120 is_stopped
    pkill -9 -x vmshadow
    wait $pid || true
    vm_is "$paused" paused
    virsh -q resume --domain "$paused"
    vm_command "$paused" commit data0 next
    virsh -q save --domain "$paused" "$other"
    run -4 --separate-stderr vmshadow recover
    echo "$output $stderr"
    [[ "$stderr" == *"its disks were written to after that"*"$memory"*".void/image"* ]]
    is_kept
    vm_is "$paused" "shut off"
    virsh -q restore "$other" --paused
    rm "$other"
    run -0 vmshadow recover
    goes_on
}

@test "after all of that every VM is as before, and every listed backup is whole" {
    as_before
    run -0 vmshadow verify
}
