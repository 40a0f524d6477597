/* Row R7: an adapter whose network, bridge or device is there gets a new port of it; one whose is
 * not comes back disconnected, so that the VM starts. Adapters that need nothing of that kind
 * (user-mode networking, passed-through devices, sockets, taps of somebody else) stay as they are.
 *
 * A network that is defined and not active is there: the administrator starts it when he wants it.
 */
#include "requester/restore-plan-private.h"

#include "hypervisor/network.h"

#include <string.h>

/* ---- What is there ---- */

static char *missing_text(const char *type, const char *source)
{
    if (strcmp(type, "network") == 0)
        return memory_format("network %s is not defined", source);
    return memory_format("%s %s is not there",
                         strcmp(type, "bridge") == 0 ? "bridge" : "network device", source);
}

static void tell_of_network(struct planned_vm *vm, const char *name, const struct network *network)
{
    if (network->exists && !network->active)
        planned_vm_add_notice(vm,
                              "network %s is defined but not active: its adapters are connected to "
                              "it, and the VM starts only while it is active: virsh net-start %s",
                              name, name);
    if (network->missing_bridge)
        planned_vm_add_notice(vm,
                              "network %s hands its adapters on to bridge %s, which is not there: "
                              "the VM starts only once it is; make the bridge",
                              name, network->missing_bridge);
}

static int source_exists(const struct planning *planning, struct planned_vm *vm,
                         const struct interface_facts *facts, bool *ret_exists, bool *ret_dormant,
                         struct error *error)
{
    struct network network = {.exists = false};
    if (strcmp(facts->type, "network") == 0) {
        if (network_look_up(planning->hypervisor, facts->source, &network, error) != 0)
            return -1;
        tell_of_network(vm, facts->source, &network);
        *ret_exists = network.exists;
        *ret_dormant = network.exists && (!network.active || network.missing_bridge);
        free(network.missing_bridge);
    } else if (strcmp(facts->type, "bridge") == 0 && !facts->openvswitch) {
        *ret_exists = network_bridge_exists(facts->source);
    } else { /* a device for macvtap; of Open vSwitch any, its bridges may live outside the kernel
              */
        *ret_exists = network_device_exists(facts->source);
    }
    return 0;
}

/* ---- Decisions ---- */

/* NULL: the adapter is left as it is. */
static const struct interface_decision *find_decision(const struct planned_vm *vm,
                                                      const struct interface_facts *facts)
{
    for (size_t i = 0; facts->source && i < vm->interface_count; i++)
        if (strcmp(vm->interfaces[i].type, facts->type) == 0 &&
            strcmp(vm->interfaces[i].source, facts->source) == 0)
            return &vm->interfaces[i];
    return NULL;
}

static int decide(const struct planning *planning, struct planned_vm *vm,
                  const struct interface_facts *facts, struct error *error)
{
    bool exists, dormant = false;
    if (!facts->source || find_decision(vm, facts))
        return 0;
    if (source_exists(planning, vm, facts, &exists, &dormant, error) != 0)
        return -1;
    struct interface_decision decision = {
        .type = memory_copy_string(facts->type),
        .source = memory_copy_string(facts->source),
        .action = exists ? INTERFACE_CONNECT : INTERFACE_DISCONNECT,
        .dormant = dormant,
    };
    ARRAY_APPEND(vm->interfaces, vm->interface_count, decision);
    return 0;
}

int plan_interfaces(const struct planning *planning, struct planned_vm *vm, const char *xml,
                    char **ret_xml, struct error *error)
{
    struct interface_facts *facts;
    size_t count;
    int result = interface_edit_list(xml, &facts, &count, error);
    if (result != 0)
        return -1;
    for (size_t i = 0; i < count && result == 0; i++)
        result = decide(planning, vm, &facts[i], error);
    interface_facts_free(facts, count);
    return result == 0 ? interface_edit(xml, vm->interfaces, vm->interface_count, ret_xml, error)
                       : -1;
}

/* ---- The definition, and what is told of it ---- */

static const char *action_name(const struct interface_decision *decision)
{
    if (!decision || decision->action == INTERFACE_LEAVE)
        return "leave";
    return decision->action == INTERFACE_CONNECT ? "connect" : "disconnect";
}

static void tell(struct planned_vm *vm, const struct interface_facts *facts)
{
    const struct interface_decision *decision = find_decision(vm, facts);
    bool connected = !decision || decision->action != INTERFACE_DISCONNECT;
    CLEANUP_FREE char *reason = connected ? NULL : missing_text(facts->type, facts->source);
    json_t *network = json_object();
    json_set_string(network, "mac", facts->mac);
    json_set_string(network, "type", facts->type);
    json_set_string(network, "source", facts->source);
    json_set_string(network, "action", action_name(decision));
    json_set_boolean(network, "connected", connected);
    json_set_string(network, "reason", reason);
    json_set_string(network, "definition", connected ? NULL : facts->text);
    json_append(vm->networks, network);
    if (!connected)
        planned_vm_add_notice(vm,
                              "%s: adapter %s comes back disconnected; to connect it once that is "
                              "there: virsh update-device %s FILE --config, FILE with the element "
                              "that restore --dry-run --json tells as its definition",
                              reason, facts->mac ? facts->mac : "without MAC", vm->name);
}

int plan_networks(const struct planning *planning, struct planned_vm *vm, struct error *error)
{
    char *xml;
    struct interface_facts *facts;
    size_t count;
    if (plan_interfaces(planning, vm, vm->xml, &xml, error) != 0)
        return -1;
    if (interface_edit_list(vm->xml, &facts, &count, error) != 0) {
        free(xml);
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        tell(vm, &facts[i]);
    interface_facts_free(facts, count);
    free(vm->xml);
    vm->xml = xml;
    return 0;
}
