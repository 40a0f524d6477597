#!/usr/bin/env bats
# A restore over a saved VM dies: the requester is killed or stopped at its steps, with its watchdog, or libvirtd is killed. The VM is
# then saved, the old one as long as the restore was not final, the new one from there on, never neither and never a mixture.
#
# The backup has the VM with one record and the title `new`; the VM there is has two and is `old`.
#
# VMSHADOW_TEST_ALL=1 (make check-slow): stopped at every point of a restore, not only where most is open.

load helpers
load product
load hypervisor
load saved

vm=dying
saves=/var/lib/libvirt/qemu/save

setup_file() {
    product_setup --no-encryption
    vm_define $vm --no-agent --disk qcow2
    definition >"$TMPDIR/domain.xml" # libvirt orders controllers when it reads its own XML again
    virsh -q define "$TMPDIR/domain.xml"
    vm_boot $vm
    vm_command $vm bootid >"$TMPDIR/boot"
    new=$(saved_as new)
    virsh -q start --domain $vm 3>&-
    vm_wait_channel $vm
    old=$(saved_as old)
    export new old
}

teardown_file() {
    vm_destroy_everything $vm
    product_teardown
}

# saved_as TITLE: one record more, then it is saved and backed up; prints the backup.
saved_as() {
    vm_command $vm commit data0 next >/dev/null && virsh -q desc --domain $vm --title "$1" --live --config >/dev/null &&
        virsh -q managedsave --domain $vm >/dev/null && definition >"$TMPDIR/$1.xml" || return
    "$VMSHADOW" backup $vm --json | jq -r .backup
}

definition() {
    virsh -q dumpxml --inactive --domain $vm
}

# is_whole old|new: the VM is that one, saved, with its definition, memory and disk, and nothing of a restore is left.
is_whole() {
    local answer
    nothing_left || return
    answer=$(ls -A $saves "$images")
    [[ "$answer" != *vmshadow* && "$(ls -A $saves)" = $vm.save ]] || fail "$answer" || return
    [[ "$(virsh -q dominfo --domain $vm)" == *"shut off"*"Managed save:"*yes* ]] || fail "it is $(vm_state $vm), not saved" || return
    diff <(definition) "$TMPDIR/$1.xml" || return
    answer=$(virsh -q managedsave-dumpxml --domain $vm)
    [[ "$answer" == *"<title>$1</title>"* ]] || fail "memory: $answer" || return
    answer=$(records_last --crash $vm data0)
    [ "$answer" = "$(records_of "$1")" ] || fail "the last record is $answer"
}
records_of() {
    [ "$1" = new ] && echo 1 || echo 2
}

# continues old|new: once it is started it goes on from there: no second boot, the records go on. It is old again afterwards.
continues() {
    local answer
    virsh -q start --domain $vm 3>&- && vm_wait_channel $vm || return
    [ "$(vm_command $vm bootid)" = "$(cat "$TMPDIR/boot")" ] || fail "it has booted again" || return
    answer=$(vm_command $vm commit data0 next)
    [ "$answer" = "committed $(($(records_of "$1") + 1))" ] || fail "$answer" || return
    virsh -q destroy --domain $vm && disk_check --crash $vm || return
    old_again
}
old_again() {
    "$VMSHADOW" restore "$old" --yes >"$TMPDIR/output" 2>&1 || fail "$(cat "$TMPDIR/output")"
}

# dies_at POINT SIGNAL: a restore comes to its end there, and what must be is there.
dies_at() {
    local restore status=0 place which=old
    VMSHADOW_TEST_POINT=$1:$2 VMSHADOW_TEST_POINT_LOG=$TMPDIR/points "$VMSHADOW" restore "$new" --yes >"$TMPDIR/output" 2>&1 3>&- &
    restore=$!
    wait $restore || status=$?
    place="$2 at $1 ($(tail -n 1 "$TMPDIR/points"))"
    [ $status = 137 ] || fail "$place: status $status: $(cat "$TMPDIR/output")" || return
    [[ "$place" != *"past the point of no return"* ]] || which=new
    wait_for 90 is_whole $which || fail "$place" || return
    [ $which = old ] || old_again
}

# killed_from FIRST: at each third point from that one on.
killed_from() {
    local point
    for point in $(seq "$1" 3 "$(cat "$TMPDIR/count")"); do
        dies_at "$point" KILL || return
    done
}

# start_restore: in the background; sets pid. loading: libvirt has started QEMU with memory.
start_restore() {
    "$VMSHADOW" restore "$new" --yes >"$TMPDIR/output" 2>&1 3>&- &
    pid=$!
}
loading() {
    vm_is $vm paused
}

# recovered old|new: when all that undoes by itself has ended, recover does what is left.
recovered() {
    wait_for 90 eval '! pgrep -x vmshadow'
    run -0 --separate-stderr vmshadow recover --json
    [ "$(jq '[.runs[].left] | add // 0' <<<"$output")" = 0 ] || fail "$output" || return
    wait_for 60 is_whole "$1"
}
# recovered_after_restore: the old one when the restore, which is $pid, fails.
recovered_after_restore() {
    ended
    case $status in
    0) recovered new && old_again ;;
    1 | 8 | 137) recovered old ;; # failed, has lost its connection, was silent for too long and killed
    *) fail "status $status" ;;
    esac
}

@test "the points of a restore over a saved VM are known" {
    rm -f "$TMPDIR/points"
    run -0 env VMSHADOW_TEST_POINT=0:KILL VMSHADOW_TEST_POINT_LOG="$TMPDIR/points" "$VMSHADOW" restore "$new" --yes
    is_whole new
    wc -l <"$TMPDIR/points" >"$TMPDIR/count"
    echo "# $(cat "$TMPDIR/count") points: $(cut -d ' ' -f 2- "$TMPDIR/points" | sort -u | paste -sd ,)" >&3
    [ "$(cat "$TMPDIR/count")" -ge 20 ]
    continues new
}

@test "killed with -9 at every step of a restore over a saved VM: the old one until it is final, then the new one (1 of 3)" {
    killed_from 1
}

@test "killed with -9 at every step of a restore over a saved VM: the old one until it is final, then the new one (2 of 3)" {
    killed_from 2
}

@test "killed with -9 at every step of a restore over a saved VM: the old one until it is final, then the new one (3 of 3)" {
    killed_from 3
    continues old
}

@test "stopped with SIGSTOP before, in and after the import" {
    local point
    local -a points=("saved state set aside" "old VM undefined" "before the import" "memory loaded" "past the point of no return")
    [ -z "${VMSHADOW_TEST_ALL-}" ] || mapfile -t points < <(seq "$(cat "$TMPDIR/count")")
    for point in "${points[@]}"; do
        dies_at "$point" STOP
    done
}

@test "killed while libvirt loads the memory" {
    start_restore
    wait_for 60 loading
    kill -9 $pid
    wait $pid || true
    wait_for 90 is_whole old
}

@test "requester and watchdog killed while libvirt loads the memory, then recover: it puts it right" {
    start_restore
    wait_for 60 loading
    pkill -9 -x vmshadow
    wait $pid || true
    # It is killed itself when the old saved state is back, and the journal does not tell that.
    status=0
    VMSHADOW_TEST_POINT="old saved state put back:KILL" "$VMSHADOW" recover >"$TMPDIR/output" 2>&1 || status=$?
    [ $status = 137 ] || fail "status $status: $(cat "$TMPDIR/output")"
    recovered old
    continues old
}

@test "libvirtd is killed while it loads the memory" {
    start_restore
    wait_for 60 loading
    libvirtd_stop
    libvirtd_start
    recovered_after_restore
}

@test "libvirtd is killed when the memory is loaded, and away for longer than the restore waits for it" {
    VMSHADOW_TEST_POINT="memory loaded:STOP" "$VMSHADOW" restore "$new" --yes >"$TMPDIR/output" 2>&1 3>&- &
    pid=$!
    wait_for 60 is_stopped
    libvirtd_stop
    kill -CONT $pid
    ended
    [ $status != 0 ] && grep -q "the watchdog goes on" "$TMPDIR/output"
    libvirtd_start
    recovered old
}

@test "libvirtd is killed while the old saved state is put back" {
    VMSHADOW_TEST_POINT="before the import:KILL" "$VMSHADOW" restore "$new" --yes >"$TMPDIR/output" 2>&1 3>&- &
    pid=$!
    ended
    [ $status = 137 ]
    wait_for 60 loading
    libvirtd_stop
    libvirtd_start
    recovered old
    continues old
}

@test "libvirtd is killed while it saves the memory" {
    slow_images gzip # so that it takes long enough to be hit
    start_restore
    wait_for 60 saving
    libvirtd_stop
    libvirtd_start
    recovered_after_restore
    continues old
}
saving() {
    [[ "$(virsh -q domjobinfo --domain $vm)" == *Operation:*Save* ]]
}
