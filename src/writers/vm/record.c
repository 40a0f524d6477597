/* What was found out about a VM's instant, for the manifest and the record of the run. */
#include "writers/vm/vm-writer-private.h"

#include "base/clock.h"

static int64_t milliseconds(int64_t from, int64_t to)
{
    return from && to ? (to - from + CLOCK_MILLISECOND - 1) / CLOCK_MILLISECOND : 0;
}

/* The pause of a VM and its parts: memory image, waiting for the instant, return. */
static json_t *pause_facts(const struct saved_state_times *times)
{
    json_t *pause = json_object();
    json_set_integer(pause, "save_ms", milliseconds(times->paused, times->saved));
    json_set_integer(pause, "instant_ms", milliseconds(times->saved, times->returning));
    json_set_integer(pause, "resume_ms", milliseconds(times->returning, times->returned));
    json_set_integer(pause, "paused_ns", times->paused);
    json_set_integer(pause, "saved_ns", times->saved);
    json_set_integer(pause, "returning_ns", times->returning);
    json_set_integer(pause, "returned_ns", times->returned);
    return pause;
}

void vm_record(const struct vm *vm, const struct writer_event *event)
{
    struct component *component = component_set_find(event->components, "", vm_uuid(vm));
    CLEANUP_JSON json_t *facts = json_object();
    struct saved_state_times times = {0};
    if (vm->saved)
        times = saved_state_times(vm->saved);
    /* A VM that was paused before has lost no time. */
    bool lost_time = vm->saved && !saved_state_was_paused(vm->saved);
    json_set_string(facts, "method", plan_method_name(vm->plan->method));
    json_set_integer(facts, "frozen_ms",
                     vm_is_child(vm) ? milliseconds(vm->frozen_from, vm->thawed_at) : 0);
    json_set_integer(facts, "paused_ms",
                     lost_time ? milliseconds(times.paused, times.returned) : 0);
    json_set(facts, "pause", vm->saved ? pause_facts(&times) : json_null());
    json_set_integer(facts, "frozen_file_systems", vm_is_child(vm) ? vm->frozen_count : 0);
    json_set_integer(facts, "frozen_from_ns", vm->frozen_from);
    json_set_integer(facts, "instant_ns", vm->instant);
    json_set_integer(facts, "thawed_ns", vm->thawed_at);
    CLEANUP_FREE char *text = json_text(facts);
    if (component)
        (void)component_set_backup_metadata(event->components, component, text);
}
