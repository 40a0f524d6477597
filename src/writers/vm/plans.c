/* Which VMs there are, how each would be backed up, and which files belong to it. */
#include "writers/vm/vm-writer-private.h"

#include "base/workers.h"

#include <libgen.h>
#include <string.h>

enum { PLANS_AT_ONCE = 10 };

static bool names_domain(const char *name, const struct domain *domain)
{
    return strcmp(name, domain->name) == 0 || strcasecmp(name, domain->uuid) == 0;
}

static bool is_wanted(const struct vm_writer *writer, const struct domain *domain)
{
    const struct vm_writer_settings *settings = &writer->settings;
    if (!settings->vm_count)
        return true;
    for (size_t i = 0; i < settings->vm_count; i++)
        if (names_domain(settings->vms[i], domain))
            return true;
    return false;
}

static const char *location_of(const struct vm_writer *writer, const struct domain *domain)
{
    const struct vm_writer_settings *settings = &writer->settings;
    for (size_t i = 0; i < settings->location_count; i++)
        if (names_domain(settings->locations[i].vm, domain))
            return settings->locations[i].directory;
    return NULL;
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
    planning->plans[index] =
        plan_new(settings->hypervisor, domain, location, settings->agent_limit);
    return 0;
}

int vm_writer_make_plans(struct vm_writer *writer, struct plan ***ret_plans, size_t *ret_count,
                         struct error *error)
{
    struct domain **domains;
    size_t count, wanted = 0;
    if (domain_list(writer->settings.hypervisor, &domains, &count, error) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct domain *domain = TAKE_PTR(domains[i]);
        if (is_wanted(writer, domain))
            domains[wanted++] = domain;
        else
            domain_free(domain);
    }
    struct plan **plans = NEW_ARRAY(struct plan *, wanted);
    struct planning planning = {writer, domains, plans};
    (void)workers_each((unsigned)wanted, PLANS_AT_ONCE, plan_one, &planning);
    domain_list_free(domains, wanted);
    *ret_plans = plans;
    *ret_count = wanted;
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
