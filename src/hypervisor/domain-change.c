/* Changing domains: power, definition, autostart. Each is written so that what is already as wanted
 * is no failure. */
#include "hypervisor/call.h"
#include "hypervisor/domain-xml.h"
#include "hypervisor/domain.h"

#include <string.h>
#include <strings.h>

int domain_destroy(struct hypervisor *hypervisor, const char *uuid, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (call_begin_domain(hypervisor, CALL_PLAIN, uuid, &call, error) != 0)
        return -1;
    if (VIR(virDomainIsActive(call.domain)) == 0 || VIR(virDomainDestroy(call.domain)) == 0)
        return 0;
    /* It may have stopped by itself meanwhile. */
    struct error fault = ERROR_INIT;
    (void)call_error(&fault, "VM %s cannot be powered off", call.name);
    if (VIR(virDomainIsActive(call.domain)) == 0)
        return 0;
    error_move(error, &fault);
    return -1;
}

int domain_start(struct hypervisor *hypervisor, const char *uuid, bool paused, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (call_begin_domain(hypervisor, CALL_PLAIN, uuid, &call, error) != 0)
        return -1;
    unsigned flags = paused ? VIR_DOMAIN_START_PAUSED : 0;
    if (VIR(virDomainIsActive(call.domain)) == 1 ||
        VIR(virDomainCreateWithFlags(call.domain, flags)) == 0)
        return 0;
    return call_error(error, "VM %s cannot be started", call.name);
}

int domain_has_snapshots(struct hypervisor *hypervisor, const char *uuid, bool *ret_has,
                         struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (call_begin_domain(hypervisor, CALL_PLAIN, uuid, &call, error) != 0)
        return -1;
    int snapshots = VIR(virDomainSnapshotNum(call.domain, 0));
    int checkpoints = snapshots < 0 ? -1 : VIR(virDomainListAllCheckpoints(call.domain, NULL, 0));
    if (snapshots < 0 || checkpoints < 0)
        return call_error(error, "cannot ask for the snapshots of VM %s", call.name);
    *ret_has = snapshots + checkpoints > 0;
    return 0;
}

int domain_undefine(struct hypervisor *hypervisor, const char *uuid, struct error *error)
{
    const unsigned flags = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE |
                           VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                           VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA |
                           VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_TPM;
    CLEANUP_CALL struct call call = CALL_NONE;
    struct error fault = ERROR_INIT;
    if (call_begin_domain(hypervisor, CALL_PLAIN, uuid, &call, &fault) != 0) {
        if (fault.kind == ERROR_NOT_FOUND)
            return 0;
        error_move(error, &fault);
        return -1;
    }
    if (VIR(virDomainUndefineFlags(call.domain, flags)) == 0 ||
        call_last_code() == VIR_ERR_NO_DOMAIN)
        return 0;
    return call_error(error, "VM %s cannot be undefined", call.name);
}

/* ERROR_EXISTS when another VM has this name. */
static int check_name_free(virConnectPtr connection, const char *name, const char *uuid,
                           struct error *error)
{
    CLEANUP_DOMAIN virDomainPtr other = VIR(virDomainLookupByName(connection, name));
    if (!other)
        return call_last_code() == VIR_ERR_NO_DOMAIN
                   ? 0
                   : call_error(error, "cannot look VM %s up", name);
    char other_uuid[VIR_UUID_STRING_BUFLEN];
    if (virDomainGetUUIDString(other, other_uuid) == 0 && uuid && strcasecmp(uuid, other_uuid) == 0)
        return 0;
    (void)error_set(error, ERROR_EXISTS, "another VM (UUID %s) has the name %s", other_uuid, name);
    return error_advise(error, "vm-name-taken",
                        "rename or undefine that VM first: virsh domrename %s NEW", name);
}

int domain_define(struct hypervisor *hypervisor, const char *xml, struct error *error)
{
    CLEANUP_FREE char *name = NULL;
    CLEANUP_FREE char *uuid = NULL;
    CLEANUP_CALL struct call call = CALL_NONE;
    if (domain_xml_read_names(xml, &name, &uuid, error) != 0 ||
        call_begin(hypervisor, CALL_PLAIN, &call, error) != 0 ||
        check_name_free(call.connection, name, uuid, error) != 0)
        return -1;
    CLEANUP_DOMAIN virDomainPtr defined = VIR(virDomainDefineXMLFlags(call.connection, xml, 0));
    return defined ? 0 : call_error(error, "VM %s cannot be defined", name);
}

int domain_set_autostart(struct hypervisor *hypervisor, const char *uuid, bool autostart,
                         struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (call_begin_domain(hypervisor, CALL_PLAIN, uuid, &call, error) != 0)
        return -1;
    if (VIR(virDomainSetAutostart(call.domain, autostart)) == 0)
        return 0;
    return call_error(error, "autostart of VM %s cannot be set", call.name);
}
