/* Element by element as in vss.md 4.4; every table of names stands beside the code that uses it for
 * both directions. */
#include "documents/writer-metadata-document.h"

#include "documents/xml.h"
#include "vss/failure.h"

static const char name_space[] = "x-schema:#VssWriterMetadataInfo";
static const char root_name[] = "WRITER_METADATA";
static const char version[] = "1.0";

/* Finding duplicates takes the square of this. */
enum { component_limit = 10000 };

static const struct xml_word usages[] = {{VSS_UT_BOOTABLESYSTEMSTATE, "BOOTABLE_SYSTEM_STATE"},
                                         {VSS_UT_SYSTEMSERVICE, "SYSTEM_SERVICE"},
                                         {VSS_UT_USERDATA, "USER_DATA"},
                                         {VSS_UT_OTHER, "OTHER"},
                                         {0, NULL}};
static const struct xml_word sources[] = {{VSS_ST_TRANSACTEDDB, "TRANSACTION_DB"},
                                          {VSS_ST_NONTRANSACTEDDB, "NONTRANSACTIONAL_DB"},
                                          {VSS_ST_OTHER, "OTHER"},
                                          {0, NULL}};
static const struct xml_word methods[] = {
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
static const struct xml_word writer_restores[] = {{VSS_WRE_UNDEFINED, "undefined"},
                                                  {VSS_WRE_NEVER, "never"},
                                                  {VSS_WRE_IF_REPLACE_FAILS, "ifReplaceFails"},
                                                  {VSS_WRE_ALWAYS, "always"},
                                                  {0, NULL}};

/* ---- What is known of each element; the rest is kept ---------------------------------------- */

static const struct xml_known root_known = {NULL, XML_NAMES("version"), XML_NAMES("EXCLUDE_FILES")};
static const struct xml_known newer_root_known = {NULL, NULL, XML_NAMES("EXCLUDE_FILES")};
static const struct xml_known root_parts[] = {
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
static const struct xml_known database_known = {
    NULL, component_attributes, XML_NAMES("DATABASE_FILES", "DATABASE_LOGFILES", "DEPENDENCY")};
static const struct xml_known file_group_known = {NULL, component_attributes,
                                                  XML_NAMES("FILE_LIST", "DEPENDENCY")};
static const struct xml_known file_known = {
    NULL, XML_NAMES("path", "filespec", "recursive", "alternatePath", "filespecBackupType"), NULL};
static const struct xml_known dependency_known = {
    NULL, XML_NAMES("writerId", "logicalPath", "componentName"), NULL};

/* ---- Writing ------------------------------------------------------------------------------- */

enum { backup_type_default = 3855 };

static void write_file(xmlNodePtr parent, const char *name, const struct metadata_file *file,
                       struct error *error)
{
    xmlNodePtr node = xml_add(parent, name);
    xml_set_text(node, "path", file->path, error);
    xml_set_text(node, "filespec", file->filespec, error);
    if (file->recursive)
        xml_set_yes(node, "recursive", true);
    xml_set_text(node, "alternatePath", file->alternate_path, error);
    xml_set_number(node, "filespecBackupType", XML_DECIMAL, file->backup_type);
    xml_set_extra(node, file->extra, error);
}

static void write_component(xmlNodePtr parent, const struct metadata_component *component,
                            struct error *error)
{
    bool database = component->type == VSS_CT_DATABASE;
    xmlNodePtr node = xml_add(parent, database ? "DATABASE" : "FILE_GROUP");
    xml_set_text(node, "logicalPath", component->logical_path, error);
    xml_set_text(node, "componentName", component->name, error);
    xml_set_text(node, "caption", component->caption, error);
    xml_set_yes(node, "selectable", component->selectable);
    xml_set_yes(node, "selectableForRestore", component->selectable_for_restore);
    xml_set_yes(node, "restoreMetadata", component->restore_metadata);
    xml_set_yes(node, "notifyOnBackupComplete", component->notify_on_backup_complete);
    xml_set_number(node, "componentFlags", XML_DECIMAL, component->flags);
    for (size_t i = 0; i < component->file_count; i++) {
        const struct metadata_file *file = &component->files[i];
        const char *name = !database   ? "FILE_LIST"
                           : file->log ? "DATABASE_LOGFILES"
                                       : "DATABASE_FILES";
        write_file(node, name, file, error);
    }
    for (size_t i = 0; i < component->dependency_count; i++) {
        const struct metadata_dependency *dependency = &component->dependencies[i];
        xmlNodePtr child = xml_add(node, "DEPENDENCY");
        xml_set_text(child, "writerId", dependency->writer.text, error);
        xml_set_text(child, "logicalPath", dependency->logical_path, error);
        xml_set_text(child, "componentName", dependency->component_name, error);
        xml_set_extra(child, dependency->extra, error);
    }
    xml_set_extra(node, component->extra, error);
}

static void write_head(xmlNodePtr root, const struct metadata *metadata, struct error *error)
{
    xmlNodePtr node = xml_add(root, "IDENTIFICATION");
    xml_set_text(node, "writerId", metadata->writer_id.text, error);
    xml_set_text(node, "instanceId", metadata->instance_id.text, error);
    xml_set_text(node, "friendlyName", metadata->name, error);
    xml_set_word(node, "usage", metadata->usage, usages);
    xml_set_word(node, "dataSource", metadata->source, sources);
    node = xml_add(root, "RESTORE_METHOD");
    xml_set_word(node, "method", metadata->restore_method, methods);
    xml_set_word(node, "writerRestore", metadata->writer_restore, writer_restores);
    xml_set_text(node, "service", metadata->service, error);
    xml_set_text(node, "userProcedure", metadata->user_procedure, error);
    xml_set_yes(node, "rebootRequired", metadata->reboot_required);
    node = xml_add(root, "BACKUP_SCHEMA");
    xml_set_number(node, "value", XML_HEXADECIMAL, metadata->backup_schema);
}

int metadata_document_write(const struct metadata *metadata, char **ret_xml, struct error *error)
{
    struct error failure = ERROR_INIT;
    CLEANUP(xml_documentp) xmlDocPtr document = xml_new(root_name, name_space);
    xmlNodePtr root = xmlDocGetRootElement(document);
    xml_set_text(root, "version", version, &failure);
    write_head(root, metadata, &failure);
    for (size_t i = 0; i < metadata->exclude_count; i++)
        write_file(root, "EXCLUDE_FILES", &metadata->excludes[i], &failure);
    xmlNodePtr locations = xml_add(root, "BACKUP_LOCATIONS");
    for (size_t i = 0; i < metadata->component_count; i++)
        write_component(locations, &metadata->components[i], &failure);
    xml_set_extra(root, metadata->extra, &failure);
    if (error_is_set(&failure)) {
        (void)error_prefix(&failure, "metadata of writer %s: ", metadata->name);
        error_move(error, &failure);
        return -1;
    }
    *ret_xml = xml_print(document);
    return 0;
}

/* ---- Reading ------------------------------------------------------------------------------- */

static void read_file(const xmlNode *node, struct metadata_file *file, struct error *error)
{
    file->alternate_path = xml_text(node, "alternatePath");
    file->log = xml_is(node, "DATABASE_LOGFILES");
    file->backup_type =
        (uint32_t)xml_number(node, "filespecBackupType", backup_type_default, UINT32_MAX, error);
    file->extra = xml_extra(node, &file_known, NULL);
}

/* The two texts that every list of files begins with. */
struct place {
    char *path, *filespec;
    bool recursive;
};

static struct place read_place(const xmlNode *node, struct error *error)
{
    return (struct place){.path = xml_required(node, "path", error),
                          .filespec = xml_required(node, "filespec", error),
                          .recursive = xml_yes(node, "recursive", false, error)};
}

static void clear_place(struct place *place)
{
    free(place->path);
    free(place->filespec);
}

static void read_dependency(const xmlNode *node, struct metadata_component *component,
                            struct error *error)
{
    struct id writer = xml_id(node, "writerId", error);
    CLEANUP_FREE char *path = xml_text(node, "logicalPath");
    CLEANUP_FREE char *name = xml_required(node, "componentName", error);
    metadata_add_dependency(component, &writer, path, name)->extra =
        xml_extra(node, &dependency_known, NULL);
}

static void read_component_children(const xmlNode *parent, struct metadata_component *component,
                                    struct error *error)
{
    const struct xml_known *known =
        component->type == VSS_CT_DATABASE ? &database_known : &file_group_known;
    for (xmlNodePtr node = xml_next(parent, NULL); node; node = xml_next(parent, node)) {
        if (xml_is(node, "DEPENDENCY")) {
            read_dependency(node, component, error);
        } else if (xml_is(node, known->children[0]) || xml_is(node, "DATABASE_LOGFILES")) {
            CLEANUP(clear_place) struct place place = read_place(node, error);
            read_file(node,
                      metadata_add_file(component, place.path, place.filespec, place.recursive),
                      error);
        }
    }
    component->extra = xml_extra(parent, known, NULL);
}

static void read_component(const xmlNode *node, struct metadata *metadata, struct error *error)
{
    enum vss_component_type type = xml_is(node, "DATABASE") ? VSS_CT_DATABASE : VSS_CT_FILEGROUP;
    CLEANUP_FREE char *path = xml_text(node, "logicalPath");
    CLEANUP_FREE char *name = xml_required(node, "componentName", error);
    CLEANUP_FREE char *caption = xml_text(node, "caption");
    struct metadata_component *component =
        metadata->component_count < component_limit
            ? metadata_add_component(metadata, type, path, name, caption, NULL)
            : NULL;
    if (!component) {
        (void)xml_corrupt(error, node, "component %s is there twice, or there are too many", name);
        return;
    }
    component->selectable = xml_yes(node, "selectable", false, error);
    component->selectable_for_restore = xml_yes(node, "selectableForRestore", false, error);
    component->restore_metadata = xml_yes(node, "restoreMetadata", false, error);
    component->notify_on_backup_complete = xml_yes(node, "notifyOnBackupComplete", false, error);
    component->flags = (uint32_t)xml_number(node, "componentFlags", 0, UINT32_MAX, error);
    read_component_children(node, component, error);
}

static void read_identification(const xmlNode *node, struct metadata *metadata, struct error *error)
{
    metadata->writer_id = xml_id(node, "writerId", error);
    metadata->instance_id = xml_id(node, "instanceId", error);
    free(metadata->name);
    metadata->name = xml_required(node, "friendlyName", error);
    metadata->usage = (enum vss_usage)xml_word(node, "usage", VSS_UT_OTHER, usages, error);
    metadata->source = (enum vss_source)xml_word(node, "dataSource", VSS_ST_OTHER, sources, error);
}

static void read_restore_method(const xmlNode *node, struct metadata *metadata, struct error *error)
{
    metadata->restore_method =
        (enum vss_restore_method)xml_word(node, "method", VSS_RME_UNDEFINED, methods, error);
    metadata->writer_restore = (enum vss_writer_restore)xml_word(
        node, "writerRestore", VSS_WRE_UNDEFINED, writer_restores, error);
    metadata->service = xml_text(node, "service");
    metadata->user_procedure = xml_text(node, "userProcedure");
    metadata->reboot_required = xml_yes(node, "rebootRequired", false, error);
}

static void read_parts(const xmlNode *root, struct metadata *metadata, struct error *error)
{
    const xmlNode *node = xml_single(root, "IDENTIFICATION", error);
    if (node)
        read_identification(node, metadata, error);
    else
        (void)xml_corrupt(error, root, "IDENTIFICATION is missing");
    if ((node = xml_single(root, "RESTORE_METHOD", error)) != NULL)
        read_restore_method(node, metadata, error);
    if ((node = xml_single(root, "BACKUP_SCHEMA", error)) != NULL)
        metadata->backup_schema = (uint32_t)xml_number(node, "value", 0, UINT32_MAX, error);
    for (node = xml_next(root, NULL); node; node = xml_next(root, node)) {
        if (!xml_is(node, "EXCLUDE_FILES"))
            continue;
        CLEANUP(clear_place) struct place place = read_place(node, error);
        read_file(node, metadata_add_exclude(metadata, place.path, place.filespec, place.recursive),
                  error);
    }
    const xmlNode *locations = xml_single(root, "BACKUP_LOCATIONS", error);
    for (node = locations ? xml_next(locations, NULL) : NULL; node && !error_is_set(error);
         node = xml_next(locations, node))
        if (xml_is(node, "DATABASE") || xml_is(node, "FILE_GROUP"))
            read_component(node, metadata, error);
}

int metadata_document_read(const char *xml, size_t size, struct metadata **ret_metadata,
                           struct error *error)
{
    static const char what[] = "writer metadata document";
    struct error failure = ERROR_INIT;
    CLEANUP(xml_documentp)
    xmlDocPtr document = xml_parse(xml, size, root_name, name_space, what, error);
    if (!document)
        return -1;
    const xmlNode *root = xmlDocGetRootElement(document);
    CLEANUP(metadata_freep) struct metadata *metadata = metadata_new();
    int minor = xml_check_version(root, what, &failure);
    if (!error_is_set(&failure))
        read_parts(root, metadata, &failure);
    metadata->extra = xml_extra(root, minor == 0 ? &root_known : &newer_root_known, root_parts);
    if (error_is_set(&failure)) {
        error_move(error, &failure);
        return -1;
    }
    *ret_metadata = TAKE_PTR(metadata);
    return 0;
}
