/* The tree that a writer builds in Identify: plain arrays, grown by doubling. Copies are made by
 * adding one by one, so that a copy can grow, too. */
#include "vss/metadata.h"

#include "vss/failure.h"

#include <string.h>

struct metadata *metadata_new(void)
{
    struct metadata *metadata = NEW(struct metadata);
    metadata->usage = VSS_UT_OTHER;
    metadata->source = VSS_ST_OTHER;
    metadata->writer_restore = VSS_WRE_NEVER;
    metadata->name = memory_copy_string("");
    return metadata;
}

static void clear_files(struct metadata_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(files[i].path);
        free(files[i].filespec);
        free(files[i].alternate_path);
        free(files[i].extra);
    }
    free(files);
}

static void clear_component(struct metadata_component *component)
{
    clear_files(component->files, component->file_count);
    for (size_t i = 0; i < component->dependency_count; i++) {
        free(component->dependencies[i].logical_path);
        free(component->dependencies[i].component_name);
        free(component->dependencies[i].extra);
    }
    free(component->dependencies);
    free(component->logical_path);
    free(component->name);
    free(component->caption);
    free(component->extra);
}

void metadata_free(struct metadata *metadata)
{
    if (!metadata)
        return;
    for (size_t i = 0; i < metadata->component_count; i++)
        clear_component(&metadata->components[i]);
    free(metadata->components);
    clear_files(metadata->excludes, metadata->exclude_count);
    free(metadata->name);
    free(metadata->service);
    free(metadata->user_procedure);
    free(metadata->extra);
    free(metadata);
}

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

struct metadata_component *metadata_find_component(const struct metadata *metadata,
                                                   const char *logical_path, const char *name)
{
    for (size_t i = 0; i < metadata->component_count; i++) {
        struct metadata_component *component = &metadata->components[i];
        if (strcmp(component->logical_path, text_or_empty(logical_path)) == 0 &&
            strcmp(component->name, name) == 0)
            return component;
    }
    return NULL;
}

struct metadata_component *metadata_add_component(struct metadata *metadata,
                                                  enum vss_component_type type,
                                                  const char *logical_path, const char *name,
                                                  const char *caption, struct error *error)
{
    if (metadata_find_component(metadata, logical_path, name)) {
        (void)failure_set(error, VSS_E_OBJECT_ALREADY_EXISTS, "writer %s has a component %s\\%s",
                          metadata->name, text_or_empty(logical_path), name);
        return NULL;
    }
    struct metadata_component component = {
        .type = type,
        .logical_path = memory_copy_string(text_or_empty(logical_path)),
        .name = memory_copy_string(name),
        .caption = memory_copy_string(caption),
    };
    ARRAY_APPEND(metadata->components, metadata->component_count, component);
    return &metadata->components[metadata->component_count - 1];
}

enum { backup_type_default = 3855 }; /* VSS_FILE_SPEC_BACKUP_TYPE: all backups, all snapshots */

static struct metadata_file *add_file(struct metadata_file **files, size_t *count, const char *path,
                                      const char *filespec, bool recursive)
{
    struct metadata_file file = {.path = memory_copy_string(path),
                                 .filespec = memory_copy_string(filespec),
                                 .recursive = recursive,
                                 .backup_type = backup_type_default};
    ARRAY_APPEND(*files, *count, file);
    return &(*files)[*count - 1];
}

struct metadata_file *metadata_add_file(struct metadata_component *component, const char *path,
                                        const char *filespec, bool recursive)
{
    return add_file(&component->files, &component->file_count, path, filespec, recursive);
}

struct metadata_file *metadata_add_exclude(struct metadata *metadata, const char *path,
                                           const char *filespec, bool recursive)
{
    return add_file(&metadata->excludes, &metadata->exclude_count, path, filespec, recursive);
}

struct metadata_dependency *metadata_add_dependency(struct metadata_component *component,
                                                    const struct id *writer,
                                                    const char *logical_path, const char *name)
{
    struct metadata_dependency dependency = {
        .writer = *writer,
        .logical_path = memory_copy_string(text_or_empty(logical_path)),
        .component_name = memory_copy_string(name),
    };
    ARRAY_APPEND(component->dependencies, component->dependency_count, dependency);
    return &component->dependencies[component->dependency_count - 1];
}

static void copy_file(struct metadata_file *to, const struct metadata_file *from)
{
    to->alternate_path = memory_copy_string(from->alternate_path);
    to->log = from->log;
    to->backup_type = from->backup_type;
    to->extra = memory_copy_string(from->extra);
}

static void copy_component(struct metadata *metadata, const struct metadata_component *from)
{
    struct metadata_component *to = metadata_add_component(metadata, from->type, from->logical_path,
                                                           from->name, from->caption, NULL);
    if (!to)
        return; /* cannot be: the original has no two of a name */
    to->selectable = from->selectable;
    to->selectable_for_restore = from->selectable_for_restore;
    to->restore_metadata = from->restore_metadata;
    to->notify_on_backup_complete = from->notify_on_backup_complete;
    to->flags = from->flags;
    to->extra = memory_copy_string(from->extra);
    for (size_t i = 0; i < from->file_count; i++)
        copy_file(metadata_add_file(to, from->files[i].path, from->files[i].filespec,
                                    from->files[i].recursive),
                  &from->files[i]);
    for (size_t i = 0; i < from->dependency_count; i++) {
        const struct metadata_dependency *dependency = &from->dependencies[i];
        metadata_add_dependency(to, &dependency->writer, dependency->logical_path,
                                dependency->component_name)
            ->extra = memory_copy_string(dependency->extra);
    }
}

struct metadata *metadata_copy(const struct metadata *metadata)
{
    struct metadata *copy = metadata_new();
    copy->writer_id = metadata->writer_id;
    copy->instance_id = metadata->instance_id;
    memory_set_string(&copy->name, metadata->name);
    copy->usage = metadata->usage;
    copy->source = metadata->source;
    copy->restore_method = metadata->restore_method;
    copy->writer_restore = metadata->writer_restore;
    copy->service = memory_copy_string(metadata->service);
    copy->user_procedure = memory_copy_string(metadata->user_procedure);
    copy->reboot_required = metadata->reboot_required;
    copy->backup_schema = metadata->backup_schema;
    copy->extra = memory_copy_string(metadata->extra);
    for (size_t i = 0; i < metadata->exclude_count; i++) {
        const struct metadata_file *file = &metadata->excludes[i];
        copy_file(metadata_add_exclude(copy, file->path, file->filespec, file->recursive), file);
    }
    for (size_t i = 0; i < metadata->component_count; i++)
        copy_component(copy, &metadata->components[i]);
    return copy;
}
