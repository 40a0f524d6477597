/* vmshadow list: the backups of a repository, oldest first. */
#include "base/memory.h"
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
    return requester_list(repository, ret_result, error);
}

static char *vm_names(const json_t *backup)
{
    char *names = memory_format("%s", "");
    size_t index;
    json_t *vm;
    json_array_foreach(json_object_get(backup, "vms"), index, vm)
    {
        CLEANUP_FREE char *before = names;
        names = memory_format("%s%s%s", before, index ? ", " : "", json_string_or(vm, "name", ""));
    }
    return names;
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    size_t index;
    json_t *item;
    struct output_table *table = output_table_new(5, "");
    output_table_align_right(table, 2);
    output_table_align_right(table, 3);
    static const char *const headings[] = {"BACKUP", "TIME", "SIZE", "STORED", "VMS"};
    for (size_t i = 0; i < ARRAY_SIZE(headings); i++)
        output_table_add(table, "%s", headings[i]);
    json_array_foreach(json_object_get(result, "backups"), index, item)
    {
        char size[values_text_size], stored[values_text_size];
        CLEANUP_FREE char *names = vm_names(item);
        output_table_add(table, "%s", json_string_or(item, "id", ""));
        output_table_add(table, "%s", json_string_or(item, "time", ""));
        output_table_add(table, "%s",
                         values_format_size((uint64_t)json_integer_or(item, "size", 0), size));
        output_table_add(
            table, "%s",
            values_format_size((uint64_t)json_integer_or(item, "bytes_stored", 0), stored));
        output_table_add(table, "%s", names);
    }
    output_table_print(table, stdout);
    json_array_foreach(json_object_get(result, "damaged"), index, item)
    {
        output_line(stdout, "DAMAGED %s: %s", json_string_or(item, "file", ""),
                    json_string_or(item, "message", ""));
    }
}

const struct verb verb_list = {
    .name = "list",
    .operands = "",
    .summary = "list the backups of a repository",
    .description = "Lists all backups, oldest first. A backup is listed only when all of it is "
                   "stored. A backup that cannot be read is named, and the exit status says so.",
    .size = sizeof(struct options),
    .run = run,
    .print = print,
};
