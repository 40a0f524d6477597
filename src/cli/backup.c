/* vmshadow backup: several VMs as one set at one instant. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/backup-options.h"
#include "cli/observer.h"
#include "cli/output.h"
#include "cli/repository-option.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <string.h>

static const char *const types[] = {"copy", "full", NULL};

#define OFFSET(member) offsetof(struct backup_options, member)
const struct option_rule backup_pausing_rules[] = {
    {"scratch", '\0', OPTION_PATH, "DIR", OFFSET(backup.scratch_directory),
     "local directory for what guests overwrite during the copy", .scope = OPTION_SETTING,
     .standard = "/var/lib/libvirt/qemu/vmshadow"},
    {"scratch-reserve", '\0', OPTION_SIZE, "SIZE", OFFSET(backup.scratch_reserve),
     "give up the backup, not the guest, when less than SIZE is free there", NULL, 1, 0,
     .scope = OPTION_SETTING,
     .standard = "2 % of that file system, but at least 1 GiB; for memory that is saved: 1 GiB"},
    {"saved-state-dir", '\0', OPTION_PATH, "DIR", OFFSET(backup.image_directory),
     "local directory for the memory of VMs that are backed up by saved state, until it is copied",
     .scope = OPTION_SETTING, .standard = "the directory of --scratch"},
    {"max-pause", '\0', OPTION_DURATION, "TIME", OFFSET(backup.max_pause),
     "give up when a VM is, or would be, paused for longer than TIME", NULL, CLOCK_MILLISECOND,
     24 * 3600 * CLOCK_SECOND, .scope = OPTION_SETTING, .standard = "10min"},
    {"refuse-saved-state", '\0', OPTION_FLAG, NULL, OFFSET(backup.refuse_saved_state),
     "give up at planning rather than pause a VM that cannot be backed up by a child VM snapshot",
     .scope = OPTION_SETTING},
    {NULL},
};

const struct option_rule backup_rules[] = {
    {"all", 'a', OPTION_FLAG, NULL, OFFSET(backup.selection.all), "all VMs", .scope = OPTION_JOB},
    {"events", 'e', OPTION_TEXT, "FILE", OFFSET(events),
     "write each VSS event and provider stage to FILE as a line of JSON"},
    {"pausing", .kind = OPTION_TABLE, .table = backup_pausing_rules},
    {"freeze-limit", '\0', OPTION_DURATION, "TIME", OFFSET(backup.freeze_limit),
     "give up when not all guests are frozen after TIME", NULL, CLOCK_MILLISECOND,
     3600 * CLOCK_SECOND, .scope = OPTION_SETTING, .standard = "60s"},
    {"hold-limit", '\0', OPTION_DURATION, "TIME", OFFSET(backup.hold_limit),
     "give up when the frozen guests are held for longer than TIME", NULL, CLOCK_MILLISECOND,
     3600 * CLOCK_SECOND, .scope = OPTION_SETTING, .standard = "10s"},
    {"hold-stopped", '\0', OPTION_FLAG, NULL, OFFSET(backup.hold_stopped),
     "keep the images of stopped VMs locked during the copy: such a VM cannot be started then, "
     "instead of the backup failing when it is",
     .scope = OPTION_SETTING},
    {"choosing", .kind = OPTION_TABLE, .table = options_choosing},
    {"no-auto-recovery", '\0', OPTION_FLAG, NULL, OFFSET(backup.no_auto_recovery),
     "ask for shadow copies that are not changed after their creation; refused for VMs that are "
     "backed up by a child VM snapshot",
     .scope = OPTION_SETTING},
    {"type", '\0', OPTION_CHOICE, "copy|full", OFFSET(type),
     "backup type told to the writers; copy leaves the backup history of applications alone", types,
     .scope = OPTION_SETTING, .standard = "copy"},
    {"workers", '\0', OPTION_COUNT, "N", OFFSET(backup.workers),
     "threads that compress and encrypt", NULL, 1, 1024, .scope = OPTION_SETTING,
     .standard = "one per processor"},
    {NULL},
};

struct requester_backup_options backup_options_get(const struct backup_options *options)
{
    struct requester_backup_options backup = options->backup;
    backup.full = options->type && strcmp(options->type, "full") == 0;
    return backup;
}

static int run(const struct options *common, json_t **ret_result, struct error *error)
{
    const struct backup_options *options = (const struct backup_options *)common;
    struct requester_backup_options backup = backup_options_get(options);
    CLEANUP(repository_freep) struct repository *repository = NULL;
    struct observer *observer = NULL;
    if (options_selection(common, options->backup.selection.all, &backup.selection, error) < 0 ||
        repository_option_open(common, &repository, error) < 0 ||
        observer_open(common, options->events, &observer, error) < 0)
        return -1;
    struct requester_host host = observer_host(observer);
    int result = requester_backup(&host, repository, &backup, ret_result, error);
    return observer_close(observer, error) < 0 ? -1 : result;
}

static void print_copied(const char *name, const json_t *copied, struct output_table *table)
{
    char size[values_text_size], read[values_text_size], stored[values_text_size];
    output_table_add(table, "%s", name);
    output_table_add(table, "%s of %s read",
                     values_format_size((uint64_t)json_integer_or(copied, "bytes_read", 0), read),
                     values_format_size((uint64_t)json_integer_or(copied, "size", 0), size));
    output_table_add(
        table, "%s stored",
        values_format_size((uint64_t)json_integer_or(copied, "bytes_stored", 0), stored));
}

static void print_disks(const json_t *vm, struct output_table *table)
{
    size_t index;
    json_t *disk;
    json_array_foreach(json_object_get(vm, "disks"), index, disk)
    {
        print_copied(json_string_or(disk, "target", ""), disk, table);
    }
    const json_t *memory = json_object_get(vm, "saved_state");
    if (json_is_object(memory))
        print_copied("saved state", memory, table);
    json_array_foreach(json_object_get(vm, "left_out"), index, disk)
    {
        output_table_add(table, "%s", json_string_or(disk, "target", ""));
        output_table_add(table, "left out");
        output_table_add(table, "%s", json_string_or(disk, "reason", ""));
    }
}

static void print_vm(const json_t *vm)
{
    double frozen = json_number_value(json_object_get(vm, "frozen_ms")),
           paused = json_number_value(json_object_get(vm, "paused_ms"));
    CLEANUP_FREE char *stood = frozen > 0   ? memory_format(", frozen for %.0f ms", frozen)
                               : paused > 0 ? memory_format(", paused for %.0f ms", paused)
                                            : memory_format("%s", "");
    output_line(stdout, "VM %s: %s%s", json_string_or(vm, "name", ""),
                json_string_or(vm, "method", ""), stood);
    struct output_table *table = output_table_new(3, "   ");
    print_disks(vm, table);
    output_table_print(table, stdout);
}

void backup_print(const json_t *result)
{
    size_t index;
    json_t *vm;
    char read[values_text_size], stored[values_text_size];
    json_array_foreach(json_object_get(result, "vms"), index, vm)
    {
        print_vm(vm);
    }
    output_line(stdout, "%s read, %s stored in %.1f seconds.",
                values_format_size((uint64_t)json_integer_or(result, "bytes_read", 0), read),
                values_format_size((uint64_t)json_integer_or(result, "bytes_stored", 0), stored),
                json_number_value(json_object_get(result, "seconds")));
    output_line(stdout, "Backup %s of %s is complete.", json_string_or(result, "backup", ""),
                json_string_or(result, "time", ""));
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    backup_print(result);
}

const struct verb verb_backup = {
    .name = "backup",
    .operands = "VM... | --all",
    .summary = "back up VMs as one set at one instant",
    .description =
        "Backs up all named VMs, running or not, as one set: all guests are frozen before the "
        "first disk is taken and go on after the last. When one VM fails, at any point up to the "
        "end, nothing is listed and every VM is as it was before.\n"
        "Sizes are bytes or have a unit (512M, 4GiB); times are seconds or have a unit (500ms, "
        "10s, 2min).",
    .maximum = SIZE_MAX,
    .options = backup_rules,
    .size = sizeof(struct backup_options),
    .run = run,
    .print = print,
};
