#!/usr/bin/env bats
# Backup after backup of the same three VMs, one by child snapshot, one by saved state, one off: what libvirtd, QEMU and the host hold does not grow. Eight rounds in `make check`, two hundred
# with `make soak`, which prints the figures of docs/reliability.md.
#
# VMSHADOW_TEST_SOAK: how many rounds, 8 unless set.

load helpers
load product

running=soak-running
saved=soak-saved
off=soak-off
rounds=${VMSHADOW_TEST_SOAK:-8}

setup_file() {
    product_setup
    vm_define "$running"
    vm_define "$saved" --no-agent --memory 128
    vm_define "$off" --disk qcow2
    vm_boot "$running" "$saved"
    # As on a host that has made backups for long: the oldest records of runs go.
    mkdir -p /var/lib/vmshadow/records
    for ((i = 100; i < 200; i++)); do
        echo '{}' >"/var/lib/vmshadow/records/backup-2026-01-01T00:00:00Z-00000$i.json"
    done
}

teardown_file() {
    vm_destroy_everything "$running"
    vm_destroy_everything "$saved"
    vm_destroy_everything "$off"
    product_teardown
}

descriptors() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; }
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

# Of QEMU without the guest's memory and the emulator's code cache, which the guest fills: mappings below 32 MiB.
resident_small() {
    awk '/^[0-9a-f]+-[0-9a-f]+ / { size = 0 } /^Size:/ { size = $2 } /^Rss:/ && size < 32768 { sum += $2 } END { print sum }' \
        "/proc/$1/smaps"
}

# All that a run might leave, but the repository, and libvirt's own logs, which grow by a line for each job.
files() {
    find /run /dev/shm /var/lib/vmshadow /var/lib/libvirt /var/cache/libvirt /etc/libvirt "$VMSHADOW_TEST_DIR" \
        -xdev ! -path "$VMSHADOW_REPO/*" 2>/dev/null | wc -l
}

# backup_and_measure ROUND: a backup, then a line of figures.
names="round peak libvirtd-fds libvirtd-rss qemu-fds qemu-rss processes mounts loops files"
backup_and_measure() {
    local peak qemu qemu_saved libvirtd
    peak=$(python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$VMSHADOW" backup "$running" "$saved" "$off") || fail "round $1" || return
    wait_for 30 nothing_left || return
    qemu=$(cat "/run/libvirt/qemu/$running.pid") && qemu_saved=$(cat "/run/libvirt/qemu/$saved.pid") &&
        libvirtd=$(cat /run/libvirtd.pid) || return
    echo "$1 $peak $(descriptors "$libvirtd") $(resident "$libvirtd")" \
        "$(($(descriptors "$qemu") + $(descriptors "$qemu_saved"))) $(($(resident_small "$qemu") + $(resident_small "$qemu_saved")))" \
        "$(find /proc -maxdepth 1 -name '[0-9]*' | wc -l) $(wc -l </proc/self/mounts) $(losetup -n -O BACK-FILE | grep -cF "$VMSHADOW_TEST_HOST") $(files)"
}

# column NAME: its figures, from the warm round on.
column() {
    local index
    index=$(tr ' ' '\n' <<<"$names" | grep -nx "$1" | cut -d : -f 1)
    awk -v i="$index" -v warm="$warm" '$1 >= warm { print $i }' "$TMPDIR/figures"
}

# growth NAME: the last third of its figures against the first, by their medians.
growth() {
    column "$1" | awk '{ v[NR] = $1 } END { n = int((NR + 2) / 3); print median(NR - n + 1, NR) - median(1, n) }
        function median(from, to, i, j, t) {
            for (i = from; i <= to; i++) s[i] = v[i]
            for (i = from; i <= to; i++) for (j = i + 1; j <= to; j++) if (s[j] < s[i]) { t = s[i]; s[i] = s[j]; s[j] = t }
            return s[int((from + to) / 2)]
        }'
}

@test "row 109: eight backups leave no descriptor, file, mount, job or process behind, and no memory grows" {
    warm=$((rounds / 8 + 1))
    for ((round = 1; round <= rounds; round++)); do
        backup_and_measure $round >>"$TMPDIR/figures"
        ((round % 25)) || echo "# $(tail -n 1 "$TMPDIR/figures")" >&3
    done
    [ "$(backups)" = "$rounds" ]
    cat "$TMPDIR/figures"
    [ -z "${VMSHADOW_TEST_SOAK-}" ] || sed "1i # $names" "$TMPDIR/figures" | sed 's/^/# /' >&3
    # One more each round is too much; a connection that libvirtd has not closed yet is not.
    for name in libvirtd-fds qemu-fds processes mounts loops files; do
        (($(growth $name) <= 2)) || fail "$name grows by $(growth $name): $(column $name | tr '\n' ' ')"
    done
    # libvirtd has 20 workers, each of which takes 4 MiB when it works for the first time.
    for bound in peak:2048 qemu-rss:2048 libvirtd-rss:20480; do
        name=${bound%:*}
        (($(growth "$name") <= ${bound#*:})) || fail "$name grows by $(growth "$name") KiB: $(column "$name" | tr '\n' ' ')"
    done
    vm_assert_running_and_thawed "$running"
    vm_is "$saved" running
    run -0 vmshadow verify
}
