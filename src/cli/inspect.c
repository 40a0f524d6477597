/* vmshadow inspect: which method each VM gets, and why (row B5). */
#include "base/memory.h"
#include "cli/backup-options.h"
#include "cli/conditions.h"
#include "cli/observer.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"

static const struct option_rule rules[] = {
    {"all", 'a', OPTION_FLAG, NULL, offsetof(struct backup_options, backup.selection.all),
     "all VMs"},
    {"pausing", .kind = OPTION_TABLE, .table = backup_pausing_rules},
    {"choosing", .kind = OPTION_TABLE, .table = options_choosing},
    {NULL},
};

static int run(const struct options *common, json_t **ret_result, struct error *error)
{
    struct requester_backup_options backup =
        backup_options_get((const struct backup_options *)common);
    struct observer *observer = NULL;
    if (options_selection(common, backup.selection.all, &backup.selection, error) < 0 ||
        observer_open(common, NULL, &observer, error) < 0)
        return -1;
    struct requester_host host = observer_host(observer);
    int result = requester_inspect(&host, &backup, ret_result, error);
    return observer_close(observer, error) < 0 ? -1 : result;
}

static void print_disks(const json_t *vm)
{
    if (!json_array_size(json_object_get(vm, "disks")))
        return;
    size_t index;
    json_t *disk;
    struct output_table *table = output_table_new(6, "      ");
    output_table_align_right(table, 3);
    json_array_foreach(json_object_get(vm, "disks"), index, disk)
    {
        char size[values_text_size] = "";
        int64_t bytes = json_integer_or(disk, "size", 0);
        output_table_add(table, "%s", json_string_or(disk, "target", ""));
        output_table_add(table, "%s", json_string_or(disk, "device", ""));
        output_table_add(table, "%s", json_string_or(disk, "format", ""));
        output_table_add(table, "%s", bytes > 0 ? values_format_size((uint64_t)bytes, size) : "");
        output_table_add(table, "%s",
                         json_boolean_or(disk, "included", false) ? "included" : "left out");
        const char *source = json_string_or(disk, "source", ""),
                   *reason = json_string_or(disk, "reason", "");
        if (json_boolean_or(disk, "live_only", false) && !*reason)
            reason = "attached to the running VM only; a restore brings the file, not attached";
        output_table_add(table, "%s%s%s", source, *source && *reason ? ": " : "", reason);
    }
    output_line(stdout, "   Disks:");
    output_table_print(table, stdout);
}

static void print_files(const json_t *vm)
{
    if (!json_array_size(json_object_get(vm, "files")))
        return;
    size_t index;
    json_t *file;
    struct output_table *table = output_table_new(2, "      ");
    json_array_foreach(json_object_get(vm, "files"), index, file)
    {
        output_table_add(table, "%s", json_string_or(file, "role", ""));
        output_table_add(table, "%s", json_string_or(file, "path", ""));
    }
    output_line(stdout, "   Files:");
    output_table_print(table, stdout);
}

static void print_pause(const json_t *vm)
{
    int64_t pause = json_integer_or(vm, "pause_estimate_ms", 0);
    char memory[values_text_size], rate[values_text_size];
    if (pause <= 0)
        return;
    output_line(stdout, "   Pause: about %.1f s", (double)pause / 1000);
    output_line(stdout, "   Memory in use: %s, written with %s/s",
                values_format_size((uint64_t)json_integer_or(vm, "memory_in_use", 0), memory),
                values_format_size((uint64_t)json_integer_or(vm, "write_rate", 0), rate));
}

static void print_vm(const json_t *vm)
{
    const char *refused = json_string_or(vm, "refused", NULL);
    output_line(stdout, "VM name: '%s'", json_string_or(vm, "name", ""));
    output_line(stdout, "   VM Id: {%s}", json_string_or(vm, "uuid", ""));
    output_line(stdout, "   State: %s", json_string_or(vm, "state", ""));
    output_line(stdout, "   Method: %s", conditions_method(json_string_or(vm, "method", "")));
    print_pause(vm);
    if (refused)
        output_line(stdout, "   REFUSED: %s", refused);
    output_line(stdout, "   Caption: %s", json_string_or(vm, "caption", ""));
    conditions_print(vm, "   ");
    print_disks(vm);
    print_files(vm);
    (void)putchar('\n');
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    size_t index;
    json_t *vm;
    json_array_foreach(json_object_get(result, "vms"), index, vm)
    {
        print_vm(vm);
    }
}

const struct verb verb_inspect = {
    .name = "inspect",
    .operands = "VM... | --all",
    .summary = "show how each VM would be backed up, and why",
    .description =
        "Shows for each VM, named by name or UUID, the method of its backup, the five conditions "
        "of a child VM snapshot with the fact that was found for each, its disks with those that "
        "are left out, and its files. No VM is changed.",
    .maximum = SIZE_MAX,
    .options = rules,
    .size = sizeof(struct backup_options),
    .run = run,
    .print = print,
};
