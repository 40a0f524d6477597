/* vmshadow diff: what changed between two backups, disk by disk. */
#include "base/memory.h"
#include "cli/output.h"
#include "cli/repository-option.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "requester/requester.h"

#include <string.h>

static int run(const struct options *options, json_t **ret_result, struct error *error)
{
    CLEANUP(repository_freep) struct repository *repository = NULL;
    if (repository_option_open(options, &repository, error) < 0)
        return -1;
    return requester_diff(repository, options->operands[0], options->operands[1], ret_result,
                          error);
}

static const char *format_bytes(const json_t *object, const char *member,
                                char text[values_text_size])
{
    return values_format_size((uint64_t)json_integer_or(object, member, 0), text);
}

/* "10.0 GiB", or "10.0 GiB, was 8.0 GiB" */
static void add_size(struct output_table *table, const json_t *disk)
{
    char size[values_text_size], old[values_text_size];
    bool added = json_is_null(json_object_get(disk, "size_from")),
         removed = json_is_null(json_object_get(disk, "size_to"));
    (void)format_bytes(disk, removed ? "size_from" : "size_to", size);
    (void)format_bytes(disk, "size_from", old);
    bool resized = !added && !removed &&
                   json_integer_or(disk, "size_from", 0) != json_integer_or(disk, "size_to", 0);
    output_table_add(table, "%s%s%s", size, resized ? ", was " : "", resized ? old : "");
}

static void add_vm(struct output_table *table, const json_t *vm)
{
    size_t index;
    json_t *disk;
    json_array_foreach(json_object_get(vm, "disks"), index, disk)
    {
        char changed[values_text_size];
        output_table_add(table, "%s", json_string_or(vm, "name", ""));
        output_table_add(table, "%s", json_string_or(disk, "target", ""));
        output_table_add(table, "%s", json_string_or(disk, "change", ""));
        output_table_add(table, "%s", format_bytes(disk, "changed_bytes", changed));
        add_size(table, disk);
    }
}

static void print_side(const json_t *result, const char *member, const char *word)
{
    const json_t *backup = json_object_get(result, member);
    output_line(stdout, "%s: {%s} of %s", word, json_string_or(backup, "id", ""),
                json_string_or(backup, "time", ""));
}

static void print(const struct options *options, const json_t *result)
{
    static const char *const headings[] = {"VM", "DISK", "CHANGE", "CHANGED", "SIZE"};
    (void)options;
    char changed[values_text_size], unit[values_text_size];
    print_side(result, "from", "From");
    print_side(result, "to", "To");
    struct output_table *table = output_table_new(ARRAY_SIZE(headings), "");
    output_table_align_right(table, 3);
    for (size_t i = 0; i < ARRAY_SIZE(headings); i++)
        output_table_add(table, "%s", headings[i]);
    size_t index;
    json_t *vm;
    json_array_foreach(json_object_get(result, "vms"), index, vm)
    {
        add_vm(table, vm);
    }
    output_table_print(table, stdout);
    output_line(stdout, "%s changed, in pieces of %s.",
                format_bytes(result, "changed_bytes", changed),
                format_bytes(result, "chunk_size", unit));
}

const struct verb verb_diff = {
    .name = "diff",
    .operands = "BACKUP BACKUP",
    .summary = "show how much of each disk changed between two backups",
    .description =
        "Compares two backups of a repository and shows for each disk of each VM how many bytes "
        "changed from the first to the second, and VMs and disks that only one of them has. Only "
        "what tells chunks apart is read, not the disks: it takes no time where little changed.\n"
        "BACKUP is an id, the beginning of one (at least 4 characters), or latest.",
    .minimum = 2,
    .maximum = 2,
    .size = sizeof(struct options),
    .run = run,
    .print = print,
};
