#!/usr/bin/env bats
# Rights and secrets: root, a member of the group that libvirt lets in, a stranger, a user with VMs of his own; what files and
# processes show to others.

load helpers
load product

vm="running vm"
member=20001 stranger=20002 owner=20003
passphrase="correct-horse-battery-staple-9177"

setup_file() {
    local user
    product_setup
    printf '%s\n' "$passphrase" >"$VMSHADOW_PASSPHRASE_FILE"
    rm -rf "$VMSHADOW_REPO" && vmshadow init >/dev/null
    # Users of this host only: the machine's files are left alone. Short homes, since sockets have short names.
    cp /etc/passwd /etc/group "$TMPDIR/"
    for user in $member $stranger $owner; do
        echo "user$user:x:$user:$user::/run/home$user:/bin/bash" >>"$TMPDIR/passwd"
        echo "user$user:x:$user:" >>"$TMPDIR/group"
        mkdir -m 700 "/run/home$user" "/run/user$user" && chown $user:$user "/run/home$user" "/run/user$user"
    done
    mount --bind "$TMPDIR/passwd" /etc/passwd && mount --bind "$TMPDIR/group" /etc/group
    # What libvirt's own unit does for its socket.
    chgrp 20100 /run/libvirt/libvirt-sock && chmod 660 /run/libvirt/libvirt-sock
    install -m 755 "$VMSHADOW" "$TMPDIR/vmshadow" # the tree may lie where users cannot go
    chmod 711 "$VMSHADOW_TEST_DIR" "$TMPDIR"
    vm_define "$vm" --disk qcow2:ext4:16
    vm_boot "$vm"
}

teardown_file() {
    vm_destroy_everything "$vm"
    umount /etc/passwd /etc/group
    product_teardown
}

# as USER GROUPS COMMAND...: as that user of this host, with a home of his own and no word of the test's environment.
as() {
    setpriv --reuid "$1" --regid "$1" --groups "$2" --no-new-privs env -i PATH="$PATH" LC_ALL=C.UTF-8 HOME="/run/home$1" \
        XDG_RUNTIME_DIR="/run/user$1" VMSHADOW_CONFIG_DIR=/none "${@:3}"
}

# denied COMMAND...: ends with the status of a right that is missing; $output has the message.
denied() {
    run -13 --separate-stderr "$@"
    [[ "$stderr" == *"hint: "* ]] || fail "no hint: $stderr"
}

@test "a member of libvirt's group looks at VMs, and is told which rights a backup needs" {
    run -0 as $member 20100 "$TMPDIR/vmshadow" inspect "$vm" || fail "$output"
    run -0 as $member 20100 "$TMPDIR/vmshadow" writers
    as $member 20100 sh -c "umask 077; echo x >\"\$HOME/p\"; '$TMPDIR/vmshadow' init --repo \"\$HOME/r\" --passphrase-file \"\$HOME/p\""
    denied as $member 20100 "$TMPDIR/vmshadow" backup "$vm" --repo "/run/home$member/r" --passphrase-file "/run/home$member/p"
    [[ "$stderr" == *"no right to write in /var/lib/vmshadow"*"/var/lib/libvirt/qemu"*"[rights-missing]"* ]]
    [ "$(as $member 20100 "$TMPDIR/vmshadow" list --repo "/run/home$member/r" --passphrase-file "/run/home$member/p" --json |
        jq '.backups | length')" = 0 ]
    vm_assert_running_and_thawed "$vm"
    nothing_left
}

@test "a stranger is told that libvirt does not let him in, and cannot read the repository" {
    denied as $stranger $stranger "$TMPDIR/vmshadow" inspect "$vm"
    [[ "$stderr" == *"libvirt"*"[libvirt-denied]"* ]]
    run -13 as $stranger $stranger "$TMPDIR/vmshadow" list --repo "$VMSHADOW_REPO" --passphrase-file "/run/home$stranger/none"
    run -13 as $stranger $stranger "$TMPDIR/vmshadow" recover
    chmod 700 "$VMSHADOW_TEST_DIR"/repository
    run -13 as $stranger $stranger "$TMPDIR/vmshadow" inspect "$vm" --json
    [ "$(jq -r .error.kind <<<"${lines[0]}")" = denied ]
}

@test "files of repository and journal belong to their owner only, whatever the umask is" {
    for mask in 000 777; do
        (umask $mask && vmshadow init --repo "$TMPDIR/mask$mask" &&
            vmshadow backup "$vm" --repo "$TMPDIR/mask$mask" --events "$TMPDIR/mask$mask.events") >/dev/null
        found=$(find "$TMPDIR/mask$mask" "$TMPDIR/mask$mask.events" /var/lib/vmshadow \
            \( -type d ! -perm 700 -o -type f ! -perm 600 \) ! -path /var/lib/vmshadow -printf '%m %p\n')
        [ -z "$found" ] || fail "umask $mask: $found"
        [ "$(find "$TMPDIR/mask$mask" -type f | wc -l)" -gt 3 ]
        # QEMU's user goes through it.
        [ "$(stat -c %a /var/lib/libvirt/qemu/vmshadow)" = 711 ]
        rm -rf "$TMPDIR/mask$mask"
    done
}

@test "the passphrase is in no argument, environment, file, message or memory, and no core is left" {
    mkdir -p "$TMPDIR/cores"
    : >"$TMPDIR/hold"
    : >"$TMPDIR/events"
    (cd "$TMPDIR/cores" && ulimit -c unlimited &&
        VMSHADOW_TEST_HOLD=copying:$TMPDIR/hold exec "$VMSHADOW" backup "$vm" --verbose --events "$TMPDIR/events" \
            >"$TMPDIR/said" 2>&1 3>&-) &
    pid=$!
    wait_for 60 grep -q '"PostSnapshot"' "$TMPDIR/events"
    run -0 "$tests_root/e2e/tools/find-secret" "$passphrase"
    # What is there is found.
    run -1 "$tests_root/e2e/tools/find-secret" "$VMSHADOW_REPO"
    [[ "$output" == *": memory"* && "$output" == *": environ"* ]]
    [ "$(awk '/Max core file size/ { print $5 $6 }' /proc/$pid/limits)" = 00 ]
    kill -ABRT $pid
    wait $pid || status=$?
    [ "$status" = 134 ]
    rm "$TMPDIR/hold"
    [ -z "$(ls -A "$TMPDIR/cores")" ]
    wait_for 60 nothing_left
    run -1 grep -rlF "$passphrase" "$TMPDIR/said" "$VMSHADOW_REPO" /var/lib/vmshadow /var/log/libvirt "$VMSHADOW_TEST_HOST/log"
    [ -z "$output" ]
    vm_assert_running_and_thawed "$vm"
}

@test "a user backs up and restores VMs of his own, with qemu:///session" {
    home=/run/home$owner guest=$("$tests_root/guest/build")
    own() {
        as $owner $owner LIBVIRT_DEFAULT_URI=qemu:///session VMSHADOW_REPO="$home/repository" \
            VMSHADOW_PASSPHRASE_FILE="$home/passphrase" "$@"
    }
    cp -rL "$guest" "$home/guest"
    make_disk "$home/own.qcow2" qcow2 ext4 data0 16
    (umask 077 && echo "a user's passphrase" >"$home/passphrase")
    "$tests_root/e2e/domain-xml" make own "$home/guest" "$home/console" "$home/socket" \
        --disk "$home/own.qcow2" qcow2 data0 '' >"$home/own.xml"
    chown -R $owner:$owner "$home"
    own virsh -q define "$home/own.xml"
    own virsh -q start own 3>&-
    "$guest_channel" --limit 60 "$home/socket" ping
    wait_for 60 own virsh -q qemu-agent-command --timeout 5 --domain own '{"execute":"guest-ping"}'
    "$guest_channel" "$home/socket" commit data0 next
    own "$TMPDIR/vmshadow" init
    run -0 own "$TMPDIR/vmshadow" backup own
    [[ "$output" == *"VM own: child"* ]] || fail "$output"
    [ -d "$home/.local/state/vmshadow/locks" ]
    own virsh -q destroy own
    rm "$home/own.qcow2"
    run own "$TMPDIR/vmshadow" restore latest --yes
    [ "$status" = 0 ] || fail "$output"
    cp "$home/own.qcow2" "$TMPDIR/own.qcow2"
    image_copy "$TMPDIR/own.qcow2" qcow2 "$TMPDIR/own.raw"
    run -0 with_mounted "$TMPDIR/own.raw" replay "$guest/record-check"
    [[ "$output" == *"last 1"* ]]
    [ "$(own virsh -q domstate own)" = "shut off" ]
    [ -z "$(find "$home/.local/state/vmshadow" -name '*.journal')" ]
    own virsh -q undefine own
}
