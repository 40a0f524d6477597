#!/usr/bin/env bats
# Network adapters at restore (row R7): connected anew where network or bridge is there, disconnected where it is not; and the VM
# starts. One VM, backed up while it was off and when it was saved; each test takes some network away, restores it and starts it.

load helpers
load product

bridge_mac=52:54:00:00:00:01
network_mac=52:54:00:00:00:02
user_mac=52:54:00:00:00:03

setup_file() {
    product_setup --no-encryption
    make_networks
    vm_define net --xml "
        <interface type='bridge'><mac address='$bridge_mac'/><source bridge='front'/><target dev='webtap'/>
            <model type='virtio'/><boot order='1'/><alias name='ua-web'/>
            <address type='pci' domain='0' bus='0' slot='0x10' function='0'/></interface>
        <interface type='network'><mac address='$network_mac'/><source network='lab'/><model type='virtio'/><mtu size='1400'/></interface>
        <interface type='user'><mac address='$user_mac'/><model type='virtio'/></interface>"
    virsh -q dumpxml --inactive net >"$VMSHADOW_TEST_DIR/before.xml"
    virsh -q define "$VMSHADOW_TEST_DIR/before.xml" # libvirt orders controllers when it reads its own XML again
    virsh -q dumpxml --inactive net >"$VMSHADOW_TEST_DIR/before.xml"
    backup=$("$VMSHADOW" backup net --json | jq -r .backup)
    vm_boot net
    [ "$(carriers)" = "$bridge_mac=1 $network_mac=1 $user_mac=1" ]
    boot_id=$(vm_command net bootid)
    virsh -q managedsave net
    saved=$("$VMSHADOW" backup net --json | jq -r .backup)
    export backup saved boot_id
}

teardown_file() {
    product_teardown
}

setup() {
    vm_destroy_everything net
    make_networks
}

teardown() {
    vm_destroy_everything net
    nothing_left
}

# make_networks: bridge front is there, network lab is active.
make_networks() {
    [ -e /sys/class/net/front ] || ip link add front type bridge
    ip link set front up
    if ! virsh -q net-info lab >/dev/null 2>&1; then
        echo "<network><name>lab</name><bridge name='labbridge'/></network>" >"$TMPDIR/lab.xml"
        virsh -q net-define "$TMPDIR/lab.xml"
    fi
    [ "$(virsh -q net-info lab | sed -n 's/^Active: *//p')" = yes ] || virsh -q net-start lab
}

# interface MAC: the adapter in the definition, on one line without spaces between elements.
interface() {
    virsh -q dumpxml --inactive net | tr -d '\n' | sed 's/> *</></g; s#</interface>#&\n#g' |
        sed -n "/$1/s/.*\(<interface.*\)/\1/p"
}

# plan FILTER: of the plan of a restore.
plan() {
    vmshadow restore "$backup" --dry-run --json 2>"$TMPDIR/stderr" | jq -r "$1" || fail "$(cat "$TMPDIR/stderr")"
}

# carriers: MAC=CARRIER of each adapter in the guest, where a carrier of 0 is a link that is down.
carriers() {
    local answer
    answer=$(vm_command net shell 'cd /sys/class/net; for i in eth*; do ip link set $i up; echo $(cat $i/address)=$(cat $i/carrier); done') || return
    printf %b "${answer#exit 0 }" | sort | xargs
}

# adapters_are MAC=CARRIER...: the VM starts, and these are in the guest.
adapters_are() {
    local answer
    vm_start net && vm_wait_channel net && answer=$(carriers) || return
    [ "$answer" = "$*" ] || fail "in the guest: $answer"
}

# lock_macvtap: the character devices of macvtap (/dev/tapN) are numbered by the network namespace, and /dev is that of the machine: one
# host after the other has some, until its test ends.
lock_macvtap() {
    exec 7</dev
    flock --wait 200 7
}

# continues: the guest has not booted again since it was saved.
continues() {
    [ "$(vm_command net bootid)" = "$boot_id" ]
}

@test "bridge and network are there: new ports, nothing else changes, and the VM starts" {
    [ "$(plan '.vms[0].networks[] | "\(.mac) \(.type) \(.source) \(.action) \(.connected) \(.reason)"')" = \
        "$bridge_mac bridge front connect true null
$network_mac network lab connect true null
$user_mac user null leave true null" ]
    run -0 vmshadow restore "$backup"
    [[ "$output" == *"adapter $bridge_mac: bridge front: connected"* ]]
    [[ "$output" == *"adapter $user_mac: user: as it was defined"* ]]
    [[ "$output" != *"notice"* ]]
    # the port's name and the alias that nothing refers to are gone; that is all
    run -1 diff "$VMSHADOW_TEST_DIR/before.xml" <(virsh -q dumpxml --inactive net)
    [ "$(grep '^[<>]' <<<"$output" | tr -d ' ')" = "<<targetdev='webtap'/>
<<aliasname='ua-web'/>" ]
    adapters_are $bridge_mac=1 $network_mac=1 $user_mac=1
    [ "$(find /sys/class/net/front/brif /sys/class/net/labbridge/brif -name 'vnet*' | wc -l)" = 2 ]
}

@test "a bridge that is gone: that adapter is disconnected, the VM starts, and it can be connected again" {
    before=$(xmllint --xpath '//interface[1]' "$VMSHADOW_TEST_DIR/before.xml")
    ip link delete front
    [ "$(plan '.vms[0].networks[0] | "\(.action) \(.connected) \(.reason)"')" = "disconnect false bridge front is not there" ]
    plan '.vms[0].networks[0].definition' >"$TMPDIR/interface.xml"
    [ "$(cat "$TMPDIR/interface.xml")" = "$before" ]
    run -0 vmshadow restore "$backup"
    [[ "$output" == *"adapter $bridge_mac: DISCONNECTED: bridge front is not there"* ]]
    [[ "$output" == *"adapter $network_mac: network lab: connected"* ]]
    [[ "$output" == *"virsh update-device net"* ]]
    [ "$(interface $bridge_mac)" = "<interface type='ethernet'><mac address='$bridge_mac'/><model type='virtio'/><link state='down'/><boot order='1'/><address type='pci' domain='0x0000' bus='0x00' slot='0x10' function='0x0'/></interface>" ]
    adapters_are $bridge_mac=0 $network_mac=1 $user_mac=1
    virsh -q destroy net

    make_networks
    virsh -q update-device --domain net "$TMPDIR/interface.xml" --config
    diff <(virsh -q dumpxml --inactive net) "$VMSHADOW_TEST_DIR/before.xml"
    adapters_are $bridge_mac=1 $network_mac=1 $user_mac=1
}

@test "a network that is defined but not active counts as there, with a notice" {
    virsh -q net-destroy lab
    [ "$(plan '.vms[0].networks[1] | "\(.action) \(.connected)"')" = "connect true" ]
    run -0 vmshadow restore "$backup"
    [[ "$output" == *"network lab is defined but not active"*"virsh net-start lab"* ]]
    [[ "$(interface $network_mac)" == *"<source network='lab'/>"* ]]
    run -1 virsh -q start net
    [[ "$output" == *"network 'lab' is not active"* ]]
    virsh -q net-start lab
    adapters_are $bridge_mac=1 $network_mac=1 $user_mac=1
}

@test "bridge and network are gone: both adapters are disconnected, the third is not, and the VM starts" {
    ip link delete front
    virsh -q net-destroy lab
    virsh -q net-undefine lab
    run -0 vmshadow restore "$backup"
    [[ "$output" == *"adapter $network_mac: DISCONNECTED: network lab is not defined"* ]]
    [[ "$(interface $network_mac)" == "<interface type='ethernet'><mac address='$network_mac'/><model type='virtio'/><link state='down'/><mtu size='1400'/><address "* ]]
    [[ "$(interface $user_mac)" == "<interface type='user'>"* ]]
    adapters_are $bridge_mac=0 $network_mac=0 $user_mac=1
}

@test "a network that is active without a definition is there" {
    virsh -q net-destroy lab
    virsh -q net-undefine lab
    virsh -q net-create "$TMPDIR/lab.xml"
    run -0 vmshadow restore "$backup"
    [[ "$output" == *"adapter $network_mac: network lab: connected"* ]]
    [[ "$output" != *"notice"* ]]
    adapters_are $bridge_mac=1 $network_mac=1 $user_mac=1
    virsh -q destroy net
    virsh -q net-destroy lab
}

@test "a network that hands on to a bridge of the host which is gone is there, with a notice" {
    virsh -q net-destroy lab
    virsh -q net-undefine lab
    echo "<network><name>lab</name><forward mode='bridge'/><bridge name='behind'/></network>" >"$TMPDIR/handed.xml"
    virsh -q net-create "$TMPDIR/handed.xml"
    run -0 vmshadow restore "$backup"
    [[ "$output" == *"network lab hands its adapters on to bridge behind, which is not there"* ]]
    ip link add behind type bridge
    run -0 vmshadow restore "$backup"
    [[ "$output" != *"hands its adapters on"* ]]
    adapters_are $bridge_mac=1 $network_mac=1 $user_mac=1
    virsh -q destroy net
    virsh -q net-destroy lab
    ip link delete behind
}

@test "macvtap: connected where the device is there, disconnected where it is not, and the VM starts" {
    lock_macvtap
    vm_define direct --xml "
        <interface type='direct'><mac address='$bridge_mac'/><source dev='uplink' mode='bridge'/><model type='virtio'/></interface>
        <interface type='direct'><mac address='$network_mac'/><source dev='front' mode='bridge'/><model type='virtio'/></interface>"
    backup=$("$VMSHADOW" backup direct --json | jq -r .backup)
    vm_destroy_everything direct
    run -0 vmshadow restore "$backup"
    [[ "$output" == *"adapter $bridge_mac: DISCONNECTED: network device uplink is not there"* ]]
    [[ "$output" == *"adapter $network_mac: direct front: connected"* ]]
    vm_start direct
    [[ "$(ip -o link show type macvtap)" == *@front:* ]]
    virsh -q destroy --domain direct
    ip link delete front
    run -0 vmshadow restore "$backup"
    vm_start direct
    vm_wait_channel direct
    vm_destroy_everything direct
}

@test "from saved state: bridge and network are there: connected, and the VM continues" {
    run -0 vmshadow restore "$saved"
    [[ "$output" == *"adapter $bridge_mac: bridge front: connected"* ]]
    adapters_are $bridge_mac=1 $network_mac=1 $user_mac=1
    continues
    [ "$(find /sys/class/net/front/brif /sys/class/net/labbridge/brif -name 'vnet*' | wc -l)" = 2 ]
}

@test "from saved state: bridge and network are gone: disconnected, and the VM continues" {
    ip link delete front
    virsh -q net-destroy lab
    virsh -q net-undefine lab
    run -0 vmshadow restore "$saved"
    [[ "$output" == *"adapter $network_mac: DISCONNECTED: network lab is not defined"* ]]
    [[ "$output" == *"to continue connected, make what is missing first and restore again"* ]]
    adapters_are $bridge_mac=0 $network_mac=0 $user_mac=1
    continues
    # The bridge is back: restored again, it continues connected.
    make_networks
    run -0 vmshadow restore "$saved" --yes
    [[ "$output" != *"DISCONNECTED"* ]]
    adapters_are $bridge_mac=1 $network_mac=1 $user_mac=1
    continues
}

@test "from saved state: macvtap: connected where the device is there, disconnected where it is not, and the VM continues" {
    lock_macvtap
    vm_define net --xml "
        <interface type='direct'><mac address='$bridge_mac'/><source dev='front' mode='bridge'/><model type='virtio'/></interface>"
    vm_boot net
    [ "$(carriers)" = "$bridge_mac=1" ]
    boot_id=$(vm_command net bootid)
    virsh -q managedsave net
    direct=$("$VMSHADOW" backup net --json | jq -r .backup)
    vm_destroy_everything net
    run -0 vmshadow restore "$direct"
    [[ "$output" == *"adapter $bridge_mac: direct front: connected"* ]]
    adapters_are $bridge_mac=1
    continues
    [[ "$(ip -o link show type macvtap)" == *@front:* ]]
    # Over the VM that runs; its device goes with it, and with the bridge.
    ip link delete front
    run -0 vmshadow restore "$direct" --yes
    [[ "$output" == *"adapter $bridge_mac: DISCONNECTED: network device front is not there"* ]]
    adapters_are $bridge_mac=0
    continues
    [ -z "$(ip -o link show type macvtap)" ]
}

@test "from saved state: a network that is not active: connected once it is, and the VM continues" {
    virsh -q net-destroy lab
    run -0 vmshadow restore "$saved"
    [[ "$output" == *"network lab is defined but not active"* ]]
    run -1 virsh -q start net
    [[ "$output" == *"network 'lab' is not active"* ]]
    virsh -q net-start lab
    adapters_are $bridge_mac=1 $network_mac=1 $user_mac=1
    continues
}

@test "from saved state: a restore that is killed puts the old saved state back, also while its network is not active" {
    run -0 vmshadow restore "$saved"
    virsh -q net-destroy lab
    status=0
    VMSHADOW_TEST_POINT="before the import:KILL" "$VMSHADOW" restore "$saved" --yes >"$TMPDIR/output" 2>&1 3>&- || status=$?
    [ $status = 137 ] || fail "status $status: $(cat "$TMPDIR/output")"
    wait_for 60 nothing_left
    [[ "$(virsh -q dominfo --domain net)" == *"Managed save:"*yes* ]]
    virsh -q net-start lab
    adapters_are $bridge_mac=1 $network_mac=1 $user_mac=1
    continues
}
