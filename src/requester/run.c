/* The life of a run; see run.h. Every member is released in the reverse order of its making. */
#include "requester/run.h"

#include "base/clock.h"
#include "base/log.h"
#include "hypervisor/directory.h"
#include "requester/rights.h"
#include "writers/vm/restore-undo.h"

#include <stdlib.h>
#include <string.h>

const char *run_state_directory(const struct requester_host *host)
{
    const char *directory = host->state_directory;
    if (!directory)
        directory = getenv("VMSHADOW_STATE_DIR");
    if (directory && *directory)
        return directory;
    return rights_is_session(host) ? rights_state_directory() : "/var/lib/vmshadow";
}

const char *run_default_location(const struct requester_host *host)
{
    if (host->default_location)
        return host->default_location;
    return rights_is_session(host) ? rights_default_location() : "/var/lib/libvirt/images";
}

struct undo_table run_undo_table(struct undo_pool *pool)
{
    static struct undo_kind kinds[16];
    unsigned count = 0;
    kinds[count++] = undo_remove_file;
    kinds[count++] = undo_remove_directory;
    kinds[count++] = undo_end_process;
    kinds[count++] = hypervisor_thaw_guest;
    kinds[count++] = hypervisor_end_backup_job;
    kinds[count++] = hypervisor_watch_scratch;
    kinds[count++] = hypervisor_return_vm;
    kinds[count++] = hypervisor_remove_image;
    kinds[count++] = hypervisor_restore_domain;
    kinds[count++] = hypervisor_drop_import;
    kinds[count++] = hypervisor_put_back_saved;
    kinds[count++] = vm_restore_put_back_file;
    kinds[count++] = vm_restore_put_back_link;
    kinds[count++] = vm_restore_remove_set_aside;
    kinds[count] = (struct undo_kind){.name = NULL};
    return (struct undo_table){.kinds = kinds, .context = pool};
}

void run_notice(const struct requester_host *host, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    CLEANUP_FREE char *text = memory_vformat(format, arguments);
    va_end(arguments);
    if (host->observer.notice)
        host->observer.notice(host->observer.context, text);
}

static void tell_recovered(void *context, const struct undo_report *report)
{
    struct run *run = context;
    if (report->undone || !report->left)
        run_notice(run->host, "put right what an earlier run (%s) left behind: %u steps undone",
                   report->description, report->undone);
    if (report->left)
        run_notice(run->host, "an earlier run left something open: %s; run: vmshadow recover",
                   report->error.message);
    for (size_t i = 0; i < report->lane_count; i++)
        ARRAY_APPEND(run->blocked, run->blocked_count, memory_copy_string(report->lanes[i]));
}

int run_lock_vm(struct run *run, const char *uuid, const char *name, struct error *error)
{
    for (size_t i = 0; i < run->blocked_count; i++)
        if (strcmp(run->blocked[i], uuid) == 0) {
            (void)error_set(error, ERROR_BUSY, "VM %s: an interrupted run left something open",
                            name);
            return error_advise(error, "interrupted-run",
                                "see that nobody has put it right by hand, then: vmshadow recover");
        }
    return undo_lock_vm(run->undo, uuid, name, error);
}

int run_open(struct run *run, const struct requester_host *host, struct error *error)
{
    run->host = host;
    run->events = json_array();
    if (hypervisor_open(host->uri, &run->hypervisor, error) != 0 ||
        rights_check(host, run_state_directory(host), error) != 0)
        return -1;
    run->pool = undo_pool_new(hypervisor_uri(run->hypervisor));
    run->table = run_undo_table(run->pool);
    if (undo_recover_in_passing(run_state_directory(host), &run->table, tell_recovered, run,
                                error) < 0)
        return error_prefix(error, "an earlier run could not be looked at: ");
    return 0;
}

/* A new home has neither ~/.local/state nor ~/.local/share/libvirt. */
static int make_places_of_user(const struct requester_host *host, struct error *error)
{
    CLEANUP_FREE char *state = directory_of(run_state_directory(host));
    CLEANUP_FREE char *images = directory_of(run_default_location(host));
    return directory_make(state, error) != 0 || directory_make(images, error) != 0 ? -1 : 0;
}

int run_begin(struct run *run, const char *description, struct error *error)
{
    if (rights_is_session(run->host) && make_places_of_user(run->host, error) != 0)
        return -1;
    char program[] = "/proc/self/exe";
    CLEANUP_FREE char *uri = memory_copy_string(hypervisor_uri(run->hypervisor));
    char name[] = "vmshadow", verb[] = "watchdog", connect[] = "--connect";
    char *arguments[] = {name, verb, connect, uri, NULL};
    struct undo_settings settings = {
        .state_directory = run_state_directory(run->host),
        .description = description,
        .program = program,
        .arguments = arguments,
    };
    return undo_begin(&settings, &run->table, &run->undo, error);
}

static void keep_record(struct run *run, const struct coordinator_record *record, const char *vm,
                        const char *disk)
{
    pthread_mutex_lock(&run->lock);
    json_append(run->events, requester_record_json(record, vm, disk));
    if (run->host->observer.record)
        run->host->observer.record(run->host->observer.context, record, vm, disk);
    pthread_mutex_unlock(&run->lock);
}

static const char *vm_name(const struct run *run, const char *uuid)
{
    const struct plan *const *plans;
    size_t count = vm_writer_plans(run->writer, &plans);
    for (size_t i = 0; i < count; i++)
        if (strcmp(plans[i]->domain->uuid, uuid) == 0)
            return plans[i]->domain->name;
    return NULL;
}

/* A stage that is about one disk comes from the thread that drives the session, as all stages do:
 * the plans do not change meanwhile. */
static void observe(void *context, const struct coordinator_record *record)
{
    struct run *run = context;
    char uuid[id_text_size];
    const char *target = NULL, *vm = NULL;
    if (record->volume && vm_writer_parse_volume(record->volume, uuid, &target) == 0)
        vm = vm_name(run, uuid);
    keep_record(run, record, vm, vm ? target : NULL);
}

void run_record_copy(struct run *run, const char *vm, const char *disk, int64_t start, int64_t end,
                     const char *message)
{
    struct coordinator_record record = {
        .kind = "copy",
        .name = "Copy",
        .party = "vmshadow",
        .start = start,
        .end = end,
        .code = *message ? VSS_E_UNEXPECTED : VSS_S_OK,
        .message = message,
    };
    if (run->session)
        record.snapshot_set = session_components(run->session)->snapshot_set;
    keep_record(run, &record, vm, disk);
}

int run_start_session(struct run *run, const struct vm_writer_settings *writer,
                      const struct instants_settings *instants, struct error *error)
{
    if (instants)
        run->instants = instants_new(instants);
    struct vm_writer_settings settings = *writer;
    settings.instants = run->instants;
    if (vm_writer_new(&settings, &run->writer, error) != 0)
        return -1;
    run->provider = qemu_provider_new(run->hypervisor, run->instants);
    CLEANUP_FREE char *lock = memory_format("%s/snapshot-set.lock", run_state_directory(run->host));
    run->coordinator = coordinator_new(run->undo ? lock : NULL, observe, run);
    struct writer_description description = vm_writer_description(run->writer);
    run->writer_instance = coordinator_subscribe(run->coordinator, &description);
    struct provider_description provider = qemu_provider_description(run->provider);
    if (coordinator_register_provider(run->coordinator, &provider, error) != VSS_S_OK)
        return -1;
    run->session = session_new(run->coordinator);
    return 0;
}

int run_select(struct run *run, const struct requester_selection *selection, struct error *error)
{
    if (selected_find(run->hypervisor, run->host, selection, &run->selected, error) != 0)
        return -1;
    if (selection->all && !selection->exclude_vm_count && !run->selected.missing_count)
        return 0;
    return selected_check(&run->selected, error);
}

struct vm_writer_settings run_writer_settings(struct run *run,
                                              const struct requester_selection *selection)
{
    size_t locations = 0;
    bool every = selection->all && !selection->exclude_vm_count;
    free(run->locations);
    run->locations = NEW_ARRAY(struct vm_writer_location, selection->location_count);
    for (size_t i = 0; i < selection->location_count; i++)
        if (!selection->locations[i].optional || run->selected.usable_locations[i])
            run->locations[locations++] = (struct vm_writer_location){
                selection->locations[i].vm, selection->locations[i].directory};
    return (struct vm_writer_settings){
        .hypervisor = run->hypervisor,
        .undo = run->undo,
        .vms = (const char *const *)run->selected.uuids,
        .vm_count = every ? 0 : run->selected.count,
        .exclude_disks = selection->exclude_disks,
        .exclude_disk_count = selection->exclude_disk_count,
        .locations = run->locations,
        .location_count = locations,
        .default_location = run_default_location(run->host),
        .barrier = true,
    };
}

struct vm_writer_settings run_backup_settings(struct run *run,
                                              const struct requester_backup_options *options)
{
    struct vm_writer_settings settings = run_writer_settings(run, &options->selection);
    settings.freeze_limit = options->freeze_limit;
    settings.hold_limit = options->hold_limit;
    settings.image_directory =
        options->image_directory ? options->image_directory : options->scratch_directory;
    settings.image_reserve = options->scratch_reserve;
    settings.pause_limit = options->max_pause;
    settings.refuse_saved_state = options->refuse_saved_state;
    return settings;
}

int run_gather(struct run *run, struct error *error)
{
    if (session_gather_writer_metadata(run->session, error) != VSS_S_OK)
        return -1;
    if (session_writer_metadata_count(run->session) > 0)
        return 0;
    struct coordinator_writer writer;
    if (coordinator_writers(run->coordinator, &writer, 1) > 0 && writer.message[0])
        return error_set(error, ERROR_FAILED, "the VM writer cannot list the VMs: %s",
                         writer.message);
    return error_set(error, ERROR_FAILED, "the VM writer cannot list the VMs");
}

void run_close(struct run *run)
{
    session_release(run->session);
    if (run->coordinator && coordinator_free(run->coordinator) != 0)
        log_warning("a writer did not end; the watchdog puts right what it left");
    else {
        vm_writer_free(run->writer);
        qemu_provider_free(run->provider);
        instants_free(run->instants);
    }
    undo_end(run->undo);
    undo_pool_free(run->pool);
    hypervisor_close(run->hypervisor);
    json_decref(run->events);
    for (size_t i = 0; i < run->blocked_count; i++)
        free(run->blocked[i]);
    free(run->blocked);
    free(run->locations);
    selected_clear(&run->selected);
}

int run_check(void *context, struct error *error)
{
    struct run *run = context;
    if (run->host->interrupted && *run->host->interrupted)
        return error_set(error, ERROR_INTERRUPTED, "interrupted");
    return run->undo ? undo_check(run->undo, error) : 0;
}

int run_check_writers(struct run *run, struct error *error)
{
    struct error status = ERROR_INIT;
    if (session_gather_writer_status(run->session, &status) != VSS_S_OK ||
        session_check_writers(run->session, &status) != 0) {
        error_clear(error); /* the writer's own words say more than the failed call */
        error_move(error, &status);
        return -1;
    }
    return error_is_set(error) ? -1 : 0;
}
