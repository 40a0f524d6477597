/* The record of one backup or restore: plain arrays, grown by doubling. */
#include "vss/components.h"

#include "vss/components-private.h"
#include "vss/failure.h"

#include <string.h>

struct components *components_new(void)
{
    struct components *components = NEW(struct components);
    components->select_components = true;
    return components;
}

static void clear_component(struct component *component)
{
    char *const texts[] = {component->logical_path,
                           component->name,
                           component->backup_stamp,
                           component->previous_stamp,
                           component->backup_metadata,
                           component->restore_metadata,
                           component->backup_options,
                           component->restore_options,
                           component->extra};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < ARRAY_SIZE(component->failure_messages); i++)
        free(component->failure_messages[i]);
    for (size_t i = 0; i < component->new_target_count; i++) {
        free(component->new_targets[i].path);
        free(component->new_targets[i].filespec);
        free(component->new_targets[i].new_path);
        free(component->new_targets[i].extra);
    }
    free(component->new_targets);
}

void component_set_clear(struct component_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        clear_component(&set->components[i]);
    free(set->components);
    free(set->extra);
    *set = (struct component_set){.count = 0};
}

void components_free(struct components *components)
{
    if (!components)
        return;
    for (size_t i = 0; i < components->set_count; i++)
        component_set_clear(&components->sets[i]);
    free(components->sets);
    for (size_t i = 0; i < components->snapshot_count; i++) {
        free(components->snapshots[i].original);
        free(components->snapshots[i].device);
        free(components->snapshots[i].extra);
    }
    free(components->snapshots);
    free(components->extra);
    free(components);
}

static void copy_component(struct component *to, const struct component *from)
{
    *to = *from;
    char **const texts[] = {&to->logical_path,
                            &to->name,
                            &to->backup_stamp,
                            &to->previous_stamp,
                            &to->backup_metadata,
                            &to->restore_metadata,
                            &to->backup_options,
                            &to->restore_options,
                            &to->extra};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        *texts[i] = memory_copy_string(*texts[i]);
    for (size_t i = 0; i < ARRAY_SIZE(to->failure_messages); i++)
        to->failure_messages[i] = memory_copy_string(from->failure_messages[i]);
    to->new_targets = NULL;
    to->new_target_count = 0;
    for (size_t i = 0; i < from->new_target_count; i++) {
        __typeof__(*to->new_targets) target = from->new_targets[i];
        target.path = memory_copy_string(target.path);
        target.filespec = memory_copy_string(target.filespec);
        target.new_path = memory_copy_string(target.new_path);
        target.extra = memory_copy_string(target.extra);
        ARRAY_APPEND(to->new_targets, to->new_target_count, target);
    }
}

void component_set_copy(struct component_set *to, const struct component_set *from)
{
    *to = *from;
    to->extra = memory_copy_string(from->extra);
    to->components = NULL;
    to->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        struct component component;
        copy_component(&component, &from->components[i]);
        ARRAY_APPEND(to->components, to->count, component);
    }
}

struct components *components_copy(const struct components *components)
{
    struct components *copy = NEW(struct components);
    *copy = *components;
    copy->extra = memory_copy_string(components->extra);
    copy->sets = NULL;
    copy->set_count = 0;
    for (size_t i = 0; i < components->set_count; i++) {
        struct component_set set;
        component_set_copy(&set, &components->sets[i]);
        ARRAY_APPEND(copy->sets, copy->set_count, set);
    }
    copy->snapshots = NULL;
    copy->snapshot_count = 0;
    for (size_t i = 0; i < components->snapshot_count; i++) {
        struct component_snapshot snapshot = components->snapshots[i];
        snapshot.original = memory_copy_string(snapshot.original);
        snapshot.device = memory_copy_string(snapshot.device);
        snapshot.extra = memory_copy_string(snapshot.extra);
        ARRAY_APPEND(copy->snapshots, copy->snapshot_count, snapshot);
    }
    return copy;
}

static void take(char **to, char **from)
{
    free(*to);
    *to = TAKE_PTR(*from);
}

void component_set_merge(struct component_set *set, struct component_set *edited)
{
    for (size_t i = 0; i < set->count && i < edited->count; i++) {
        struct component *to = &set->components[i], *from = &edited->components[i];
        take(&to->backup_metadata, &from->backup_metadata);
        take(&to->restore_metadata, &from->restore_metadata);
        take(&to->backup_stamp, &from->backup_stamp);
        for (size_t event = 0; event < ARRAY_SIZE(to->failure_messages); event++)
            take(&to->failure_messages[event], &from->failure_messages[event]);
        to->restore_target = from->restore_target;
    }
}

struct component_set *components_find_set(const struct components *components,
                                          const struct id *writer)
{
    for (size_t i = 0; i < components->set_count; i++)
        if (id_equal(&components->sets[i].writer_id, writer))
            return &components->sets[i];
    return NULL;
}

struct component_set *components_find_instance(const struct components *components,
                                               const struct id *instance)
{
    for (size_t i = 0; i < components->set_count; i++)
        if (id_equal(&components->sets[i].instance_id, instance))
            return &components->sets[i];
    return NULL;
}

struct component *component_set_find(const struct component_set *set, const char *logical_path,
                                     const char *name)
{
    for (size_t i = 0; i < set->count; i++) {
        struct component *component = &set->components[i];
        if (strcmp(component->logical_path, logical_path ? logical_path : "") == 0 &&
            strcmp(component->name, name) == 0)
            return component;
    }
    return NULL;
}

struct component_set *components_add_set(struct components *components, const struct id *writer,
                                         const struct id *instance)
{
    if (components_find_instance(components, instance))
        return NULL;
    struct component_set set = {.writer_id = *writer, .instance_id = *instance};
    ARRAY_APPEND(components->sets, components->set_count, set);
    return &components->sets[components->set_count - 1];
}

struct component *component_set_add(struct component_set *set, enum vss_component_type type,
                                    const char *logical_path, const char *name, struct error *error)
{
    if (component_set_find(set, logical_path, name)) {
        (void)failure_set(error, VSS_E_OBJECT_ALREADY_EXISTS, "component %s is selected already",
                          name);
        return NULL;
    }
    struct component component = {
        .type = type,
        .logical_path = memory_copy_string(logical_path ? logical_path : ""),
        .name = memory_copy_string(name),
        .restore_target = VSS_RT_ORIGINAL,
    };
    ARRAY_APPEND(set->components, set->count, component);
    return &set->components[set->count - 1];
}

static vss_code set_text(const struct component_set *set, char **target, const char *text)
{
    if (set->read_only)
        return VSS_E_BAD_STATE;
    memory_set_string(target, text);
    return VSS_S_OK;
}

vss_code component_set_backup_metadata(struct component_set *set, struct component *component,
                                       const char *text)
{
    return set_text(set, &component->backup_metadata, text);
}

vss_code component_set_restore_metadata(struct component_set *set, struct component *component,
                                        const char *text)
{
    return set_text(set, &component->restore_metadata, text);
}

vss_code component_set_backup_stamp(struct component_set *set, struct component *component,
                                    const char *text)
{
    return set_text(set, &component->backup_stamp, text);
}

vss_code component_set_failure_message(struct component_set *set, struct component *component,
                                       enum vss_event event, const char *text)
{
    if ((unsigned)event >= VSS_EVENT_COUNT_)
        return E_INVALIDARG;
    return set_text(set, &component->failure_messages[event], text);
}

vss_code component_set_restore_target(struct component_set *set, struct component *component,
                                      enum vss_restore_target target)
{
    if (set->read_only)
        return VSS_E_BAD_STATE;
    component->restore_target = target;
    return VSS_S_OK;
}
