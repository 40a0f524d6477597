/* How the changes that this room makes are undone, also by the watchdog and by recover.
 *
 *   "thaw-guest"        {uuid, name}: thaw until the guest says thawed; a VM that vmshadow did not
 *                       pause is left as it is; persistent
 *   "end-backup-job"    {uuid, name, socket}: abort *our* backup job (its NBD socket is ours),
 *                       resume the VM when QEMU paused it for lack of scratch, wait for no job;
 *                       persistent. The socket's directory is the job's alone: it is renamed
 *                       (directory_aside()), and goes, too, unless something strange is in it: a
 *                       step "remove-directory" of the new name, registered before, tells that.
 *                       With a member "was_paused": true the VM is never resumed
 *   "return-vm"         {uuid, name, image, was_paused, disks, restart, started}: a VM that was
 *                       paused, and perhaps saved to `image`, is what it was before: abort *our*
 *                       save (its file is there), start the VM from the image if only that is left
 *                       of it (`restart`; `started`: it was already, once), resume it unless it was
 *                       paused before, remove the image with its directory, which is the image's
 *                       alone. Where it is doubtful whether the image is needed, or fits the disks
 *                       still, it is kept, and the step stays open and says so; persistent
 *   "remove-image"      {uuid, name, image}: an image of memory that nothing needs any more goes,
 *                       with its directory
 *   "drop-import"       {uuid, name, image, aside?}: what saved_state_import() has left behind
 *                       before the VM was registered for good goes: the image, the VM's QEMU, its
 *                       saved state. A VM that runs was started by somebody else: it is left alone,
 *                       and the step stays open and says so. Once the `aside` of put-back-saved is
 *                       gone, the saved state is the old one, and stays
 *   "put-back-saved"    {uuid, name, original, aside, paused}: the save image of a VM that was
 *                       saved before a restore: while `aside` exists it becomes the VM's saved
 *                       state again, once its definition and its files are back. A VM that runs is
 *                       left alone: the step stays open and says so
 *   "watch-scratch"     {directory, reserve, name}: undo nothing; its watch trips below the reserve
 *   "restore-domain"    {uuid, name, xml or null, new_xml, autostart, state}: the definition as it
 *                       was before a restore is defined again, with autostart, and the VM started
 *                       when it was running (or paused: then paused). Only the definition that the
 *                       restore itself made (like new_xml) is taken away for it; a VM that runs
 *                       with another definition than the old one, or that somebody has defined
 *                       differently since, is left alone: the step stays open and says so
 *
 * In the order of registration thaw-guest comes first, so that in reverse the job is aborted first
 * and the guest thawed last (environment facts: docs/libvirt.md). None of the persistent kinds
 * needs another: a guest is thawed, too, while its job cannot be ended.
 */
#ifndef HYPERVISOR_UNDO_KINDS_H
#define HYPERVISOR_UNDO_KINDS_H

#include "hypervisor/connection.h"
#include "undo/undo.h"

struct undo_pool; /* own connections and looked-up domains, opened in `prepare` */

/* The context of the kinds: connections are opened lazily per `uri` (NULL as hypervisor_open). */
struct undo_pool *undo_pool_new(const char *uri);
void undo_pool_free(struct undo_pool *pool);
/* The pool's own hypervisor, opened when first asked for (its connections are replaced when they
 * break); a libvirtd that is away is waited for 5 s, once in the pool's life. NULL on failure.
 * Owned by the pool; any thread. */
struct hypervisor *undo_pool_hypervisor(struct undo_pool *pool, struct error *error);

extern const struct undo_kind hypervisor_thaw_guest, hypervisor_end_backup_job,
    hypervisor_watch_scratch, hypervisor_restore_domain;

extern const struct undo_kind hypervisor_return_vm, hypervisor_remove_image, hypervisor_drop_import,
    hypervisor_put_back_saved;

json_t *hypervisor_guest_arguments(const char *uuid, const char *name);
json_t *hypervisor_job_arguments(const char *uuid, const char *name, const char *socket);
json_t *hypervisor_scratch_arguments(const char *directory, uint64_t reserve, const char *name);

/* A VM as it was before a restore, and what the restore will define. */
struct hypervisor_before {
    const char *uuid, *name;
    const char *xml; /* NULL = there was no such domain */
    const char *new_xml;
    bool autostart;
    const char *state; /* domain_state_name() */
};
json_t *hypervisor_domain_arguments(const struct hypervisor_before *before);

#endif
