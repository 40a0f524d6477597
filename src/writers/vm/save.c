/* The saved-state VMs of a set: all are paused with their memory written out before the first guest
 * is frozen, and go on in PostSnapshot, after the last instant.
 *
 *   room, steps known ─► pause, memory, NVRAM, TPM state ─► [child snapshots, Commit] ─► return
 *
 * A few are saved at once: more would share one disk, and each would be paused for longer. The
 * pause of each begins with its own save. What stands in it is only what must: the undo steps are
 * made known, room and jobs looked at before; VMs that are paused anyway come first, for they lose
 * nothing while they wait for the others; of those that run, the largest ones begin. Once a save
 * has failed no other VM is paused.
 */
#include "writers/vm/vm-writer-private.h"

#include "base/log.h"
#include "base/workers.h"

#include <stdatomic.h>
#include <string.h>

enum { SAVES_AT_ONCE = 4, RETURNS_AT_ONCE = 8 };

struct saved_state_settings vm_writer_saved_state_settings(const struct vm_writer *writer)
{
    return (struct saved_state_settings){
        .hypervisor = writer->settings.hypervisor,
        .undo = writer->settings.undo,
        .directory = writer->settings.image_directory,
        .reserve = writer->settings.image_reserve,
        .instants = writer->settings.instants,
        .limit = writer->settings.pause_limit,
    };
}

/* ---- Room ---- */

static uint64_t add_size(uint64_t size, const struct plan *plan)
{
    uint64_t sum;
    if (plan->method != PLAN_SAVED_STATE)
        return size;
    return __builtin_add_overflow(size, saved_state_size_limit(plan->domain), &sum) ? UINT64_MAX
                                                                                    : sum;
}

int vm_writer_check_room(const struct vm_writer *writer, struct error *error)
{
    struct saved_state_settings settings = vm_writer_saved_state_settings(writer);
    uint64_t size = 0;
    for (size_t i = 0; i < writer->plan_count; i++)
        size = add_size(size, writer->plans[i]);
    return size ? saved_state_check_room(&settings, size, error) : 0;
}

/* ---- Prepare ---- */

static int check_room(const struct vm_writer *writer, const struct saved_state_settings *settings,
                      struct error *error)
{
    uint64_t size = 0;
    for (size_t i = 0; i < writer->vm_count; i++)
        size = add_size(size, writer->vms[i].plan);
    return size ? saved_state_check_room(settings, size, error) : 0;
}

int vm_writer_prepare_saves(struct vm_writer *writer, struct error *error)
{
    struct saved_state_settings settings = vm_writer_saved_state_settings(writer);
    bool found = false;
    if (check_room(writer, &settings, error) != 0)
        return -1;
    for (size_t i = 0; i < writer->vm_count; i++) {
        struct vm *vm = &writer->vms[i];
        if (!vm_is_saved(vm))
            continue;
        vm->prepared = true;
        if (saved_state_prepare(&settings, vm->plan->domain, &vm->saved, error) != 0)
            return -1;
        /* Its job, which the provider begins, is the later step: it is ended before the VM goes
         * on. */
        if (vm->targets[0] &&
            instants_prepare(writer->settings.instants, writer->set, vm->plan->domain,
                             (const char *const *)vm->targets, error) != 0)
            return -1;
        found = true;
    }
    if (found)
        saved_state_settle(&settings);
    return 0;
}

/* ---- Save and return ---- */

/* Those VMs, the ones that were paused before in front. */
struct saves {
    struct vm **vms;
    size_t count, paused_count, first; /* first: of the round */
    atomic_bool is_void;               /* one has failed: no more are paused */
};

static int compare_saves(const void *one, const void *other)
{
    const struct vm *a = *(struct vm *const *)one, *b = *(struct vm *const *)other;
    bool a_paused = saved_state_was_paused(a->saved), b_paused = saved_state_was_paused(b->saved);
    if (a_paused != b_paused)
        return a_paused ? -1 : 1;
    uint64_t a_size = a->plan->domain->memory, b_size = b->plan->domain->memory;
    return a_size == b_size ? 0 : a_size > b_size ? -1 : 1;
}

static struct saves find_saves(struct vm_writer *writer)
{
    struct saves saves = {.vms = NEW_ARRAY(struct vm *, writer->vm_count + 1)};
    for (size_t i = 0; i < writer->vm_count; i++)
        if (writer->vms[i].saved)
            saves.vms[saves.count++] = &writer->vms[i];
    qsort(saves.vms, saves.count, sizeof(struct vm *), compare_saves);
    while (saves.paused_count < saves.count &&
           saved_state_was_paused(saves.vms[saves.paused_count]->saved))
        saves.paused_count++;
    return saves;
}

/* The first failure of any VM; frees the list. */
static int finish(struct vm_writer *writer, struct saves *saves, unsigned failures,
                  struct error *error)
{
    /* A save that the watchdog has ended says less than the reason why. */
    if (failures > 0)
        (void)undo_check(writer->settings.undo, error);
    for (size_t i = 0; i < saves->count; i++)
        error_move(error, &saves->vms[i]->error);
    free(saves->vms);
    return failures > 0 ? -1 : 0;
}

static int save_one(void *context, unsigned index)
{
    struct saves *saves = context;
    struct vm *vm = saves->vms[saves->first + index];
    if (atomic_load(&saves->is_void))
        return 0; /* whoever made it void has returned the failure */
    if (saved_state_take(vm->saved, &vm->error) == 0 && vm_capture_files(vm, &vm->error) == 0)
        return 0;
    atomic_store(&saves->is_void, true);
    return -1;
}

static unsigned save_round(struct saves *saves, size_t first, size_t end)
{
    saves->first = first;
    return workers_each((unsigned)(end - first), SAVES_AT_ONCE, save_one, saves);
}

int vm_writer_take_saves(struct vm_writer *writer, struct error *error)
{
    struct saves saves = find_saves(writer);
    unsigned failures = save_round(&saves, 0, saves.paused_count);
    failures += save_round(&saves, saves.paused_count, saves.count);
    return finish(writer, &saves, failures, error);
}

static int return_one(void *context, unsigned index)
{
    struct saves *saves = context;
    struct vm *vm = saves->vms[index];
    return saved_state_return(vm->saved, &vm->error);
}

vss_code vm_writer_post_snapshot(void *object, const struct writer_event *event,
                                 struct error *error)
{
    struct vm_writer *writer = object;
    struct saves saves = find_saves(writer);
    unsigned failures = workers_each((unsigned)saves.count, RETURNS_AT_ONCE, return_one, &saves);
    /* Asked only now: a paused VM does not wait for the guests' answers. */
    if (finish(writer, &saves, failures, error) != 0 ||
        vm_writer_confirm_thawed(writer, error) != 0) {
        vm_writer_undo_snapshot(writer);
        return VSS_E_WRITERERROR_RETRYABLE;
    }
    for (size_t i = 0; i < writer->vm_count; i++)
        if (writer->vms[i].saved)
            vm_record(&writer->vms[i], event);
    return VSS_S_OK;
}
