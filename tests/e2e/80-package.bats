#!/usr/bin/env bats
# The Debian package on a clean Debian: installed, a job run by its timer under a real systemd, killed, recovered at the next boot,
# restored on another host, removed; and `make install`. `tests/package/build` makes package and root before; tests/run-check does.

load helpers

vm="web server"
roots=$VMSHADOW_TEST_DIR/roots
root=$roots/first
repository=$VMSHADOW_TEST_DIR/srv
passphrase=$VMSHADOW_TEST_DIR/secret/passphrase

setup_file() {
    local cache
    cache=$(dirname "${VMSHADOW_TEST_CACHE:-$tests_root/../build-check/guest}")/package
    # It may just be made.
    [ ! -e "$cache/lock" ] || flock --wait 500 "$cache/lock" true
    [ -e "$cache/now/vmshadow.deb" ] || fail "run tests/package/build before"
    base=$(realpath "$cache/now/root")
    export base
    package=$(realpath "$cache/now/vmshadow.deb")
    export package
    overlay installed "$base"
    cp "$package" "$roots/installed/vmshadow.deb"
    mkdir -p "$repository" "$VMSHADOW_TEST_DIR/secret"
    (umask 077 && echo "a passphrase of the tests" >"$passphrase")
    vm_define "$vm" --disk qcow2:ext4:16
    vm_boot "$vm"
}

teardown_file() {
    kill -CONT "$(cat /run/libvirtd.pid)" # a test that failed may have stopped it
    container_kill
    vm_destroy_everything "$vm"
    umount -R "$roots"/* || true
}

# overlay NAME LOWER: a root of that name, in which what is written does not touch LOWER.
overlay() {
    mkdir -p "$roots/$1" "$VMSHADOW_TEST_DIR/upper-$1" "$VMSHADOW_TEST_DIR/work-$1"
    mount -t overlay -o "lowerdir=$2,upperdir=$VMSHADOW_TEST_DIR/upper-$1,workdir=$VMSHADOW_TEST_DIR/work-$1" overlay "$roots/$1"
}

# What the program needs of the host.
shared() {
    printf '%s\n' /run/libvirt /var/lib/libvirt /etc/libvirt "$(dirname "$("$tests_root/guest/build")")" "$repository" "$(dirname "$passphrase")"
}

# inside COMMAND...: in the first root.
inside() {
    local path
    local -a binds=()
    while read -r path; do binds+=(--bind "$path"); done < <(shared)
    "$tests_root/package/in-root" "$root" "${binds[@]}" "$@"
}

# container_boot, container_kill, contained COMMAND...: the first root with its own systemd.
container_boot() {
    local -a paths
    mapfile -t paths < <(shared)
    "$tests_root/package/boot" "$root" "${paths[@]}" >>"$TMPDIR/console" 2>&1 3>&- &
    echo $! >"$TMPDIR/container"
    wait_for 60 container_is_up
}
container_process() {
    pgrep -P "$(cat "$TMPDIR/container")" | head -n 1
}
contained() {
    nsenter --target "$(container_process)" --all --root --wd env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
}
container_is_up() {
    [[ "$(contained systemctl is-system-running)" =~ ^(running|degraded)$ ]] || fail "$(tail -n 5 "$TMPDIR/console")"
}
container_kill() {
    local process
    process=$(container_process 2>/dev/null) || return 0
    kill -9 "$process"
    wait_for 30 process_gone "$process"
}
process_gone() {
    [ ! -d "/proc/$1" ]
}

# job_state WORD: the job's service is that.
job_is() {
    local state
    state=$(contained systemctl show -P ActiveState vmshadow@nightly.service)
    [ "$state" = "$1" ] || fail "the service is $state: $(contained journalctl -q -n 5 -u vmshadow@nightly.service)"
}

# contained_apt WORD...: apt-get in the container.
contained_apt() {
    contained env DEBIAN_FRONTEND=noninteractive HOME=/root apt-get -q -y "$@"
}

# timer_is WORD: the job's timer is that.
timer_is() {
    [ "$(contained systemctl show -P ActiveState vmshadow@nightly.timer)" = "$1" ]
}

stored() {
    inside vmshadow list --json | jq '.backups | length'
}
stored_are() {
    [ "$(stored)" = "$1" ]
}

# files: what is in the first root, without what any use of a Debian changes.
files() {
    (cd "$root" && find . -xdev \( -path ./var/cache -o -path ./var/log -o -path ./var/lib/dpkg -o -path ./var/lib/apt \
        -o -path ./var/lib/systemd -o -path ./run -o -path ./dev -o -path ./sys -o -path ./proc -o -path ./tmp -o -path ./var/tmp \) \
        -prune -o -print | sort)
}

# hold_run: the job runs up to its copy, and waits there.
hold_run() {
    : >"$repository/hold"
    contained systemctl start --no-block vmshadow@nightly.service
    wait_for 60 has_job
}
has_job() {
    [[ "$(virsh -q domjobinfo --domain "$vm")" != *None* ]]
}
thawed_and_clean() {
    nothing_left && [ -z "$(ls "$root/var/lib/vmshadow/runs")" ] && vm_assert_running_and_thawed "$vm"
}

@test "the package installs on a clean Debian without the network" {
    root=$roots/installed
    files >"$TMPDIR/before"
    "$tests_root/package/in-root" "$root" dpkg-query -W -f '${Package}\n' >"$TMPDIR/packages"
    run -0 inside apt-get -q -y --no-install-recommends install /vmshadow.deb
    rm "$root/vmshadow.deb"
    [ "$(inside vmshadow --version)" = "$(vmshadow --version)" ]
    run -0 inside dpkg --verify vmshadow
    [ -z "$output" ]
    for file in etc/vmshadow/vmshadow.conf etc/vmshadow/jobs.d/example usr/share/man/man1/vmshadow.1.gz \
        usr/share/man/man5/vmshadow.conf.5.gz usr/share/man/man7/vmshadow-troubleshooting.7.gz usr/share/bash-completion/completions/vmshadow \
        usr/share/zsh/vendor-completions/_vmshadow; do
        [ -s "$root/$file" ] || fail "$file is missing"
    done
    [ "$(inside dpkg-query -W -f '${Conffiles}' vmshadow | grep -c /etc/vmshadow/)" = 2 ]
    [ "$(inside systemctl is-enabled vmshadow-recover.service)" = enabled ]
    run -0 inside systemd-analyze verify --man=no vmshadow@job.service vmshadow@job.timer vmshadow-recover.service
    run -0 inside vmshadow config
    # An installation starts nothing and makes no state.
    [ ! -e "$root/var/lib/vmshadow" ]
    umount "$root"
    overlay first "$VMSHADOW_TEST_DIR/upper-installed:$base"
    overlay second "$VMSHADOW_TEST_DIR/upper-installed:$base"
}

@test "a job that was missed is run by its timer when the host is up again" {
    cat >>"$root/etc/vmshadow/vmshadow.conf" <<CONF
repo = $repository/backup
passphrase-file = $passphrase
CONF
    printf '%s\n' "vm = web*" "on-success = grep NoNewPrivs /proc/self/status >$repository/rights" >"$root/etc/vmshadow/jobs.d/nightly.conf"
    inside vmshadow init
    mkdir -p "$root/etc/systemd/system/vmshadow@.timer.d" "$root/etc/systemd/system/vmshadow@.service.d" "$root/var/lib/systemd/timers"
    printf '[Timer]\nRandomizedDelaySec=0\n' >"$root/etc/systemd/system/vmshadow@.timer.d/now.conf"
    printf '[Service]\nEnvironment=VMSHADOW_TEST_HOLD=copying:%s\n' "$repository/hold" >"$root/etc/systemd/system/vmshadow@.service.d/hold.conf"
    inside systemctl enable vmshadow@nightly.timer
    touch -d '3 days ago' "$root/var/lib/systemd/timers/stamp-vmshadow@nightly.timer"
    vm_command "$vm" commit data0 next
    container_boot
    wait_for 90 stored_are 1
    wait_for 60 job_is inactive
    [ "$(contained systemctl show -P Result vmshadow@nightly.service)" = success ]
    [[ "$(contained systemctl list-timers --all --no-pager)" == *vmshadow@nightly.timer* ]]
    # What a command of the job calls may be a set-uid program: exim, by way of `mail`.
    [[ "$(cat "$repository/rights")" == *0 ]]
    thawed_and_clean
}

@test "the watchdog outlives a service that is killed, and undoes it; the service tells of the run" {
    drop_in=$root/etc/systemd/system/vmshadow@.service.d/hasty.conf
    # It is the limit of what tells of the run, too.
    printf '[Service]\nTimeoutStopSec=20\n' >"$drop_in"
    printf '%s\n' "on-failure = cat >$repository/told" "metrics-directory = $repository" >>"$root/etc/vmshadow/jobs.d/nightly.conf"
    contained systemctl daemon-reload
    hold_run
    # As long as libvirt is silent the watchdog cannot end: with another KillMode it would be killed together with its run.
    kill -STOP "$(cat /run/libvirtd.pid)"
    contained systemctl kill --kill-who=main --signal=KILL vmshadow@nightly.service
    wait_for 60 job_is failed
    grep "^FAILED: job nightly: the run was ended before it could tell of itself: signal" "$repository/told"
    grep -x 'vmshadow_job_success{job="nightly"} 0' "$repository/vmshadow_nightly.prom"
    pgrep -a vmshadow
    kill -CONT "$(cat /run/libvirtd.pid)"
    wait_for 60 thawed_and_clean
    rm "$repository/hold" "$drop_in"
    contained systemctl daemon-reload
    stored_are 1
}

@test "a service that is stopped undoes what it began" {
    hold_run
    rm "$repository/told"
    contained systemctl stop vmshadow@nightly.service
    wait_for 60 thawed_and_clean
    # The run told of it itself, and its service did not do it again.
    grep "^FAILED .*interrupted" "$repository/told"
    rm "$repository/hold"
    stored_are 1
}

@test "after a crash the next boot undoes what was cut off" {
    hold_run
    container_kill
    [ -n "$(ls "$root/var/lib/vmshadow/runs")" ]
    has_job
    inside systemctl disable vmshadow@nightly.timer
    container_boot
    wait_for 60 thawed_and_clean
    [ "$(contained systemctl show -P Result vmshadow-recover.service)" = success ]
    [ "$(contained systemctl show -P ConditionResult vmshadow-recover.service)" = yes ]
    container_kill
    rm "$repository/hold"
    stored_are 1
}

@test "another host restores from repository and passphrase alone" {
    last=$(vm_command "$vm" commit data0 next)
    inside vmshadow run nightly
    vm_destroy_everything "$vm"
    VMSHADOW_TEST_BASE=$VMSHADOW_TEST_DIR "$tests_root/host/run" "$tests_root/package/restore-elsewhere" "$roots/second" \
        "$repository/backup" "$passphrase" "$vm" "${last##* }"
}

@test "removed from a running system its timers stop, and installed again they go on" {
    container_boot
    contained systemctl enable --now vmshadow@nightly.timer
    timer_is active
    run -0 contained dpkg --remove vmshadow
    timer_is inactive
    [ -e "$root/etc/vmshadow/jobs.d/nightly.conf" ]
    [ ! -e "$root/usr/bin/vmshadow" ]
    cp "$package" "$root/vmshadow.deb"
    run -0 contained dpkg --install /vmshadow.deb
    timer_is active
    # One that the administrator has disabled does not begin.
    contained systemctl disable --now vmshadow@nightly.timer
    run -0 contained dpkg --install /vmshadow.deb
    rm "$root/vmshadow.deb"
    timer_is inactive
    contained systemctl enable --now vmshadow@nightly.timer
}

@test "removed and purged, nothing of it is left but repository, passphrase and open journals" {
    backups=$(find "$repository/backup" -type f | sort | sha256sum)
    [ -e "$root/var/lib/systemd/timers/stamp-vmshadow@nightly.timer" ]
    run -0 contained dpkg --remove vmshadow
    cp "$passphrase" "$root/etc/vmshadow/passphrase"
    : >"$root/var/lib/vmshadow/runs/open.journal"
    run -0 contained sh /var/lib/dpkg/info/vmshadow.postrm purge
    [[ "$output" == *"vmshadow recover"* ]]
    [ -e "$root/var/lib/vmshadow/runs/open.journal" ]
    rm "$root/var/lib/vmshadow/runs/open.journal"
    run -0 contained_apt purge vmshadow
    [[ "$output" == *"/etc/vmshadow is kept"* ]]
    [ -z "$(find "$root/etc/systemd" "$root/var/lib/systemd" -name '*vmshadow*')" ] # links, drop-ins, stamps
    [ -z "$(contained systemctl list-units --all --plain --no-legend 'vmshadow*')" ]
    container_kill
    run -0 inside apt-get -q -y autoremove --purge
    inside dpkg-query -W -f '${Package}\n' | diff "$TMPDIR/packages" -
    files | diff "$TMPDIR/before" - | grep '^[<>]' | grep -v -e '^< ./vmshadow.deb' >"$TMPDIR/difference" || true
    echo "difference: $(cat "$TMPDIR/difference")"
    [ "$(grep -c vmshadow "$TMPDIR/difference")" = 2 ]
    [ "$(cat "$root/etc/vmshadow/passphrase")" = "$(cat "$passphrase")" ]
    [ "$(find "$repository/backup" -type f | sort | sha256sum)" = "$backups" ]
}

@test "make install puts everything below DESTDIR and PREFIX" {
    tree=$(realpath "$tests_root/..") build=$(dirname "$(realpath "$VMSHADOW")") place=$VMSHADOW_TEST_DIR/install
    [[ "$build" == "$tree"/* ]] || skip "the program was not built in this tree"
    mkdir -p "$place/upper" "$place/work"
    # What is built serves as build/, with the whole tree as an overlay: nothing is compiled again, and nothing of it is changed.
    # shellcheck disable=SC2016 # the inner shell expands
    run -0 env -u MAKEFLAGS unshare --mount --propagation private bash -euc '
        mount -t overlay -o "lowerdir=$0,upperdir=$2/upper,workdir=$2/work" overlay "$0"
        mkdir -p "$0/build"
        [ "$1" = "$0/build" ] || mount --bind "$1" "$0/build"
        make -C "$0" install DESTDIR="$2/root" PREFIX=/opt/x' "$tree" "$build" "$place"
    (cd "$place/root" && find . ! -type d | LC_ALL=C sort) | diff - <(printf '%s\n' \
        ./etc/vmshadow/{jobs.d/example,vmshadow.conf} ./opt/x/bin/vmshadow \
        ./opt/x/lib/systemd/system/{vmshadow-recover.service,vmshadow@.service,vmshadow@.timer} \
        ./opt/x/share/{bash-completion/completions/vmshadow,man/man1/vmshadow.1,man/man5/vmshadow.conf.5} \
        ./opt/x/share/{man/man7/vmshadow-troubleshooting.7,zsh/site-functions/_vmshadow})
    grep -qx 'ExecStart=/opt/x/bin/vmshadow run -- %i' "$place/root/opt/x/lib/systemd/system/vmshadow@.service"
    [ "$("$place/root/opt/x/bin/vmshadow" --version)" = "$(vmshadow --version)" ]
}
