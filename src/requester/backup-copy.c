/* The data of a backup: disks over NBD, then definition, NVRAM and documents, then the commit. */
#include "requester/backup-private.h"

#include "base/clock.h"
#include "base/point.h"
#include "documents/backup-components-document.h"
#include "documents/writer-metadata-document.h"

#include <string.h>
#include <unistd.h>

/* ---- The copy ---- */

static const struct plan *plan_of(const struct backup *backup, const char *uuid)
{
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans);
    for (size_t i = 0; i < count; i++)
        if (strcmp(plans[i]->domain->uuid, uuid) == 0)
            return plans[i];
    return NULL;
}

static int open_copies(struct backup *backup, struct error *error)
{
    const struct components *components = session_components(backup->run.session);
    for (size_t i = 0; i < components->snapshot_count; i++) {
        const struct component_snapshot *snapshot = &components->snapshots[i];
        char uuid[id_text_size];
        const char *target;
        struct provider_source source;
        if (vm_writer_parse_volume(snapshot->original, uuid, &target) != 0)
            return error_set(error, ERROR_FAILED, "%s is no volume of a VM", snapshot->original);
        const struct plan *its_plan = plan_of(backup, uuid);
        if (!its_plan)
            return error_set(error, ERROR_FAILED, "%s is no disk of a VM of this backup",
                             snapshot->original);
        if (session_open_snapshot(backup->run.session, &snapshot->id, &source, error) != VSS_S_OK)
            return -1; /* it names VM and disk */
        copy_add(&backup->copy, its_plan->domain->name, target, source.nbd_uri,
                 (uint64_t)source.size);
    }
    return 0;
}

static json_t *manifest_disk(const struct disk *disk, const struct transfer_disk *transfer)
{
    json_t *object = json_object();
    json_set_string(object, "target", disk->target);
    json_set_integer(object, "size", (int64_t)transfer->size);
    json_set_string(object, "source", disk->source);
    json_set_string(object, "source_type", disk->source_type);
    json_set_string(object, "path", disk->layer_count ? disk->layers[0].path : NULL);
    json_set_string(object, "format", disk->format);
    json_set_string(object, "bus", disk->bus);
    manifest_set_root(object, "root", &transfer->root);
    json_set_integer(object, "bytes_read", (int64_t)atomic_load(&transfer->bytes_read));
    json_set_integer(object, "bytes_stored", (int64_t)atomic_load(&transfer->bytes_stored));
    json_set(object, "owner", manifest_owner(disk->layer_count ? disk->layers[0].path : NULL));
    return object;
}

/* What the writer found out: frozen_ms, paused_ms, instant. */
static int add_writer_facts(const struct backup *backup, const char *uuid, json_t *vm,
                            struct error *error)
{
    struct id writer;
    (void)id_parse(VM_WRITER_ID, &writer);
    const struct component_set *set =
        components_find_set(session_components(backup->run.session), &writer);
    const struct component *component = set ? component_set_find(set, "", uuid) : NULL;
    if (!component || !component->backup_metadata)
        return error_set(error, ERROR_FAILED, "the VM writer said nothing about its snapshot");
    CLEANUP_JSON json_t *facts = json_parse(
        component->backup_metadata, strlen(component->backup_metadata), "backup metadata", error);
    if (!facts)
        return -1;
    json_object_update_missing(vm, facts);
    return 0;
}

static int describe_vm(struct backup *backup, const struct plan *plan, struct error *error)
{
    const struct domain *domain = plan->domain;
    json_t *vm = manifest_vm(plan);
    json_append(backup->vms, vm);
    for (size_t i = 0; i < backup->copy.count; i++) {
        const struct copy_disk *name = &backup->copy.names[i];
        const struct disk *disk = domain_find_disk(domain, name->target);
        if (strcmp(name->vm, domain->name) == 0 && disk)
            json_append(json_object_get(vm, "disks"), manifest_disk(disk, &backup->copy.disks[i]));
    }
    if (add_writer_facts(backup, domain->uuid, vm, error) != 0 ||
        backup_describe_memory(backup, domain->uuid, vm, error) != 0)
        return error_prefix(error, "VM %s: ", domain->name);
    const struct vm_capture *captures;
    size_t count = vm_writer_captures(backup->run.writer, domain->uuid, &captures);
    if (manifest_store_files(backup->writer, domain, captures, count, vm, &backup->documents_stored,
                             error) != 0)
        return error_prefix(error, "VM %s: ", domain->name);
    return 0;
}

#define LOOK_FOR_REASON (2 * CLOCK_SECOND)

/* An export that broke says little; why it broke (the run was voided, the VM is off) says more.
 * libvirt may notice the end of a QEMU a moment after its NBD server is gone. */
static int explain(struct backup *backup, struct error *error)
{
    struct error why = ERROR_INIT;
    int64_t deadline = clock_monotonic() + LOOK_FOR_REASON;
    while (run_check(&backup->run, &why) == 0 &&
           qemu_provider_check(backup->run.provider, &why) == 0 &&
           error->kind == ERROR_CONNECTION && clock_monotonic() < deadline)
        clock_sleep(CLOCK_SECOND / 10);
    if (error_is_set(&why)) {
        error_clear(error);
        error_move(error, &why);
    }
    return -1;
}

int backup_copy(struct backup *backup, struct error *error)
{
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans);
    if (repository_writer_new(backup->repository, &backup->writer, error) != 0 ||
        open_copies(backup, error) != 0 || backup_open_memories(backup, error) != 0)
        return -1;
    if (copy_backup(&backup->copy, backup->writer, repository_chunk_size(backup->repository),
                    backup->options->workers, error) != 0)
        return explain(backup, error);
    point_reached("disks copied");
    for (size_t i = 0; i < count; i++)
        if (describe_vm(backup, plans[i], error) != 0)
            return -1;
    if (qemu_provider_check(backup->run.provider, error) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (vm_writer_check_memory(backup->run.writer, plans[i]->domain->uuid, error) != 0)
            return -1;
    return run_check(&backup->run, error);
}

/* ---- Documents and the commit ---- */

static int store_documents(struct backup *backup, json_t *manifest, struct error *error)
{
    struct run *run = &backup->run;
    CLEANUP_FREE char *metadata = NULL;
    CLEANUP_FREE char *components = NULL;
    if (metadata_document_write(session_writer_metadata(run->session, 0), &metadata, error) != 0 ||
        components_document_write(session_components(run->session), &components, error) != 0)
        return -1;
    pthread_mutex_lock(&run->lock);
    CLEANUP_FREE char *events = json_text(run->events);
    pthread_mutex_unlock(&run->lock);
    uint64_t *stored = &backup->documents_stored;
    struct repository_writer *writer = backup->writer;
    if (manifest_store_document(writer, manifest, "writer-metadata.xml", metadata, strlen(metadata),
                                stored, error) != 0 ||
        manifest_store_document(writer, manifest, "backup-components.xml", components,
                                strlen(components), stored, error) != 0 ||
        manifest_store_document(writer, manifest, "events.json", events, strlen(events), stored,
                                error) != 0)
        return -1;
    return 0;
}

uint64_t backup_bytes(const struct backup *backup, bool stored)
{
    uint64_t total = stored ? backup->documents_stored : 0;
    for (size_t i = 0; i < backup->copy.count; i++)
        total += stored ? atomic_load(&backup->copy.disks[i].bytes_stored)
                        : atomic_load(&backup->copy.disks[i].bytes_read);
    return total;
}

static json_t *make_manifest(const struct backup *backup)
{
    char time[clock_text_size], host[256] = "";
    clock_format(backup->instant, time);
    (void)gethostname(host, sizeof host - 1);
    json_t *manifest = json_object();
    json_set_string(manifest, "id", backup->id.text);
    json_set_string(manifest, "time", time);
    json_set_integer(manifest, "clock_ns", backup->clock_offset);
    json_set_string(manifest, "host", host);
    json_set_string(manifest, "hypervisor", hypervisor_version(backup->run.hypervisor));
    json_set_string(manifest, "job", backup->options->job);
    json_set_boolean(manifest, "separate", backup->options->separate);
    json_set_string(manifest, "type", backup->options->full ? "full" : "copy");
    json_set(manifest, "vms", json_incref(backup->vms));
    return manifest;
}

static int mark_succeeded(struct backup *backup, struct error *error)
{
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans);
    struct id writer;
    (void)id_parse(VM_WRITER_ID, &writer);
    for (size_t i = 0; i < count; i++)
        if (session_set_backup_succeeded(backup->run.session, &writer, "", plans[i]->domain->uuid,
                                         true, error) != VSS_S_OK)
            return -1;
    return 0;
}

int backup_commit(struct backup *backup, struct error *error)
{
    CLEANUP_JSON json_t *manifest = make_manifest(backup);
    if (mark_succeeded(backup, error) != 0 || store_documents(backup, manifest, error) != 0)
        return -1;
    json_set_integer(manifest, "bytes_read", (int64_t)backup_bytes(backup, false));
    json_set_integer(manifest, "bytes_stored", (int64_t)backup_bytes(backup, true));
    if (run_check(&backup->run, error) != 0)
        return -1;
    point_reached("before commit");
    int result = repository_writer_commit(TAKE_PTR(backup->writer), &backup->id, manifest, error);
    point_reached("committed");
    return result;
}
