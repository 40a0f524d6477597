/* Instants of disks: a pull-mode backup job of libvirt on a running (frozen or paused) VM, read
 * over NBD while the guest goes on; and the image of a VM that is off, served by qemu-nbd.
 *
 * An instant covers all wanted disks of one VM. It is prepared (paths, scratch, undo steps known),
 * begun (the instant itself) and ended. It is found again by set and VM, so that the VM writer may
 * begin it and the qemu provider may open it.
 */
#ifndef HYPERVISOR_INSTANT_H
#define HYPERVISOR_INSTANT_H

#include "hypervisor/domain.h"
#include "undo/undo.h"

struct instants; /* the table of one run; any thread */

struct instants_settings {
    struct hypervisor *hypervisor;
    struct undo *undo;
    const char *scratch_directory; /* local; NULL = /var/lib/libvirt/qemu/vmshadow */
    uint64_t scratch_reserve;      /* bytes that must stay free there, at least 16 MiB;
                                      0 = max(1 GiB, 2 % of it) */
    bool hold_stopped;             /* stopped VMs: keep the image locked instead of force-share */
};
struct instants *instants_new(const struct instants_settings *settings);
/* Ends what is still open. NULL allowed. */
void instants_free(struct instants *instants);

/* Planning: is there room for scratch (the reserve plus something)? ERROR_SPACE with figures. */
int instants_check_room(struct instants *instants, struct error *error);
/* Bytes that this wants free (that reserve plus something) in the file system of `directory`, for
 * whoever needs room there, too; 0 when scratch space lies on another one, or `instants` is NULL.
 */
uint64_t instants_room_beside(const struct instants *instants, const char *directory);

/* Prepare the instant of `targets` (NULL-terminated) of a VM for `set`: directories, names, and the
 * undo steps (abort the job, remove scratch and socket, watch the reserve) are known to the
 * watchdog when it returns. Changes nothing in the VM. `kind_running` decides which way. */
int instants_prepare(struct instants *instants, const char *set, const struct domain *domain,
                     const char *const *targets, struct error *error);
/* Was it prepared, and not begun or ended yet? */
bool instants_is_prepared(struct instants *instants, const char *set, const char *uuid);
/* Begin it: running or paused VM = virDomainBackupBegin; off = reflink clone where the file system
 * can, else the image itself is looked at. Bounded, about 0.1 s.
 * ERROR_BUSY when a disk has a foreign block job. Several VMs may be begun at once. */
int instants_begin(struct instants *instants, const char *set, const char *uuid,
                   struct error *error);
/* Where to read one disk: NBD URI (to be freed) and size. VM that is off: the first time its
 * qemu-nbd is started (at most 10 s), on the clone, or on the image itself, opened force-share (or
 * locked, hold_stopped); ERROR_FAILED when the VM was started, or the image written, since the
 * instant. */
int instants_open(struct instants *instants, const char *set, const char *uuid, const char *target,
                  char **ret_uri, int64_t *ret_size, struct error *error);
/* After the copy: was the data under the reader still that of the instant? For a stopped VM read
 * in place: ERROR_FAILED when it was started or the image was written meanwhile. */
int instants_check(struct instants *instants, const char *set, const char *uuid,
                   struct error *error);
/* End: abort the job, wait until there is none, stop qemu-nbd, remove clone, scratch and sockets,
 * strike the undo steps. Idempotent. */
int instants_end(struct instants *instants, const char *set, const char *uuid, struct error *error);

#endif
