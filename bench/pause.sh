#!/bin/bash
# Measures how long a VM with much memory in use is paused for a backup by saved state, against libvirt's own way to save a VM and
# have it back (virsh managedsave, virsh start), in alternating rounds on the same VM, and prints the rows of the table in
# docs/performance.md with their medians. The VM has 1 GiB of random data in its memory (MIB of it, ROUNDS of them: 3).
#
#   tests/host/run bench/pause.sh PROGRAM
#
# With BYPASS=1 it measures instead whether direct I/O makes the write of the memory shorter: virsh save, with and without
# --bypass-cache, in the same way.
set -eu
VMSHADOW=$(realpath "$1")
export VMSHADOW
cd "$(dirname "$0")/../tests/e2e"
# shellcheck source=/dev/null
. ./helpers.bash
# shellcheck source=/dev/null
. ./product.bash
mib=${MIB:-1024}
product_setup
vm_define pause --no-agent --memory $((2 * mib + 256))
vm_boot pause
# Random, so that no page is written short. The root of the guest is in its memory, in at most half of it.
vm_command pause --limit 300 shell "dd if=/dev/urandom of=/tmp/used bs=1048576 count=$mib 2>&1 | tail -n 1"

# stood COMMAND...: milliseconds that COMMAND takes.
stood() {
    local from=${EPOCHREALTIME/[.,]/}
    "$@" >/dev/null
    echo $(((${EPOCHREALTIME/[.,]/} - from) / 1000))
}
save_and_start() {
    virsh -q managedsave --domain pause && virsh -q start --domain pause
}
median() {
    printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

echo "$(nproc) processors: $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2), load $(cut -d' ' -f1 /proc/loadavg)"
# saved OPTION...: milliseconds that virsh save takes; the VM is back afterwards.
saved() {
    local image=/var/lib/libvirt/qemu/save/bench.save
    sync
    stood virsh -q save --domain pause --file $image "$@"
    virsh -q restore $image >/dev/null
    rm $image
    vm_command pause ping >/dev/null
}
if [ "${BYPASS-}" = 1 ]; then
    echo "| round | save, ms | save --bypass-cache, ms |"
    echo "|---|---|---|"
    plain=() direct=()
    for round in $(seq "${ROUNDS:-3}"); do
        if ((round % 2)); then # each is the first as often as the other
            plain+=("$(saved)")
            direct+=("$(saved --bypass-cache)")
        else
            direct+=("$(saved --bypass-cache)")
            plain+=("$(saved)")
        fi
        echo "| $round | ${plain[-1]} | ${direct[-1]} |"
    done
    echo "median: $(median "${plain[@]}") ms against $(median "${direct[@]}") ms"
    vm_destroy_everything pause
    product_teardown
    exit
fi

echo "| round | paused, ms | save | instant | resume | managedsave + start, ms |"
echo "|---|---|---|---|---|---|"
ours=() theirs=()
for round in $(seq "${ROUNDS:-3}"); do
    sync # both begin with nothing left to write
    paused=$(vmshadow backup pause --quiet --json | jq '.vms[0].paused_ms')
    parts=$(vmshadow show latest --json | jq -r '.vms[0].pause | "\(.save_ms) | \(.instant_ms) | \(.resume_ms)"')
    sync
    other=$(stood save_and_start)
    vm_command pause ping >/dev/null
    ours+=("$paused") theirs+=("$other")
    echo "| $round | $paused | $parts | $other |"
done
echo "median: $(median "${ours[@]}") ms against $(median "${theirs[@]}") ms," \
    "ratio $(jq -n "$(median "${ours[@]}") / $(median "${theirs[@]}") * 100 | round / 100")"
vm_destroy_everything pause
product_teardown
