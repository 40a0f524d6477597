/* Element by element as in vss.md 4.4; every table of names stands beside the code that uses it for
 * both directions. */
#include "documents/writer-metadata-document.h"

#include "documents/markup.h"
#include "vss/failure.h"

static const char name_space[] = "x-schema:#VssWriterMetadataInfo";
static const char root_name[] = "WRITER_METADATA";
static const char version[] = "1.0";

/* Finding duplicates takes the square of this. */
enum { component_limit = 10000 };

static const struct markup_word usages[] = {{VSS_UT_BOOTABLESYSTEMSTATE, "BOOTABLE_SYSTEM_STATE"},
                                            {VSS_UT_SYSTEMSERVICE, "SYSTEM_SERVICE"},
                                            {VSS_UT_USERDATA, "USER_DATA"},
                                            {VSS_UT_OTHER, "OTHER"},
                                            {0, NULL}};
static const struct markup_word sources[] = {{VSS_ST_TRANSACTEDDB, "TRANSACTION_DB"},
                                             {VSS_ST_NONTRANSACTEDDB, "NONTRANSACTIONAL_DB"},
                                             {VSS_ST_OTHER, "OTHER"},
                                             {0, NULL}};
static const struct markup_word methods[] = {
    {VSS_RME_UNDEFINED, "UNDEFINED"},
    {VSS_RME_RESTORE_IF_NOT_THERE, "RESTORE_IF_NONE_THERE"},
    {VSS_RME_RESTORE_IF_CAN_REPLACE, "RESTORE_IF_CAN_BE_REPLACED"},
    {VSS_RME_STOP_RESTORE_START, "STOP_RESTORE_START"},
    {VSS_RME_RESTORE_TO_ALTERNATE_LOCATION, "RESTORE_TO_ALTERNATE_LOCATION"},
    {VSS_RME_RESTORE_AT_REBOOT, "REPLACE_AT_REBOOT"},
    {VSS_RME_RESTORE_AT_REBOOT_IF_CANNOT_REPLACE, "REPLACE_AT_REBOOT_IF_CANNOT_REPLACE"},
    {VSS_RME_CUSTOM, "CUSTOM"},
    {VSS_RME_RESTORE_STOP_START, "RESTORE_STOP_START"},
    {0, NULL}};
static const struct markup_word writer_restores[] = {{VSS_WRE_UNDEFINED, "undefined"},
                                                     {VSS_WRE_NEVER, "never"},
                                                     {VSS_WRE_IF_REPLACE_FAILS, "ifReplaceFails"},
                                                     {VSS_WRE_ALWAYS, "always"},
                                                     {0, NULL}};

/* ---- What is known of each element; the rest is kept ---------------------------------------- */

static const struct markup_known root_known = {NULL, XML_NAMES("version"),
                                               XML_NAMES("EXCLUDE_FILES")};
static const struct markup_known newer_root_known = {NULL, NULL, XML_NAMES("EXCLUDE_FILES")};
static const struct markup_known root_parts[] = {
    {"IDENTIFICATION", XML_NAMES("writerId", "instanceId", "friendlyName", "usage", "dataSource"),
     NULL},
    {"RESTORE_METHOD",
     XML_NAMES("method", "writerRestore", "service", "userProcedure", "rebootRequired"), NULL},
    {"BACKUP_SCHEMA", XML_NAMES("value"), NULL},
    {"BACKUP_LOCATIONS", NULL, XML_NAMES("DATABASE", "FILE_GROUP")},
    {NULL, NULL, NULL}};
static const char *const component_attributes[] = {"logicalPath",
                                                   "componentName",
                                                   "caption",
                                                   "selectable",
                                                   "selectableForRestore",
                                                   "restoreMetadata",
                                                   "notifyOnBackupComplete",
                                                   "componentFlags",
                                                   NULL};
static const struct markup_known database_known = {
    NULL, component_attributes, XML_NAMES("DATABASE_FILES", "DATABASE_LOGFILES", "DEPENDENCY")};
static const struct markup_known file_group_known = {NULL, component_attributes,
                                                     XML_NAMES("FILE_LIST", "DEPENDENCY")};
static const struct markup_known file_known = {
    NULL, XML_NAMES("path", "filespec", "recursive", "alternatePath", "filespecBackupType"), NULL};
static const struct markup_known dependency_known = {
    NULL, XML_NAMES("writerId", "logicalPath", "componentName"), NULL};

/* ---- Writing ------------------------------------------------------------------------------- */

enum { backup_type_default = 3855 };

static void write_file(xmlNodePtr parent, const char *name, const struct metadata_file *file,
                       struct error *error)
{
    xmlNodePtr node = markup_add(parent, name);
    markup_set_text(node, "path", file->path, error);
    markup_set_text(node, "filespec", file->filespec, error);
    if (file->recursive)
        markup_set_yes(node, "recursive", true);
    markup_set_text(node, "alternatePath", file->alternate_path, error);
    markup_set_number(node, "filespecBackupType", XML_DECIMAL, file->backup_type);
    markup_set_extra(node, file->extra, error);
}

static void write_component(xmlNodePtr parent, const struct metadata_component *component,
                            struct error *error)
{
    bool database = component->type == VSS_CT_DATABASE;
    xmlNodePtr node = markup_add(parent, database ? "DATABASE" : "FILE_GROUP");
    markup_set_text(node, "logicalPath", component->logical_path, error);
    markup_set_text(node, "componentName", component->name, error);
    markup_set_text(node, "caption", component->caption, error);
    markup_set_yes(node, "selectable", component->selectable);
    markup_set_yes(node, "selectableForRestore", component->selectable_for_restore);
    markup_set_yes(node, "restoreMetadata", component->restore_metadata);
    markup_set_yes(node, "notifyOnBackupComplete", component->notify_on_backup_complete);
    markup_set_number(node, "componentFlags", XML_DECIMAL, component->flags);
    for (size_t i = 0; i < component->file_count; i++) {
        const struct metadata_file *file = &component->files[i];
        const char *name = !database   ? "FILE_LIST"
                           : file->log ? "DATABASE_LOGFILES"
                                       : "DATABASE_FILES";
        write_file(node, name, file, error);
    }
    for (size_t i = 0; i < component->dependency_count; i++) {
        const struct metadata_dependency *dependency = &component->dependencies[i];
        xmlNodePtr child = markup_add(node, "DEPENDENCY");
        markup_set_text(child, "writerId", dependency->writer.text, error);
        markup_set_text(child, "logicalPath", dependency->logical_path, error);
        markup_set_text(child, "componentName", dependency->component_name, error);
        markup_set_extra(child, dependency->extra, error);
    }
    markup_set_extra(node, component->extra, error);
}

static void write_head(xmlNodePtr root, const struct metadata *metadata, struct error *error)
{
    xmlNodePtr node = markup_add(root, "IDENTIFICATION");
    markup_set_text(node, "writerId", metadata->writer_id.text, error);
    markup_set_text(node, "instanceId", metadata->instance_id.text, error);
    markup_set_text(node, "friendlyName", metadata->name, error);
    markup_set_word(node, "usage", metadata->usage, usages);
    markup_set_word(node, "dataSource", metadata->source, sources);
    node = markup_add(root, "RESTORE_METHOD");
    markup_set_word(node, "method", metadata->restore_method, methods);
    markup_set_word(node, "writerRestore", metadata->writer_restore, writer_restores);
    markup_set_text(node, "service", metadata->service, error);
    markup_set_text(node, "userProcedure", metadata->user_procedure, error);
    markup_set_yes(node, "rebootRequired", metadata->reboot_required);
    node = markup_add(root, "BACKUP_SCHEMA");
    markup_set_number(node, "value", XML_HEXADECIMAL, metadata->backup_schema);
}

int metadata_document_write(const struct metadata *metadata, char **ret_xml, struct error *error)
{
    struct error failure = ERROR_INIT;
    CLEANUP(markup_documentp) xmlDocPtr document = markup_new(root_name, name_space);
    xmlNodePtr root = xmlDocGetRootElement(document);
    markup_set_text(root, "version", version, &failure);
    write_head(root, metadata, &failure);
    for (size_t i = 0; i < metadata->exclude_count; i++)
        write_file(root, "EXCLUDE_FILES", &metadata->excludes[i], &failure);
    xmlNodePtr locations = markup_add(root, "BACKUP_LOCATIONS");
    for (size_t i = 0; i < metadata->component_count; i++)
        write_component(locations, &metadata->components[i], &failure);
    markup_set_extra(root, metadata->extra, &failure);
    if (error_is_set(&failure)) {
        (void)error_prefix(&failure, "metadata of writer %s: ", metadata->name);
        error_move(error, &failure);
        return -1;
    }
    *ret_xml = markup_print(document);
    return 0;
}

/* ---- Reading ------------------------------------------------------------------------------- */

static void read_file(const xmlNode *node, struct metadata_file *file, struct error *error)
{
    file->alternate_path = markup_text(node, "alternatePath");
    file->log = markup_is(node, "DATABASE_LOGFILES");
    file->backup_type =
        (uint32_t)markup_number(node, "filespecBackupType", backup_type_default, UINT32_MAX, error);
    file->extra = markup_extra(node, &file_known, NULL);
}

/* The two texts that every list of files begins with. */
struct place {
    char *path, *filespec;
    bool recursive;
};

static struct place read_place(const xmlNode *node, struct error *error)
{
    return (struct place){.path = markup_required(node, "path", error),
                          .filespec = markup_required(node, "filespec", error),
                          .recursive = markup_yes(node, "recursive", false, error)};
}

static void clear_place(struct place *place)
{
    free(place->path);
    free(place->filespec);
}

static void read_dependency(const xmlNode *node, struct metadata_component *component,
                            struct error *error)
{
    struct id writer = markup_id(node, "writerId", error);
    CLEANUP_FREE char *path = markup_text(node, "logicalPath");
    CLEANUP_FREE char *name = markup_required(node, "componentName", error);
    metadata_add_dependency(component, &writer, path, name)->extra =
        markup_extra(node, &dependency_known, NULL);
}

static void read_component_children(const xmlNode *parent, struct metadata_component *component,
                                    struct error *error)
{
    const struct markup_known *known =
        component->type == VSS_CT_DATABASE ? &database_known : &file_group_known;
    for (xmlNodePtr node = markup_next(parent, NULL); node; node = markup_next(parent, node)) {
        if (markup_is(node, "DEPENDENCY")) {
            read_dependency(node, component, error);
        } else if (markup_is(node, known->children[0]) || markup_is(node, "DATABASE_LOGFILES")) {
            CLEANUP(clear_place) struct place place = read_place(node, error);
            read_file(node,
                      metadata_add_file(component, place.path, place.filespec, place.recursive),
                      error);
        }
    }
    component->extra = markup_extra(parent, known, NULL);
}

static void read_component(const xmlNode *node, struct metadata *metadata, struct error *error)
{
    enum vss_component_type type = markup_is(node, "DATABASE") ? VSS_CT_DATABASE : VSS_CT_FILEGROUP;
    CLEANUP_FREE char *path = markup_text(node, "logicalPath");
    CLEANUP_FREE char *name = markup_required(node, "componentName", error);
    CLEANUP_FREE char *caption = markup_text(node, "caption");
    struct metadata_component *component =
        metadata->component_count < component_limit
            ? metadata_add_component(metadata, type, path, name, caption, NULL)
            : NULL;
    if (!component) {
        (void)markup_corrupt(error, node, "component %s is there twice, or there are too many",
                             name);
        return;
    }
    component->selectable = markup_yes(node, "selectable", false, error);
    component->selectable_for_restore = markup_yes(node, "selectableForRestore", false, error);
    component->restore_metadata = markup_yes(node, "restoreMetadata", false, error);
    component->notify_on_backup_complete = markup_yes(node, "notifyOnBackupComplete", false, error);
    component->flags = (uint32_t)markup_number(node, "componentFlags", 0, UINT32_MAX, error);
    read_component_children(node, component, error);
}

static void read_identification(const xmlNode *node, struct metadata *metadata, struct error *error)
{
    metadata->writer_id = markup_id(node, "writerId", error);
    metadata->instance_id = markup_id(node, "instanceId", error);
    free(metadata->name);
    metadata->name = markup_required(node, "friendlyName", error);
    metadata->usage = (enum vss_usage)markup_word(node, "usage", VSS_UT_OTHER, usages, error);
    metadata->source =
        (enum vss_source)markup_word(node, "dataSource", VSS_ST_OTHER, sources, error);
}

static void read_restore_method(const xmlNode *node, struct metadata *metadata, struct error *error)
{
    metadata->restore_method =
        (enum vss_restore_method)markup_word(node, "method", VSS_RME_UNDEFINED, methods, error);
    metadata->writer_restore = (enum vss_writer_restore)markup_word(
        node, "writerRestore", VSS_WRE_UNDEFINED, writer_restores, error);
    metadata->service = markup_text(node, "service");
    metadata->user_procedure = markup_text(node, "userProcedure");
    metadata->reboot_required = markup_yes(node, "rebootRequired", false, error);
}

static void read_parts(const xmlNode *root, struct metadata *metadata, struct error *error)
{
    const xmlNode *node = markup_single(root, "IDENTIFICATION", error);
    if (node)
        read_identification(node, metadata, error);
    else
        (void)markup_corrupt(error, root, "IDENTIFICATION is missing");
    if ((node = markup_single(root, "RESTORE_METHOD", error)) != NULL)
        read_restore_method(node, metadata, error);
    if ((node = markup_single(root, "BACKUP_SCHEMA", error)) != NULL)
        metadata->backup_schema = (uint32_t)markup_number(node, "value", 0, UINT32_MAX, error);
    for (node = markup_next(root, NULL); node; node = markup_next(root, node)) {
        if (!markup_is(node, "EXCLUDE_FILES"))
            continue;
        CLEANUP(clear_place) struct place place = read_place(node, error);
        read_file(node, metadata_add_exclude(metadata, place.path, place.filespec, place.recursive),
                  error);
    }
    const xmlNode *locations = markup_single(root, "BACKUP_LOCATIONS", error);
    for (node = locations ? markup_next(locations, NULL) : NULL; node && !error_is_set(error);
         node = markup_next(locations, node))
        if (markup_is(node, "DATABASE") || markup_is(node, "FILE_GROUP"))
            read_component(node, metadata, error);
}

int metadata_document_read(const char *xml, size_t size, struct metadata **ret_metadata,
                           struct error *error)
{
    static const char what[] = "writer metadata document";
    struct error failure = ERROR_INIT;
    CLEANUP(markup_documentp)
    xmlDocPtr document = markup_parse(xml, size, root_name, name_space, what, error);
    if (!document)
        return -1;
    const xmlNode *root = xmlDocGetRootElement(document);
    CLEANUP(metadata_freep) struct metadata *metadata = metadata_new();
    int minor = markup_check_version(root, what, &failure);
    if (!error_is_set(&failure))
        read_parts(root, metadata, &failure);
    metadata->extra = markup_extra(root, minor == 0 ? &root_known : &newer_root_known, root_parts);
    if (error_is_set(&failure)) {
        error_move(error, &failure);
        return -1;
    }
    *ret_metadata = TAKE_PTR(metadata);
    return 0;
}
