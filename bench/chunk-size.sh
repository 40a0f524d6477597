#!/bin/sh
# Measures chunk sizes and compression levels on an ext4 image of about 1 GiB of Debian's files in a
# 4 GiB disk and prints the rows of the table in docs/performance.md, ROUNDS times (default 3).
# Needs 8 GiB in WORK; THREADS, LEVELS and CHUNKS (KiB) may be set.
#
#   bench/chunk-size.sh BUILD_DIRECTORY [WORK]
set -eu
program=$1/bench/chunk-size
work=$(mktemp -d "${2:-/var/tmp}/chunk-size-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
# Every sixth file: programs, libraries, documents, headers alike.
find /usr/bin /usr/include /usr/share /usr/lib -xdev -type f -size -40M | LC_ALL=C sort |
    awk 'NR % 6 == 0' | tar -c -f - -T - 2> /dev/null | tar -x -f - -C "$work/tree"
size=$(du -sm "$work/tree" | cut -f1)
truncate -s 4G "$work/image"
mke2fs -q -t ext4 -E lazy_itable_init=0 -d "$work/tree" "$work/image"
rm -rf "$work/tree"
echo "tree: $size MiB; $(nproc) processors: $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2)"
cat "$work/image" > /dev/null
echo "| chunk KiB | level | first, s | first, MB/cpu-s | stored, MB | unchanged, MB/cpu-s | after 400 writes, MB | read, MB/cpu-s | verify, MB/cpu-s |"
echo "|---|---|---|---|---|---|---|---|---|"
for round in $(seq "${ROUNDS:-3}"); do
    for level in ${LEVELS:-1 3}; do
        for chunk in ${CHUNKS:-64 128 256 512 1024 2048 4096}; do
            rm -rf "$work/repository"
            "$program" "$work/image" "$work/repository" "$chunk" "$level" "${THREADS:-$(nproc)}"
        done
    done
done
