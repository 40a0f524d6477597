#!/usr/bin/env bats
# Completion, typed into real shells on a terminal: VM names with blanks, quotes and signs of the shells, backups, jobs, options.

load helpers
load product

names=("plain" "two words" "it's" 'say "hi" $HOME `x`' "colon:ed" "equal=ed" "back\\slash" "grün & blau" "semi;colon(s)")

setup_file() {
    product_setup
    export VMSHADOW_CONFIG_DIR=$TMPDIR/configuration
    mkdir -p "$VMSHADOW_CONFIG_DIR/jobs.d" "$TMPDIR/functions"
    touch "$VMSHADOW_CONFIG_DIR/jobs.d/"{nightly,weekly}.conf "$VMSHADOW_CONFIG_DIR/jobs.d/example"
    local name
    for name in "${names[@]}"; do
        name=$(sed 's/&/\&amp;/g' <<<"$name")
        virsh -q define /dev/stdin <<<"<domain type='qemu'><name>$name</name><memory>1024</memory>
            <os><type>hvm</type></os></domain>"
    done
    vm_define "stored vm" --disk raw:ext4:8
    vmshadow backup "stored vm"
    PATH=$(dirname "$VMSHADOW"):$PATH
    export PATH
    cp "$tests_root/../packaging/completion/vmshadow.zsh" "$TMPDIR/functions/_vmshadow"
    echo ". $tests_root/../packaging/completion/vmshadow.bash" >"$TMPDIR/setup.bash"
    echo "fpath=($TMPDIR/functions \$fpath); autoload -Uz compinit; compinit -u -d $TMPDIR/zcompdump" >"$TMPDIR/setup.zsh"
}

teardown_file() {
    kill -CONT "$(cat /run/libvirtd.pid)" # a test that failed may have stopped it
    local name
    for name in "${names[@]}"; do
        virsh -q undefine --domain "$name"
    done
    vm_destroy_everything "stored vm"
    product_teardown
}

# typed SHELL KEYS [WORD]: what the shell shows.
typed() {
    "$tests_root/e2e/tools/type-keys" "$1" "$TMPDIR/setup.$1" "${@:2}"
}

# becomes SHELL KEYS ARGUMENT...: after KEYS and Enter the command has these arguments.
becomes() {
    local shell=$1 keys=$2 expected
    shift 2
    expected=$(printf '<%s>' "$@")
    run -0 typed "$shell" "$keys"
    [[ "$output" == *"ARGUMENTS $expected"* ]] || fail "$shell: $keys: not $expected but: $output"
}

@test "commands, options and their values are completed in both shells" {
    for shell in bash zsh; do
        becomes $shell 'vmshadow insp\t--al\t' inspect --all
        becomes $shell 'vmshadow backup --type=f\t' backup --type=full
        becomes $shell 'vmshadow backup --ty\tco\t' backup --type copy
        run -0 typed $shell 'vmshadow \t\t' recover
        [[ "$output" != *watchdog* ]]
        # Every option of every command is what --help lists.
        for verb in $(vmshadow --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
            [ "$(vmshadow complete -- "$verb" =-- | sed 1d | cut -f1 | sort)" = \
                "$(vmshadow "$verb" --help | grep -o '^  \(-., \|    \)--[a-z-]*' | grep -o -- '--.*' | sort)" ]
        done
    done
}

@test "VM names are completed and quoted, whatever is in them" {
    for shell in bash zsh; do
        for name in "${names[@]}"; do
            becomes $shell "vmshadow inspect $(printf %q "${name:0:2}")\t" inspect "$name"
        done
        becomes $shell "vmshadow backup 'two w\t" backup "two words"
        becomes $shell 'vmshadow backup "two w\t' backup "two words"
        becomes $shell 'vmshadow backup two\ w\t' backup "two words"
        becomes $shell 'vmshadow backup plain colon:e\t' backup plain colon:ed
        becomes $shell "vmshadow backup 'it\t" backup "it's"
        becomes $shell 'vmshadow backup "say\t' backup 'say "hi" $HOME `x`'
        becomes $shell 'vmshadow backup --snapshot-location pl\t/tmp' backup --snapshot-location plain=/tmp
        becomes $shell 'vmshadow backup --snapshot-location=pl\t/tmp' backup --snapshot-location=plain=/tmp
        becomes $shell 'vmshadow inspect -- pl\t' inspect -- plain
    done
}

@test "backups are completed, and the VMs that are in one" {
    id=$(vmshadow list --json | jq -r '.backups[0].id')
    for shell in bash zsh; do
        becomes $shell "vmshadow show ${id:0:4}\t" show "$id"
        becomes $shell "vmshadow restore lat\tsto\t" restore latest "stored vm"
        becomes $shell "vmshadow show --repo $TMPDIR/none ${id:0:4}\t" show --repo "$TMPDIR/none" "${id:0:4}"
    done
    [[ "$(vmshadow complete -- show =)" == *"$id"$'\t'*": stored vm"* ]]
    [[ "$(vmshadow complete -- restore "$id" =)" != *plain* ]]
    # Without the passphrase nobody is asked for it.
    [[ "$(VMSHADOW_PASSPHRASE_FILE='' vmshadow complete -- show =)" == *"$id"* ]]
}

@test "a libvirt that hangs does not hang the shell" {
    kill -STOP "$(cat /run/libvirtd.pid)"
    run -142 timeout 30 "$VMSHADOW" complete -- inspect =
    for shell in bash zsh; do
        becomes $shell 'vmshadow inspect pl\t' inspect pl
    done
    kill -CONT "$(cat /run/libvirtd.pid)"
    becomes bash 'vmshadow inspect pl\t' inspect plain
}
