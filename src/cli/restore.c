/* vmshadow restore: VMs of a backup take the place of those that are there now. */
#include "base/memory.h"
#include "cli/observer.h"
#include "cli/output.h"
#include "cli/repository-option.h"
#include "cli/terminal.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <string.h>

struct restore_options {
    struct options common;
    bool yes, dry_run, continue_saved, discard_saved, overwrite_block;
    const char *events, *directory;
    unsigned workers;
};

#define OFFSET(member) offsetof(struct restore_options, member)
static const struct option_rule rules[] = {
    {"yes", 'y', OPTION_FLAG, NULL, OFFSET(yes),
     "power off and replace running VMs without asking; needed where there is no terminal"},
    {"dry-run", 'n', OPTION_FLAG, NULL, OFFSET(dry_run),
     "only tell what would be done; nothing is changed"},
    {"to", 't', OPTION_TEXT, "DIR", OFFSET(directory),
     "put the disks into DIR instead of where they were"},
    {"continue-saved", '\0', OPTION_FLAG, NULL, OFFSET(continue_saved),
     "let a saved VM continue although a disk was left out of the backup: if that disk has changed "
     "since, the VM destroys it"},
    {"discard-saved", '\0', OPTION_FLAG, NULL, OFFSET(discard_saved),
     "leave the memory of saved VMs in the backup: they come back off"},
    {"overwrite-block", '\0', OPTION_FLAG, NULL, OFFSET(overwrite_block),
     "write disks that were on block devices of the host onto these again: what is on them is lost "
     "even if the restore fails, and the VM then stays off"},
    {"events", 'e', OPTION_TEXT, "FILE", OFFSET(events),
     "write each VSS event to FILE as a line of JSON"},
    {"workers", '\0', OPTION_COUNT, "N", OFFSET(workers), "threads that decrypt and decompress",
     NULL, 1, 1024, .scope = OPTION_SETTING, .standard = "one per processor"},
    {"default-location", '\0', OPTION_PATH, "DIR", OFFSET(common.default_location),
     "directory in which VMs are expected: a VM that is restored elsewhere gets a symbolic link "
     "of its name there",
     .scope = OPTION_SETTING, .standard = "/var/lib/libvirt/images"},
    {NULL},
};

/* Is the VM that would be replaced one that stops when it is? */
static bool is_active(const json_t *vm)
{
    const char *state = json_string_or(vm, "replaces", NULL);
    return state && strcmp(state, "off") != 0 && strcmp(state, "saved") != 0;
}

static int ask(const json_t *plan, struct error *error)
{
    size_t index, active = 0;
    json_t *vm;
    json_array_foreach(json_object_get(plan, "vms"), index, vm)
    {
        if (!is_active(vm))
            continue;
        active++;
        output_line(stderr, "VM %s is %s: it will be powered off and replaced.",
                    json_string_or(vm, "name", ""), json_string_or(vm, "replaces", ""));
    }
    if (!active)
        return 0;
    int answer = terminal_confirm("Replace? Write yes: ", error);
    if (answer < 0)
        return -1;
    if (answer)
        return 0;
    (void)error_set(error, ERROR_REFUSED, "not confirmed: nothing was changed");
    return error_advise(error, "restore-unconfirmed", "say --yes to do it without a question");
}

static int run_on(const struct restore_options *options, const struct requester_host *host,
                  struct repository *repository, json_t **ret_result, struct error *error)
{
    struct requester_restore_options restore = {
        .backup = options->common.operands[0],
        .vms = options->common.operands + 1,
        .count = options->common.operand_count - 1,
        .yes = options->yes,
        .overwrite_block = options->overwrite_block,
        .continue_saved = options->continue_saved,
        .discard_saved = options->discard_saved,
        .directory = options->directory,
        .workers = options->workers,
    };
    if (options->dry_run)
        return requester_plan_restore(host, repository, &restore, ret_result, error);
    if (!restore.yes && !options->common.json && terminal_is_there()) {
        CLEANUP_JSON json_t *plan = NULL;
        if (requester_plan_restore(host, repository, &restore, &plan, error) < 0 ||
            ask(plan, error) < 0)
            return -1;
        restore.yes = true;
    }
    return requester_restore(host, repository, &restore, ret_result, error);
}

static int run(const struct options *common, json_t **ret_result, struct error *error)
{
    const struct restore_options *options = (const struct restore_options *)common;
    CLEANUP(repository_freep) struct repository *repository = NULL;
    struct observer *observer = NULL;
    if (repository_option_open(common, &repository, error) < 0 ||
        observer_open(common, options->events, &observer, error) < 0)
        return -1;
    struct requester_host host = observer_host(observer);
    int result = run_on(options, &host, repository, ret_result, error);
    return observer_close(observer, error) < 0 ? -1 : result;
}

static void print_disks(const json_t *vm)
{
    size_t index;
    json_t *disk;
    struct output_table *table = output_table_new(4, "   ");
    output_table_align_right(table, 2);
    json_array_foreach(json_object_get(vm, "disks"), index, disk)
    {
        char size[values_text_size];
        output_table_add(table, "%s", json_string_or(disk, "target", ""));
        output_table_add(table, "%s", json_string_or(disk, "format", ""));
        output_table_add(table, "%s",
                         values_format_size((uint64_t)json_integer_or(disk, "size", 0), size));
        output_table_add(table, "%s", json_string_or(disk, "path", ""));
    }
    output_table_print(table, stdout);
}

static void print_adapter(const json_t *adapter)
{
    const char *reason = json_string_or(adapter, "reason", NULL);
    const char *source = json_string_or(adapter, "source", NULL);
    const char *what = strcmp(json_string_or(adapter, "action", ""), "leave") == 0
                           ? "as it was defined"
                           : "connected";
    const char *mac = json_string_or(adapter, "mac", "without MAC");
    if (reason)
        output_line(stdout, "   adapter %s: DISCONNECTED: %s", mac, reason);
    else
        output_line(stdout, "   adapter %s: %s%s%s: %s", mac, json_string_or(adapter, "type", ""),
                    source ? " " : "", source ? source : "", what);
}

static void print_vm(const json_t *vm, bool plan)
{
    const char *replaces = json_string_or(vm, "replaces", NULL);
    const char *how = plan ? ", replaces the one that is " : ", replaced the one that was ";
    output_line(stdout, "VM %s {%s}%s%s", json_string_or(vm, "name", ""),
                json_string_or(vm, "uuid", ""), replaces ? how : "", replaces ? replaces : "");
    print_disks(vm);
    const char *continues = json_string_or(vm, "continues", NULL);
    if (continues)
        output_line(stdout, "   %s saved: when it is started it continues where it was, %s",
                    plan ? "comes back" : "came back", continues);
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(vm, "networks"), index, item)
    {
        print_adapter(item);
    }
    json_array_foreach(json_object_get(vm, "notices"), index, item)
    {
        output_line(stdout, "   notice: %s", json_string_value(item));
    }
}

static void print(const struct options *common, const json_t *result)
{
    const struct restore_options *options = (const struct restore_options *)common;
    size_t index;
    json_t *vm;
    json_array_foreach(json_object_get(result, "vms"), index, vm)
    {
        print_vm(vm, options->dry_run);
    }
    if (options->dry_run)
        output_line(stdout, "Plan for backup %s: nothing was changed.",
                    json_string_or(result, "backup", ""));
    else
        output_line(stdout, "Backup %s was restored in %.1f seconds.",
                    json_string_or(result, "backup", ""),
                    json_number_value(json_object_get(result, "seconds")));
}

const struct verb verb_restore = {
    .name = "restore",
    .operands = "BACKUP [VM...]",
    .summary = "restore VMs of a backup",
    .description =
        "Restores all VMs of a backup, or the named ones, to where they were. VMs of the same "
        "UUIDs that are there now are powered off and set aside, with their disks, until the new "
        "ones are registered; when anything fails all of them are put back. What is restored comes "
        "back off, or saved where its memory was part of the backup.\n"
        "BACKUP is an id, the beginning of one (at least 4 characters), or latest.",
    .minimum = 1,
    .maximum = SIZE_MAX,
    .options = rules,
    .size = sizeof(struct restore_options),
    .run = run,
    .print = print,
};
