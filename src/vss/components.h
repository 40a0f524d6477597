/* Backup components: the requester's record of one backup or restore (vss.md 4.2, 4.3).
 *
 * The content of the Backup Components Document: the state of the session and the *explicitly*
 * included components, each with what requester and writer wrote about it. No file paths.
 * documents/ turns it into XML and back. Writers see their own part in the events that vss.md 1.5
 * lists; `read_only` is set by the dispatcher around BackupComplete and makes every setter fail
 * with VSS_E_BAD_STATE.
 */
#ifndef VSS_COMPONENTS_H
#define VSS_COMPONENTS_H

#include "base/error.h"
#include "base/id.h"
#include "base/memory.h"
#include "vss/codes.h"

struct component {
    enum vss_component_type type;
    char *logical_path, *name;
    bool backup_succeeded;
    bool selected_for_restore;
    bool additional_restores;
    char *backup_stamp, *previous_stamp;
    char *backup_metadata, *restore_metadata; /* the writer's own text */
    char *backup_options, *restore_options;
    enum vss_restore_target restore_target;
    enum vss_file_restore_status file_restore_status;
    char *failure_messages[VSS_EVENT_COUNT_]; /* by event; NULL = none */
    struct {
        char *path, *filespec, *new_path;
        bool recursive;
        char *extra;
    } * new_targets;
    size_t new_target_count;
    char *extra; /* unknown attributes and elements, kept as XML */
};

/* One writer's part. */
struct component_set {
    struct id writer_id, instance_id;
    uint32_t backup_schema;
    bool read_only; /* see above */
    struct component *components;
    size_t count;
    char *extra;
};

struct component_snapshot {
    struct id id;
    char *original; /* the volume: here "VM-UUID/target" */
    char *device;   /* what to read from, may be NULL */
    struct id provider;
    int64_t created;     /* wall clock ns */
    uint32_t attributes; /* VSS_VOLSNAP_ATTR_* */
    char *extra;
};

struct components {
    enum vss_backup_type backup_type;
    bool select_components, bootable_system_state, partial_file_support;
    uint32_t context;
    struct component_set *sets;
    size_t set_count;
    struct id snapshot_set; /* empty = none was made */
    struct component_snapshot *snapshots;
    size_t snapshot_count;
    char *extra;
};

struct components *components_new(void);
void components_free(struct components *components); /* NULL allowed */
DEFINE_CLEANUP(components)
struct components *components_copy(const struct components *components);
struct component_set *components_find_set(const struct components *components,
                                          const struct id *writer);
struct component *component_set_find(const struct component_set *set, const char *logical_path,
                                     const char *name);
/* Used by the session (vss/session.h) and by documents/. NULL and VSS_E_OBJECT_ALREADY_EXISTS when
 * it is there. */
struct component_set *components_add_set(struct components *components, const struct id *writer,
                                         const struct id *instance);
struct component *component_set_add(struct component_set *set, enum vss_component_type type,
                                    const char *logical_path, const char *name,
                                    struct error *error);

/* What a writer may set during an event. VSS_S_OK, or VSS_E_BAD_STATE when the set is read-only. */
vss_code component_set_backup_metadata(struct component_set *set, struct component *component,
                                       const char *text);
vss_code component_set_restore_metadata(struct component_set *set, struct component *component,
                                        const char *text);
vss_code component_set_backup_stamp(struct component_set *set, struct component *component,
                                    const char *text);
vss_code component_set_failure_message(struct component_set *set, struct component *component,
                                       enum vss_event event, const char *text);
vss_code component_set_restore_target(struct component_set *set, struct component *component,
                                      enum vss_restore_target target);

#endif
