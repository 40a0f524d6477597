# shellcheck shell=bash
# Two VMs without guest agent, one that runs and writes and one that is paused, for tests which interrupt a backup that saves them.
saved=saved-one
paused=paused-one

# saved_setup [XML]: with that device in the one that is paused.
saved_setup() {
    vm_define "$saved" --no-agent --memory 128
    vm_define "$paused" --no-agent --memory 128 ${1+--xml "$1"}
    vm_boot "$saved" "$paused"
    vm_command "$paused" bootid >"$VMSHADOW_TEST_DIR/bootid-paused"
    virsh -q suspend --domain "$paused"
    vm_command "$saved" run data0 20 # milliseconds between two records: it needs not load the processors
    vm_command "$saved" bootid >"$VMSHADOW_TEST_DIR/bootid"
}

saved_teardown() {
    vm_destroy_everything "$saved"
    vm_destroy_everything "$paused"
}

# slow_images: libvirt compresses images of memory, which takes seconds; libvirtd is started anew.
slow_images() {
    printf 'save_image_format = "%s"\nsnapshot_image_format = "%s"\n' "$1" "$1" >>/etc/libvirt/qemu.conf
    libvirtd_stop
    libvirtd_start
}

paused_as_before() {
    vm_is "$paused" paused || fail "$paused is $(vm_state "$paused")" || return
    nothing_left
}

# as_before: both are what they were; the one that runs has not been booted since and writes on.
as_before() {
    local last
    vm_is "$saved" running || fail "$saved is $(vm_state "$saved")" || return
    last=$(vm_command "$saved" last data0) || return
    wait_for 20 writes_on "${last#last }" || return
    [ "$(vm_command "$saved" bootid)" = "$(cat "$VMSHADOW_TEST_DIR/bootid")" ] || fail "$saved was booted" || return
    paused_as_before
}
writes_on() {
    local last
    last=$(vm_command "$saved" last data0) && ((${last#last } > $1))
}

# interrupt POINT SIGNAL: a backup that is interrupted there, then all is as before. Sets status, 0 when it did not come there.
interrupt() {
    local listed_before
    listed_before=$(backups)
    status=0
    VMSHADOW_TEST_POINT=$1:$2 VMSHADOW_TEST_POINT_LOG=$TMPDIR/points timeout 90 "$VMSHADOW" backup "$saved" "$paused" \
        >"$TMPDIR/output" 2>&1 || status=$?
    [ $status = 0 ] && return
    [ $status = 137 ] || fail "point $1: status $status: $(cat "$TMPDIR/output")" || return
    wait_for 60 as_before || fail "point $1 ($(tail -n 1 "$TMPDIR/points"))" || return
    [ "$(backups)" = "$listed_before" ] || [[ "$(tail -n 1 "$TMPDIR/points")" == *committed ]] ||
        fail "point $1 ($(tail -n 1 "$TMPDIR/points")): a backup is listed"
}

# find_points: the names of the points of a backup into $TMPDIR/names. Each step made known is one, each change of a VM, each part of a
# backup.
find_points() {
    rm -f "$TMPDIR/points"
    interrupt 0 KILL || return
    [ $status = 0 ] || fail "a backup fails: $(cat "$TMPDIR/output")" || return
    cut -d ' ' -f 2- "$TMPDIR/points" | sort -u >"$TMPDIR/names"
    echo "# $(wc -l <"$TMPDIR/names") points: $(paste -sd , "$TMPDIR/names")" >&3
}

# interrupt_all SIGNAL NAME...: where a run comes to a point of that name for the first time.
interrupt_all() {
    local point signal=$1
    shift
    for point; do
        interrupt "$point" "$signal" || return
        [ $status = 137 ] || fail "point $point: not reached" || return
    done
}

# resumed: the paused VM goes on where it was, and is paused again.
resumed() {
    virsh -q resume --domain "$paused"
    [ "$(vm_command "$paused" bootid)" = "$(cat "$VMSHADOW_TEST_DIR/bootid-paused")" ] || fail "$paused was booted" || return
    virsh -q suspend --domain "$paused"
}

# start_backup, start_backup_to POINT: in the background, the latter up to the point, where it is stopped. They set pid and listed.
start_backup() {
    listed=$(backups)
    "$VMSHADOW" backup "$saved" "$paused" >"$TMPDIR/output" 2>&1 &
    pid=$!
}
start_backup_to() {
    listed=$(backups)
    VMSHADOW_TEST_POINT=$1:STOP "$VMSHADOW" backup "$saved" "$paused" >"$TMPDIR/output" 2>&1 &
    pid=$!
    wait_for 120 is_stopped_or_ended
    is_stopped || fail "not stopped at $1: $(cat "$TMPDIR/output")"
}
is_stopped() {
    [ "$(ps -o state= -p "$pid")" = T ]
}
is_stopped_or_ended() {
    [[ "$(ps -o state= -p "$pid")" != [RSD]* ]]
}
# ended: waits for that backup; sets status.
ended() {
    status=0
    wait "$pid" || status=$?
    cat "$TMPDIR/output"
}
assert_listed_or_not() {
    [ "$(backups)" = $((status == 0 ? listed + 1 : listed)) ] || fail "status $status, $(backups) backups"
}

# is_writing: libvirt writes the image of the running VM's memory.
is_writing() {
    [[ "$(virsh -q domjobinfo --domain "$saved")" == *Operation:*S[na]* ]]
}
not_writing() {
    [[ "$(virsh -q domjobinfo --domain "$saved")" == *None* ]]
}
