/* Running and paused VMs: one pull-mode backup job over all wanted disks. The instant is the moment
 * at which QEMU starts the job's block jobs in one transaction, inside virDomainBackupBegin().
 *
 * Everything that takes time or can fail early is in prepare; begin is called while guests are
 * frozen.
 */
#include "base/clock.h"
#include "hypervisor/backup-job.h"
#include "hypervisor/directory.h"
#include "hypervisor/domain-private.h"
#include "hypervisor/instant-private.h"
#include "hypervisor/undo-kinds.h"

#include <string.h>

#define STOP_SEEN_LIMIT (1 * CLOCK_SECOND)

static const char *block_job_name(int type)
{
    static const char *const names[] = {
        [VIR_DOMAIN_BLOCK_JOB_TYPE_PULL] = "block pull",
        [VIR_DOMAIN_BLOCK_JOB_TYPE_COPY] = "block copy",
        [VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT] = "block commit",
        [VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT] = "active block commit",
        [VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP] = "backup",
    };
    bool known = type > 0 && (size_t)type < ARRAY_SIZE(names) && names[type];
    return known ? names[type] : "block";
}

/* Foreign jobs make libvirt refuse, or wait 30 s: tell them before. */
static int refuse_foreign_jobs(const struct instant *instant, virDomainPtr domain,
                               struct error *error)
{
    for (size_t i = 0; i < instant->disk_count; i++) {
        virDomainBlockJobInfo job;
        const char *target = instant->disks[i].target;
        if (VIR(virDomainGetBlockJobInfo(domain, target, &job, 0)) != 1)
            continue;
        (void)error_set(error, ERROR_BUSY, "VM %s: a %s job of somebody else runs on disk %s",
                        instant->name, block_job_name(job.type), target);
        return error_advise(error, "foreign-block-job",
                            "wait for it (virsh blockjob %s %s --info) or end it", instant->name,
                            target);
    }
    enum backup_job_state state;
    if (backup_job_look(domain, NULL, &state, error) != 0)
        return -1;
    if (state != BACKUP_JOB_NONE) {
        (void)error_set(error, ERROR_BUSY, "VM %s: another program's backup job runs",
                        instant->name);
        return error_advise(error, "foreign-backup-job",
                            "wait for it (virsh domjobinfo %s) or end it", instant->name);
    }
    virDomainJobInfo job;
    if (VIR(virDomainGetJobInfo(domain, &job)) == 0 && job.type != VIR_DOMAIN_JOB_NONE) {
        (void)error_set(error, ERROR_BUSY,
                        "VM %s: another operation runs on it (saving, migration, ...)",
                        instant->name);
        return error_advise(error, "vm-busy", "wait for it: virsh domjobinfo %s", instant->name);
    }
    return 0;
}

static int look_at_jobs(struct instant *instant, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (call_begin_domain(instant->owner->hypervisor, CALL_PLAIN, instant->uuid, &call, error) != 0)
        return -1;
    return refuse_foreign_jobs(instant, call.domain, error);
}

static int add_scratch_steps(struct instant *instant, struct error *error)
{
    if (strcmp(instant->scratch, instant->directory) == 0)
        return 0; /* it goes with the job's directory */
    if (instant_add_step(instant, "remove-directory", undo_path_arguments(instant->scratch),
                         error) != 0)
        return -1;
    for (size_t i = 0; i < instant->disk_count; i++)
        if (instant_add_step(instant, "remove-file", undo_path_arguments(instant->disks[i].scratch),
                             error) != 0)
            return -1;
    return directory_make_private(instant->scratch, "/var/lib/libvirt/qemu", error);
}

static int add_job_step(struct instant *instant, struct error *error)
{
    CLEANUP_FREE char *aside = directory_aside(instant->directory);
    if (instant_add_step(instant, "remove-directory", undo_path_arguments(aside), error) != 0)
        return -1;
    json_t *arguments = hypervisor_job_arguments(instant->uuid, instant->name, instant->socket);
    json_set_boolean(arguments, "was_paused", instant->was_paused);
    return instant_add_step(instant, hypervisor_end_backup_job.name, arguments, error);
}

int instant_running_prepare(struct instant *instant, struct error *error)
{
    struct instants *owner = instant->owner;
    if (look_at_jobs(instant, error) != 0)
        return -1;
    if (directory_make(owner->base, error) != 0 || directory_make(owner->scratch, error) != 0 ||
        directory_check_local(owner->scratch, error) != 0 ||
        add_scratch_steps(instant, error) != 0 ||
        instant_add_step(
            instant, hypervisor_watch_scratch.name,
            hypervisor_scratch_arguments(owner->scratch, instants_reserve(owner), instant->name),
            error) != 0 ||
        add_job_step(instant, error) != 0 ||
        directory_make_private(instant->directory, "/var/lib/libvirt/qemu", error) != 0)
        return error_prefix(error, "VM %s: ", instant->name);
    return 0;
}

static int begin_failed(const struct instant *instant, struct error *error)
{
    int code = call_last_code();
    (void)call_error(error, "VM %s: the backup job cannot begin", instant->name);
    if (error && strstr(error->message, "blockjob assigned"))
        error->kind = ERROR_BUSY;
    if (error && code == VIR_ERR_OPERATION_TIMEOUT)
        error->kind = ERROR_BUSY;
    return -1;
}

int instant_running_begin(struct instant *instant, struct error *error)
{
    struct backup_job_disk *disks = NEW_ARRAY(struct backup_job_disk, instant->disk_count);
    for (size_t i = 0; i < instant->disk_count; i++)
        disks[i] = (struct backup_job_disk){.target = instant->disks[i].target,
                                            .scratch = instant->disks[i].scratch};
    CLEANUP_FREE char *xml = backup_job_xml(instant->socket, disks, instant->disk_count);
    free(disks);
    CLEANUP_CALL struct call call = CALL_NONE;
    enum domain_state state;
    if (call_begin_domain(instant->owner->hypervisor, CALL_PLAIN, instant->uuid, &call, error) !=
            0 ||
        domain_read_state(call.domain, &state, error) != 0)
        return -1;
    if (state == DOMAIN_OFF || state == DOMAIN_SAVED) {
        (void)error_set(error, ERROR_FAILED, "VM %s was stopped since the backup was prepared",
                        instant->name);
        return error_advise(error, "vm-stopped-meanwhile",
                            "back it up again, now as a VM that is off");
    }
    if (refuse_foreign_jobs(instant, call.domain, error) != 0)
        return -1;
    if (VIR(virDomainBackupBegin(call.domain, xml, NULL, 0)) != 0)
        return begin_failed(instant, error);
    return 0;
}

int instant_running_get_size(struct instant *instant, struct instant_disk *disk,
                             struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    virDomainBlockInfo info;
    if (disk->size)
        return 0;
    if (call_begin_domain(instant->owner->hypervisor, CALL_PLAIN, instant->uuid, &call, error) != 0)
        return -1;
    if (VIR(virDomainGetBlockInfo(call.domain, disk->target, &info, 0)) != 0)
        return call_error(error, "VM %s, disk %s: cannot tell its size", instant->name,
                          disk->target);
    if (info.capacity > INT64_MAX)
        return error_set(error, ERROR_FAILED, "VM %s, disk %s: its size is out of range",
                         instant->name, disk->target);
    disk->size = (int64_t)info.capacity;
    return 0;
}

/* The job ends by itself when QEMU ends, and is ended by the watchdog when scratch runs short. */
/* The job's end is seen a moment before that of a QEMU which took it along. */
static bool has_stopped(virDomainPtr domain)
{
    enum domain_state state;
    for (int64_t deadline = clock_monotonic() + STOP_SEEN_LIMIT;;) {
        if (domain_read_state(domain, &state, NULL) == 0 &&
            (state == DOMAIN_OFF || state == DOMAIN_SAVED || state == DOMAIN_CRASHED))
            return true;
        if (clock_monotonic() > deadline)
            return false;
        clock_sleep(50 * CLOCK_MILLISECOND);
    }
}

int instant_running_check(struct instant *instant, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    enum backup_job_state job = BACKUP_JOB_NONE;
    struct error fault = ERROR_INIT;
    if (call_begin_domain(instant->owner->hypervisor, CALL_PLAIN, instant->uuid, &call, error) != 0)
        return -1;
    if (backup_job_look(call.domain, instant->socket, &job, &fault) == 0 && job == BACKUP_JOB_OURS)
        return 0;
    if (has_stopped(call.domain)) {
        (void)error_set(error, ERROR_FAILED,
                        "VM %s was stopped during the copy, which ended its "
                        "backup job",
                        instant->name);
        return error_advise(error, "vm-stopped-meanwhile",
                            "back it up again, now as a VM that is off");
    }
    error_move(error, &fault);
    (void)error_set(error, ERROR_FAILED, "VM %s: its backup job was ended during the copy",
                    instant->name);
    return error_advise(
        error, "backup-job-ended",
        "see who ended it (another backup program, virsh domjobabort), then back up again");
}
