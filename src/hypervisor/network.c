/* libvirt is asked for networks, the kernel (/sys/class/net) for bridges and devices. */
#include "hypervisor/network.h"

#include "hypervisor/call.h"
#include "hypervisor/domain-xml.h"
#include "hypervisor/interface-edit.h"
#include "hypervisor/xml.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

static bool may_be_device(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

bool network_device_exists(const char *name)
{
    CLEANUP_FREE char *device = memory_format("/sys/class/net/%s", name);
    return may_be_device(name) && access(device, F_OK) == 0;
}

bool network_bridge_exists(const char *name)
{
    if (!may_be_device(name))
        return false;
    CLEANUP_FREE char *bridge = memory_format("/sys/class/net/%s/bridge", name);
    CLEANUP_FREE char *master = memory_format("/sys/class/net/%s/master", name);
    char target[PATH_MAX];
    ssize_t size = readlink(master, target, sizeof target - 1);
    if (size > 0) {
        target[size] = '\0';
        const char *last = strrchr(target, '/');
        if (last && strcmp(last, "/ovs-system") == 0)
            return true;
    }
    return access(bridge, F_OK) == 0;
}

static int read_missing_bridge(const char *xml, char **ret_bridge, struct error *error)
{
    CLEANUP_XML xmlDocPtr document = xml_parse(xml, DOMAIN_XML_LIMIT, "the network XML", error);
    if (!document)
        return -1;
    const xmlNode *root = xmlDocGetRootElement(document);
    CLEANUP_FREE char *bridge = xml_attribute(xml_child(root, "bridge"), "name");
    if (bridge && xml_attribute_is(xml_child(root, "forward"), "mode", "bridge") &&
        !network_device_exists(bridge))
        *ret_bridge = TAKE_PTR(bridge);
    return 0;
}

static int describe(virNetworkPtr network, const char *name, struct network *ret_network,
                    struct error *error)
{
    int active = VIR(virNetworkIsActive(network));
    CLEANUP_FREE char *xml = active < 0 ? NULL : VIR(virNetworkGetXMLDesc(network, 0));
    if (!xml)
        return call_error(error, "cannot look network %s up", name);
    *ret_network = (struct network){.exists = true, .active = active};
    return read_missing_bridge(xml, &ret_network->missing_bridge, error);
}

int network_look_up(struct hypervisor *hypervisor, const char *name, struct network *ret_network,
                    struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (call_begin(hypervisor, CALL_PLAIN, &call, error) != 0)
        return -1;
    virNetworkPtr network = VIR(virNetworkLookupByName(call.connection, name));
    if (network) {
        int result = describe(network, name, ret_network, error);
        (void)virNetworkFree(network);
        return result;
    }
    int code = call_last_code();
    if (code != VIR_ERR_NO_NETWORK && code != VIR_ERR_NO_SUPPORT)
        return call_error(error, "cannot look network %s up", name);
    *ret_network = (struct network){.exists = false};
    return 0;
}

int network_is_dormant(struct hypervisor *hypervisor, const struct interface_facts *adapter,
                       struct error *error)
{
    struct network network;
    if (!adapter->type || !adapter->source)
        return 0;
    if (strcmp(adapter->type, "network") != 0)
        return !network_device_exists(adapter->source) && !adapter->openvswitch;
    if (network_look_up(hypervisor, adapter->source, &network, error) != 0)
        return -1;
    bool missing = !network.active || network.missing_bridge;
    free(network.missing_bridge);
    return missing;
}
