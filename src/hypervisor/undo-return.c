/* The undo of a pause with its memory image: the VM is what it was before; see undo-kinds.h.
 *
 * Whoever was killed may have left a call of his in libvirtd: first the image's directory is
 * renamed (it is the image's alone), so that a save that comes late cannot make its file and fails
 * (so does one that is under way, at its end, when libvirt opens the file once more);
 * a pause that comes late is found by a second look. A save that is under way is ours when its file
 * is there, and is aborted before anything else: a resume alone would wait for all of it.
 *
 * A look is worth nothing while a call that changes the VM waits for libvirt's lock of it, behind a
 * QEMU that does not answer. So every look waits for that lock, and a VM that is found running is
 * resumed all the same: that call queues where a late pause does.
 *
 *   off, with a whole image of ours ─► started from the image      saving ─► aborted
 *   paused, running ─► resumed, unless it was paused before        gone, shut down, destroyed ─►
 * done
 *
 * The image may be all that is left of the VM. It is removed only when the VM goes on without it,
 * or was switched off by somebody; on any doubt the step stays open, and says where the image is.
 */
#include "hypervisor/undo-kinds.h"

#include "hypervisor/directory.h"
#include "hypervisor/domain-private.h"
#include "hypervisor/saved-state-private.h"

#include <string.h>
#include <sys/stat.h>

#define ATTEMPT_LIMIT (10 * CLOCK_SECOND)
#define LOOK_PAUSE (20 * CLOCK_MILLISECOND)
#define ABORT_AGAIN (3 * CLOCK_SECOND)
#define LEAST_ROOM (UINT64_C(64) << 20)
#define LATE_PAUSE (1 * CLOCK_SECOND)
#define FAULT_PAUSE (500 * CLOCK_MILLISECOND)

struct returning {
    const json_t *arguments;
    const char *uuid, *name;
    char *image; /* under the directory's new name */
    bool was_paused, restart, started;
    int64_t abort_from;
};

/* ---- Looking ---- */

enum finding { FOUND_DONE, FOUND_SAVING, FOUND_WAITING, FOUND_PAUSED, FOUND_RUNNING, FOUND_OFF };

static enum finding judge_job(int operation)
{
    switch (operation) {
    case VIR_DOMAIN_JOB_OPERATION_SAVE:
    case VIR_DOMAIN_JOB_OPERATION_SNAPSHOT:
        return FOUND_SAVING;
    default: /* starting, restoring: it will end */
        return FOUND_WAITING;
    }
}

/* Another program's backup job does not keep the VM from being resumed. */
static bool is_in_the_way(int operation)
{
    return operation >= 0 && operation != VIR_DOMAIN_JOB_OPERATION_BACKUP;
}

/* Off with a saved state that libvirt knows: somebody has saved it since. */
static int look_off(virDomainPtr domain, enum finding *ret_finding, struct error *error)
{
    const char *name = virDomainGetName(domain);
    int has = VIR(virDomainHasManagedSaveImage(domain, 0));
    if (has < 0)
        return call_error(error, "VM %s", name);
    *ret_finding = has ? FOUND_DONE : FOUND_OFF;
    return 0;
}

static int look(virDomainPtr domain, enum finding *ret_finding, int *ret_reason,
                struct error *error)
{
    int state;
    const char *name = virDomainGetName(domain);
    int operation = domain_read_operation(domain); /* first, as it waits for the lock */
    bool locked = call_last_code() == VIR_ERR_OPERATION_TIMEOUT;
    if (VIR(virDomainGetState(domain, &state, ret_reason, 0)) != 0)
        return call_error(error, "VM %s", name);
    bool paused = state == VIR_DOMAIN_PAUSED;
    if (is_in_the_way(operation))
        *ret_finding = judge_job(operation);
    else if (locked || (paused && *ret_reason == VIR_DOMAIN_PAUSED_STARTING_UP))
        *ret_finding = FOUND_WAITING;
    else if (paused && *ret_reason != VIR_DOMAIN_PAUSED_CRASHED)
        *ret_finding = FOUND_PAUSED;
    else if (state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED)
        *ret_finding = FOUND_RUNNING;
    else if (state == VIR_DOMAIN_SHUTOFF)
        return look_off(domain, ret_finding, error);
    else
        *ret_finding = FOUND_DONE;
    return 0;
}

/* ---- Acting ---- */

static int refuse_to_guess(const struct returning *returning, const char *why, struct error *error)
{
    (void)error_set(error, ERROR_REFUSED, "VM %s is off, its memory was saved, and %s",
                    returning->name, why);
    return error_advise(error, "memory-perhaps-outdated",
                        "if it has not run since: virsh restore %s%s; if it has: remove that file",
                        returning->image, returning->was_paused ? " --paused" : "");
}

/* Has the VM run since its memory was saved? 0 = no, -1 = perhaps. The reason why it is off does
 * not tell: it may have been started, gone on and been saved by others, and a start that was
 * refused or cut off leaves a reason of its own. Its disks do, as long as they are files. Where
 * they are not, libvirt's word is taken that it was saved, or that its last start failed, unless it
 * is known to have been started from the image before. */
static int check_not_outdated(const struct returning *returning, int reason, struct error *error)
{
    const json_t *disks = json_object_get(returning->arguments, "disks");
    bool believable = reason == VIR_DOMAIN_SHUTOFF_SAVED || reason == VIR_DOMAIN_SHUTOFF_FAILED;
    int outdated = saved_state_is_outdated(returning->image, disks);
    if (outdated > 0)
        return refuse_to_guess(returning, "its disks were written to after that", error);
    if (outdated < 0 && (returning->started || !believable))
        return refuse_to_guess(returning, "its disks do not tell whether it has run since", error);
    return 0;
}

/* Is the image all that is left of the VM? 1 = yes, 0 = no, -1. */
static int is_needed(const struct returning *returning, struct error *error)
{
    int whole = returning->restart ? saved_state_is_whole(returning->image) : 0;
    return whole >= 0 ? whole : refuse_to_guess(returning, "the image of it cannot be read", error);
}

/* Only a VM that is off because of our save is started. 1 = nothing is left to do. */
static int start_again(const struct returning *returning, struct call *call, int reason,
                       struct error *error)
{
    int needed = is_needed(returning, error);
    if (needed < 0)
        return -1;
    if (!needed || reason == VIR_DOMAIN_SHUTOFF_SHUTDOWN || reason == VIR_DOMAIN_SHUTOFF_DESTROYED)
        return 1;
    if (check_not_outdated(returning, reason, error) != 0)
        return -1;
    unsigned flags = returning->was_paused ? VIR_DOMAIN_SAVE_PAUSED : VIR_DOMAIN_SAVE_RUNNING;
    if (VIR(virDomainRestoreFlags(call->connection, returning->image, NULL, flags)) == 0)
        return 1;
    (void)call_error(error, "VM %s cannot be started from the image of its memory",
                     returning->name);
    return error_advise(error, "vm-not-started-from-memory", "the image is kept in %s",
                        returning->image);
}

/* One that runs is resumed, too: behind a pause that waits in libvirt. 1 = done, -1. */
static int resume(const struct returning *returning, struct call *call, bool running,
                  struct error *error)
{
    if (returning->was_paused || VIR(virDomainResume(call->domain)) == 0 ||
        (running && call_last_code() == VIR_ERR_OPERATION_INVALID))
        return 1;
    return call_error(error, "VM %s cannot be resumed", returning->name);
}

static int abort_save(struct returning *returning, struct call *call, struct error *error)
{
    struct stat facts;
    if (stat(returning->image, &facts) != 0 || clock_monotonic() < returning->abort_from)
        return 0; /* not ours, or it cannot make its file any more and ends by itself */
    returning->abort_from = clock_monotonic() + ABORT_AGAIN;
    if (VIR(virDomainAbortJob(call->domain)) == 0 || call_last_code() == VIR_ERR_OPERATION_INVALID)
        return 0;
    return call_error(error, "VM %s: saving its memory cannot be aborted", returning->name);
}

/* 1 = done, 0 = look again, -1. */
static int step_once(struct returning *returning, struct hypervisor *hypervisor,
                     struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    enum finding finding = FOUND_WAITING;
    int reason = 0;
    if (call_begin_domain(hypervisor, CALL_PLAIN, returning->uuid, &call, error) != 0 ||
        look(call.domain, &finding, &reason, error) != 0)
        return -1;
    switch (finding) {
    case FOUND_SAVING:
        return abort_save(returning, &call, error);
    case FOUND_WAITING:
        return 0;
    case FOUND_OFF:
        return start_again(returning, &call, reason, error);
    case FOUND_PAUSED:
    case FOUND_RUNNING:
        return resume(returning, &call, finding == FOUND_RUNNING, error);
    case FOUND_DONE:
        break;
    }
    return 1;
}

/* The VM is not defined any more. 0, -1. */
static int check_gone(const struct returning *returning, struct error *error)
{
    int needed = is_needed(returning, error);
    if (needed <= 0)
        return needed;
    (void)error_set(error, ERROR_REFUSED, "it is not defined any more, and its memory was saved");
    return error_advise(error, "vm-not-started-from-memory",
                        "the image is kept in %s: define the VM again, or remove that file",
                        returning->image);
}

static int bring_back(struct returning *returning, struct hypervisor *hypervisor,
                      struct error *error)
{
    int64_t deadline = clock_monotonic() + ATTEMPT_LIMIT;
    for (;;) {
        struct error fault = ERROR_INIT;
        int result = step_once(returning, hypervisor, &fault);
        if (result > 0)
            return 0;
        if (fault.kind == ERROR_NOT_FOUND)
            return check_gone(returning, error);
        if (fault.kind == ERROR_REFUSED || clock_monotonic() >= deadline) {
            (void)error_set(&fault, ERROR_TIMEOUT, "another operation on it does not end");
            error_move(error, &fault);
            return -1;
        }
        clock_sleep(result < 0 ? FAULT_PAUSE : LOOK_PAUSE);
    }
}

/* Does our save of a VM that stays paused still run, with room for it? 1 = yes, 0 = no. */
static int is_saving_paused(struct hypervisor *hypervisor, const char *uuid, const char *image)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    CLEANUP_FREE char *directory = directory_of(image);
    enum finding finding = FOUND_DONE;
    uint64_t room;
    int reason;
    return access(image, F_OK) == 0 && directory_get_room(directory, &room, NULL) == 0 &&
           room >= LEAST_ROOM &&
           call_begin_domain(hypervisor, CALL_PLAIN, uuid, &call, NULL) == 0 &&
           look(call.domain, &finding, &reason, NULL) == 0 && finding == FOUND_SAVING;
}

/* A save that is aborted, or does not find its file at its end, leaves a QEMU that refuses another
 * save before its VM has run. A VM that stays paused loses nothing by waiting for its save; it is
 * started from the image then. */
static int wait_for_save(const struct returning *returning, struct hypervisor *hypervisor,
                         const char *image, struct error *error)
{
    int64_t deadline = clock_monotonic() + ATTEMPT_LIMIT;
    while (returning->was_paused && returning->restart &&
           is_saving_paused(hypervisor, returning->uuid, image)) {
        if (clock_monotonic() >= deadline)
            return error_set(error, ERROR_TIMEOUT, "its memory is still being saved");
        clock_sleep(LOOK_PAUSE);
    }
    return 0;
}

static int return_vm(void *context, const json_t *arguments, struct error *error)
{
    const char *uuid = json_get_string(arguments, "uuid", "an undo step", error);
    const char *image = json_get_string(arguments, "image", "an undo step", error);
    struct hypervisor *hypervisor = uuid && image ? undo_pool_hypervisor(context, error) : NULL;
    if (!hypervisor)
        return -1;
    CLEANUP_FREE char *directory = directory_of(image);
    CLEANUP_FREE char *aside = memory_format("%s.void/image", directory);
    struct returning returning = {
        .arguments = arguments,
        .uuid = uuid,
        .name = json_string_or(arguments, "name", uuid),
        .image = aside,
        .was_paused = json_boolean_or(arguments, "was_paused", true),
        .restart = json_boolean_or(arguments, "restart", false),
        .started = json_boolean_or(arguments, "started", false),
    };
    if (wait_for_save(&returning, hypervisor, image, error) != 0 ||
        directory_set_aside(directory, error) != 0 ||
        bring_back(&returning, hypervisor, error) != 0)
        return error_prefix(error, "VM %s: ", returning.name);
    if (!returning.was_paused) {
        clock_sleep(LATE_PAUSE);
        if (bring_back(&returning, hypervisor, error) != 0)
            return error_prefix(error, "VM %s: ", returning.name);
    }
    return directory_remove_aside(directory, error);
}

static int prepare(void *context, const json_t *arguments, struct error *error)
{
    const char *uuid = json_get_string(arguments, "uuid", "an undo step", error);
    struct hypervisor *hypervisor = uuid ? undo_pool_hypervisor(context, error) : NULL;
    if (!hypervisor || call_warm(hypervisor, uuid, error) != 0)
        return error_prefix(error, "the watchdog cannot reach the VM: ");
    return 0;
}

const struct undo_kind hypervisor_return_vm = {
    .name = "return-vm", .prepare = prepare, .undo = return_vm, .persistent = true};

static int remove_image(void *context, const json_t *arguments, struct error *error)
{
    (void)context;
    const char *image = json_get_string(arguments, "image", "an undo step", error);
    if (!image)
        return -1;
    CLEANUP_FREE char *directory = directory_of(image);
    return directory_set_aside(directory, error) == 0 ? directory_remove_aside(directory, error)
                                                      : -1;
}

const struct undo_kind hypervisor_remove_image = {.name = "remove-image", .undo = remove_image};
