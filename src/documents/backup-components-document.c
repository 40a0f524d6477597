/* Element by element as in vss.md 4.5. */
#include "documents/backup-components-document.h"

#include "documents/markup.h"
#include "vss/failure.h"

#include <ctype.h>
#include <string.h>

static const char name_space[] = "x-schema:#VssComponentMetadata";
static const char root_name[] = "BACKUP_COMPONENTS";

/* Finding duplicates takes the square of this. */
enum { component_limit = 10000 };

static const struct markup_word backup_types[] = {{VSS_BT_UNDEFINED, "undefined"},
                                                  {VSS_BT_FULL, "full"},
                                                  {VSS_BT_INCREMENTAL, "incremental"},
                                                  {VSS_BT_DIFFERENTIAL, "differential"},
                                                  {VSS_BT_LOG, "log"},
                                                  {VSS_BT_COPY, "copy"},
                                                  {VSS_BT_OTHER, "other"},
                                                  {0, NULL}};
static const struct markup_word component_types[] = {
    {VSS_CT_DATABASE, "database"}, {VSS_CT_FILEGROUP, "filegroup"}, {0, NULL}};
static const struct markup_word restore_targets[] = {{VSS_RT_UNDEFINED, "undefined"},
                                                     {VSS_RT_ORIGINAL, "original"},
                                                     {VSS_RT_ALTERNATE, "alternate"},
                                                     {VSS_RT_DIRECTED, "directed"},
                                                     {VSS_RT_ORIGINAL_LOCATION, "originalLocation"},
                                                     {0, NULL}};
static const struct markup_word restore_statuses[] = {{VSS_RS_UNDEFINED, "undefined"},
                                                      {VSS_RS_NONE, "none"},
                                                      {VSS_RS_ALL, "all"},
                                                      {VSS_RS_FAILED, "failed"},
                                                      {0, NULL}};

/* ---- What is known of each element; the rest is kept ---------------------------------------- */

static const char *const root_attributes[] = {
    "version", "backupType", "selectComponents", "bootableSystemState", "partialFileSupport",
    "context", NULL};
static const struct markup_known root_known = {NULL, root_attributes,
                                               XML_NAMES("WRITER_COMPONENTS")};
static const struct markup_known newer_root_known = {NULL, root_attributes + 1,
                                                     XML_NAMES("WRITER_COMPONENTS")};
static const struct markup_known root_parts[] = {
    {"SNAPSHOT_SET_DESCRIPTION", XML_NAMES("snapshotSetId"), XML_NAMES("SNAPSHOT")},
    {NULL, NULL, NULL}};
static const struct markup_known snapshot_known = {
    NULL, XML_NAMES("snapshotId", "original", "device", "providerId", "creationTime", "attributes"),
    NULL};
static const struct markup_known set_known = {
    NULL, XML_NAMES("writerId", "instanceId", "backupSchema"), XML_NAMES("COMPONENT")};
static const struct markup_known component_known = {
    NULL,
    XML_NAMES("type", "logicalPath", "componentName", "backupSucceeded", "backupStamp",
              "previousBackupStamp", "restoreTarget", "selectedForRestore", "additionalRestores",
              "fileRestoreStatus"),
    XML_NAMES("NEW_TARGET", "FAILURE_MESSAGE")};
static const struct markup_known component_parts[] = {{"BACKUP_METADATA", NULL, NULL},
                                                      {"RESTORE_METADATA", NULL, NULL},
                                                      {"BACKUP_OPTIONS", NULL, NULL},
                                                      {"RESTORE_OPTIONS", NULL, NULL},
                                                      {NULL, NULL, NULL}};
static const struct markup_known target_known = {
    NULL, XML_NAMES("path", "filespec", "recursive", "newPath"), NULL};

/* "postSnapshot" for VSS_EVENT_POST_SNAPSHOT. */
static void phase_name(enum vss_event event, char name[32])
{
    (void)snprintf(name, 32, "%s", vss_event_name(event));
    name[0] = (char)tolower((unsigned char)name[0]);
}

/* ---- Writing ------------------------------------------------------------------------------- */

static void write_failure_messages(xmlNodePtr node, const struct component *component,
                                   struct error *error)
{
    for (unsigned event = 0; event < VSS_EVENT_COUNT_; event++) {
        if (!component->failure_messages[event])
            continue;
        char name[32];
        phase_name((enum vss_event)event, name);
        markup_add_content(node, "FAILURE_MESSAGE", component->failure_messages[event], error);
        if (!error_is_set(error))
            markup_set_text(node->last, "phase", name, error);
    }
}

static void write_component(xmlNodePtr parent, const struct component *component,
                            struct error *error)
{
    xmlNodePtr node = markup_add(parent, "COMPONENT");
    markup_set_word(node, "type", component->type, component_types);
    markup_set_text(node, "logicalPath", component->logical_path, error);
    markup_set_text(node, "componentName", component->name, error);
    markup_set_yes(node, "backupSucceeded", component->backup_succeeded);
    markup_set_text(node, "backupStamp", component->backup_stamp, error);
    markup_set_text(node, "previousBackupStamp", component->previous_stamp, error);
    markup_set_word(node, "restoreTarget", component->restore_target, restore_targets);
    markup_set_yes(node, "selectedForRestore", component->selected_for_restore);
    markup_set_yes(node, "additionalRestores", component->additional_restores);
    markup_set_word(node, "fileRestoreStatus", component->file_restore_status, restore_statuses);
    markup_add_content(node, "BACKUP_METADATA", component->backup_metadata, error);
    markup_add_content(node, "RESTORE_METADATA", component->restore_metadata, error);
    markup_add_content(node, "BACKUP_OPTIONS", component->backup_options, error);
    markup_add_content(node, "RESTORE_OPTIONS", component->restore_options, error);
    for (size_t i = 0; i < component->new_target_count; i++) {
        xmlNodePtr target = markup_add(node, "NEW_TARGET");
        markup_set_text(target, "path", component->new_targets[i].path, error);
        markup_set_text(target, "filespec", component->new_targets[i].filespec, error);
        markup_set_yes(target, "recursive", component->new_targets[i].recursive);
        markup_set_text(target, "newPath", component->new_targets[i].new_path, error);
        markup_set_extra(target, component->new_targets[i].extra, error);
    }
    write_failure_messages(node, component, error);
    markup_set_extra(node, component->extra, error);
}

static void write_set(xmlNodePtr root, const struct component_set *set, struct error *error)
{
    xmlNodePtr node = markup_add(root, "WRITER_COMPONENTS");
    markup_set_text(node, "writerId", set->writer_id.text, error);
    markup_set_text(node, "instanceId", set->instance_id.text, error);
    markup_set_number(node, "backupSchema", XML_HEXADECIMAL, set->backup_schema);
    for (size_t i = 0; i < set->count; i++)
        write_component(node, &set->components[i], error);
    markup_set_extra(node, set->extra, error);
}

static void write_snapshots(xmlNodePtr root, const struct components *components,
                            struct error *error)
{
    if (id_is_empty(&components->snapshot_set))
        return;
    xmlNodePtr node = markup_add(root, "SNAPSHOT_SET_DESCRIPTION");
    markup_set_text(node, "snapshotSetId", components->snapshot_set.text, error);
    for (size_t i = 0; i < components->snapshot_count; i++) {
        const struct component_snapshot *snapshot = &components->snapshots[i];
        xmlNodePtr child = markup_add(node, "SNAPSHOT");
        markup_set_text(child, "snapshotId", snapshot->id.text, error);
        markup_set_text(child, "original", snapshot->original, error);
        markup_set_text(child, "device", snapshot->device, error);
        markup_set_text(child, "providerId", snapshot->provider.text, error);
        markup_set_number(child, "creationTime", XML_DECIMAL, (uint64_t)snapshot->created);
        markup_set_number(child, "attributes", XML_HEXADECIMAL, snapshot->attributes);
        markup_set_extra(child, snapshot->extra, error);
    }
}

int components_document_write(const struct components *components, char **ret_xml,
                              struct error *error)
{
    struct error failure = ERROR_INIT;
    CLEANUP(markup_documentp) xmlDocPtr document = markup_new(root_name, name_space);
    xmlNodePtr root = xmlDocGetRootElement(document);
    markup_set_text(root, "version", "1.0", &failure);
    markup_set_word(root, "backupType", components->backup_type, backup_types);
    markup_set_yes(root, "selectComponents", components->select_components);
    markup_set_yes(root, "bootableSystemState", components->bootable_system_state);
    markup_set_yes(root, "partialFileSupport", components->partial_file_support);
    markup_set_number(root, "context", XML_HEXADECIMAL, components->context);
    for (size_t i = 0; i < components->set_count; i++)
        write_set(root, &components->sets[i], &failure);
    write_snapshots(root, components, &failure);
    markup_set_extra(root, components->extra, &failure);
    if (error_is_set(&failure)) {
        (void)error_prefix(&failure, "backup components: ");
        error_move(error, &failure);
        return -1;
    }
    *ret_xml = markup_print(document);
    return 0;
}

/* ---- Reading ------------------------------------------------------------------------------- */

static void read_failure_message(const xmlNode *node, struct component *component,
                                 struct error *error)
{
    CLEANUP_FREE char *phase = markup_required(node, "phase", error);
    for (unsigned event = 0; event < VSS_EVENT_COUNT_; event++) {
        char name[32];
        phase_name((enum vss_event)event, name);
        if (strcmp(name, phase) != 0)
            continue;
        free(component->failure_messages[event]);
        component->failure_messages[event] = markup_content(node);
        return;
    }
    (void)markup_corrupt(error, node, "attribute phase is no event");
}

static void read_target(const xmlNode *node, struct component *component, struct error *error)
{
    __typeof__(*component->new_targets) target = {
        .path = markup_required(node, "path", error),
        .filespec = markup_required(node, "filespec", error),
        .new_path = markup_required(node, "newPath", error),
        .recursive = markup_yes(node, "recursive", false, error),
        .extra = markup_extra(node, &target_known, NULL),
    };
    ARRAY_APPEND(component->new_targets, component->new_target_count, target);
}

static void read_component_children(const xmlNode *parent, struct component *component,
                                    struct error *error)
{
    char **const texts[] = {&component->backup_metadata, &component->restore_metadata,
                            &component->backup_options, &component->restore_options};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const xmlNode *node = markup_single(parent, component_parts[i].name, error);
        *texts[i] = node ? markup_content(node) : NULL;
    }
    for (xmlNodePtr node = markup_next(parent, NULL); node; node = markup_next(parent, node)) {
        if (markup_is(node, "FAILURE_MESSAGE"))
            read_failure_message(node, component, error);
        else if (markup_is(node, "NEW_TARGET"))
            read_target(node, component, error);
    }
    component->extra = markup_extra(parent, &component_known, component_parts);
}

static void read_component(const xmlNode *node, struct component_set *set, struct error *error)
{
    CLEANUP_FREE char *path = markup_text(node, "logicalPath");
    CLEANUP_FREE char *name = markup_required(node, "componentName", error);
    int type = markup_word(node, "type", 0, component_types, error);
    struct component *component =
        set->count < component_limit
            ? component_set_add(set, (enum vss_component_type)type, path, name, NULL)
            : NULL;
    if (!component || type == 0) {
        (void)markup_corrupt(error, node,
                             "component %s is there twice, has no type, or is too many", name);
        return;
    }
    component->backup_succeeded = markup_yes(node, "backupSucceeded", false, error);
    component->backup_stamp = markup_text(node, "backupStamp");
    component->previous_stamp = markup_text(node, "previousBackupStamp");
    component->restore_target = (enum vss_restore_target)markup_word(
        node, "restoreTarget", VSS_RT_ORIGINAL, restore_targets, error);
    component->selected_for_restore = markup_yes(node, "selectedForRestore", false, error);
    component->additional_restores = markup_yes(node, "additionalRestores", false, error);
    component->file_restore_status = (enum vss_file_restore_status)markup_word(
        node, "fileRestoreStatus", VSS_RS_UNDEFINED, restore_statuses, error);
    read_component_children(node, component, error);
}

static void read_set(const xmlNode *parent, struct components *components, struct error *error)
{
    struct id writer = markup_id(parent, "writerId", error);
    struct id instance = markup_id(parent, "instanceId", error);
    struct component_set *set = components->set_count < component_limit
                                    ? components_add_set(components, &writer, &instance)
                                    : NULL;
    if (!set) {
        (void)markup_corrupt(error, parent,
                             "the writer's instance is there twice, or too many are");
        return;
    }
    set->backup_schema = (uint32_t)markup_number(parent, "backupSchema", 0, UINT32_MAX, error);
    for (xmlNodePtr node = markup_next(parent, NULL); node && !error_is_set(error);
         node = markup_next(parent, node))
        if (markup_is(node, "COMPONENT"))
            read_component(node, set, error);
    set->extra = markup_extra(parent, &set_known, NULL);
}

static void read_snapshot(const xmlNode *node, struct components *components, struct error *error)
{
    struct component_snapshot snapshot = {
        .id = markup_id(node, "snapshotId", error),
        .original = markup_required(node, "original", error),
        .device = markup_text(node, "device"),
        .provider = markup_id(node, "providerId", error),
        .created = (int64_t)markup_number(node, "creationTime", 0, INT64_MAX, error),
        .attributes = (uint32_t)markup_number(node, "attributes", 0, UINT32_MAX, error),
        .extra = markup_extra(node, &snapshot_known, NULL),
    };
    ARRAY_APPEND(components->snapshots, components->snapshot_count, snapshot);
}

static void read_parts(const xmlNode *root, struct components *components, struct error *error)
{
    components->backup_type = (enum vss_backup_type)markup_word(
        root, "backupType", VSS_BT_UNDEFINED, backup_types, error);
    components->select_components = markup_yes(root, "selectComponents", true, error);
    components->bootable_system_state = markup_yes(root, "bootableSystemState", false, error);
    components->partial_file_support = markup_yes(root, "partialFileSupport", false, error);
    components->context = (uint32_t)markup_number(root, "context", 0, UINT32_MAX, error);
    for (xmlNodePtr node = markup_next(root, NULL); node && !error_is_set(error);
         node = markup_next(root, node))
        if (markup_is(node, "WRITER_COMPONENTS"))
            read_set(node, components, error);
    const xmlNode *description = markup_single(root, "SNAPSHOT_SET_DESCRIPTION", error);
    if (!description)
        return;
    components->snapshot_set = markup_id(description, "snapshotSetId", error);
    for (xmlNodePtr node = markup_next(description, NULL); node;
         node = markup_next(description, node))
        if (markup_is(node, "SNAPSHOT"))
            read_snapshot(node, components, error);
}

int components_document_read(const char *xml, size_t size, struct components **ret_components,
                             struct error *error)
{
    static const char what[] = "backup components document";
    struct error failure = ERROR_INIT;
    CLEANUP(markup_documentp)
    xmlDocPtr document = markup_parse(xml, size, root_name, name_space, what, error);
    if (!document)
        return -1;
    const xmlNode *root = xmlDocGetRootElement(document);
    CLEANUP(components_freep) struct components *components = components_new();
    int minor = markup_check_version(root, what, &failure);
    if (!error_is_set(&failure))
        read_parts(root, components, &failure);
    components->extra =
        markup_extra(root, minor == 0 ? &root_known : &newer_root_known, root_parts);
    if (error_is_set(&failure)) {
        error_move(error, &failure);
        return -1;
    }
    *ret_components = TAKE_PTR(components);
    return 0;
}
