/* How long would the running VMs of a set be paused for their memory images? All of them stand
 * still until the last image is written, and the images share one directory: so about the memory in
 * use of them all, divided by what that directory takes. That is measured once, by writing and
 * syncing some MiB. */
#include "writers/vm/vm-writer-private.h"

#include "base/clock.h"
#include "hypervisor/saved-state.h"

/* Pause, start of the save, instants and resume, without the memory itself. */
#define FIXED_PART (CLOCK_SECOND / 4)
#define LONGEST ((double)(INT64_MAX / 2))

static bool is_paused_for_it(const struct plan *plan)
{
    return plan->method == PLAN_SAVED_STATE && plan->domain->state == DOMAIN_RUNNING;
}

int vm_writer_pause_of(const uint64_t *in_use, size_t count, uint64_t rate, int64_t *ret_pause,
                       struct error *error)
{
    double bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += (double)in_use[i];
    if (rate == 0)
        return error_set(error, ERROR_FAILED, "the directory of memory images takes nothing");
    double pause = (double)FIXED_PART + bytes / (double)rate * (double)CLOCK_SECOND;
    *ret_pause = pause < LONGEST ? (int64_t)pause : INT64_MAX / 2;
    return 0;
}

static int estimate(struct vm_writer *writer, struct plan *const *plans, size_t count,
                    int64_t *ret_pause, struct error *error)
{
    struct saved_state_settings settings = vm_writer_saved_state_settings(writer);
    CLEANUP_FREE uint64_t *in_use = NEW_ARRAY(uint64_t, count + 1);
    size_t used = 0;
    if (!writer->image_rate && saved_state_measure_rate(&settings, &writer->image_rate, error) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (!is_paused_for_it(plans[i]))
            continue;
        if (saved_state_memory_in_use(settings.hypervisor, plans[i]->domain, &in_use[used],
                                      error) != 0)
            return -1;
        plans[i]->memory_in_use = in_use[used++];
        plans[i]->image_rate = writer->image_rate;
    }
    return vm_writer_pause_of(in_use, used, writer->image_rate, ret_pause, error);
}

char *vm_writer_refuse_pause(const struct vm_writer_settings *settings, const struct plan *plan)
{
    if (settings->refuse_saved_state) {
        CLEANUP_FREE char *reason = plan_failing_condition(plan);
        return memory_format("it would be paused for saved state, which is refused "
                             "(--refuse-saved-state): %s",
                             reason);
    }
    if (plan->pause_unknown)
        return settings->pause_limit_chosen
                   ? memory_format("the pause cannot be estimated: %s (--max-pause)",
                                   plan->pause_unknown)
                   : NULL;
    if (plan->pause_estimate <= settings->pause_limit)
        return NULL;
    return memory_format("it would be paused for about %.1f s, longer than the limit of %.1f s "
                         "(--max-pause)",
                         (double)plan->pause_estimate / CLOCK_SECOND,
                         (double)settings->pause_limit / CLOCK_SECOND);
}

static bool is_any_paused(struct plan *const *plans, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_paused_for_it(plans[i]))
            return true;
    return false;
}

void vm_writer_estimate(struct vm_writer *writer, struct plan *const *plans, size_t count)
{
    struct error error = ERROR_INIT;
    int64_t pause = -1;
    if (writer->settings.no_estimate || !is_any_paused(plans, count))
        return;
    bool is_known = estimate(writer, plans, count, &pause, &error) == 0;
    for (size_t i = 0; i < count; i++) {
        struct plan *plan = plans[i];
        if (!is_paused_for_it(plan))
            continue;
        if (is_known)
            plan->pause_estimate = pause;
        else
            plan->pause_unknown = memory_copy_string(error.message);
        if (!plan->refused)
            plan->refused = vm_writer_refuse_pause(&writer->settings, plan);
    }
}
