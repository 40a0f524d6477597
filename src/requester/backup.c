/* Backup (design.md section 4): one sequence of VSS events around one copy.
 *
 *   recover ─ select ─ undo ─ lock VMs ─ gather and plan ─ PrepareForBackup ─ DoSnapshotSet
 *   ─ copy ─ documents ─ still the instant's data? ─ commit in the repository ─ BackupComplete
 *   ─ BackupShutdown
 *
 * All or nothing (row B9): any failure before the commit leaves no listed backup; run_close()
 * undoes what is open. Planning refuses before any VM is touched.
 */
#include "requester/backup-private.h"

#include "base/clock.h"
#include "base/point.h"

#include <stdlib.h>
#include <string.h>

enum { DISKS_IN_A_SET = 4096 };

/* ---- Planning ---- */

static char *describe(const struct requester_selection *selection, const struct selected *selected)
{
    if (selection->all && !selection->exclude_vm_count)
        return memory_copy_string("backup of all VMs");
    char *text = memory_copy_string("backup of ");
    for (size_t i = 0; i < selected->count && strlen(text) < 200; i++) {
        char *longer = memory_format("%s%s%s", text, i ? ", " : "", selected->names[i]);
        free(text);
        text = longer;
    }
    return text;
}

static void tell_unknown_pauses(const struct backup *backup)
{
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans);
    for (size_t i = 0; i < count; i++)
        if (plans[i]->pause_unknown)
            run_notice(backup->run.host, "VM %s: the pause cannot be estimated: %s",
                       plans[i]->domain->name, plans[i]->pause_unknown);
}

/* The definition that is backed up is that of the VM's next start, the disks are those it has now.
 */
static void tell_live_disks(const struct backup *backup)
{
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans);
    for (size_t i = 0; i < count; i++) {
        const struct domain *domain = plans[i]->domain;
        for (size_t d = 0; d < domain->disk_count; d++)
            if (domain->disks[d].included && domain->disks[d].live_only)
                run_notice(backup->run.host,
                           "VM %s: disk %s was attached to the running VM only, its definition "
                           "does not have it: it is backed up, and a restore brings its file back "
                           "without attaching it",
                           domain->name, domain->disks[d].target);
    }
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
    if (!first) {
        tell_unknown_pauses(backup);
        tell_live_disks(backup);
        return 0;
    }
    (void)error_set(error, ERROR_REFUSED, "VM %s: %s", first->domain->name, first->refused);
    if (refused > 1)
        (void)error_prefix(error, "%zu VMs cannot be backed up; ", refused);
    return error_advise(error, "vm-refused",
                        "vmshadow inspect %s shows every condition; no VM was touched",
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
            return error_advise(error, "no-auto-recovery",
                                "leave out --no-auto-recovery; no VM was touched");
        }
    return 0;
}

/* Before the VMs are looked at: another run that freezes, saves or copies one would make it look as
 * if it could not be backed up, where it is only to be waited for. */
static int lock_selected(struct run *run, struct error *error)
{
    for (size_t i = 0; i < run->selected.count; i++)
        if (run_lock_vm(run, run->selected.uuids[i], run->selected.names[i], error) != 0)
            return -1;
    return 0;
}

static bool is_selected(const struct run *run, const char *uuid)
{
    for (size_t i = 0; i < run->selected.count; i++)
        if (strcmp(run->selected.uuids[i], uuid) == 0)
            return true;
    return false;
}

/* With --all, VMs that have been defined since the selection. */
static int lock_new(struct backup *backup, struct error *error)
{
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans);
    for (size_t i = 0; i < count; i++)
        if (!is_selected(&backup->run, plans[i]->domain->uuid) &&
            run_lock_vm(&backup->run, plans[i]->domain->uuid, plans[i]->domain->name, error) != 0)
            return -1;
    return 0;
}

static bool barrier_is_off(void)
{
    const char *value = getenv("VMSHADOW_TEST_BARRIER"); /* a debug door: CONTRIBUTING.md */
    return value && strcmp(value, "off") == 0;
}

/* `vm` and `target` are the parts of `word`. A pattern means several VMs, of which one may well
 * have no such disk. */
static void look_for_target(const struct backup *backup, const char *word, const char *vm,
                            const char *target)
{
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans), matching = 0, found = 0;
    for (size_t i = 0; i < count; i++) {
        const struct domain *domain = plans[i]->domain;
        if (!selection_matches(vm, domain->name, domain->uuid))
            continue;
        matching++;
        if (domain_find_disk(domain, target))
            found++;
        else if (!selection_is_pattern(vm))
            run_notice(backup->run.host, "exclude-disk %s: VM %s has no disk %s", word,
                       domain->name, target);
    }
    if (selection_is_pattern(vm) && matching && !found)
        run_notice(backup->run.host,
                   "exclude-disk %s: no VM of the set that %s means has a disk %s", word, vm,
                   target);
}

/* A disk that is excluded by a wrong name would be in the backup without a word. */
static void tell_useless_exclusions(const struct backup *backup)
{
    const struct requester_selection *selection = &backup->options->selection;
    for (size_t i = 0; i < selection->exclude_disk_count; i++) {
        const char *word = selection->exclude_disks[i], *colon = strrchr(word, ':');
        if (!colon || selection_is_pattern(colon + 1))
            continue;
        CLEANUP_FREE char *vm = memory_format("%.*s", (int)(colon - word), word);
        look_for_target(backup, word, vm, colon + 1);
    }
}

static int plan(struct backup *backup, struct error *error)
{
    const struct requester_backup_options *options = backup->options;
    struct run *run = &backup->run;
    if (run_select(run, &options->selection, error) != 0)
        return -1;
    CLEANUP_FREE char *description = describe(&options->selection, &run->selected);
    if (run_begin(run, description, error) != 0 || lock_selected(run, error) != 0)
        return -1;
    struct vm_writer_settings writer = run_backup_settings(run, options);
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
    if (run_start_session(run, &writer, &instants, error) != 0)
        return -1;
    session_set_volume_limit(run->session, DISKS_IN_A_SET);
    if (session_initialize_for_backup(run->session, error) != VSS_S_OK ||
        session_set_context(run->session, context, error) != VSS_S_OK ||
        session_set_backup_state(run->session, true, false,
                                 options->full ? VSS_BT_FULL : VSS_BT_COPY, false,
                                 error) != VSS_S_OK ||
        run_gather(run, error) != 0)
        return -1;
    tell_useless_exclusions(backup);
    if (refuse(backup, error) != 0 || refuse_no_auto_recovery(backup, error) != 0 ||
        lock_new(backup, error) != 0 || instants_check_room(run->instants, error) != 0 ||
        vm_writer_check_room(run->writer, error) != 0)
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
    backup->clock_offset = backup->instant - clock_monotonic();
    if (run_check_writers(run, error) != 0 || code != VSS_S_OK)
        return -1;
    point_reached("set made");
    return run_check(run, error);
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
    static const char *const memory_members[] = {"continues", "size", "bytes_read", "bytes_stored"};
    static const char *const disk_members[] = {"target", "size", "bytes_read", "bytes_stored"};
    json_t *object = pick(vm, members, ARRAY_SIZE(members));
    json_t *disks = json_array(), *disk;
    size_t index;
    json_array_foreach(json_object_get(vm, "disks"), index, disk)
    {
        json_append(disks, pick(disk, disk_members, ARRAY_SIZE(disk_members)));
    }
    json_set(object, "disks", disks);
    json_t *memory = json_object_get(vm, "saved_state");
    json_set(object, "saved_state",
             json_is_object(memory) ? pick(memory, memory_members, ARRAY_SIZE(memory_members))
                                    : json_null());
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
    json_set_integer(result, "bytes_read", (int64_t)backup_bytes(backup, false));
    json_set_integer(result, "bytes_stored", (int64_t)backup_bytes(backup, true));
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
    if (make_set(backup, error) != 0 || backup_copy(backup, error) != 0 ||
        backup_commit(backup, error) != 0) {
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
    backup_close_memories(&backup);
    run_close(&backup.run);
    copy_clear(&backup.copy);
    json_decref(backup.vms);
    return result;
}
