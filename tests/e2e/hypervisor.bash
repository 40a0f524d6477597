# shellcheck shell=bash
# The hypervisor room driven by hypervisor-probe, for the files 10-*.bats and 11-*.bats.

probe=$(dirname "$VMSHADOW")/tests/e2e/tools/hypervisor-probe
jobs_directory=/var/lib/libvirt/qemu/vmshadow

# probe_start [OPTION...]: a run with its watchdog; answers come through ask.
probe_start() {
    coproc PROBE { exec "$probe" "$@" 2>"$TMPDIR/probe.err" 3>&-; }
    probe_pid=$PROBE_PID
    exec {probe_in}>&"${PROBE[1]}" {probe_out}<&"${PROBE[0]}"
    eval "exec ${PROBE[1]}>&- ${PROBE[0]}<&-" # the copies outlive subshells; these would keep its input open
    IFS= read -r -t 30 answer <&"$probe_out" || fail "hypervisor-probe does not answer: $(cat "$TMPDIR/probe.err")" || return
    [[ $answer == ok* ]] || fail "$answer"
}

# tell WORD...: sends a request and does not wait.
tell() {
    local IFS=$'\t'
    echo "$*" >&"$probe_in"
}

# hear [SECONDS]: the answer to the last request: $answer, and the milliseconds in $took. Fails when it is an error.
hear() {
    local line
    IFS= read -r -t "${1:-60}" line <&"$probe_out" || fail "hypervisor-probe does not answer" || return
    case $line in
    ok*)
        took=${line#ok }
        took=${took%% *}
        answer=${line#ok * }
        ;;
    *) answer=$line && return 1 ;;
    esac
}

# ask WORD...: a request and its answer.
ask() {
    tell "$@"
    hear || { echo "$*: $answer" >&2 && return 1; }
}

# refused KIND WORD...: the request must fail with that kind of error; $answer has the message.
refused() {
    local kind=$1
    shift
    tell "$@"
    ! hear || fail "$*: was not refused: $answer" || return
    [[ $answer == "error $kind "* ]] || fail "$*: $answer"
}

# probe_end: the run ends in order, and nothing is left of it.
probe_end() {
    eval "exec $probe_in>&- $probe_out<&-"
    wait "$probe_pid" || fail "hypervisor-probe: status $?: $(cat "$TMPDIR/probe.err")" || return
    probe_pid=
    no_run_left
}

# no_run_left: no process, no directory, no clone, no journal of a run.
no_run_left() {
    local found
    found=$(pgrep -af 'hypervisor-probe( |$)' || true)
    [ -z "$found" ] || fail "processes: $found" || return
    found=$(find "$jobs_directory" /var/lib/vmshadow "$VMSHADOW_TEST_DIR" "$images" -xdev \
        \( -name '*.sock' -o -name '*.scratch' -o -name '*.void' -o -name '.vmshadow-*' -o -path "$jobs_directory/*" \
        -o -name '*journal*' \) 2>/dev/null || true)
    [ -z "$found" ] || fail "left: $found" || return
    nothing_left
}

# probe_kill: ends what is left of a run after a test that failed, and waits for its watchdog.
probe_kill() {
    [ -n "${probe_pid-}" ] || return 0
    kill -9 "$probe_pid" 2>/dev/null || true
    probe_pid=
    wait_for 60 eval '! pgrep -f "hypervisor-probe( |$)"' || true
}

# uri_of VM TARGET: where the instant of a disk is read.
uri_of() {
    ask open "$1" "$2" && echo "${answer% *}"
}

# read_instant VM TARGET FILE: the instant of a disk as a raw file.
read_instant() {
    local uri
    uri=$(uri_of "$1" "$2") || return
    nbdcopy --destination-is-zero "$uri" - >"$3" 2>"$TMPDIR/nbdcopy.err" || fail "$(cat "$TMPDIR/nbdcopy.err")"
}

libvirtd_stop() {
    kill -9 "$(cat /run/libvirtd.pid)" && wait_for 10 eval '! pgrep -x libvirtd'
}
libvirtd_start() {
    libvirtd >>"$VMSHADOW_TEST_HOST/log/libvirtd.out" 2>&1 </dev/null 3>&- &
    wait_for 20 virsh -q list
}

# libvirtd_is_asked_for: waits, in the place of a libvirtd that is away, until somebody connects, and hangs up.
libvirtd_is_asked_for() {
    python3 -c '
import os, socket
path = "/run/libvirt/libvirt-sock"
if os.path.lexists(path):
    os.unlink(path)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
server.settimeout(60)
server.accept()[0].close()
os.unlink(path)'
}

# events_start, events_of VM: libvirt's life-cycle events since then, one a line.
events_start() {
    : >"$TMPDIR/events"
    virsh -q event --all --loop >"$TMPDIR/events" 2>&1 3>&- &
    events_pid=$!
}
events_stop() {
    kill "$events_pid" 2>/dev/null || true
}
never_paused() {
    ! grep -iE 'suspended|io-error' "$TMPDIR/events" >"$TMPDIR/paused" || fail "$(cat "$TMPDIR/paused")"
}

no_job() {
    local found
    found=$(virsh -q domjobinfo --domain "$1") && [[ "$found" == *None* ]]
}
