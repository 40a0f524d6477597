/* The undo of a restore's changes to a VM's definition; see undo-kinds.h.
 *
 * It may run long after the restore: both processes of it died with the host, and an administrator
 * has helped himself since. So it looks before it acts, and leaves alone what neither was there
 * before nor was made by the restore.
 */
#include "hypervisor/undo-kinds.h"

#include "base/point.h"
#include "hypervisor/domain-private.h"
#include "hypervisor/domain-xml.h"

#include <string.h>

json_t *hypervisor_domain_arguments(const struct hypervisor_before *before)
{
    json_t *arguments = json_object();
    json_set_string(arguments, "uuid", before->uuid);
    json_set_string(arguments, "name", before->name);
    json_set_string(arguments, "xml", before->xml);
    json_set_string(arguments, "new_xml", before->new_xml);
    json_set_boolean(arguments, "autostart", before->autostart);
    json_set_string(arguments, "state", before->state);
    return arguments;
}

/* ---- Is it the definition that the restore made? libvirt writes XML in its own way, so facts are
 * compared, not text. ---- */

static bool same_text(const char *left, const char *right)
{
    return left && right ? strcmp(left, right) == 0 : left == right;
}

static bool same_disk(const struct disk *left, const struct disk *right)
{
    const char *left_path = left->layer_count ? left->layers[0].path : NULL;
    const char *right_path = right->layer_count ? right->layers[0].path : NULL;
    return same_text(left->target, right->target) && same_text(left_path, right_path) &&
           same_text(left->source_type, right->source_type);
}

static bool same_facts(const struct domain *left, const struct domain *right)
{
    if (!same_text(left->name, right->name) || left->memory != right->memory ||
        left->disk_count != right->disk_count || left->interface_count != right->interface_count ||
        !same_text(left->kernel, right->kernel) || !same_text(left->nvram, right->nvram))
        return false;
    for (size_t i = 0; i < left->disk_count; i++)
        if (!same_disk(&left->disks[i], &right->disks[i]))
            return false;
    for (size_t i = 0; i < left->interface_count; i++)
        if (left->interfaces[i].mac && right->interfaces[i].mac &&
            strcmp(left->interfaces[i].mac, right->interfaces[i].mac) != 0)
            return false;
    return true;
}

static struct domain *read_facts(const char *xml)
{
    struct domain *domain = NULL;
    return domain_from_xml(xml, &domain, NULL) == 0 ? domain : NULL;
}

static bool is_ours(const char *now, const char *new_xml)
{
    CLEANUP(domain_freep) struct domain *left = read_facts(now);
    CLEANUP(domain_freep) struct domain *right = new_xml ? read_facts(new_xml) : NULL;
    return left && right && same_facts(left, right);
}

/* ---- The undo ---- */

static int put_back(struct hypervisor *hypervisor, const json_t *arguments, const char *uuid,
                    const char *xml, struct error *error)
{
    const char *state = json_string_or(arguments, "state", "off");
    bool paused = strcmp(state, "paused") == 0;
    if (domain_define(hypervisor, xml, error) != 0 ||
        domain_set_autostart(hypervisor, uuid, json_boolean_or(arguments, "autostart", false),
                             error) != 0)
        return -1;
    bool was_active =
        strcmp(state, "off") != 0 && strcmp(state, "saved") != 0 && strcmp(state, "crashed") != 0;
    return was_active ? domain_start(hypervisor, uuid, paused, error) : 0;
}

static bool is_active(enum domain_state state)
{
    return state != DOMAIN_OFF && state != DOMAIN_SAVED && state != DOMAIN_CRASHED;
}

/* Take away what is defined now, if the restore made it. 0 also when nothing is defined. */
static int take_away(struct hypervisor *hypervisor, const char *uuid, const char *now,
                     const char *new_xml, struct error *error)
{
    enum domain_state state;
    if (domain_get_state(hypervisor, uuid, &state, error) != 0)
        return -1;
    if (is_active(state) || !is_ours(now, new_xml)) {
        (void)error_set(error, ERROR_BUSY,
                        "it is %s with a definition that somebody has made since: "
                        "it is left alone",
                        is_active(state) ? "active" : "defined");
        return error_advise(error, "vm-changed-by-hand",
                            "if that is how it shall stay, remove the journal that names it in "
                            "the state directory's runs/");
    }
    return domain_undefine(hypervisor, uuid, error);
}

static int bring_back(struct hypervisor *hypervisor, const json_t *arguments, const char *uuid,
                      struct error *error)
{
    const char *xml = json_string_or(arguments, "xml", NULL);
    const char *new_xml = json_string_or(arguments, "new_xml", NULL);
    struct error fault = ERROR_INIT;
    CLEANUP_FREE char *now = NULL;
    if (domain_read_definition(hypervisor, uuid, &now, &fault) != 0 &&
        fault.kind != ERROR_NOT_FOUND) {
        error_move(error, &fault);
        return -1;
    }
    bool same = now && xml && strcmp(now, xml) == 0;
    if (now && !same && take_away(hypervisor, uuid, now, new_xml, error) != 0)
        return -1;
    return xml ? put_back(hypervisor, arguments, uuid, xml, error) : 0;
}

static int undo_restore_domain(void *context, const json_t *arguments, struct error *error)
{
    const char *uuid = json_get_string(arguments, "uuid", "an undo step", error);
    struct hypervisor *hypervisor = uuid ? undo_pool_hypervisor(context, error) : NULL;
    if (!hypervisor)
        return -1;
    if (bring_back(hypervisor, arguments, uuid, error) != 0)
        return error_prefix(error,
                            "VM %s cannot be put back: ", json_string_or(arguments, "name", uuid));
    point_reached("old VM put back");
    return 0;
}

static int prepare(void *context, const json_t *arguments, struct error *error)
{
    (void)arguments;
    return undo_pool_hypervisor(context, error) ? 0 : -1;
}

const struct undo_kind hypervisor_restore_domain = {
    .name = "restore-domain", .prepare = prepare, .undo = undo_restore_domain, .deliberate = true};
