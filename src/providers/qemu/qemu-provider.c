/* One entry a snapshot, one a VM. VMs that are off are prepared here; running and paused ones by
 * the writer in PrepareForSnapshot, before it freezes or pauses them. At Commit begins what has not
 * begun: VMs that are off, and those that the writer has paused. */
#include "providers/qemu/qemu-provider.h"

#include "base/memory.h"
#include "base/point.h"
#include "base/workers.h"

#include <string.h>

enum { BEGINS_AT_ONCE = 8 };

struct owner { /* a VM with volumes in the set */
    struct domain *domain;
    char **targets; /* NULL-terminated when the set is complete */
    size_t target_count;
    bool offline;
};

struct snapshot {
    struct id id;
    char *volume; /* "uuid/target" */
    bool deleted;
};

struct qemu_provider {
    struct hypervisor *hypervisor;
    struct instants *instants;
    struct id set;
    struct owner *owners;
    size_t owner_count;
    struct snapshot *snapshots;
    size_t snapshot_count;
};

static void drop_set(struct qemu_provider *provider)
{
    for (size_t i = 0; i < provider->owner_count; i++) {
        struct owner *owner = &provider->owners[i];
        for (size_t t = 0; t < owner->target_count; t++)
            free(owner->targets[t]);
        free(owner->targets);
        domain_free(owner->domain);
    }
    for (size_t i = 0; i < provider->snapshot_count; i++)
        free(provider->snapshots[i].volume);
    free(TAKE_PTR(provider->owners));
    free(TAKE_PTR(provider->snapshots));
    provider->owner_count = provider->snapshot_count = 0;
}

struct qemu_provider *qemu_provider_new(struct hypervisor *hypervisor, struct instants *instants)
{
    struct qemu_provider *provider = NEW(struct qemu_provider);
    provider->hypervisor = hypervisor;
    provider->instants = instants;
    return provider;
}

void qemu_provider_free(struct qemu_provider *provider)
{
    if (!provider)
        return;
    drop_set(provider);
    free(provider);
}

/* "uuid/target" into its parts; the UUID has 36 characters. */
static int split(const char *volume, char uuid[id_text_size], const char **ret_target)
{
    if (strlen(volume) <= id_text_size || volume[id_text_size - 1] != '/')
        return -1;
    memcpy(uuid, volume, id_text_size - 1);
    uuid[id_text_size - 1] = '\0';
    *ret_target = volume + id_text_size;
    return 0;
}

static vss_code is_volume_supported(void *object, uint32_t context, const char *volume,
                                    bool *ret_supported, struct error *error)
{
    (void)context;
    struct qemu_provider *provider = object;
    char uuid[id_text_size];
    const char *target;
    *ret_supported = false;
    if (!provider->instants || split(volume, uuid, &target) != 0)
        return VSS_S_OK;
    CLEANUP(domain_freep) struct domain *domain = NULL;
    if (domain_lookup(provider->hypervisor, uuid, &domain, error) != 0)
        return VSS_E_OBJECT_NOT_FOUND;
    const struct disk *disk = domain_find_disk(domain, target);
    if (!disk) {
        (void)error_set(error, ERROR_NOT_FOUND, "VM %s has no disk %s", domain->name, target);
        return VSS_E_OBJECT_NOT_FOUND;
    }
    *ret_supported = disk->included;
    return VSS_S_OK;
}

static struct owner *find_owner(struct qemu_provider *provider, const char *uuid)
{
    for (size_t i = 0; i < provider->owner_count; i++)
        if (strcmp(provider->owners[i].domain->uuid, uuid) == 0)
            return &provider->owners[i];
    return NULL;
}

static vss_code begin_prepare(void *object, const struct id *set, const struct id *snapshot,
                              const char *volume, uint32_t context, struct error *error)
{
    (void)context;
    struct qemu_provider *provider = object;
    char uuid[id_text_size];
    const char *target;
    if (split(volume, uuid, &target) != 0)
        return VSS_E_VOLUME_NOT_SUPPORTED;
    if (!id_equal(&provider->set, set)) {
        drop_set(provider); /* a new set drops an unfinished older one */
        provider->set = *set;
    }
    struct owner *owner = find_owner(provider, uuid);
    if (!owner) {
        struct owner fresh = {0};
        if (domain_lookup(provider->hypervisor, uuid, &fresh.domain, error) != 0)
            return VSS_E_OBJECT_NOT_FOUND;
        enum domain_state state = fresh.domain->state;
        fresh.offline = state == DOMAIN_OFF || state == DOMAIN_SAVED || state == DOMAIN_CRASHED;
        ARRAY_APPEND(provider->owners, provider->owner_count, fresh);
        owner = &provider->owners[provider->owner_count - 1];
    }
    ARRAY_APPEND(owner->targets, owner->target_count, memory_copy_string(target));
    struct snapshot entry = {.id = *snapshot, .volume = memory_copy_string(volume)};
    ARRAY_APPEND(provider->snapshots, provider->snapshot_count, entry);
    return VSS_S_OK;
}

/* Everything that can fail early: names, room and undo steps of the offline VMs. */
static vss_code end_prepare(void *object, const struct id *set, struct error *error)
{
    struct qemu_provider *provider = object;
    for (size_t i = 0; i < provider->owner_count; i++) {
        struct owner *owner = &provider->owners[i];
        if (!owner->offline)
            continue;
        CLEANUP_FREE const char **targets = NEW_ARRAY(const char *, owner->target_count + 1);
        memcpy(targets, owner->targets, owner->target_count * sizeof *targets);
        if (instants_prepare(provider->instants, set->text, owner->domain, targets, error) != 0)
            return VSS_E_PROVIDER_VETO;
    }
    return VSS_S_OK;
}

struct commit {
    struct qemu_provider *provider;
    const char *set;
    struct error *errors; /* one an owner */
};

static int begin_one(void *context, unsigned index)
{
    struct commit *commit = context;
    const char *uuid = commit->provider->owners[index].domain->uuid;
    struct instants *instants = commit->provider->instants;
    if (!instants_is_prepared(instants, commit->set, uuid))
        return 0; /* a child snapshot: it began while the guest was frozen */
    point_reached("before instant at commit");
    if (instants_begin(instants, commit->set, uuid, &commit->errors[index]) != 0)
        return -1;
    point_reached("instant begun at commit");
    return 0;
}

/* VMs stand still meanwhile, so all at once. */
static vss_code commit(void *object, const struct id *set, struct error *error)
{
    struct qemu_provider *provider = object;
    CLEANUP_FREE struct error *errors = NEW_ARRAY(struct error, provider->owner_count + 1);
    struct commit commit = {provider, set->text, errors};
    if (workers_each((unsigned)provider->owner_count, BEGINS_AT_ONCE, begin_one, &commit) == 0)
        return VSS_S_OK;
    for (size_t i = 0; i < provider->owner_count; i++)
        error_move(error, &errors[i]); /* the first one stays */
    return VSS_E_PROVIDER_VETO;
}

static vss_code nothing(void *object, const struct id *set, struct error *error)
{
    (void)object;
    (void)set;
    (void)error;
    return VSS_S_OK;
}

static void abort_snapshots(void *object, const struct id *set)
{
    struct qemu_provider *provider = object;
    for (size_t i = 0; i < provider->owner_count; i++)
        (void)instants_end(provider->instants, set->text, provider->owners[i].domain->uuid, NULL);
}

static struct snapshot *find_snapshot(struct qemu_provider *provider, const struct id *id)
{
    for (size_t i = 0; i < provider->snapshot_count; i++)
        if (id_equal(&provider->snapshots[i].id, id))
            return &provider->snapshots[i];
    return NULL;
}

/* The disks of one VM are one instant: it ends when the last of its copies is deleted. */
static vss_code delete_snapshot(void *object, const struct id *id, struct error *error)
{
    struct qemu_provider *provider = object;
    struct snapshot *snapshot = find_snapshot(provider, id);
    if (!snapshot || snapshot->deleted)
        return VSS_S_OK;
    snapshot->deleted = true;
    for (size_t i = 0; i < provider->snapshot_count; i++) {
        const struct snapshot *other = &provider->snapshots[i];
        if (!other->deleted && strncmp(other->volume, snapshot->volume, id_text_size) == 0)
            return VSS_S_OK;
    }
    char uuid[id_text_size];
    const char *target;
    if (split(snapshot->volume, uuid, &target) != 0)
        return VSS_E_UNEXPECTED;
    return instants_end(provider->instants, provider->set.text, uuid, error) == 0
               ? VSS_S_OK
               : VSS_E_PROVIDER_VETO;
}

static vss_code open_snapshot(void *object, const struct id *id, struct provider_source *ret_source,
                              struct error *error)
{
    struct qemu_provider *provider = object;
    struct snapshot *snapshot = find_snapshot(provider, id);
    char uuid[id_text_size];
    const char *target;
    if (!snapshot || snapshot->deleted || split(snapshot->volume, uuid, &target) != 0) {
        (void)error_set(error, ERROR_NOT_FOUND, "the shadow copy %s does not exist", id->text);
        return VSS_E_OBJECT_NOT_FOUND;
    }
    struct provider_source source = {0};
    if (instants_open(provider->instants, provider->set.text, uuid, target, &source.nbd_uri,
                      &source.size, error) != 0)
        return VSS_E_OBJECT_NOT_FOUND;
    *ret_source = source;
    return VSS_S_OK;
}

struct provider_description qemu_provider_description(struct qemu_provider *provider)
{
    static const struct provider_callbacks callbacks = {
        .is_volume_supported = is_volume_supported,
        .begin_prepare = begin_prepare,
        .end_prepare = end_prepare,
        .pre_commit = nothing,
        .commit = commit,
        .post_commit = nothing,
        .pre_final_commit = nothing,
        .post_final_commit = nothing,
        .abort = abort_snapshots,
        .delete_snapshot = delete_snapshot,
        .open = open_snapshot,
    };
    struct provider_description description = {
        .name = QEMU_PROVIDER_NAME,
        .version = "1.0",
        .type = VSS_PROV_SOFTWARE,
        .callbacks = &callbacks,
        .provider = provider,
    };
    (void)id_parse(QEMU_PROVIDER_ID, &description.id);
    return description;
}

int qemu_provider_check(struct qemu_provider *provider, struct error *error)
{
    for (size_t i = 0; i < provider->owner_count; i++) {
        struct owner *owner = &provider->owners[i];
        if (instants_check(provider->instants, provider->set.text, owner->domain->uuid, error) != 0)
            return -1;
    }
    return 0;
}
