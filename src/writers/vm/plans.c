/* Which VMs there are, how each would be backed up, which files belong to it, and whether a plan
 * still holds. */
#include "writers/vm/vm-writer-private.h"

#include "base/workers.h"

#include <fnmatch.h>
#include <libgen.h>
#include <string.h>

enum { PLANS_AT_ONCE = 10 };

static bool names_domain(const char *name, const struct domain *domain)
{
    return domain_is_named(name, domain->name, domain->uuid);
}

static const char *location_of(const struct vm_writer *writer, const struct domain *domain)
{
    const struct vm_writer_settings *settings = &writer->settings;
    for (size_t i = 0; i < settings->location_count; i++)
        if (names_domain(settings->locations[i].vm, domain))
            return settings->locations[i].directory;
    return NULL;
}

static bool excludes(const char *exclusion, const struct domain *domain, const struct disk *disk)
{
    const char *colon = strrchr(exclusion, ':'); /* a target holds none, a name may */
    if (!colon || fnmatch(colon + 1, disk->target, 0) != 0)
        return false;
    CLEANUP_FREE char *vm = memory_format("%.*s", (int)(colon - exclusion), exclusion);
    return names_domain(vm, domain) || fnmatch(vm, domain->name, 0) == 0;
}

/* What the administrator leaves out. The reason of a disk that is left out anyway stays. */
static void exclude_disks(const struct vm_writer *writer, struct domain *domain)
{
    const struct vm_writer_settings *settings = &writer->settings;
    for (size_t d = 0; d < domain->disk_count; d++)
        for (size_t i = 0; i < settings->exclude_disk_count && domain->disks[d].included; i++) {
            if (!excludes(settings->exclude_disks[i], domain, &domain->disks[d]))
                continue;
            domain->disks[d].included = false;
            domain->disks[d].reason =
                memory_format("excluded by exclude-disk %s", settings->exclude_disks[i]);
        }
}

struct planning {
    const struct vm_writer *writer;
    struct domain **domains;
    struct plan **plans;
};

static int plan_one(void *context, unsigned index)
{
    struct planning *planning = context;
    const struct vm_writer_settings *settings = &planning->writer->settings;
    struct domain *domain = TAKE_PTR(planning->domains[index]);
    const char *location = location_of(planning->writer, domain);
    exclude_disks(planning->writer, domain);
    planning->plans[index] =
        plan_new(settings->hypervisor, domain, location, settings->agent_limit);
    return 0;
}

int vm_writer_make_plans(struct vm_writer *writer, struct plan ***ret_plans, size_t *ret_count,
                         struct error *error)
{
    const struct vm_writer_settings *settings = &writer->settings;
    struct domain **domains;
    size_t count;
    if (domain_list(settings->hypervisor, settings->vms, settings->vm_count, &domains, &count,
                    error) != 0)
        return -1;
    struct plan **plans = NEW_ARRAY(struct plan *, count);
    struct planning planning = {writer, domains, plans};
    (void)workers_each((unsigned)count, PLANS_AT_ONCE, plan_one, &planning);
    domain_list_free(domains, count);
    vm_writer_estimate(writer, plans, count);
    *ret_plans = plans;
    *ret_count = count;
    return 0;
}

void vm_writer_free_plans(struct plan **plans, size_t count)
{
    for (size_t i = 0; i < count; i++)
        plan_free(plans[i]);
    free(plans);
}

static void add_file(struct metadata_component *component, const char *path)
{
    if (!path)
        return;
    CLEANUP_FREE char *folder = memory_copy_string(path);
    CLEANUP_FREE char *file = memory_copy_string(path);
    (void)metadata_add_file(component, dirname(folder), basename(file), false);
}

static void add_disks(struct metadata_component *component, const struct domain *domain)
{
    for (size_t i = 0; i < domain->disk_count; i++) {
        const struct disk *disk = &domain->disks[i];
        if (!disk->included)
            continue;
        if (!disk->layer_count || !disk->layers[0].path)
            (void)metadata_add_file(component, "", disk->source, false);
        for (size_t layer = 0; layer < disk->layer_count; layer++)
            add_file(component, disk->layers[layer].path);
    }
}

int vm_writer_describe(const struct plan *plan, struct metadata *metadata, struct error *error)
{
    const struct domain *domain = plan->domain;
    struct metadata_component *component =
        metadata_add_component(metadata, VSS_CT_FILEGROUP, "", domain->uuid, plan->caption, error);
    if (!component)
        return -1;
    component->selectable = true;
    if (plan->method == PLAN_CHILD_SNAPSHOT)
        component->flags = VSS_CF_BACKUP_RECOVERY;
    CLEANUP_FREE char *definition = memory_format("/etc/libvirt/qemu/%s.xml", domain->name);
    add_file(component, domain->configuration_file ? domain->configuration_file : definition);
    add_file(component, domain->nvram);
    add_file(component, domain->kernel);
    add_file(component, domain->initrd);
    add_file(component, domain->device_tree);
    add_file(component, domain->managed_save);
    if (domain->tpm_state_directory)
        (void)metadata_add_file(component, domain->tpm_state_directory, "*", true);
    add_disks(component, domain);
    return 0;
}

/* ---- Does a plan still hold? ---- */

static bool is_same(const char *one, const char *other)
{
    return one && other ? strcmp(one, other) == 0 : one == other;
}

static const char *place_of(const struct disk *disk)
{
    return disk->layer_count && disk->layers[0].path ? disk->layers[0].path : disk->source;
}

static bool is_same_chain(const struct disk *one, const struct disk *other)
{
    if (one->layer_count != other->layer_count)
        return false;
    for (size_t i = 0; i < one->layer_count; i++)
        if (!is_same(one->layers[i].path, other->layers[i].path) ||
            !is_same(one->layers[i].format, other->layers[i].format))
            return false;
    return true;
}

static const struct disk *find_included(const struct domain *domain, const char *target)
{
    const struct disk *disk = domain_find_disk(domain, target);
    return disk && disk->included ? disk : NULL;
}

static int compare_disk(const char *name, const struct disk *planned, const struct disk *now,
                        struct error *error)
{
    static const char before[] = "changed since planning: disk";
    if (!now)
        return error_set(error, ERROR_FAILED, "VM %s %s %s is not among its disks any more", name,
                         before, planned->target);
    if (!is_same(place_of(planned), place_of(now)))
        return error_set(error, ERROR_FAILED, "VM %s %s %s was on %s and is on %s", name, before,
                         planned->target, place_of(planned), place_of(now));
    if (!is_same_chain(planned, now))
        return error_set(error, ERROR_FAILED, "VM %s %s %s has other images under it than before",
                         name, before, planned->target);
    if (now->has_block_job)
        return error_set(error, ERROR_FAILED, "VM %s %s %s has a block job of somebody else", name,
                         before, planned->target);
    return 0;
}

static int compare_disks(const struct domain *planned, const struct domain *now,
                         struct error *error)
{
    for (size_t i = 0; i < planned->disk_count; i++) {
        const struct disk *disk = &planned->disks[i];
        if (disk->included &&
            compare_disk(planned->name, disk, find_included(now, disk->target), error) != 0)
            return -1;
    }
    for (size_t i = 0; i < now->disk_count; i++)
        if (now->disks[i].included && !find_included(planned, now->disks[i].target))
            return error_set(error, ERROR_FAILED,
                             "VM %s changed since planning: it has got disk %s (%s)", planned->name,
                             now->disks[i].target, place_of(&now->disks[i]));
    return 0;
}

static int compare(const struct plan *planned, const struct plan *now, struct error *error)
{
    const char *name = planned->domain->name;
    if (!now)
        return error_set(error, ERROR_FAILED, "VM %s is not defined any more", name);
    if (now->domain->state != planned->domain->state)
        return error_set(error, ERROR_FAILED, "VM %s changed since planning: it was %s and is %s",
                         name, domain_state_name(planned->domain->state),
                         domain_state_name(now->domain->state));
    if (now->refused)
        return error_set(error, ERROR_FAILED, "VM %s changed since planning: %s", name,
                         now->refused);
    if (now->method != planned->method)
        return error_set(error, ERROR_FAILED,
                         "VM %s changed since planning: the method was %s and "
                         "would be %s now",
                         name, plan_method_name(planned->method), plan_method_name(now->method));
    return compare_disks(planned->domain, now->domain, error);
}

int vm_writer_compare_plans(const struct plan *planned, const struct plan *now, struct error *error)
{
    if (compare(planned, now, error) == 0)
        return 0;
    return error_advise(error, "vm-changed-since-planning", "look at the VM, then back up again");
}
