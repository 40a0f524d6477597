# shellcheck shell=bash
# Helpers of the end-to-end tests: `load helpers` in a bats file that runs inside tests/host/run.
#
# A VM is named by any name libvirt takes; names with spaces, quotes, & and letters beyond ASCII work everywhere here. Its disks
# have file systems labelled data0, data1, ...; the guest mounts them, and these labels are the volume names of
# vm_command (tests/guest/recorder.c lists the commands). Every wait is for a condition and has a limit.

! declare -F bats_require_minimum_version >/dev/null || bats_require_minimum_version 1.5.0
tests_root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
guest_channel=$tests_root/guest/guest-channel
images=/var/lib/libvirt/images
VMSHADOW=${VMSHADOW:-$tests_root/../build-check/vmshadow}

# fail MESSAGE: ends the test.
fail() {
    echo "$*" >&2
    return 1
}

if [ -z "${VMSHADOW_TEST_HOST-}" ] || [ "$(findmnt -n -o SOURCE /run 2>/dev/null | tail -n 1)" != run ]; then
    fail "not on a throw-away host: tests/host/run bats $0"
    exit 1
fi

# wait_for SECONDS COMMAND...: runs COMMAND until it succeeds. Fails, with its last output, when the time is over.
wait_for() {
    local limit=$1 until output pause=5 # hundredths of a second; longer and longer, because the processors are the VMs'
    shift
    until=$((${EPOCHREALTIME/[.,]/} + limit * 1000000))
    while ! output=$("$@" 2>&1); do
        if ((${EPOCHREALTIME/[.,]/} > until)); then
            fail "not within $limit s: $*: $output"
            return 1
        fi
        sleep "0.$(printf %02d "$pause")"
        ((pause >= 40)) || pause=$((pause + 5))
    done
}

# vmshadow ARGUMENT...: the program under test. What it prints with --json is kept in $VMSHADOW_TEST_JSON, where tests/run-check
# sets that, and checked when all tests have run.
vmshadow() {
    case " ${VMSHADOW_TEST_JSON:+$*} " in
    *" --json "* | *" -j "*) json_kept "$@" ;;
    *) "$VMSHADOW" "$@" ;;
    esac
}
json_kept() {
    local file status=0
    file=$(mktemp "$VMSHADOW_TEST_JSON/$1.XXXXXXXX") || return
    "$VMSHADOW" "$@" >"$file" || status=$?
    cat "$file"
    [ -s "$file" ] || rm "$file" # it was killed
    return $status
}

# --- VMs ---

# vm_id NAME: a short name without special characters, for sockets and logs.
vm_id() {
    printf %s "$1" | sha256sum | cut -c1-12
}

# vm_socket NAME, vm_console NAME: the recorder's channel, the log of the serial console.
vm_socket() {
    echo "/run/vmshadow-test/$(vm_id "$1").sock"
}
vm_console() {
    echo "$VMSHADOW_TEST_DIR/console/$(vm_id "$1").log"
}

# make_file_system FILE ext4|xfs LABEL MIB: a sparse file with a file system.
make_file_system() {
    truncate -s "$4M" "$1" || return
    case $2 in
    ext4) mkfs.ext4 -q -F -L "$3" "$1" ;;
    xfs) mkfs.xfs -q -L "$3" "$1" && fallocate --dig-holes "$1" ;;
    *) fail "no such file system: $2" ;;
    esac
}

# make_disk PATH raw|qcow2|qcow2-chain ext4|xfs LABEL MIB: a disk image with a file system.
# A chain is PATH on PATH.base; the file system is in the base.
make_disk() {
    local path=$1 format=$2
    if [ "$format" = raw ]; then
        make_file_system "$path" "${@:3}"
        return
    fi
    make_file_system "$path.raw" "${@:3}" || return
    case $format in
    qcow2) qemu-img convert -f raw -O qcow2 "$path.raw" "$path" ;;
    qcow2-chain)
        qemu-img convert -f raw -O qcow2 "$path.raw" "$path.base" &&
            qemu-img create -q -f qcow2 -F qcow2 -b "$path.base" "$path"
        ;;
    *) fail "no such format: $format" ;;
    esac || return
    rm "$path.raw"
}

# vm_define NAME [OPTION...]: a VM, defined and not started. Without --disk it has one raw disk with ext4.
#   --disk FORMAT[:FILE-SYSTEM[:MIB]]  raw, qcow2, qcow2-chain : ext4 (64), xfs (320); may be repeated
#   --driver ATTRIBUTE=VALUE,...       for the <driver> of the disks after it, as error_policy=report
#   --directory DIR                    where the disks are made, /var/lib/libvirt/images unless given
#   --no-agent                         no guest agent
#   --bus virtio|scsi, --memory MIB, --vcpus N, --cmdline WORDS, --uuid UUID
#   --nvram PATH                       UEFI, which keeps its variables in that file; takes 10 to 20 s longer to boot
#   --xml ELEMENTS                     put into <devices>; may be repeated
vm_define() {
    local name=$1 directory=$images driver='' spec format system size path guest suffix count=0
    local -a options=() specs=() drivers=()
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --disk) specs+=("$2") drivers+=("$driver") && shift 2 ;;
        --driver) driver=$2 && shift 2 ;;
        --directory) directory=$2 && shift 2 ;;
        --no-agent) options+=("$1") && shift ;;
        --bus | --memory | --vcpus | --cmdline | --uuid | --nvram | --xml) options+=("$1" "$2") && shift 2 ;;
        *) fail "vm_define: unknown option $1" || return ;;
        esac
    done
    [ ${#specs[@]} -gt 0 ] || { specs=(raw) drivers=("$driver"); }
    mkdir -p "$directory" /run/vmshadow-test "$VMSHADOW_TEST_DIR/console" || return
    for spec in "${specs[@]}"; do
        IFS=: read -r format system size <<<"$spec"
        system=${system:-ext4}
        case $system in
        xfs) size=${size:-320} ;;
        *) size=${size:-64} ;;
        esac
        suffix=${format%-chain}
        path=$directory/$name-data$count.$suffix
        make_disk "$path" "$format" "$system" "data$count" "$size" || return
        options+=(--disk "$path" "$suffix" "data$count" "${drivers[$count]}")
        count=$((count + 1))
    done
    guest=$("$tests_root/guest/build") || return
    "$tests_root/e2e/domain-xml" make "$name" "$guest" "$(vm_console "$name")" "$(vm_socket "$name")" \
        "${options[@]}" >"$TMPDIR/define.$$.xml" || return
    virsh -q define "$TMPDIR/define.$$.xml" >/dev/null && rm "$TMPDIR/define.$$.xml"
}

# vm_start NAME...: starts the VMs, without waiting.
vm_start() {
    local name
    for name; do
        virsh -q start --domain "$name" >/dev/null 3>&- || return
    done
}

# vm_wait_channel NAME..., vm_wait_agent NAME...: until the recorder, or the guest agent, answers.
vm_wait_channel() {
    local name
    for name; do
        "$guest_channel" --limit 150 "$(vm_socket "$name")" ping >/dev/null || return
    done
}
vm_wait_agent() {
    local name
    for name; do
        wait_for 150 virsh -q qemu-agent-command --timeout 5 --domain "$name" '{"execute":"guest-ping"}' || return
    done
}

# vm_boot NAME...: starts the VMs and waits until recorders and agents answer. The agent only where there is one.
vm_boot() {
    local name
    vm_start "$@" && vm_wait_channel "$@" || return
    for name; do
        [[ "$(vm_command "$name" agent status)" == running* ]] || continue
        vm_wait_agent "$name" || return
    done
}

# vm_command NAME [--limit SECONDS] [--no-wait] COMMAND...: asks the recorder and prints its answer. Fails when the answer is an
# error, when it is still `blocked` at the limit (20 s), and when there is none.
vm_command() {
    local name=$1
    local -a options=()
    shift
    while [[ ${1-} == --* ]]; do
        case $1 in
        --limit) options+=("$1" "$2") && shift 2 ;;
        *) options+=("$1") && shift ;;
        esac
    done
    "$guest_channel" "${options[@]}" "$(vm_socket "$name")" "$@"
}

# ledger_start A B... VOLUME: commits n in A, then n in B, without pause, in the background until ledger_stop (not in a subshell), which
# sets ledger_last. Only one at a time, and meanwhile no vm_command to these VMs: the ledger has their channels. ledger_reached NUMBER is for wait_for.
ledger_start() {
    ledger_progress=$TMPDIR/ledger.$BASHPID
    : >"$ledger_progress"
    local -a sockets=()
    while [ $# -gt 1 ]; do
        sockets+=("$(vm_socket "$1")") && shift
    done
    "$tests_root/guest/ledger" "${sockets[@]}" "$1" "$ledger_progress" \
        >"$ledger_progress.output" 2>&1 3>&- &
    ledger_process=$!
}
ledger_stop() {
    local status=0
    kill "$ledger_process" 2>/dev/null || true
    wait "$ledger_process" || status=$?
    ledger_last=$(cat "$ledger_progress.output")
    rm -f "$ledger_progress" "$ledger_progress.output"
    [ $status = 0 ] || fail "$ledger_last"
}
ledger_reached() {
    local number
    kill -0 "$ledger_process" || return
    number=$(cat "$ledger_progress")
    ((${number:-0} >= $1)) || fail "the ledger is at ${number:-0}"
}

# vm_state NAME: running, paused, shut off, ...
vm_state() {
    virsh -q domstate --domain "$1" | head -n 1
}

# vm_is NAME STATE: for wait_for.
vm_is() {
    local state
    state=$(vm_state "$1") || return
    [ "$state" = "$2" ] || fail "$1 is $state, not $2"
}

# vm_shutdown NAME: by the guest, in order, so that its file systems are unmounted.
vm_shutdown() {
    vm_command "$1" poweroff >/dev/null && wait_for 30 vm_is "$1" "shut off"
}

# vm_disks NAME [--inactive]: a line for each disk: target, format, path, with tabs between.
vm_disks() {
    virsh -q dumpxml --domain "$1" ${2+"$2"} | "$tests_root/e2e/domain-xml" disks
}

# vm_disk NAME INDEX: path of the image which the VM writes to.
vm_disk() {
    vm_disks "$1" | sed -n "$(($2 + 1))p" | cut -f3
}

# vm_destroy NAME: kills the VM and removes its definition, all that libvirt keeps for it, and its disks: as if the host had
# lost it.
vm_destroy_everything() {
    local name=$1 checkpoint target format path
    virsh -q domid --domain "$name" >/dev/null 2>&1 || return 0
    local -a paths=()
    while IFS=$'\t' read -r target format path; do
        paths+=("$path")
    done < <(vm_disks "$name" && vm_disks "$name" --inactive)
    virsh -q destroy --domain "$name" >/dev/null 2>&1 || true
    while read -r checkpoint; do
        [ -z "$checkpoint" ] || virsh -q checkpoint-delete --domain "$name" "$checkpoint" --metadata >/dev/null
    done < <(virsh -q checkpoint-list --domain "$name" --name)
    if virsh -q dominfo --domain "$name" >/dev/null 2>&1; then
        virsh -q undefine --domain "$name" --nvram --managed-save --snapshots-metadata --checkpoints-metadata \
            >/dev/null || return
    fi
    for path in "${paths[@]}"; do
        case $path in
        "$VMSHADOW_TEST_DIR"/* | /var/lib/libvirt/*) rm -f "$path" "$path.base" ;;
        esac
    done
}

# --- what must hold ---

# vm_assert_running_and_thawed NAME: runs, all volumes can be written to, and the agent, if there is one, says thawed.
vm_assert_running_and_thawed() {
    local name=$1 volume answer volumes
    vm_is "$name" running || return
    volumes=$(vm_command "$name" volumes) || return
    for volume in ${volumes#volumes}; do
        answer=$(vm_command "$name" "frozen?" "$volume") || return
        [ "$answer" = writable ] || fail "$name: $volume is $answer" || return
    done
    [[ "$(vm_command "$name" agent status)" == running* ]] || return 0
    answer=$(virsh -q qemu-agent-command --timeout 5 --domain "$name" '{"execute":"guest-fsfreeze-status"}') || return
    [[ "$answer" == *'"thawed"'* ]] || fail "$name: the agent says $answer"
}

# image_copy IMAGE FORMAT FILE: the content of an image with its chain, also of a running VM, as a sparse raw file.
image_copy() {
    qemu-img convert -U -f "$2" -O raw "$1" "$3"
}

# with_mounted RAW replay|as-it-is COMMAND...: runs COMMAND with the directory on which the file system in RAW is mounted; as it is:
# read-only, and nothing of its journal is replayed.
with_mounted() {
    local raw=$1 how=$2 directory=$1.mounted option status=0
    shift 2
    option=ro,noload
    [ "$(blkid -p -s TYPE -o value "$raw")" = xfs ] && option=ro,norecovery,nouuid
    [ "$how" = replay ] && option=rw
    [ "$option" = rw ] && [ "$(blkid -p -s TYPE -o value "$raw")" = xfs ] && option=rw,nouuid
    mkdir "$directory" || return
    mount -o "loop,$option" "$raw" "$directory" || status=$?
    if [ $status = 0 ]; then
        "$@" "$directory" || status=$?
        umount "$directory" || status=$?
    fi
    rmdir "$directory"
    return $status
}

# file_system_check RAW frozen|crashed: is the file system consistent? The file may be written to.
# frozen: it must be whole without its journal. ext4 then needs no recovery. xfs always logs its superblock at the end of a freeze,
# so there nothing else may be in the log.
file_system_check() {
    local raw=$1 how=$2 type log
    type=$(blkid -p -s TYPE -o value "$raw")
    case $type:$how in
    ext4:frozen)
        ! dumpe2fs -h "$raw" 2>/dev/null | grep -q '^Filesystem features:.* needs_recovery' ||
            fail "ext4 needs recovery: it was not frozen" || return
        ;;
    xfs:frozen)
        log=$(xfs_logprint -t "$raw" 2>&1)
        [ "$(grep -c '^[A-Z].*: cnt:' <<<"$log")" = "$(grep -c 'SUPER Block Buffer:' <<<"$log")" ] ||
            fail "xfs has changes in its log only: it was not frozen: $(tail -n 40 <<<"$log")" || return
        with_mounted "$raw" replay true || return
        ;;
    *:crashed) with_mounted "$raw" replay true || return ;;
    esac
    case $type in
    ext4) e2fsck -fn "$raw" ;;
    xfs) xfs_repair -f -n "$raw" ;;
    *) fail "no file system in $raw" ;;
    esac >"$raw.check" 2>&1 || fail "$(cat "$raw.check")" || return
    rm "$raw.check"
}

# disk_check [--crash] NAME: all disks of the VM have whole file systems. As a frozen guest leaves them, unless --crash is given:
# then their journals may be replayed first.
disk_check() {
    local how=frozen target format path raw=$TMPDIR/disk-check.$$ status=0
    [ "$1" = --crash ] && how=crashed && shift
    while IFS=$'\t' read -r target format path; do
        { image_copy "$path" "$format" "$raw" && file_system_check "$raw" $how; } ||
            { fail "$1: disk $target ($path)" || status=1; }
        rm -f "$raw"
    done < <(vm_disks "$1")
    return $status
}

# records_check [--crash] NAME VOLUME: checks the records in the volume's image (of a VM that is off, or as it lies there) and
# prints `last N` and the marks. --crash: the journal is replayed, and the last record may be torn.
records_check() {
    local how=as-it-is crash='' name index target format path raw=$TMPDIR/records-check.$$ status=0
    [ "$1" = --crash ] && how=replay && crash=--crash && shift
    name=$1 index=${2#data}
    IFS=$'\t' read -r target format path < <(vm_disks "$name" | sed -n "$((index + 1))p")
    [ -n "$path" ] || fail "$name has no disk $2 ($target)" || return
    image_copy "$path" "$format" "$raw" || return
    with_mounted "$raw" $how "$("$tests_root/guest/build")/record-check" $crash || status=$?
    rm "$raw"
    return $status
}

# records_last [--crash] NAME VOLUME: the number of the last record in the image.
records_last() {
    local output
    output=$(records_check "$@") || return
    sed -n 's/^last //p' <<<"$output"
}

# nothing_left: no run of vmshadow has left anything on this host: no process, no job, no export, no socket, no scratch.
nothing_left() {
    local name found
    for name in vmshadow nbdkit qemu-nbd qemu-img; do
        found=$(pgrep -a "$name" || true)
        [ -z "$found" ] || fail "processes: $found" || return
    done
    found=$(find /run /var/lib/vmshadow /var/lib/libvirt "$VMSHADOW_TEST_DIR" -xdev ! -type d \
        \( -name '*scratch*' -o -name 'vmshadow*.sock' -o -path '/run/vmshadow/*' \
        -o -path '/var/lib/libvirt/qemu/vmshadow/*' -o -path '/var/lib/vmshadow/*journal*' \))
    [ -z "$found" ] || fail "files: $found" || return
    vm_no_jobs
}

# vm_no_jobs: no VM that runs has a job or an export. One virsh asks all of it: it takes longer to start than to answer.
vm_no_jobs() {
    local uuid uuids query commands='' answers
    uuids=$(virsh -q list --uuid) || return
    for uuid in $uuids; do
        commands+="domjobinfo $uuid;"
        for query in query-block-jobs query-block-exports; do
            commands+="qemu-monitor-command $uuid '{\"execute\":\"$query\"}';"
        done
    done
    [ -n "$commands" ] || return 0
    answers=$(virsh -q "$commands" | grep -v '^$') || return
    [ "$(grep -c '^Job type: *None' <<<"$answers")" = "$(wc -w <<<"$uuids")" ] || fail "a job: $answers" || return
    [ "$(grep -c '^{"return":\[\]' <<<"$answers")" = $((2 * $(wc -w <<<"$uuids"))) ] || fail "a job or an export: $answers"
}

# --- places ---

# make_place xfs|ext4 MIB DIRECTORY: a file system of its own on DIRECTORY: xfs for reflinks, a small ext4 to fill up.
# It goes with the host; remove_place DIRECTORY takes it away before.
make_place() {
    local file
    file=$(mktemp "$VMSHADOW_TEST_DIR/place.XXXXXX") && make_file_system "$file" "$1" place "$2" &&
        mkdir -p "$3" && mount -o loop "$file" "$3"
}
remove_place() {
    local file
    file=$(losetup -n -O BACK-FILE "$(findmnt -n -o SOURCE "$1")")
    umount "$1" && rm -f "$file"
}

# make_bridge NAME: a bridge for interfaces.
make_bridge() {
    ip link add "$1" type bridge && ip link set "$1" up
}
