/* One backup as its manifest and record tell it: `show`. What follows from them is added here and
 * not stored: how consistent each VM's data is, and the times of its instant as times of day. */
#include "base/clock.h"
#include "requester/manifest.h"
#include "requester/requester.h"

#include <string.h>

/* The words of the field, from what the method gives. A guest agent freezes file systems and tells
 * no application; memory that was saved goes on where it was; a VM that was off left its disks as
 * they are. */
static const char *consistency_of(const json_t *vm)
{
    const char *method = json_string_or(vm, "method", "");
    if (json_is_object(json_object_get(vm, "saved_state")) || strcmp(method, "saved-state") == 0)
        return "saved-state";
    if (strcmp(method, "offline") == 0)
        return "off";
    return json_integer_or(vm, "frozen_file_systems", 1) > 0 ? "file-system" : "crash";
}

/* `monotonic` as a time of day with milliseconds; null where there was none. `offset` = wall clock
 * minus monotonic clock on the host of the backup, 0 = not known. */
static void set_time(json_t *vm, const char *name, int64_t monotonic, int64_t offset)
{
    char seconds[clock_text_size];
    json_set_string(vm, name, NULL);
    if (monotonic <= 0 || offset <= 0)
        return;
    int64_t wall = monotonic + offset;
    clock_format(wall, seconds);
    CLEANUP_FREE char *text =
        memory_format("%.19s.%03dZ", seconds, (int)(wall / CLOCK_MILLISECOND % 1000));
    json_set_string(vm, name, text);
}

/* Memory and disks of a VM that is saved do not change from the end of the save until its return:
 * its instant is the beginning of that. One that was paused before, and stays so, was not paused
 * by this backup. */
static void add_derived(json_t *vm, int64_t offset)
{
    const json_t *pause = json_object_get(vm, "pause");
    bool was_running = json_integer_or(vm, "paused_ms", 0) > 0;
    int64_t saved = json_integer_or(pause, "saved_ns", 0);
    json_set_string(vm, "consistency", consistency_of(vm));
    set_time(vm, "frozen_from", json_integer_or(vm, "frozen_from_ns", 0), offset);
    set_time(vm, "paused_from", was_running ? json_integer_or(pause, "paused_ns", 0) : 0, offset);
    set_time(vm, "instant", saved > 0 ? saved : json_integer_or(vm, "instant_ns", 0), offset);
    set_time(vm, "thawed", json_integer_or(vm, "thawed_ns", 0), offset);
    set_time(vm, "returned", was_running ? json_integer_or(pause, "returned_ns", 0) : 0, offset);
}

/* The record of the run; NULL with the error. */
static json_t *load_events(struct repository *repository, const json_t *manifest,
                           struct error *error)
{
    struct object_id root;
    CLEANUP_FREE char *text = NULL;
    size_t size;
    if (manifest_get_root(json_object_get(manifest, "documents"), "events.json", "the backup",
                          &root, error) != 0 ||
        repository_get_document(repository, &root, &text, &size, error) != 0)
        return NULL;
    return json_parse(text, size, "the record of events", error);
}

int requester_show(struct repository *repository, const char *backup, json_t **ret_result,
                   struct error *error)
{
    CLEANUP_JSON json_t *manifest = repository_load(repository, backup, error);
    if (!manifest)
        return -1;
    json_t *events = load_events(repository, manifest, error);
    if (!events)
        return -1;
    json_set(manifest, "events", events);
    size_t index;
    json_t *vm;
    json_array_foreach(json_object_get(manifest, "vms"), index, vm)
    {
        add_derived(vm, json_integer_or(manifest, "clock_ns", 0));
    }
    *ret_result = TAKE_PTR(manifest);
    return 0;
}
