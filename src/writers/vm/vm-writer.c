/* The writer's life and its light events; the heavy ones are in snapshot.c and restore.c. */
#include "writers/vm/vm-writer-private.h"

#include "base/clock.h"

#include <string.h>

char *vm_writer_volume(const char *uuid, const char *target)
{
    return memory_format("%s/%s", uuid, target);
}

int vm_writer_parse_volume(const char *volume, char uuid[id_text_size], const char **ret_target)
{
    const char *slash = strchr(volume, '/');
    if (!slash || slash - volume != id_text_size - 1 || !slash[1])
        return -1;
    memcpy(uuid, volume, id_text_size - 1);
    uuid[id_text_size - 1] = '\0';
    *ret_target = slash + 1;
    return 0;
}

int vm_writer_new(const struct vm_writer_settings *settings, struct vm_writer **ret_writer,
                  struct error *error)
{
    for (size_t i = 0; i < settings->vm_count; i++)
        if (domain_check_exists(settings->hypervisor, settings->vms[i], error) != 0)
            return -1;
    for (size_t i = 0; i < settings->location_count; i++)
        if (domain_check_exists(settings->hypervisor, settings->locations[i].vm, error) != 0)
            return -1;
    struct vm_writer *writer = NEW(struct vm_writer);
    writer->settings = *settings;
    if (!writer->settings.agent_limit)
        writer->settings.agent_limit = 5 * CLOCK_SECOND;
    if (!writer->settings.freeze_limit)
        writer->settings.freeze_limit = 60 * CLOCK_SECOND;
    if (!writer->settings.hold_limit)
        writer->settings.hold_limit = 10 * CLOCK_SECOND;
    writer->settings.pause_limit_chosen = writer->settings.pause_limit != 0;
    if (!writer->settings.pause_limit)
        writer->settings.pause_limit = 600 * CLOCK_SECOND;
    *ret_writer = writer;
    return 0;
}

static void drop_vms(struct vm_writer *writer)
{
    for (size_t i = 0; i < writer->vm_count; i++)
        vm_clear(&writer->vms[i]);
    free(TAKE_PTR(writer->vms));
    writer->vm_count = 0;
}

void vm_writer_free(struct vm_writer *writer)
{
    if (!writer)
        return;
    drop_vms(writer);
    vm_writer_free_plans(writer->plans, writer->plan_count);
    for (size_t i = 0; i < writer->restore_count; i++)
        restored_vm_clear(&writer->restores[i]);
    free(writer->restores);
    free(writer);
}

size_t vm_writer_plans(const struct vm_writer *writer, const struct plan *const **ret_plans)
{
    *ret_plans = (const struct plan *const *)writer->plans;
    return writer->plan_count;
}

size_t vm_writer_captures(const struct vm_writer *writer, const char *uuid,
                          const struct vm_capture **ret_captures)
{
    for (size_t i = 0; i < writer->vm_count; i++)
        if (strcmp(writer->vms[i].plan->domain->uuid, uuid) == 0) {
            *ret_captures = writer->vms[i].captures;
            return writer->vms[i].capture_count;
        }
    return 0;
}

static vss_code identify(void *object, const struct writer_event *event, struct metadata *metadata,
                         struct error *error)
{
    (void)event;
    struct vm_writer *writer = object;
    struct plan **plans;
    size_t count;
    if (vm_writer_make_plans(writer, &plans, &count, error) != 0)
        return VSS_E_WRITERERROR_RETRYABLE;
    metadata->usage = VSS_UT_USERDATA;
    metadata->source = VSS_ST_OTHER;
    metadata->restore_method = VSS_RME_CUSTOM;
    metadata->writer_restore = VSS_WRE_ALWAYS;
    metadata->backup_schema = VSS_BS_WRITER_SUPPORTS_NEW_TARGET;
    vss_code code = VSS_S_OK;
    for (size_t i = 0; i < count && code == VSS_S_OK; i++)
        if (vm_writer_describe(plans[i], metadata, error) != 0)
            code = VSS_E_WRITERERROR_NONRETRYABLE;
    /* The plans are kept for whoever asks why; Identify itself decides nothing. */
    vm_writer_free_plans(writer->plans, writer->plan_count);
    writer->plans = plans;
    writer->plan_count = count;
    return code;
}

/* The targets of one VM among the volumes of the set, NULL-terminated. */
static char **targets_of(const struct writer_event *event, const char *uuid)
{
    char **targets = NULL;
    size_t count = 0;
    for (size_t i = 0; event->volumes && event->volumes[i]; i++) {
        char owner[id_text_size];
        const char *target;
        if (vm_writer_parse_volume(event->volumes[i], owner, &target) == 0 &&
            strcmp(owner, uuid) == 0)
            ARRAY_APPEND(targets, count, memory_copy_string(target));
    }
    ARRAY_APPEND(targets, count, NULL);
    return targets;
}

/* Every disk that belongs into the backup must be a volume of the set (vss.md 5.2). */
static vss_code check_volumes(const struct vm *vm, const struct writer_event *event,
                              struct error *error)
{
    const struct domain *domain = vm->plan->domain;
    for (size_t i = 0; i < domain->disk_count; i++) {
        if (!domain->disks[i].included)
            continue;
        CLEANUP_FREE char *volume = vm_writer_volume(domain->uuid, domain->disks[i].target);
        if (!writer_event_has_volume(event, volume)) {
            (void)error_set(error, ERROR_FAILED, "VM %s: disk %s is not in the shadow copy set",
                            domain->name, domain->disks[i].target);
            return VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT;
        }
    }
    return VSS_S_OK;
}

static vss_code check_plan(const struct vm *vm, const struct writer_event *event,
                           struct error *error)
{
    const struct plan *plan = vm->plan;
    if (plan->refused) {
        (void)error_set(error, ERROR_REFUSED, "VM %s: %s", plan->domain->name, plan->refused);
        (void)error_advise(error, "vm-refused", "vmshadow inspect shows every condition");
        return VSS_E_WRITERERROR_NONRETRYABLE;
    }
    if (plan->method == PLAN_CHILD_SNAPSHOT &&
        (event->context & VSS_VOLSNAP_ATTR_NO_AUTORECOVERY)) {
        (void)error_set(error, ERROR_REFUSED,
                        "VM %s: a child VM snapshot needs a shadow copy that can be recovered; the "
                        "context has NO_AUTORECOVERY",
                        plan->domain->name);
        (void)error_advise(error, "no-auto-recovery", "leave out --no-auto-recovery");
        return VSS_E_WRITERERROR_NONRETRYABLE;
    }
    return check_volumes(vm, event, error);
}

static vss_code prepare_backup(void *object, const struct writer_event *event, struct error *error)
{
    struct vm_writer *writer = object;
    struct plan **plans;
    size_t count;
    drop_vms(writer);
    if (vm_writer_make_plans(writer, &plans, &count, error) != 0)
        return VSS_E_WRITERERROR_RETRYABLE;
    writer->vms = NEW_ARRAY(struct vm, count);
    (void)snprintf(writer->set, sizeof writer->set, "%s", event->snapshot_set.text);
    vss_code code = VSS_S_OK;
    for (size_t i = 0; i < count; i++) {
        if (!component_set_find(event->components, "", plans[i]->domain->uuid)) {
            plan_free(plans[i]);
            continue;
        }
        struct vm *vm = &writer->vms[writer->vm_count++];
        vm->plan = plans[i];
        vm->targets = targets_of(event, plans[i]->domain->uuid);
        if (code == VSS_S_OK)
            code = check_plan(vm, event, error);
    }
    free(plans);
    if (code == VSS_S_OK && writer->vm_count != event->components->count) {
        (void)error_set(error, ERROR_NOT_FOUND, "a VM of the set is not defined any more");
        code = VSS_E_WRITERERROR_RETRYABLE;
    }
    return code;
}

static vss_code prepare_snapshot(void *object, const struct writer_event *event,
                                 struct error *error)
{
    struct vm_writer *writer = object;
    vss_code code = vm_writer_take_snapshot(writer, event, error);
    if (code != VSS_S_OK)
        vm_writer_undo_snapshot(writer);
    return code;
}

static vss_code nothing(void *object, const struct writer_event *event, struct error *error)
{
    (void)object;
    (void)event;
    (void)error;
    return VSS_S_OK;
}

static void abort_backup(void *object, const struct writer_event *event)
{
    (void)event;
    vm_writer_undo_snapshot(object);
}

static vss_code backup_shutdown(void *object, const struct writer_event *event, struct error *error)
{
    (void)event;
    (void)error;
    vm_writer_undo_snapshot(object);
    return VSS_S_OK;
}

struct writer_description vm_writer_description(struct vm_writer *writer)
{
    static const struct writer_callbacks callbacks = {
        .identify = identify,
        .prepare_backup = prepare_backup,
        .prepare_snapshot = prepare_snapshot,
        .freeze = nothing,
        .thaw = nothing,
        .post_snapshot = vm_writer_post_snapshot,
        .backup_complete = nothing,
        .backup_shutdown = backup_shutdown,
        .abort = abort_backup,
        .pre_restore = vm_writer_pre_restore,
        .post_restore = vm_writer_post_restore,
    };
    struct writer_description description = {
        .name = VM_WRITER_NAME,
        .callbacks = &callbacks,
        .writer = writer,
    };
    description.limits.event[VSS_EVENT_PREPARE_FOR_SNAPSHOT] =
        900 * CLOCK_SECOND + writer->settings.pause_limit;
    (void)id_parse(VM_WRITER_ID, &description.class_id);
    return description;
}
