/* vmshadow show: what is in a backup, and the time line of the run that made it (row B2). */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/conditions.h"
#include "cli/output.h"
#include "cli/repository-option.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "requester/requester.h"

static int run(const struct options *options, json_t **ret_result, struct error *error)
{
    CLEANUP(repository_freep) struct repository *repository = NULL;
    if (repository_option_open(options, &repository, error) < 0)
        return -1;
    return requester_show(repository, options->operands[0], ret_result, error);
}

static void print_vm(const json_t *vm)
{
    output_line(stdout, "   VM name: '%s'", json_string_or(vm, "name", ""));
    output_line(stdout, "      VM Id: {%s}", json_string_or(vm, "uuid", ""));
    output_line(stdout, "      Method: %s", json_string_or(vm, "method", ""));
    conditions_print(vm, "      ");
    size_t index;
    json_t *disk;
    struct output_table *table = output_table_new(2, "      ");
    json_array_foreach(json_object_get(vm, "disks"), index, disk)
    {
        char size[values_text_size];
        output_table_add(table, "%s", json_string_or(disk, "target", ""));
        output_table_add(table, "%s",
                         values_format_size((uint64_t)json_integer_or(disk, "size", 0), size));
    }
    json_array_foreach(json_object_get(vm, "left_out"), index, disk)
    {
        output_table_add(table, "%s", json_string_or(disk, "target", ""));
        output_table_add(table, "left out: %s", json_string_or(disk, "reason", ""));
    }
    output_table_print(table, stdout);
}

static double milliseconds(int64_t nanoseconds)
{
    return (double)nanoseconds / CLOCK_MILLISECOND;
}

static int64_t first_start(const json_t *events)
{
    int64_t first = INT64_MAX;
    size_t index;
    json_t *event;
    json_array_foreach(events, index, event)
    {
        int64_t start = json_integer_or(event, "start_ns", 0);
        if (start < first)
            first = start;
    }
    return first;
}

static void add_event(struct output_table *table, const json_t *event, int64_t first)
{
    int64_t start = json_integer_or(event, "start_ns", 0),
            end = json_integer_or(event, "end_ns", start);
    const char *vm = json_string_or(event, "vm", ""), *disk = json_string_or(event, "disk", ""),
               *message = json_string_or(event, "message", "");
    output_table_add(table, "%.1f", milliseconds(start - first));
    output_table_add(table, "%.1f", milliseconds(end - start));
    output_table_add(table, "%s", json_string_or(event, "kind", ""));
    output_table_add(table, "%s", json_string_or(event, "name", ""));
    output_table_add(table, "%s", json_string_or(event, "result", ""));
    const char *party = json_string_or(event, "party", "");
    output_table_add(table, "%s%s%s%s%s%s%s%s", party, *party && *vm ? ", " : "", *vm ? "VM " : "",
                     vm, *disk ? ", disk " : "", disk, *message ? ": " : "", message);
}

static void print_events(const json_t *events)
{
    if (!json_array_size(events))
        return;
    static const char *const headings[] = {"START", "TOOK", "KIND", "NAME", "RESULT", "PARTY"};
    struct output_table *table = output_table_new(ARRAY_SIZE(headings), "   ");
    output_table_align_right(table, 0);
    output_table_align_right(table, 1);
    for (size_t i = 0; i < ARRAY_SIZE(headings); i++)
        output_table_add(table, "%s", headings[i]);
    int64_t first = first_start(events);
    size_t index;
    json_t *event;
    json_array_foreach(events, index, event) add_event(table, event, first);
    output_line(stdout, "   Time line, in milliseconds:");
    output_table_print(table, stdout);
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    output_line(stdout, "Backup Id: {%s}", json_string_or(result, "id", ""));
    output_line(stdout, "   Time: %s", json_string_or(result, "time", ""));
    output_line(stdout, "   Host: %s", json_string_or(result, "host", ""));
    size_t index;
    json_t *vm;
    json_array_foreach(json_object_get(result, "vms"), index, vm)
    {
        print_vm(vm);
    }
    print_events(json_object_get(result, "events"));
}

const struct verb verb_show = {
    .name = "show",
    .operands = "BACKUP",
    .summary = "show a backup and the time line of its run",
    .description = "Shows the VMs and disks of a backup and the record of its run: every VSS event "
                   "of the writers and stage of the providers with start, duration and result.\n"
                   "BACKUP is an id, the beginning of one (at least 4 characters), or latest.",
    .minimum = 1,
    .maximum = 1,
    .size = sizeof(struct options),
    .run = run,
    .print = print,
};
