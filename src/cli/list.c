/* vmshadow list: the backups of a repository, oldest first. */
#include "base/memory.h"
#include "cli/output.h"
#include "cli/repository-option.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "requester/requester.h"

struct list_options {
    struct options common;
    struct requester_list_options list;
    const char *since, *until;
};

#define OFFSET(member) offsetof(struct list_options, member)
static const struct option_rule rules[] = {
    {"vm", '\0', OPTION_TEXT, "PATTERN", OFFSET(list.vm),
     "only backups with a VM of this name (* ? [ are wild) or UUID"},
    {"since", '\0', OPTION_TEXT, "DATE", OFFSET(since),
     "only backups of this time or later: 2026-11-23, 2026-11-23T14:18 or 2026-11-23T14:18:05, in "
     "local time, or in UTC with a Z behind it"},
    {"until", '\0', OPTION_TEXT, "DATE", OFFSET(until),
     "only backups of this time or earlier; a day counts until its end"},
    {NULL},
};

static int take_time(const char *option, const char *text, bool to_end, int64_t *ret_wall,
                     struct error *error)
{
    if (!text || values_time(text, to_end, ret_wall) == 0)
        return 0;
    return error_set(error, ERROR_USAGE,
                     "--%s: '%s' is not a time: write 2026-11-23, 2026-11-23T14:18 or "
                     "2026-11-23T14:18:05, with a Z behind it for UTC",
                     option, text);
}

static int run(const struct options *common, json_t **ret_result, struct error *error)
{
    const struct list_options *options = (const struct list_options *)common;
    struct requester_list_options list = options->list;
    list.until = INT64_MAX;
    if (take_time("since", options->since, false, &list.since, error) < 0 ||
        take_time("until", options->until, true, &list.until, error) < 0)
        return -1;
    if (list.since > list.until)
        return error_set(error, ERROR_USAGE, "--since %s is later than --until %s", options->since,
                         options->until);
    CLEANUP(repository_freep) struct repository *repository = NULL;
    if (repository_option_open(common, &repository, error) < 0)
        return -1;
    return requester_list(repository, &list, ret_result, error);
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
    static const char *const headings[] = {"BACKUP", "TIME", "HOST", "SIZE", "STORED", "VMS"};
    struct output_table *table = output_table_new(ARRAY_SIZE(headings), "");
    output_table_align_right(table, 3);
    output_table_align_right(table, 4);
    for (size_t i = 0; i < ARRAY_SIZE(headings); i++)
        output_table_add(table, "%s", headings[i]);
    json_array_foreach(json_object_get(result, "backups"), index, item)
    {
        char size[values_text_size], stored[values_text_size];
        CLEANUP_FREE char *names = vm_names(item);
        output_table_add(table, "%s", json_string_or(item, "id", ""));
        output_table_add(table, "%s", json_string_or(item, "time", ""));
        output_table_add(table, "%s", json_string_or(item, "host", ""));
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
    .description = "Lists all backups, oldest first, or those that the options choose. A backup is "
                   "listed only when all of it is stored. A backup that cannot be read is named, "
                   "and the exit status says so. Times are UTC.",
    .options = rules,
    .size = sizeof(struct list_options),
    .run = run,
    .print = print,
};
