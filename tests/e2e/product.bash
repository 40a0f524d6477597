# shellcheck shell=bash
# What tests of the product itself share: a repository with a passphrase, and a clean state directory.

# product_setup [--no-encryption]: a new repository; its place and passphrase reach the program through the environment. Making the key
# of the passphrase takes a third of a second of each command: files that call hundreds do without.
product_setup() {
    export VMSHADOW_REPO=$VMSHADOW_TEST_DIR/repository
    if [ "${1-}" != --no-encryption ]; then
        export VMSHADOW_PASSPHRASE_FILE=$VMSHADOW_TEST_DIR/passphrase
        (umask 077 && echo "a passphrase of the tests" >"$VMSHADOW_PASSPHRASE_FILE")
    fi
    rm -rf "$VMSHADOW_REPO"
    "$VMSHADOW" init "$@" >/dev/null
}

product_teardown() {
    rm -rf "$VMSHADOW_REPO" "${VMSHADOW_PASSPHRASE_FILE-}"
}

# backups: how many are listed.
backups() {
    vmshadow list --json | jq '.backups | length'
}
