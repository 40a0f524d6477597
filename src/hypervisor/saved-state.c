/* Taking a memory image in place, or by saving and starting again; and the return. */
#include "hypervisor/saved-state-private.h"

#include "base/id.h"
#include "base/point.h"
#include "hypervisor/backup-job.h"
#include "hypervisor/directory.h"
#include "hypervisor/domain-private.h"
#include "hypervisor/undo-kinds.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_LIMIT (600 * CLOCK_SECOND)
#define DEFAULT_RESERVE (INT64_C(1) << 30)

/* ---- Prepare ---- */

/* "" = it has no path. */
static char *disk_file(const struct disk *disk)
{
    bool has_path = disk->layer_count && disk->layers[0].path;
    return memory_copy_string(has_path ? disk->layers[0].path : "");
}

static struct saved_state *state_new(const struct saved_state_settings *settings,
                                     const struct domain *domain)
{
    struct saved_state *state = NEW(struct saved_state);
    CLEANUP_FREE char *base = directory_for_run(settings->hypervisor, settings->directory);
    struct id id = id_new();
    size_t files = 0;
    state->hypervisor = settings->hypervisor;
    state->undo = settings->undo;
    state->uuid = memory_copy_string(domain->uuid);
    state->name = memory_copy_string(domain->name);
    state->was_paused = domain->state != DOMAIN_RUNNING;
    state->persistent = domain->persistent;
    state->limit = settings->limit ? settings->limit : DEFAULT_LIMIT;
    state->directory = memory_format("%s/%.8s.memory", base, id.text);
    state->image = memory_format("%s/image", state->directory);
    state->snapshot_xml = saved_state_snapshot_xml(domain, state->image);
    state->live_xml = memory_copy_string(domain->live_xml);
    for (size_t i = 0; i < domain->disk_count; i++)
        if (!domain->disks[i].read_only && domain->disks[i].source_type[0] != '\0')
            ARRAY_APPEND(state->disk_files, files, disk_file(&domain->disks[i]));
    ARRAY_APPEND(state->disk_files, files, NULL);
    return state;
}

static void state_free(struct saved_state *state)
{
    for (char **file = state->disk_files; *file; file++)
        free(*file);
    free(state->disk_files);
    free(state->live_xml);
    free(state->snapshot_xml);
    free(state->image);
    free(state->directory);
    free(state->name);
    free(state->uuid);
    free(state);
}

static int add_step(struct saved_state *state, const char *kind, json_t *arguments,
                    uint64_t *ret_step, struct error *error)
{
    return undo_add(state->undo, state->uuid, kind, arguments, ret_step, error);
}

static json_t *return_arguments(const struct saved_state *state)
{
    json_t *arguments = hypervisor_guest_arguments(state->uuid, state->name), *disks = json_array();
    json_set_string(arguments, "image", state->image);
    json_set_boolean(arguments, "was_paused", state->was_paused);
    json_set_boolean(arguments, "restart", state->restart);
    json_set_boolean(arguments, "started", state->started);
    for (char **file = state->disk_files; *file; file++)
        json_append_string(disks, *file);
    json_set(arguments, "disks", disks);
    return arguments;
}

static int add_return_step(struct saved_state *state, struct error *error)
{
    return add_step(state, hypervisor_return_vm.name, return_arguments(state), &state->return_step,
                    error);
}

static int refuse_other_jobs(const struct saved_state *state, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    enum backup_job_state job;
    virDomainJobInfo info;
    if (call_begin_domain(state->hypervisor, CALL_PLAIN, state->uuid, &call, error) != 0 ||
        backup_job_look(call.domain, NULL, &job, error) != 0)
        return -1;
    bool other =
        VIR(virDomainGetJobInfo(call.domain, &info)) == 0 && info.type != VIR_DOMAIN_JOB_NONE;
    if (job == BACKUP_JOB_NONE && !other)
        return 0;
    (void)error_set(error, ERROR_BUSY,
                    "another operation runs on it (backup, saving, migration, ...)");
    return error_advise(error, "vm-busy", "wait for its end: virsh domjobinfo %s", state->name);
}

static int make_known(struct saved_state *state, const char *base, uint64_t reserve,
                      struct error *error)
{
    if (directory_make(base, error) != 0 || directory_check_local(base, error) != 0 ||
        add_step(state, hypervisor_watch_scratch.name,
                 hypervisor_scratch_arguments(base, reserve, state->name), &state->scratch_step,
                 error) != 0 ||
        add_return_step(state, error) != 0)
        return -1;
    return directory_make_private(state->directory, "/var/lib/libvirt/qemu", error);
}

int saved_state_prepare(const struct saved_state_settings *settings, const struct domain *domain,
                        struct saved_state **ret_state, struct error *error)
{
    if (domain->state != DOMAIN_RUNNING && domain->state != DOMAIN_PAUSED)
        return error_set(error, ERROR_BUSY, "VM %s is %s: it cannot be saved", domain->name,
                         domain_state_name(domain->state));
    CLEANUP_FREE char *base = directory_for_run(settings->hypervisor, settings->directory);
    struct saved_state *state = state_new(settings, domain);
    if (refuse_other_jobs(state, error) != 0 ||
        make_known(state, base, settings->reserve ? settings->reserve : DEFAULT_RESERVE, error) !=
            0) {
        (void)error_prefix(error, "VM %s: saved state: ", domain->name);
        (void)saved_state_end(state, NULL);
        return -1;
    }
    *ret_state = state;
    return 0;
}

/* ---- Take ---- */

static bool is_restart_wanted(void)
{
    const char *value = getenv("VMSHADOW_TEST_SAVE"); /* a debug door: CONTRIBUTING.md */
    return value && strcmp(value, "restart") == 0;
}

/* Minutes may have passed since the last look: other VMs were saved before. */
static int check_unchanged(const struct saved_state *state, const struct call *call,
                           struct error *error)
{
    enum domain_state planned = state->was_paused ? DOMAIN_PAUSED : DOMAIN_RUNNING, now;
    if (domain_read_state(call->domain, &now, error) != 0)
        return -1;
    if (now == planned)
        return 0;
    (void)error_set(error, ERROR_FAILED, "VM %s changed since planning: it was %s and is %s",
                    state->name, domain_state_name(planned), domain_state_name(now));
    return error_advise(error, "vm-changed-since-planning", "look at the VM, then back up again");
}

static int pause_vm(struct saved_state *state, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (call_begin_domain(state->hypervisor, CALL_PLAIN, state->uuid, &call, error) != 0 ||
        check_unchanged(state, &call, error) != 0)
        return -1;
    state->touched = true;
    state->times.paused = clock_monotonic();
    if (!state->was_paused && !is_restart_wanted()) {
        if (VIR(virDomainSuspend(call.domain)) != 0)
            return call_error(error, "VM %s cannot be paused", state->name);
        /* It may have waited in libvirt while the run became void, and the watchdog looked. */
        if (undo_check(state->undo, error) != 0) {
            (void)VIR(virDomainResume(call.domain));
            return -1;
        }
    }
    point_reached("paused");
    return 0;
}

static bool is_unsupported(int code)
{
    return code == VIR_ERR_OPERATION_UNSUPPORTED || code == VIR_ERR_CONFIG_UNSUPPORTED ||
           code == VIR_ERR_ARGUMENT_UNSUPPORTED || code == VIR_ERR_NO_SUPPORT;
}

static int save_failed(const struct saved_state *state, struct error *error)
{
    (void)call_error(error, "VM %s: its memory cannot be saved", state->name);
    if (error && strstr(error->message, "previous migration"))
        return error_advise(
            error, "vm-saved-without-run",
            "QEMU does not save a VM twice that was paused all the time: let it run "
            "for a moment (virsh resume %s; virsh suspend %s)",
            state->name, state->name);
    return error_advise(error, "memory-not-saved",
                        "look at libvirt's reason; the log of QEMU is "
                        "/var/log/libvirt/qemu/%s.log",
                        state->name);
}

/* 1 = libvirt cannot do it for this VM. */
static int save_in_place(struct saved_state *state, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (call_begin_domain(state->hypervisor, CALL_PLAIN, state->uuid, &call, error) != 0)
        return -1;
    virDomainSnapshotPtr snapshot = VIR(virDomainSnapshotCreateXML(
        call.domain, state->snapshot_xml, VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA));
    if (!snapshot) {
        bool unsupported = is_unsupported(call_last_code());
        (void)save_failed(state, error);
        return unsupported ? 1 : -1;
    }
    (void)virDomainSnapshotFree(snapshot);
    return 0;
}

static int lease_return(const struct saved_state *state, struct error *error)
{
    CLEANUP_FREE char *what = memory_format("VM %s was paused longer than the limit of %.10g s",
                                            state->name, (double)state->limit / CLOCK_SECOND);
    return undo_lease(state->undo, state->return_step, state->deadline, what, error);
}

/* With other members. Two are known for a moment: no VM is off in it that one of them would take
 * for not being ours. */
static int replace_return_step(struct saved_state *state, struct error *error)
{
    uint64_t old = state->return_step;
    if (add_return_step(state, error) != 0 || lease_return(state, error) != 0)
        return -1;
    return undo_strike(state->undo, old, error);
}

/* The undo tries it again, and the watchdog after it. */
static int start_failed(const struct saved_state *state, struct error *error)
{
    (void)call_error(error, "VM %s cannot be started from the image of its memory", state->name);
    return error_advise(error, "vm-not-started-from-memory",
                        "see virsh domstate %s: while it is off its image is kept in %s.void, and "
                        "is tried again until it starts",
                        state->name, state->directory);
}

static int save_and_start(struct saved_state *state, struct error *error)
{
    if (!state->persistent)
        return error_set(error, ERROR_REFUSED,
                         "VM %s is transient: it cannot be saved and started again", state->name);
    CLEANUP_CALL struct call call = CALL_NONE;
    state->restart = true;
    if (saved_state_check_networks(state->hypervisor, state->live_xml, error) != 0)
        return error_prefix(error, "VM %s: ", state->name);
    if (replace_return_step(state, error) != 0 ||
        call_begin_domain(state->hypervisor, CALL_PLAIN, state->uuid, &call, error) != 0)
        return -1;
    point_reached("before save");
    if (VIR(virDomainSaveFlags(call.domain, state->image, NULL, 0)) != 0)
        return save_failed(state, error);
    point_reached("saved and off");
    if (VIR(virDomainRestoreFlags(call.connection, state->image, NULL, VIR_DOMAIN_SAVE_PAUSED)) !=
        0)
        return start_failed(state, error);
    state->started = true;
    return replace_return_step(state, error);
}

/* A QEMU whose memory was saved in place cannot be saved again before its VM has run; so a VM that
 * stays paused is started from its image. A transient one does not survive that. */
static bool is_restarted(const struct saved_state *state)
{
    return is_restart_wanted() || (state->was_paused && state->persistent);
}

static int save(struct saved_state *state, struct error *error)
{
    struct error unsupported = ERROR_INIT;
    int result = is_restarted(state) ? 1 : save_in_place(state, &unsupported);
    if (result < 0) {
        error_move(error, &unsupported);
        return -1;
    }
    return result == 0 ? 0 : save_and_start(state, error);
}

int saved_state_take(struct saved_state *state, struct error *error)
{
    state->deadline = clock_monotonic() + state->limit;
    if (lease_return(state, error) != 0)
        return -1;
    point_reached("before pause");
    if (pause_vm(state, error) != 0 || save(state, error) != 0)
        return -1;
    if (saved_state_is_whole(state->image) != 1)
        return error_set(error, ERROR_FAILED, "VM %s: libvirt left no whole image of its memory",
                         state->name);
    state->times.saved = clock_monotonic();
    point_reached("memory saved");
    return 0;
}

/* ---- Return and end ---- */

static int resume(struct saved_state *state, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    enum domain_state now;
    if (call_begin_domain(state->hypervisor, CALL_PLAIN, state->uuid, &call, error) != 0 ||
        domain_read_state(call.domain, &now, error) != 0)
        return -1;
    if (now != DOMAIN_PAUSED) {
        (void)error_set(error, ERROR_FAILED,
                        "VM %s is %s: somebody changed its state while its memory and disks were "
                        "taken",
                        state->name, domain_state_name(now));
        return error_advise(
            error, "vm-changed-in-pause",
            "leave VMs alone while they are paused for a backup, then back up again");
    }
    if (!state->was_paused && VIR(virDomainResume(call.domain)) != 0)
        return call_error(error, "VM %s cannot be resumed", state->name);
    return 0;
}

int saved_state_return(struct saved_state *state, struct error *error)
{
    state->times.returning = clock_monotonic();
    point_reached("before return");
    if (resume(state, error) != 0)
        return -1;
    state->times.returned = clock_monotonic();
    point_reached("returned");
    /* Nothing needs the image any more but the copy. */
    json_t *arguments = hypervisor_guest_arguments(state->uuid, state->name);
    json_set_string(arguments, "image", state->image);
    if (add_step(state, hypervisor_remove_image.name, arguments, &state->image_step, error) != 0 ||
        undo_strike(state->undo, state->return_step, error) != 0)
        return -1;
    state->return_step = 0;
    if (undo_strike(state->undo, state->scratch_step, error) != 0)
        return -1;
    state->scratch_step = 0;
    return 0;
}

/* Nothing was asked of the VM, so a state that it has got since is somebody else's. */
static int leave_alone(struct saved_state *state, struct error *error)
{
    if (rmdir(state->directory) != 0 && errno != ENOENT)
        return error_errno(error, errno, "cannot remove %s", state->directory);
    if (state->return_step && undo_strike(state->undo, state->return_step, error) != 0)
        return -1;
    return state->scratch_step ? undo_strike(state->undo, state->scratch_step, error) : 0;
}

/* Last first. The image's removal is known only when the VM has returned. */
static int bring_back(struct saved_state *state, struct error *error)
{
    const uint64_t steps[] = {state->image_step, state->return_step, state->scratch_step};
    int result = 0;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        if (steps[i] && undo_run(state->undo, steps[i], error) != 0)
            result = -1;
    return result;
}

int saved_state_end(struct saved_state *state, struct error *error)
{
    if (!state)
        return 0;
    int result = state->touched ? bring_back(state, error) : leave_alone(state, error);
    state_free(state);
    return result;
}

const char *saved_state_image(const struct saved_state *state)
{
    return state->image;
}

bool saved_state_was_paused(const struct saved_state *state)
{
    return state->was_paused;
}

struct saved_state_times saved_state_times(const struct saved_state *state)
{
    return state->times;
}
