/* Restore, paused, and managed save. The flag of the managed save decides how the VM continues:
 * without it libvirt would remember that it was paused just now. */
#include "hypervisor/saved-state-import.h"

#include "base/point.h"
#include "hypervisor/call.h"
#include "hypervisor/domain-private.h"
#include "hypervisor/interface-edit.h"

#include <string.h>

/* The failure of the last call: is it the image, or has libvirtd ended? */
static int not_loaded(struct error *error, const char *what)
{
    (void)call_error(error, "%s", what);
    if (error && error->kind == ERROR_CONNECTION)
        return error_advise(error, "libvirt-unreachable",
                            "restore again once libvirtd answers (systemctl status libvirtd)");
    return error_advise(error, "saved-state-not-loaded",
                        "see what libvirt says; with --discard-saved the VM comes back off, "
                        "without its memory");
}

static int load(struct call *call, const struct saved_state_import *import, struct error *error)
{
    const char *xml = import->load_xml ? import->load_xml : import->xml;
    if (VIR(virDomainRestoreFlags(call->connection, import->image, xml, VIR_DOMAIN_SAVE_PAUSED)) ==
        0)
        return 0;
    return not_loaded(error, "its memory cannot be loaded");
}

/* libvirt acts on a change only. */
static int cut_link(struct call *call, const char *adapter, struct error *error)
{
    for (int up = 1; up >= 0; up--) {
        CLEANUP_FREE char *changed = NULL;
        if (interface_edit_link(adapter, up, &changed, error) != 0)
            return -1;
        if (VIR(virDomainUpdateDeviceFlags(call->domain, changed, VIR_DOMAIN_AFFECT_LIVE)) != 0)
            return call_error(error, "the link of its disconnected adapter cannot be cut");
    }
    return 0;
}

/* QEMU takes the state of each link from the memory it loads, whatever libvirt told it before: an
 * adapter that is disconnected here would go on with its link up. */
static int cut_links(struct call *call, const struct saved_state_import *import,
                     struct error *error)
{
    struct interface_facts *adapters = NULL;
    size_t count = 0;
    int result = import->xml ? interface_edit_list(import->xml, &adapters, &count, error) : 0;
    for (size_t i = 0; result == 0 && i < count; i++)
        if (adapters[i].link_down && adapters[i].type && strcmp(adapters[i].type, "ethernet") == 0)
            result = cut_link(call, adapters[i].text, error);
    interface_facts_free(adapters, count);
    return result;
}

static int save(struct call *call, const struct saved_state_import *import, struct error *error)
{
    unsigned how = import->paused ? VIR_DOMAIN_SAVE_PAUSED : VIR_DOMAIN_SAVE_RUNNING;
    if (VIR(virDomainManagedSave(call->domain, how)) == 0)
        return 0;
    return not_loaded(error, "libvirt cannot keep its saved state");
}

/* What was only for loading gives way to what is started later. */
static int replace_xml(struct call *call, const struct saved_state_import *import,
                       struct error *error)
{
    if (!import->load_xml || VIR(virDomainManagedSaveDefineXML(call->domain, import->xml, 0)) == 0)
        return 0;
    (void)call_error(error, "its networks cannot be put into its saved state");
    return error_advise(error, "saved-state-not-loaded",
                        "start the networks that the plan names as not active (virsh net-start), "
                        "then restore again");
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
    if (cut_links(&call, import, error) != 0 || save(&call, import, error) != 0 ||
        replace_xml(&call, import, error) != 0 ||
        domain_read_state(call.domain, &state, error) != 0)
        return -1;
    point_reached("saved state kept");
    if (state != DOMAIN_SAVED)
        return error_set(error, ERROR_FAILED, "it is %s after its state was saved",
                         domain_state_name(state));
    return 0;
}

json_t *saved_state_import_arguments(const char *uuid, const char *name, const char *image,
                                     const char *aside)
{
    json_t *arguments = json_object();
    json_set_string(arguments, "uuid", uuid);
    json_set_string(arguments, "name", name);
    json_set_string(arguments, "image", image);
    if (aside)
        json_set_string(arguments, "aside", aside);
    return arguments;
}

json_t *saved_state_aside_arguments(const char *uuid, const char *name, const char *original,
                                    const char *aside, bool paused)
{
    json_t *arguments = json_object();
    json_set_string(arguments, "uuid", uuid);
    json_set_string(arguments, "name", name);
    json_set_string(arguments, "original", original);
    json_set_string(arguments, "aside", aside);
    json_set_boolean(arguments, "paused", paused);
    return arguments;
}
