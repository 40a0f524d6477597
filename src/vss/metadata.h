/* Writer metadata: what a writer says about itself in Identify (vss.md 4.1).
 *
 * A plain tree owned by its creator; documents/ turns it into the Writer Metadata Document and
 * back. Built with the functions below, read through the fields. The coordinator takes the tree
 * over when Identify returns: what the writer does later cannot change it.
 */
#ifndef VSS_METADATA_H
#define VSS_METADATA_H

#include "base/error.h"
#include "base/id.h"
#include "base/memory.h"
#include "vss/codes.h"

struct metadata_file {
    char *path;           /* full directory */
    char *filespec;       /* wildcards ? and * here only */
    char *alternate_path; /* where to read it at backup; may be NULL */
    bool recursive;
    bool log;             /* a log file of a database */
    uint32_t backup_type; /* VSS_FILE_SPEC_BACKUP_TYPE mask, default 3855 */
    char *extra;          /* unknown attributes and elements of a newer version, kept as XML */
};

struct metadata_dependency {
    struct id writer;
    char *logical_path, *component_name;
    char *extra;
};

struct metadata_component {
    enum vss_component_type type;
    char *logical_path; /* "" = none */
    char *name;         /* unique with logical_path within the writer */
    char *caption;
    bool selectable, selectable_for_restore, restore_metadata, notify_on_backup_complete;
    uint32_t flags; /* VSS_CF_* */
    struct metadata_file *files;
    size_t file_count;
    struct metadata_dependency *dependencies;
    size_t dependency_count;
    char *extra;
};

struct metadata {
    struct id writer_id;   /* class id: fixed */
    struct id instance_id; /* new at each start of the writer */
    char *name;
    enum vss_usage usage;
    enum vss_source source;
    enum vss_restore_method restore_method;
    enum vss_writer_restore writer_restore;
    char *service, *user_procedure; /* may be NULL */
    bool reboot_required;
    uint32_t backup_schema;
    struct metadata_file *excludes;
    size_t exclude_count;
    struct metadata_component *components;
    size_t component_count;
    char *extra;
};

struct metadata *metadata_new(void);
void metadata_free(struct metadata *metadata); /* NULL allowed */
DEFINE_CLEANUP(metadata)
struct metadata *metadata_copy(const struct metadata *metadata);

/* Add and return; the result is valid until the next add to the same array. Strings are copied.
 * metadata_add_component(): NULL and ERROR_EXISTS (number VSS_E_OBJECT_ALREADY_EXISTS) when
 * logical path and name are taken. */
struct metadata_component *metadata_add_component(struct metadata *metadata,
                                                  enum vss_component_type type,
                                                  const char *logical_path, const char *name,
                                                  const char *caption, struct error *error);
struct metadata_file *metadata_add_file(struct metadata_component *component, const char *path,
                                        const char *filespec, bool recursive);
struct metadata_file *metadata_add_exclude(struct metadata *metadata, const char *path,
                                           const char *filespec, bool recursive);
struct metadata_dependency *metadata_add_dependency(struct metadata_component *component,
                                                    const struct id *writer,
                                                    const char *logical_path, const char *name);
/* NULL when there is none. */
struct metadata_component *metadata_find_component(const struct metadata *metadata,
                                                   const char *logical_path, const char *name);

#endif
