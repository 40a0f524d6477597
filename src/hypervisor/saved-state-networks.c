/* A VM that is saved and started again needs what libvirt wants for any start. Networks that were
 * stopped since the VM was started are the usual lack, and are looked for before anything. */
#include "hypervisor/saved-state-private.h"

#include "hypervisor/interface-edit.h"
#include "hypervisor/network.h"

#include <string.h>

static int refuse_dormant(const struct interface_facts *adapter, struct error *error)
{
    if (strcmp(adapter->type, "network") == 0)
        (void)error_set(error, ERROR_REFUSED, "its network %s is not active", adapter->source);
    else
        (void)error_set(error, ERROR_REFUSED, "the host has no %s, which an adapter needs",
                        adapter->source);
    return error_advise(error, "network-not-active",
                        "start what is missing (virsh net-start NETWORK), or let the VM run, then "
                        "back up again");
}

int saved_state_check_networks(struct hypervisor *hypervisor, const char *live_xml,
                               struct error *error)
{
    struct interface_facts *adapters = NULL;
    size_t count = 0;
    if (!live_xml)
        return 0;
    if (interface_edit_list(live_xml, &adapters, &count, error) != 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        int dormant = network_is_dormant(hypervisor, &adapters[i], error);
        result = dormant > 0 ? refuse_dormant(&adapters[i], error) : dormant;
    }
    interface_facts_free(adapters, count);
    return result;
}

char *saved_state_restart_obstacle(struct hypervisor *hypervisor, const struct domain *domain)
{
    struct error error = ERROR_INIT;
    if (domain->state != DOMAIN_PAUSED || !domain->persistent ||
        saved_state_check_networks(hypervisor, domain->live_xml, &error) == 0 ||
        error.kind != ERROR_REFUSED)
        return NULL;
    return memory_copy_string(error.message);
}
