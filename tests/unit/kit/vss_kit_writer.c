/* The planned writer. */
#include "vss_kit_private.h"

#include <stdio.h>

static bool fails_now(struct kit_writer *writer, enum vss_event event)
{
    pthread_mutex_lock(&writer->kit->lock);
    bool fails = writer->plan[event].count > 0;
    if (fails)
        writer->plan[event].count--;
    writer->calls[event]++;
    pthread_mutex_unlock(&writer->kit->lock);
    return fails;
}

static vss_code act(struct kit_writer *writer, const struct writer_event *event,
                    struct error *error)
{
    struct kit_plan *plan = &writer->plan[event->event];
    const char *name = vss_event_name(event->event);
    bool fails = fails_now(writer, event->event);
    size_t entry =
        kit_begin(writer->kit, writer->name, name, &event->session, &event->snapshot_set);
    vss_code code = fails ? plan->code : VSS_S_OK;
    if (writer->hook)
        writer->hook(writer, event);
    if (writer->child && code == VSS_S_OK)
        code = kit_ask_child(writer, event->event);
    if (plan->delay)
        clock_sleep(plan->delay);
    kit_end(writer->kit, entry, code);
    if (code == VSS_S_OK)
        return VSS_S_OK;
    (void)error_set(error, ERROR_FAILED, "planned failure of %s in %s", writer->name, name);
    (void)error_advise(error, "planned-failure", "what to do about %s", writer->name);
    if (error)
        error->number = (int)code;
    return writer->says_only ? VSS_S_OK : code;
}

static vss_code identify(void *object, const struct writer_event *event, struct metadata *metadata,
                         struct error *error)
{
    struct kit_writer *writer = object;
    const char *name = writer->component ? writer->component : writer->name;
    struct metadata_component *component =
        metadata_add_component(metadata, VSS_CT_DATABASE, "", name, name, error);
    if (!component)
        return VSS_E_WRITERERROR_NONRETRYABLE;
    component->selectable = true;
    component->flags = writer->flags;
    char path[64];
    (void)snprintf(path, sizeof path, "/data/%s", name);
    metadata_add_file(component, path, "disk.qcow2", false);
    metadata->restore_method = VSS_RME_CUSTOM;
    metadata->writer_restore = VSS_WRE_ALWAYS;
    return act(writer, event, error);
}

static void set_frozen(struct kit_writer *writer, bool frozen)
{
    pthread_mutex_lock(&writer->kit->lock);
    writer->frozen = frozen;
    pthread_mutex_unlock(&writer->kit->lock);
}

static vss_code prepare_backup(void *object, const struct writer_event *event, struct error *error)
{
    return act(object, event, error);
}

static vss_code prepare_snapshot(void *object, const struct writer_event *event,
                                 struct error *error)
{
    return act(object, event, error);
}

static vss_code freeze(void *object, const struct writer_event *event, struct error *error)
{
    vss_code code = act(object, event, error);
    if (code == VSS_S_OK)
        set_frozen(object, true);
    return code;
}

static vss_code thaw(void *object, const struct writer_event *event, struct error *error)
{
    vss_code code = act(object, event, error);
    if (code == VSS_S_OK)
        set_frozen(object, false);
    return code;
}

static vss_code post_snapshot(void *object, const struct writer_event *event, struct error *error)
{
    for (size_t i = 0; event->components && i < event->components->count; i++) {
        struct component *component = &event->components->components[i];
        (void)component_set_backup_metadata(event->components, component, "set in PostSnapshot");
        (void)component_set_backup_stamp(event->components, component, "stamp-1");
    }
    return act(object, event, error);
}

/* Truncates its logs as a writer may: here only, by type, and when all of it was saved. */
static vss_code backup_complete(void *object, const struct writer_event *event, struct error *error)
{
    struct kit_writer *writer = object;
    bool succeeded = event->components != NULL;
    vss_code refused = VSS_E_BAD_STATE;
    for (size_t i = 0; event->components && i < event->components->count; i++) {
        struct component *component = &event->components->components[i];
        succeeded &= component->backup_succeeded;
        refused = component_set_backup_metadata(event->components, component, "too late");
    }
    bool type = event->backup_type == VSS_BT_FULL || event->backup_type == VSS_BT_LOG ||
                event->backup_type == VSS_BT_INCREMENTAL;
    pthread_mutex_lock(&writer->kit->lock);
    writer->saw_succeeded = succeeded;
    writer->logs_truncated |= succeeded && type;
    writer->set_was_refused = refused == VSS_E_BAD_STATE;
    pthread_mutex_unlock(&writer->kit->lock);
    return act(object, event, error);
}

static vss_code backup_shutdown(void *object, const struct writer_event *event, struct error *error)
{
    return act(object, event, error);
}

static void abort_event(void *object, const struct writer_event *event)
{
    (void)act(object, event, NULL);
    set_frozen(object, false);
}

static vss_code pre_restore(void *object, const struct writer_event *event, struct error *error)
{
    struct kit_writer *writer = object;
    pthread_mutex_lock(&writer->kit->lock);
    writer->registered = false;
    pthread_mutex_unlock(&writer->kit->lock);
    return act(object, event, error);
}

/* As the Hyper-V writer: one status that is not ALL, and no VM is registered. */
static vss_code post_restore(void *object, const struct writer_event *event, struct error *error)
{
    struct kit_writer *writer = object;
    vss_code code = act(object, event, error);
    for (size_t i = 0; writer->hyperv && code == VSS_S_OK && i < event->components->count; i++) {
        const struct component *component = &event->components->components[i];
        if (!component->selected_for_restore || component->file_restore_status == VSS_RS_ALL)
            continue;
        (void)error_set(error, ERROR_FAILED, "VM %s was not restored", component->name);
        code = VSS_E_WRITERERROR_NONRETRYABLE;
    }
    pthread_mutex_lock(&writer->kit->lock);
    writer->registered = code == VSS_S_OK;
    pthread_mutex_unlock(&writer->kit->lock);
    return code;
}

static const struct writer_callbacks callbacks = {
    .identify = identify,
    .prepare_backup = prepare_backup,
    .prepare_snapshot = prepare_snapshot,
    .freeze = freeze,
    .thaw = thaw,
    .post_snapshot = post_snapshot,
    .backup_complete = backup_complete,
    .backup_shutdown = backup_shutdown,
    .abort = abort_event,
    .pre_restore = pre_restore,
    .post_restore = post_restore,
};

void kit_add_writer(struct kit *kit, struct kit_writer *writer)
{
    writer->kit = kit;
    if (id_is_empty(&writer->class_id))
        writer->class_id = id_new();
    if (writer->child)
        kit_start_child(writer);
    writer->instance_id = coordinator_subscribe(
        kit->coordinator, &(struct writer_description){.class_id = writer->class_id,
                                                       .name = writer->name,
                                                       .level = writer->level,
                                                       .limits = writer->limits,
                                                       .callbacks = &callbacks,
                                                       .writer = writer});
}
