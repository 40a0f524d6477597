/* Network adapters in a domain's XML, before it is registered on a host whose networks may be
 * others (row R7). The XML is a definition or that inside a save image; only what is named here
 * changes, all else stays as it is. No libvirt call; any thread.
 *
 * Which networks and bridges are there is not asked here: hypervisor/network.h tells it, and
 * whoever plans the restore decides. A decision is about all adapters of one source, so that it
 * holds for the definition and for the saved state of a VM alike, whatever adapters each of them
 * has.
 */
#ifndef HYPERVISOR_INTERFACE_EDIT_H
#define HYPERVISOR_INTERFACE_EDIT_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum interface_action {
    /* As it is. Also for every adapter that no decision names. */
    INTERFACE_LEAVE,
    /* It gets a new port of the same network, bridge or device: what belonged to the old port goes
     * (target device, port id, alias). An alias stays where the XML names it elsewhere. */
    INTERFACE_CONNECT,
    /* What the guest sees stays (MAC, model with its driver's options, address, boot order, ROM,
     * MTU, teaming); what belongs to the port goes, and the adapter becomes type='ethernet' with
     * its link down: a tap device that leads nowhere. Such a VM starts, and a state saved on any
     * tap (network, bridge, macvtap) continues with it. */
    INTERFACE_DISCONNECT,
};

struct interface_decision {
    char *type;   /* "network", "bridge" or "direct" */
    char *source; /* the network, the bridge, the host's device */
    enum interface_action action;
    /* With INTERFACE_CONNECT: libvirt refuses to start or load a VM with it now, since the network
     * is not active. */
    bool dormant;
};

/* One adapter as it is in the XML; members may be NULL. */
struct interface_facts {
    char *type, *source, *mac;
    bool openvswitch; /* <virtualport type='openvswitch'> */
    bool link_down;
    char *text; /* the element itself */
};

/* All adapters in their order. The array belongs to the caller: interface_facts_free(). What is no
 * domain XML, or has more than 4096 adapters, is ERROR_DAMAGED. */
int interface_edit_list(const char *xml, struct interface_facts **ret_facts, size_t *ret_count,
                        struct error *error);
void interface_facts_free(struct interface_facts *facts, size_t count);

/* *ret_xml is the XML with the decisions carried out; to be freed. ERROR_DAMAGED as above. */
int interface_edit(const char *xml, const struct interface_decision *decisions, size_t count,
                   char **ret_xml, struct error *error);
/* The same of the result, for a saved state that libvirt loads now and the administrator starts
 * later: adapters of dormant sources are disconnected. *ret_xml is NULL when there are none. */
int interface_edit_for_loading(const char *xml, const struct interface_decision *decisions,
                               size_t count, char **ret_xml, struct error *error);

/* *ret_element is the element of one adapter with its link in that state; to be freed. */
int interface_edit_link(const char *element, bool up, char **ret_element, struct error *error);

#endif
