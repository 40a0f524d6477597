/* vmshadow show: what is in a backup, and the time line of the run that made it (row B2). */
#include "base/memory.h"
#include "cli/conditions.h"
#include "cli/output.h"
#include "cli/repository-option.h"
#include "cli/time-line.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "requester/requester.h"

#include <inttypes.h>
#include <string.h>

static int run(const struct options *options, json_t **ret_result, struct error *error)
{
    CLEANUP(repository_freep) struct repository *repository = NULL;
    if (repository_option_open(options, &repository, error) < 0)
        return -1;
    return requester_show(repository, options->operands[0], ret_result, error);
}

static const char *consistency_text(const char *word)
{
    static const char *const texts[][2] = {
        {"file-system", "file system: the guest's file systems were frozen at the instant, its "
                        "applications were not told"},
        {"crash", "crash: as after a power failure at the instant"},
        {"saved-state", "saved state: memory and disks are of one instant, the VM goes on from it"},
        {"off", "off: as the VM left its disks when it stopped"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (strcmp(texts[i][0], word) == 0)
            return texts[i][1];
    return word;
}

static void print_times(const json_t *vm)
{
    static const char *const names[][2] = {
        {"frozen_from", "Frozen from"}, {"paused_from", "Paused from"}, {"instant", "Instant"},
        {"thawed", "Thawed"},           {"returned", "Returned"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *time = json_string_or(vm, names[i][0], NULL);
        if (time)
            output_line(stdout, "      %s: %s", names[i][1], time);
    }
    int64_t frozen = json_integer_or(vm, "frozen_ms", 0),
            paused = json_integer_or(vm, "paused_ms", 0);
    if (frozen > 0)
        output_line(stdout, "      Frozen for: %" PRId64 " ms", frozen);
    if (paused > 0)
        output_line(stdout, "      Paused for: %" PRId64 " ms", paused);
}

static void print_disks(const json_t *vm)
{
    size_t index;
    json_t *disk;
    struct output_table *table = output_table_new(2, "         ");
    json_array_foreach(json_object_get(vm, "disks"), index, disk)
    {
        char size[values_text_size];
        output_table_add(table, "%s", json_string_or(disk, "target", ""));
        output_table_add(table, "%s",
                         values_format_size((uint64_t)json_integer_or(disk, "size", 0), size));
    }
    const json_t *memory = json_object_get(vm, "saved_state");
    if (json_is_object(memory)) {
        char size[values_text_size];
        output_table_add(table, "saved state");
        output_table_add(table, "%s, continues %s",
                         values_format_size((uint64_t)json_integer_or(memory, "size", 0), size),
                         json_string_or(memory, "continues", ""));
    }
    json_array_foreach(json_object_get(vm, "left_out"), index, disk)
    {
        output_table_add(table, "%s", json_string_or(disk, "target", ""));
        output_table_add(table, "left out: %s", json_string_or(disk, "reason", ""));
    }
    output_line(stdout, "      Disks:");
    output_table_print(table, stdout);
}

static void print_vm(const json_t *vm)
{
    output_line(stdout, "   VM name: '%s'", json_string_or(vm, "name", ""));
    output_line(stdout, "      VM Id: {%s}", json_string_or(vm, "uuid", ""));
    output_line(stdout, "      State: %s", json_string_or(vm, "state", ""));
    output_line(stdout, "      Method: %s", conditions_method(json_string_or(vm, "method", "")));
    output_line(stdout, "      Consistency: %s",
                consistency_text(json_string_or(vm, "consistency", "")));
    print_times(vm);
    conditions_print(vm, "      ");
    print_disks(vm);
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    char read[values_text_size], stored[values_text_size];
    output_line(stdout, "Backup Id: {%s}", json_string_or(result, "id", ""));
    output_line(stdout, "   Time: %s", json_string_or(result, "time", ""));
    output_line(stdout, "   Host: %s", json_string_or(result, "host", ""));
    output_line(stdout, "   Type: %s", json_string_or(result, "type", ""));
    output_line(stdout, "   Data: %s read, %s stored",
                values_format_size((uint64_t)json_integer_or(result, "bytes_read", 0), read),
                values_format_size((uint64_t)json_integer_or(result, "bytes_stored", 0), stored));
    size_t index;
    json_t *vm;
    json_array_foreach(json_object_get(result, "vms"), index, vm)
    {
        print_vm(vm);
    }
    time_line_print(result, "   ");
}

const struct verb verb_show = {
    .name = "show",
    .operands = "BACKUP",
    .summary = "show a backup and the time line of its run",
    .description =
        "Shows for each VM of a backup the method, what its data is consistent to, when it "
        "was frozen or paused and when its instant was, its disks with those that were left out "
        "and why; then the record of the run as a time line: every VSS event of the "
        "writers and stage of the providers with start, duration and result.\n"
        "BACKUP is an id, the beginning of one (at least 4 characters), or latest.",
    .minimum = 1,
    .maximum = 1,
    .size = sizeof(struct options),
    .run = run,
    .print = print,
};
