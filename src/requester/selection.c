#include "requester/selection.h"

#include "hypervisor/domain-names.h"
#include "requester/run.h"

#include <fnmatch.h>
#include <string.h>

bool selection_is_pattern(const char *word)
{
    return strpbrk(word, "*?[") != NULL;
}

/* A name that looks like a pattern means the VM of that name, too. */
bool selection_matches(const char *word, const char *name, const char *uuid)
{
    return strcmp(word, name) == 0 || strcasecmp(word, uuid) == 0 || fnmatch(word, name, 0) == 0;
}

static bool has_tag(const struct domain_names *domain, const char *tag)
{
    for (size_t i = 0; i < domain->tag_count; i++)
        if (strcmp(domain->tags[i], tag) == 0)
            return true;
    return false;
}

static bool is_wanted(const struct requester_selection *selection,
                      const struct domain_names *domain)
{
    if (selection->all)
        return true;
    for (size_t i = 0; i < selection->count; i++)
        if (selection_matches(selection->vms[i], domain->name, domain->uuid))
            return true;
    for (size_t i = 0; i < selection->tag_count; i++)
        if (has_tag(domain, selection->tags[i]))
            return true;
    return false;
}

static const char *exclusion_of(const struct requester_selection *selection,
                                const struct domain_names *domain)
{
    for (size_t i = 0; i < selection->exclude_vm_count; i++)
        if (selection_matches(selection->exclude_vms[i], domain->name, domain->uuid))
            return selection->exclude_vms[i];
    return NULL;
}

/* Somebody who names a VM expects it in the backup: leaving it out silently would be found out when
 * it is needed. */
static int check_named(const struct requester_selection *selection,
                       const struct domain_names *domain, const char *exclusion,
                       struct error *error)
{
    for (size_t i = 0; i < selection->count; i++) {
        if (selection_is_pattern(selection->vms[i]) ||
            !selection_matches(selection->vms[i], domain->name, domain->uuid))
            continue;
        (void)error_set(error, ERROR_REFUSED, "VM %s is named, and excluded by exclude-vm %s",
                        domain->name, exclusion);
        return error_advise(error, "vm-named-and-excluded",
                            "leave out one of the two; vmshadow config shows where each "
                            "comes from");
    }
    return 0;
}

static int choose(const struct requester_selection *selection, const struct domain_names *domains,
                  size_t count, struct selected *selected, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        const char *exclusion = exclusion_of(selection, &domains[i]);
        if (exclusion && check_named(selection, &domains[i], exclusion, error) != 0)
            return -1;
        if (exclusion || !is_wanted(selection, &domains[i]))
            continue;
        size_t uuids = selected->count;
        ARRAY_APPEND(selected->uuids, uuids, memory_copy_string(domains[i].uuid));
        ARRAY_APPEND(selected->names, selected->count, memory_copy_string(domains[i].name));
    }
    return 0;
}

static bool finds(const char *word, const struct domain_names *domains, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (selection_matches(word, domains[i].name, domains[i].uuid))
            return true;
    return false;
}

/* Who excludes by a name that is none would have in the backup what he wants to keep out. A pattern
 * may well mean nothing today. */
static void look_for_useless_exclusions(const struct requester_host *host,
                                        const struct requester_selection *selection,
                                        const struct domain_names *domains, size_t count)
{
    for (size_t i = 0; i < selection->exclude_vm_count; i++) {
        const char *word = selection->exclude_vms[i];
        if (!selection_is_pattern(word) && !finds(word, domains, count))
            run_notice(host, "exclude-vm %s: there is no such VM on this host", word);
    }
    for (size_t i = 0; i < selection->exclude_disk_count; i++) {
        const char *word = selection->exclude_disks[i], *colon = strrchr(word, ':');
        CLEANUP_FREE char *vm = memory_format("%.*s", colon ? (int)(colon - word) : 0, word);
        if (colon && !selection_is_pattern(vm) && !finds(vm, domains, count))
            run_notice(host, "exclude-disk %s: there is no VM %s on this host", word, vm);
    }
}

static void look_for_missing(const struct requester_host *host,
                             const struct requester_selection *selection,
                             const struct domain_names *domains, size_t count,
                             struct selected *selected)
{
    for (size_t i = 0; i < selection->count; i++) {
        const char *word = selection->vms[i];
        if (finds(word, domains, count))
            continue;
        if (selection_is_pattern(word))
            run_notice(host, "the pattern %s means no VM of this host", word);
        else
            ARRAY_APPEND(selected->missing, selected->missing_count, memory_copy_string(word));
    }
    for (size_t i = 0; i < selection->tag_count; i++) {
        bool found = false;
        for (size_t d = 0; d < count && !found; d++)
            found = has_tag(&domains[d], selection->tags[i]);
        if (!found)
            run_notice(host, "the tag %s is at no VM of this host", selection->tags[i]);
    }
    selected->usable_locations = NEW_ARRAY(bool, selection->location_count + 1);
    for (size_t i = 0; i < selection->location_count; i++)
        selected->usable_locations[i] = finds(selection->locations[i].vm, domains, count);
}

int selected_find(struct hypervisor *hypervisor, const struct requester_host *host,
                  const struct requester_selection *selection, struct selected *ret_selected,
                  struct error *error)
{
    struct domain_names *domains;
    size_t count;
    if (domain_names_list(hypervisor, selection->tag_count > 0, &domains, &count, error) != 0)
        return -1;
    struct selected selected = {.count = 0};
    int result = choose(selection, domains, count, &selected, error);
    look_for_missing(host, selection, domains, count, &selected);
    look_for_useless_exclusions(host, selection, domains, count);
    domain_names_free(domains, count);
    if (result == 0)
        *ret_selected = selected;
    else
        selected_clear(&selected);
    return result;
}

int selected_check(const struct selected *selected, struct error *error)
{
    if (selected->missing_count) {
        (void)error_set(error, ERROR_NOT_FOUND, "VM %s: there is no such VM", selected->missing[0]);
        if (selected->missing_count > 1)
            (void)error_prefix(error, "%zu VMs are missing; ", selected->missing_count);
        return error_advise(error, "no-such-vm", "virsh list --all shows the names");
    }
    return selected->count ? 0 : error_set(error, ERROR_NOT_FOUND, "there is no VM to back up");
}

void selected_clear(struct selected *selected)
{
    for (size_t i = 0; i < selected->count; i++) {
        free(selected->names[i]);
        free(selected->uuids[i]);
    }
    for (size_t i = 0; i < selected->missing_count; i++)
        free(selected->missing[i]);
    free(selected->names);
    free(selected->uuids);
    free(selected->missing);
    free(selected->usable_locations);
    *selected = (struct selected){.count = 0};
}

int requester_select(const struct requester_host *host, const struct requester_selection *selection,
                     json_t **ret_result, struct error *error)
{
    CLEANUP(hypervisor_closep) struct hypervisor *hypervisor = NULL;
    CLEANUP(selected_clear) struct selected selected = {.count = 0};
    if (hypervisor_open(host->uri, &hypervisor, error) != 0 ||
        selected_find(hypervisor, host, selection, &selected, error) != 0)
        return -1;
    json_t *vms = json_array(), *missing = json_array();
    for (size_t i = 0; i < selected.count; i++) {
        json_t *vm = json_object();
        json_set_string(vm, "name", selected.names[i]);
        json_set_string(vm, "uuid", selected.uuids[i]);
        json_append(vms, vm);
    }
    for (size_t i = 0; i < selected.missing_count; i++)
        json_append_string(missing, selected.missing[i]);
    json_t *result = json_object();
    json_set(result, "vms", vms);
    json_set(result, "missing", missing);
    *ret_result = result;
    return 0;
}
