/* How long would a running VM be paused for its memory image? About its memory in use, divided by
 * what the directory of the images takes: measured once, by writing and syncing some MiB. */
#include "writers/vm/vm-writer-private.h"

#include "base/clock.h"
#include "hypervisor/saved-state.h"

/* Pause, start of the save, instants and resume, without the memory itself. */
#define FIXED_PART (CLOCK_SECOND / 4)

static bool is_paused_for_it(const struct plan *plan)
{
    return plan->method == PLAN_SAVED_STATE && plan->domain->state == DOMAIN_RUNNING;
}

static int64_t estimate(struct vm_writer *writer, const struct plan *plan)
{
    struct saved_state_settings settings = vm_writer_saved_state_settings(writer);
    uint64_t bytes;
    if (!writer->image_rate && saved_state_measure_rate(&settings, &writer->image_rate, NULL) != 0)
        return -1;
    if (saved_state_memory_in_use(settings.hypervisor, plan->domain, &bytes, NULL) != 0 ||
        writer->image_rate == 0)
        return -1;
    double seconds = (double)bytes / (double)writer->image_rate;
    return FIXED_PART + (int64_t)(seconds * CLOCK_SECOND);
}

static char *refuse(const struct vm_writer *writer, const struct plan *plan)
{
    const struct vm_writer_settings *settings = &writer->settings;
    if (settings->refuse_saved_state) {
        CLEANUP_FREE char *reason = plan_failing_condition(plan);
        return memory_format("it would be paused for saved state, which is refused "
                             "(--refuse-saved-state): %s",
                             reason);
    }
    if (plan->pause_estimate <= settings->pause_limit)
        return NULL;
    return memory_format("it would be paused for about %.1f s, longer than the limit of %.1f s "
                         "(--max-pause)",
                         (double)plan->pause_estimate / CLOCK_SECOND,
                         (double)settings->pause_limit / CLOCK_SECOND);
}

void vm_writer_estimate(struct vm_writer *writer, struct plan *const *plans, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct plan *plan = plans[i];
        if (!is_paused_for_it(plan))
            continue;
        plan->pause_estimate = estimate(writer, plan);
        if (!plan->refused)
            plan->refused = refuse(writer, plan);
    }
}
