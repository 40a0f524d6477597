/* What a network adapter can be connected to on this host: libvirt's networks, bridges, devices. */
#ifndef HYPERVISOR_NETWORK_H
#define HYPERVISOR_NETWORK_H

#include "hypervisor/connection.h"

#include <stdbool.h>

struct interface_facts; /* interface-edit.h */

struct network {
    bool exists; /* defined, or active without a definition */
    bool active;
    /* The bridge of the host that the network hands its VMs on to (<forward mode='bridge'>) and
     * that is not there; NULL = nothing is missing. Such a network is active all the same. */
    char *missing_bridge;
};

/* A host without libvirt's network driver has no networks; other failures are errors. Free
 * ret_network->missing_bridge. */
int network_look_up(struct hypervisor *hypervisor, const char *name, struct network *ret_network,
                    struct error *error);

/* A bridge of Linux, or the device that Open vSwitch makes for a bridge of its own. */
bool network_bridge_exists(const char *name);
/* Any network device of the host. */
bool network_device_exists(const char *name);

/* Would libvirt refuse to start or load a VM with this adapter now, since its network is not
 * active, or the bridge or device that it is connected to is not there? 1 = yes, 0 = no, -1. */
int network_is_dormant(struct hypervisor *hypervisor, const struct interface_facts *adapter,
                       struct error *error);

#endif
