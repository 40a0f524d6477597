/* Backup (design.md section 4): one sequence of VSS events around one copy.
 *
 *   recover ─ plan ─ undo ─ lock VMs ─ gather ─ PrepareForBackup ─ DoSnapshotSet ─ copy ─ documents
 *   ─ still the instant's data? ─ commit in the repository ─ BackupComplete ─ BackupShutdown
 *
 * All or nothing (row B9): any failure before the commit leaves no listed backup; run_close()
 * undoes what is open. Planning refuses before any VM is touched.
 */
#include "requester/copy.h"
#include "requester/manifest.h"
#include "requester/run.h"

#include "base/clock.h"
#include "base/point.h"
#include "documents/backup-components-document.h"
#include "documents/writer-metadata-document.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct backup {
    const struct requester_backup_options *options;
    struct repository *repository;
    struct run run;
    struct copy copy;
    struct repository_writer *writer;
    struct id id;
    json_t *vms; /* manifest entries, in the order of the plans */
    uint64_t documents_stored;
    int64_t begin, instant; /* monotonic, wall */
};

/* ---- Planning ---- */

static size_t plans_of(const struct backup *backup, const struct plan *const **ret_plans)
{
    return vm_writer_plans(backup->run.writer, ret_plans);
}

static char *describe(const struct requester_selection *selection)
{
    if (selection->all)
        return memory_copy_string("backup of all VMs");
    char *text = memory_copy_string("backup of ");
    for (size_t i = 0; i < selection->count && strlen(text) < 200; i++) {
        char *longer = memory_format("%s%s%s", text, i ? ", " : "", selection->vms[i]);
        free(text);
        text = longer;
    }
    return text;
}

/* Every refusal is told, not only the first: the administrator mends all of them at once. */
static int refuse(const struct backup *backup, struct error *error)
{
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans), refused = 0;
    const struct plan *first = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!plans[i]->refused)
            continue;
        if (refused++)
            run_notice(backup->run.host, "VM %s: %s", plans[i]->domain->name, plans[i]->refused);
        else
            first = plans[i];
    }
    if (count == 0)
        return error_set(error, ERROR_NOT_FOUND, "there is no VM to back up");
    if (!first)
        return 0;
    (void)error_set(error, ERROR_REFUSED, "VM %s: %s", first->domain->name, first->refused);
    if (refused > 1)
        (void)error_prefix(error, "%zu VMs cannot be backed up; ", refused);
    return error_hint(error, "vmshadow inspect %s shows every condition; no VM was touched",
                      first->domain->name);
}

static int refuse_no_auto_recovery(const struct backup *backup, struct error *error)
{
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans);
    for (size_t i = 0; backup->options->no_auto_recovery && i < count; i++)
        if (plans[i]->method == PLAN_CHILD_SNAPSHOT) {
            (void)error_set(error, ERROR_REFUSED,
                            "VM %s would be backed up by child VM snapshot, "
                            "which needs a shadow copy that can be recovered: NO_AUTORECOVERY is "
                            "refused",
                            plans[i]->domain->name);
            return error_hint(error, "leave out --no-auto-recovery; no VM was touched");
        }
    return 0;
}

static int lock_vms(struct backup *backup, struct error *error)
{
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans);
    for (size_t i = 0; i < count; i++)
        if (undo_lock_vm(backup->run.undo, plans[i]->domain->uuid, plans[i]->domain->name, error) !=
            0)
            return -1;
    return 0;
}

static bool barrier_is_off(void)
{
    const char *value = getenv("VMSHADOW_TEST_BARRIER"); /* a debug door: CONTRIBUTING.md */
    return value && strcmp(value, "off") == 0;
}

static int plan(struct backup *backup, struct error *error)
{
    const struct requester_backup_options *options = backup->options;
    struct run *run = &backup->run;
    CLEANUP_FREE char *description = describe(&options->selection);
    if (run_begin(run, description, error) != 0)
        return -1;
    struct vm_writer_settings writer = run_writer_settings(run, &options->selection);
    writer.freeze_limit = options->freeze_limit;
    writer.hold_limit = options->hold_limit;
    writer.barrier = !barrier_is_off();
    struct instants_settings instants = {
        .hypervisor = run->hypervisor,
        .undo = run->undo,
        .scratch_directory = options->scratch_directory,
        .scratch_reserve = options->scratch_reserve,
        .hold_stopped = options->hold_stopped,
    };
    uint32_t context =
        VSS_CTX_BACKUP | (options->no_auto_recovery ? VSS_VOLSNAP_ATTR_NO_AUTORECOVERY : 0u);
    if (run_start_session(run, &writer, &instants, error) != 0 ||
        session_initialize_for_backup(run->session, error) != VSS_S_OK ||
        session_set_context(run->session, context, error) != VSS_S_OK ||
        session_set_backup_state(run->session, true, false,
                                 options->full ? VSS_BT_FULL : VSS_BT_COPY, false,
                                 error) != VSS_S_OK ||
        run_gather(run, error) != 0)
        return -1;
    if (refuse(backup, error) != 0 || refuse_no_auto_recovery(backup, error) != 0 ||
        lock_vms(backup, error) != 0 || instants_check_room(run->instants, error) != 0)
        return -1;
    return 0;
}

/* ---- The set ---- */

static int add_volumes(struct backup *backup, const struct domain *domain, struct error *error)
{
    for (size_t i = 0; i < domain->disk_count; i++) {
        struct id snapshot;
        if (!domain->disks[i].included)
            continue;
        CLEANUP_FREE char *volume = vm_writer_volume(domain->uuid, domain->disks[i].target);
        if (session_add_to_snapshot_set(backup->run.session, volume, NULL, &snapshot, error) !=
            VSS_S_OK)
            return error_prefix(error, "VM %s, disk %s: ", domain->name, domain->disks[i].target);
    }
    return 0;
}

static int make_set(struct backup *backup, struct error *error)
{
    struct run *run = &backup->run;
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans);
    struct id set;
    for (size_t i = 0; i < count; i++)
        if (session_add_component(run->session, &run->writer_instance, VSS_CT_FILEGROUP, "",
                                  plans[i]->domain->uuid, error) != VSS_S_OK)
            return -1;
    if (session_start_snapshot_set(run->session, &set, error) != VSS_S_OK)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (add_volumes(backup, plans[i]->domain, error) != 0)
            return -1;
    if (session_prepare_for_backup(run->session, error) != VSS_S_OK ||
        run_check_writers(run, error) != 0 || run_check(run, error) != 0)
        return run_check_writers(run, error);
    vss_code code = session_do_snapshot_set(run->session, error);
    backup->instant = clock_wall();
    if (run_check_writers(run, error) != 0 || code != VSS_S_OK)
        return -1;
    point_reached("set made");
    return run_check(run, error);
}

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
        if (!its_plan ||
            session_open_snapshot(backup->run.session, &snapshot->id, &source, error) != VSS_S_OK)
            return error_prefix(error, "disk %s: ", snapshot->original);
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
    if (add_writer_facts(backup, domain->uuid, vm, error) != 0)
        return error_prefix(error, "VM %s: ", domain->name);
    const struct vm_capture *captures;
    size_t count = vm_writer_captures(backup->run.writer, domain->uuid, &captures);
    if (manifest_store_files(backup->writer, domain, captures, count, vm, &backup->documents_stored,
                             error) != 0)
        return error_prefix(error, "VM %s: ", domain->name);
    return 0;
}

static int copy_all(struct backup *backup, struct error *error)
{
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans);
    if (repository_writer_new(backup->repository, &backup->writer, error) != 0 ||
        open_copies(backup, error) != 0 ||
        copy_backup(&backup->copy, backup->writer, repository_chunk_size(backup->repository),
                    backup->options->workers, error) != 0)
        return -1;
    point_reached("disks copied");
    for (size_t i = 0; i < count; i++)
        if (describe_vm(backup, plans[i], error) != 0)
            return -1;
    if (qemu_provider_check(backup->run.provider, error) != 0)
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

static uint64_t sum(const struct backup *backup, bool stored)
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
    json_set_string(manifest, "host", host);
    json_set_string(manifest, "hypervisor", hypervisor_version(backup->run.hypervisor));
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

static int commit(struct backup *backup, struct error *error)
{
    CLEANUP_JSON json_t *manifest = make_manifest(backup);
    if (mark_succeeded(backup, error) != 0 || store_documents(backup, manifest, error) != 0)
        return -1;
    json_set_integer(manifest, "bytes_read", (int64_t)sum(backup, false));
    json_set_integer(manifest, "bytes_stored", (int64_t)sum(backup, true));
    if (run_check(&backup->run, error) != 0)
        return -1;
    point_reached("before commit");
    int result = repository_writer_commit(TAKE_PTR(backup->writer), &backup->id, manifest, error);
    point_reached("committed");
    return result;
}

/* ---- The whole ---- */

static json_t *pick(const json_t *from, const char *const *names, size_t count)
{
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++) {
        json_t *value = json_object_get(from, names[i]);
        if (value)
            json_set(object, names[i], json_incref(value));
    }
    return object;
}

static json_t *result_vm(const json_t *vm)
{
    static const char *const members[] = {"name",      "uuid",      "method",
                                          "frozen_ms", "paused_ms", "left_out"};
    static const char *const disk_members[] = {"target", "size", "bytes_read", "bytes_stored"};
    json_t *object = pick(vm, members, ARRAY_SIZE(members));
    json_t *disks = json_array(), *disk;
    size_t index;
    json_array_foreach(json_object_get(vm, "disks"), index, disk)
    {
        json_append(disks, pick(disk, disk_members, ARRAY_SIZE(disk_members)));
    }
    json_set(object, "disks", disks);
    return object;
}

static json_t *make_result(const struct backup *backup)
{
    char time[clock_text_size];
    clock_format(backup->instant, time);
    json_t *result = json_object(), *vms = json_array(), *vm;
    size_t index;
    json_set_string(result, "backup", backup->id.text);
    json_set_string(result, "time", time);
    json_array_foreach(backup->vms, index, vm)
    {
        json_append(vms, result_vm(vm));
    }
    json_set(result, "vms", vms);
    json_set_integer(result, "bytes_read", (int64_t)sum(backup, false));
    json_set_integer(result, "bytes_stored", (int64_t)sum(backup, true));
    json_set(result, "seconds",
             json_real((double)(clock_monotonic() - backup->begin) / CLOCK_SECOND));
    return result;
}

/* A guest whose agent does not answer is asked until it does, but not while the user waits. */
static void tell_what_is_open(struct run *run)
{
    struct error left = ERROR_INIT;
    if (undo_all(run->undo, &left) != 0)
        run_notice(run->host,
                   "not everything could be undone yet (%s); the watchdog process goes on "
                   "until it is done",
                   left.message);
}

static int run_backup(struct backup *backup, struct error *error)
{
    struct run *run = &backup->run;
    if (plan(backup, error) != 0)
        return -1;
    if (make_set(backup, error) != 0 || copy_all(backup, error) != 0 ||
        commit(backup, error) != 0) {
        (void)session_abort_backup(run->session, NULL);
        session_release(TAKE_PTR(run->session));
        tell_what_is_open(run);
        return -1;
    }
    /* The backup is listed from here on; what fails now is told and changes nothing of that. */
    struct error late = ERROR_INIT;
    if (session_backup_complete(run->session, &late) != VSS_S_OK ||
        run_check_writers(run, &late) != 0)
        run_notice(run->host, "the backup is complete, but BackupComplete failed: %s",
                   late.message);
    session_release(TAKE_PTR(run->session));
    run_keep_record(run, "backup", backup->id.text, make_result(backup));
    return 0;
}

int requester_backup(const struct requester_host *host, struct repository *repository,
                     const struct requester_backup_options *options, json_t **ret_result,
                     struct error *error)
{
    struct backup backup = {
        .options = options,
        .repository = repository,
        .run = RUN_INIT,
        .id = id_new(),
        .vms = json_array(),
        .begin = clock_monotonic(),
    };
    backup.copy.run = &backup.run;
    int result = run_open(&backup.run, host, error);
    if (result == 0)
        result = run_backup(&backup, error);
    if (result == 0)
        *ret_result = make_result(&backup);
    repository_writer_free(backup.writer);
    run_close(&backup.run);
    copy_clear(&backup.copy);
    json_decref(backup.vms);
    return result;
}
