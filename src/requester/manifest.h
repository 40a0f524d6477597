/* The manifest: what a stored backup says about itself (docs/format/backup.md, docs/json.md).
 *
 * The repository reads names, disks' roots and documents; the rest is the requester's:
 *   vms[].conditions[].{number,text,holds,fact}
 *   clock_ns: wall clock minus monotonic clock of the host at the instant
 *   vms[].method, state, frozen_ms, paused_ms, autostart, persistent
 *   vms[].pause (or
 * null).{save_ms,instant_ms,resume_ms,paused_ns,saved_ns,returning_ns,returned_ns}
 *   vms[].frozen_file_systems, frozen_from_ns, instant_ns, thawed_ns (0 = none)
 *   vms[].disks[].{source,format,bus,bytes_read,bytes_stored,owner{uid,gid,mode}}
 *   vms[].left_out[].{target,reason,path,writable}, vms[].interfaces[].{mac,type,source}
 *   vms[].saved_state: null, or {continues "running"/"paused", size (bytes of the save image),
 *     padded_size (of the stored tree), root, bytes_read, bytes_stored}; with it the document
 *     "saved-state.xml" of the VM: the XML in the image
 *   vms[].files[].{role,path,size,parts[],owner}: parts name documents of the VM, in order
 *   vms[].files[].directories[].{path,uid,gid,mode}: the directories on the way to it, nearest
 * first vms[].documents{"domain.xml":root, "file-N-PART":root}
 *   documents{"writer-metadata.xml","backup-components.xml","events.json"}
 */
#ifndef REQUESTER_MANIFEST_H
#define REQUESTER_MANIFEST_H

#include "hypervisor/domain.h"
#include "repository/repository.h"
#include "writers/vm/plan.h"
#include "writers/vm/vm-writer.h"

/* Roots as text. */
void manifest_set_root(json_t *object, const char *name, const struct object_id *root);
int manifest_get_root(const json_t *object, const char *name, const char *what,
                      struct object_id *ret_root, struct error *error);

/* The five conditions with what was found for each, as inspect tells them. New reference. */
json_t *manifest_conditions(const struct plan *plan);
/* Why a disk that only the definition has is not in a backup. */
#define MANIFEST_DETACHED                                                                          \
    "it is in the definition only: it was detached from the running VM, or comes with its next "   \
    "start"
/* A VM of the backup without its data: name, method, left-out disks, ... New reference. */
json_t *manifest_vm(const struct plan *plan);
/* Owner and mode of a file as an object, null when it is not there. New reference. */
json_t *manifest_owner(const char *path);
/* What a stored file's entry says of a directory on the way to it, for manifest_apply_owner(); NULL
 * when it says nothing. Borrowed. */
const json_t *manifest_directory(const json_t *file, const char *path);
/* Give a restored file or directory the owner and mode in the object (null or NULL: none), of the
 * mode only the bits `allowed`. */
int manifest_apply_owner(const json_t *owner, const char *path, mode_t allowed,
                         struct error *error);

/* Store definition, captured and other small files of a VM; *stored is increased. */
int manifest_store_files(struct repository_writer *repository, const struct domain *domain,
                         const struct vm_capture *captures, size_t capture_count, json_t *vm,
                         uint64_t *stored, struct error *error);
/* Put text as document `name` of `object`'s "documents". */
int manifest_store_document(struct repository_writer *repository, json_t *object, const char *name,
                            const void *data, size_t size, uint64_t *stored, struct error *error);
/* Hand out the content of a stored file part by part; ERROR_DAMAGED when it is not whole. */
int manifest_write_parts(struct repository *repository, const json_t *vm, const json_t *file,
                         int (*part)(void *context, const void *data, size_t size, uint64_t offset,
                                     struct error *error),
                         void *context, struct error *error);
/* The VM in a manifest by name or UUID; NULL when there is none. Borrowed. */
json_t *manifest_find_vm(const json_t *manifest, const char *name);

#endif
