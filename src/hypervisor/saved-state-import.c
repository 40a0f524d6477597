/* Restore, paused, and managed save. The flag of the managed save decides how the VM continues:
 * without it libvirt would remember that it was paused just now. */
#include "hypervisor/saved-state-import.h"

#include "base/point.h"
#include "hypervisor/call.h"
#include "hypervisor/domain-private.h"

static int load(struct call *call, const struct saved_state_import *import, struct error *error)
{
    if (VIR(virDomainRestoreFlags(call->connection, import->image, import->xml,
                                  VIR_DOMAIN_SAVE_PAUSED)) == 0)
        return 0;
    (void)call_error(error, "its memory cannot be loaded");
    return error_advise(error, "saved-state-not-loaded",
                        "see what libvirt says; with --discard-saved the VM comes back off, "
                        "without its memory");
}

static int save(struct call *call, const struct saved_state_import *import, struct error *error)
{
    unsigned how = import->paused ? VIR_DOMAIN_SAVE_PAUSED : VIR_DOMAIN_SAVE_RUNNING;
    if (VIR(virDomainManagedSave(call->domain, how)) == 0)
        return 0;
    (void)call_error(error, "libvirt cannot keep its saved state");
    return error_advise(error, "saved-state-not-loaded",
                        "see what libvirt says; with --discard-saved the VM comes back off, "
                        "without its memory");
}

int saved_state_import(struct hypervisor *hypervisor, const struct saved_state_import *import,
                       struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    enum domain_state state;
    if (call_begin_domain(hypervisor, CALL_PLAIN, import->uuid, &call, error) != 0 ||
        domain_read_state(call.domain, &state, error) != 0)
        return -1;
    if (state != DOMAIN_OFF)
        return error_set(error, ERROR_BUSY, "it is %s, not off, before its memory is loaded",
                         domain_state_name(state));
    if (load(&call, import, error) != 0)
        return -1;
    point_reached("memory loaded");
    if (save(&call, import, error) != 0 || domain_read_state(call.domain, &state, error) != 0)
        return -1;
    point_reached("saved state kept");
    if (state != DOMAIN_SAVED)
        return error_set(error, ERROR_FAILED, "it is %s after its state was saved",
                         domain_state_name(state));
    return 0;
}

json_t *saved_state_import_arguments(const char *uuid, const char *name, const char *image)
{
    json_t *arguments = json_object();
    json_set_string(arguments, "uuid", uuid);
    json_set_string(arguments, "name", name);
    json_set_string(arguments, "image", image);
    return arguments;
}
