/* PrepareForSnapshot, and child VM snapshots: one instant for all of them.
 *
 *   plans once more ─► undo steps known ─► saved VMs (save.c) ─► freeze all ═ barrier ═► begin all
 * instants, copy small files ─► thaw all ─► [Commit, saved VMs return] ─► every guest says thawed
 * ─► steps struck out
 *
 * All guests are frozen before the first instant begins and none is thawed before the last one has
 * begun: so a transaction over two guests is either before or after the instant in both. Between
 * the first freeze and the last thaw nothing is logged, written to a disk or sent over a network.
 * Two limits (row X2), also known to the watchdog: until the last guest is frozen, and from then to
 * the first thaw. On failure the guests come first: thaw, then end the jobs, then ask each guest
 * until it says thawed.
 *
 * In parallel means FREEZES_AT_ONCE calls in flight, which is what libvirtd can carry without going
 * deaf when guests are silent (docs/libvirt.md). A guest beyond them is frozen as soon as another
 * has answered, within the same limit. A silent guest keeps one of these places, and nobody waits
 * for the place: with nine left the others are frozen; once one guest has failed, the instant is
 * void, and those not asked yet are not asked, so that there is nothing of theirs to undo. Thaws go
 * first to the guests that are known to be frozen, then to the silent ones.
 */
#include "writers/vm/vm-writer-private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/point.h"
#include "base/workers.h"
#include "hypervisor/undo-kinds.h"

#include <stdatomic.h>
#include <string.h>

/* As many as the connections carry: more threads would wait for a ticket while their limit, which
 * libvirt is told in seconds, is already running. */
enum { FREEZES_AT_ONCE = 10 };
#define THAW_LIMIT (15 * CLOCK_SECOND)
#define SILENT_LIMIT (3 * CLOCK_SECOND) /* for an agent that did not answer the freeze */
#define UNDO_LIMIT (5 * CLOCK_SECOND)   /* then the watchdog goes on asking */
#define HOLD_LIMIT (30 * CLOCK_SECOND)

void vm_clear(struct vm *vm)
{
    for (char **target = vm->targets; target && *target; target++)
        free(*target);
    free(vm->targets);
    for (size_t i = 0; i < vm->capture_count; i++) {
        free(vm->captures[i].path);
        free(vm->captures[i].data);
    }
    free(vm->captures);
    plan_free(vm->plan);
    *vm = (struct vm){0};
}

/* ---- Looking again ---- */

static const struct plan *find_plan(struct plan *const *plans, size_t count, const char *uuid)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(plans[i]->domain->uuid, uuid) == 0)
            return plans[i];
    return NULL;
}

/* A door for tests, in which a VM is changed here: shut unless the environment opens it. */
static int hold(struct vm_writer *writer, const char *place, struct error *error)
{
    int64_t deadline = clock_monotonic() + HOLD_LIMIT;
    while (point_holds(place) && clock_monotonic() < deadline) {
        if (undo_check(writer->settings.undo, error) != 0)
            return -1;
        clock_sleep(10 * CLOCK_MILLISECOND);
    }
    return 0;
}

static int look_again(struct vm_writer *writer, struct error *error)
{
    struct plan **plans;
    size_t count;
    if (vm_writer_make_plans(writer, &plans, &count, error) != 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < writer->vm_count && result == 0; i++) {
        struct vm *vm = &writer->vms[i];
        result = vm_writer_compare_plans(vm->plan, find_plan(plans, count, vm_uuid(vm)), error);
    }
    vm_writer_free_plans(plans, count);
    return result;
}

/* ---- Making the undo known, before anything is done ---- */

static int prepare_vm(struct vm_writer *writer, struct vm *vm, struct error *error)
{
    const struct domain *domain = vm->plan->domain;
    if (undo_add(writer->settings.undo, domain->uuid, hypervisor_thaw_guest.name,
                 hypervisor_guest_arguments(domain->uuid, domain->name), &vm->thaw_step,
                 error) != 0)
        return error_prefix(error, "VM %s: ", domain->name);
    vm->thaw_known = true;
    vm->prepared = true;
    if (vm->targets[0] && instants_prepare(writer->settings.instants, writer->set, domain,
                                           (const char *const *)vm->targets, error) != 0)
        return -1;
    return 0;
}

/* ---- The instant ---- */

struct instant {
    struct vm_writer *writer;
    struct vm **vms; /* those of this instant */
    size_t count;
    int64_t freeze_deadline;
    int64_t last_frozen;
    atomic_bool is_void; /* a guest could not be frozen or taken: no more are begun */
};

static int freeze(struct instant *instant, struct vm *vm)
{
    int64_t left = instant->freeze_deadline - clock_monotonic();
    if (left <= 0)
        return error_set(&vm->error, ERROR_TIMEOUT, "VM %s: no time was left to freeze it",
                         vm->plan->domain->name);
    vm->asked_to_freeze = true;
    vm->frozen_from = clock_monotonic();
    point_reached("before freeze");
    if (agent_freeze(instant->writer->settings.hypervisor, vm_uuid(vm), left, &vm->frozen_count,
                     &vm->error) != 0) {
        (void)error_prefix(&vm->error, "freeze: ");
        return error_advise(
            &vm->error, "guest-not-frozen",
            "look in the guest: does qemu-ga answer, and what keeps its file systems "
            "busy? --freeze-limit gives it more time, or back up the others without "
            "it");
    }
    vm->frozen = true;
    point_reached("frozen");
    return 0;
}

static int begin(struct instant *instant, struct vm *vm)
{
    if (vm->targets[0] && /* else all of its disks are left out */
        instants_begin(instant->writer->settings.instants, instant->writer->set, vm_uuid(vm),
                       &vm->error) != 0)
        return -1;
    vm->instant = clock_monotonic();
    point_reached("instant begun");
    return vm_capture_files(vm, &vm->error);
}

static int unless_void(struct instant *instant, struct vm *vm,
                       int (*step)(struct instant *instant, struct vm *vm))
{
    if (atomic_load(&instant->is_void))
        return 0; /* whoever made it void has returned the failure */
    if (step(instant, vm) == 0)
        return 0;
    atomic_store(&instant->is_void, true);
    return -1;
}

static int freeze_one(void *context, unsigned index)
{
    struct instant *instant = context;
    return unless_void(instant, instant->vms[index], freeze);
}

static int begin_one(void *context, unsigned index)
{
    struct instant *instant = context;
    return unless_void(instant, instant->vms[index], begin);
}

/* A thaw that finds nothing frozen means that somebody else thawed the guest in between: the
 * instant is void. */
static int thaw(struct hypervisor *hypervisor, struct vm *vm, int64_t limit)
{
    int thawed = 0;
    if (agent_thaw(hypervisor, vm_uuid(vm), limit, &thawed, &vm->error) != 0) {
        (void)error_prefix(&vm->error, "thaw: ");
        return error_advise(&vm->error, "guest-not-thawed",
                            "the watchdog process asks until the guest says thawed; look in the "
                            "guest whether qemu-ga runs");
    }
    vm->thawed_at = clock_monotonic();
    vm->thawed = true;
    point_reached("thawed");
    if (vm->frozen_count > 0 && thawed == 0) {
        (void)error_set(&vm->error, ERROR_FAILED,
                        "VM %s: somebody else thawed the guest before the instant was taken",
                        vm->plan->domain->name);
        return error_advise(&vm->error, "guest-thawed-by-others",
                            "see who else thaws it, then back it up again");
    }
    return 0;
}

static int thaw_frozen(void *context, unsigned index)
{
    struct instant *instant = context;
    struct vm *vm = instant->vms[index];
    return vm->frozen ? thaw(instant->writer->settings.hypervisor, vm, THAW_LIMIT) : 0;
}

static int thaw_silent(void *context, unsigned index)
{
    struct instant *instant = context;
    struct vm *vm = instant->vms[index];
    if (!vm->asked_to_freeze || vm->frozen)
        return 0;
    return thaw(instant->writer->settings.hypervisor, vm, SILENT_LIMIT);
}

static int first_error(const struct instant *instant, struct error *error)
{
    for (size_t i = 0; i < instant->count; i++)
        if (error_is_set(&instant->vms[i]->error)) {
            *error = instant->vms[i]->error;
            return -1;
        }
    return error_set(error, ERROR_FAILED, "a guest could not be frozen");
}

static int run_all(struct instant *instant, int (*step)(void *context, unsigned index),
                   struct error *error)
{
    unsigned failures = workers_each((unsigned)instant->count, FREEZES_AT_ONCE, step, instant);
    return failures ? first_error(instant, error) : 0;
}

/* -1 also when there is no watchdog any more: nobody would thaw the guests. */
static int set_lease(const struct instant *instant, int64_t deadline, const char *what,
                     struct error *error)
{
    for (size_t i = 0; i < instant->count; i++)
        if (undo_lease(instant->writer->settings.undo, instant->vms[i]->thaw_step, deadline, what,
                       error) != 0)
            return -1;
    return 0;
}

static int freeze_and_take(struct instant *instant, struct error *error)
{
    const struct vm_writer_settings *settings = &instant->writer->settings;
    instant->freeze_deadline = clock_monotonic() + settings->freeze_limit;
    if (set_lease(instant, instant->freeze_deadline + 2 * CLOCK_SECOND,
                  "the guests were not frozen within the limit", error) != 0 ||
        run_all(instant, freeze_one, error) != 0)
        return -1;
    instant->last_frozen = clock_monotonic();
    if (set_lease(instant, instant->last_frozen + settings->hold_limit,
                  "the guests were held frozen longer than the limit", error) != 0 ||
        run_all(instant, begin_one, error) != 0)
        return -1;
    if (clock_monotonic() - instant->last_frozen > settings->hold_limit) {
        (void)error_set(error, ERROR_TIMEOUT, "the guests were held frozen longer than %lld ms",
                        (long long)(settings->hold_limit / CLOCK_MILLISECOND));
        return error_advise(error, "guests-held-too-long",
                            "back up fewer VMs at once, or allow more with --hold-limit");
    }
    return 0;
}

/* One instant for `vms`: whatever happens, every guest that was asked to freeze is told to thaw. */
static int take_instant(struct vm_writer *writer, struct vm **vms, size_t count,
                        struct error *error)
{
    struct instant instant = {.writer = writer, .vms = vms, .count = count};
    log_hold();
    int result = freeze_and_take(&instant, error);
    if (result != 0) /* void already; now there is time to thaw them, one slow guest included */
        (void)set_lease(&instant, clock_monotonic() + 2 * THAW_LIMIT,
                        "the guests could not be thawed", NULL);
    for (size_t i = 0; i < count; i++)
        error_clear(&vms[i]->error);
    struct error thaw_error = ERROR_INIT;
    int thawed = run_all(&instant, thaw_frozen, &thaw_error);
    if (run_all(&instant, thaw_silent, &thaw_error) != 0 || thawed != 0) {
        error_move(error, &thaw_error);
        result = -1;
    }
    (void)set_lease(&instant, 0, "", NULL);
    log_release();
    return result;
}

static int take_instants(struct vm_writer *writer, struct error *error)
{
    CLEANUP_FREE struct vm **children = NEW_ARRAY(struct vm *, writer->vm_count);
    size_t count = 0;
    for (size_t i = 0; i < writer->vm_count; i++)
        if (vm_is_child(&writer->vms[i]))
            children[count++] = &writer->vms[i];
    if (writer->settings.barrier || count == 0)
        return count ? take_instant(writer, children, count, error) : 0;
    for (size_t i = 0; i < count; i++) { /* the debug door: each VM as if it were backed up alone */
        if (i > 0)
            clock_sleep(CLOCK_SECOND / 2);
        if (take_instant(writer, &children[i], 1, error) != 0)
            return -1;
    }
    return 0;
}

/* ---- After it ---- */

static int confirm(struct vm_writer *writer, struct vm *vm, struct error *error)
{
    bool frozen = true;
    if (agent_is_frozen(writer->settings.hypervisor, vm_uuid(vm), THAW_LIMIT, &frozen, error) != 0)
        return error_prefix(error, "after the thaw: ");
    if (frozen)
        return error_set(error, ERROR_FAILED, "VM %s: the guest still says frozen after its thaw",
                         vm->plan->domain->name);
    if (undo_strike(writer->settings.undo, vm->thaw_step, error) != 0)
        return -1;
    vm->thaw_known = false;
    return 0;
}

static int confirm_one(void *context, unsigned index)
{
    struct vm_writer *writer = context;
    struct vm *vm = &writer->vms[index];
    return vm_is_child(vm) ? confirm(writer, vm, &vm->error) : 0;
}

int vm_writer_confirm_thawed(struct vm_writer *writer, struct error *error)
{
    unsigned failures =
        workers_each((unsigned)writer->vm_count, FREEZES_AT_ONCE, confirm_one, writer);
    for (size_t i = 0; i < writer->vm_count; i++)
        error_move(error, &writer->vms[i].error);
    return failures > 0 ? -1 : 0;
}

static int prepare_vms(struct vm_writer *writer, struct error *error)
{
    for (size_t i = 0; i < writer->vm_count; i++) {
        struct vm *vm = &writer->vms[i];
        if (vm_is_child(vm) && prepare_vm(writer, vm, error) != 0)
            return -1;
        if (vm->plan->method == PLAN_OFFLINE && vm_capture_files(vm, error) != 0)
            return -1;
    }
    return vm_writer_prepare_saves(writer, error);
}

static vss_code failure_code(const struct error *error)
{
    return error && error->kind == ERROR_TIMEOUT ? VSS_E_WRITERERROR_TIMEOUT
                                                 : VSS_E_WRITERERROR_RETRYABLE;
}

vss_code vm_writer_take_snapshot(struct vm_writer *writer, const struct writer_event *event,
                                 struct error *error)
{
    if (hold(writer, "planned", error) != 0 || look_again(writer, error) != 0 ||
        prepare_vms(writer, error) != 0 || hold(writer, "prepared", error) != 0 ||
        undo_check(writer->settings.undo, error) != 0)
        return VSS_E_WRITERERROR_RETRYABLE;
    if (vm_writer_take_saves(writer, error) != 0 || hold(writer, "saved", error) != 0 ||
        take_instants(writer, error) != 0)
        return failure_code(error);
    for (size_t i = 0; i < writer->vm_count; i++)
        vm_record(&writer->vms[i], event);
    return undo_check(writer->settings.undo, error) == 0 ? VSS_S_OK : VSS_E_WRITERERROR_RETRYABLE;
}

/* ---- Back to normal work ---- */

static int undo_one(void *context, unsigned index)
{
    struct vm_writer *writer = context;
    struct vm *vm = &writer->vms[index];
    struct error ignored = ERROR_INIT; /* what cannot be undone here stays with the watchdog */
    if (!vm->prepared || vm->left_to_watchdog)
        return 0;
    if (instants_end(writer->settings.instants, writer->set, vm_uuid(vm), &ignored) != 0)
        error_clear(&ignored);
    if (saved_state_end(TAKE_PTR(vm->saved), &ignored) != 0) /* the watchdog goes on with it */
        error_clear(&ignored);
    int64_t deadline = clock_monotonic() + UNDO_LIMIT;
    if (vm->asked_to_freeze && vm->thaw_known &&
        agent_thaw_until(writer->settings.hypervisor, vm_uuid(vm), deadline, &ignored) != 0) {
        vm->left_to_watchdog = true; /* the step stays open: it asks until the guest answers */
        return -1;
    }
    if (vm->thaw_known && undo_strike(writer->settings.undo, vm->thaw_step, NULL) == 0)
        vm->thaw_known = false;
    vm->prepared = false;
    return 0;
}

void vm_writer_undo_snapshot(struct vm_writer *writer)
{
    (void)workers_each((unsigned)writer->vm_count, FREEZES_AT_ONCE, undo_one, writer);
}
