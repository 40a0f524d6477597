/* Saved state: the memory of a running or paused VM as a libvirt save image, and the VM's return.
 *
 *   prepare ─► (pause) ─► memory image ─► [instants of its disks] ─► return ─► [copy] ─► end
 *
 * The image is written in place, by the QEMU process that goes on afterwards: an external memory
 * snapshot that leaves every disk alone. Where libvirt cannot do that for a VM, the VM is saved to
 * the same file and started from it again, paused: from outside both are a paused VM with an image
 * of its memory. In both the VM stands still until it returns, so instants of its disks that begin
 * in between belong to the image.
 *
 * Every change is an undo step known beforehand: "return-vm" (undo-kinds.h), which also removes the
 * image. No other step does as long as it is open: a VM that was saved may be nothing but its
 * image.
 */
#ifndef HYPERVISOR_SAVED_STATE_H
#define HYPERVISOR_SAVED_STATE_H

#include "hypervisor/domain.h"
#include "hypervisor/instant.h"
#include "undo/undo.h"

struct saved_state; /* of one VM; one thread at a time */

struct saved_state_settings {
    struct hypervisor *hypervisor;
    struct undo *undo;
    const char *directory; /* local, for the image; NULL = /var/lib/libvirt/qemu/vmshadow */
    uint64_t reserve;      /* bytes that must stay free there; 0 = 1 GiB */
    const struct instants *instants; /* whose scratch space may want room there, too; NULL = none */
    int64_t limit;                   /* ns from the pause to the return; 0 = 10 min */
};

/* Why this active VM cannot be saved at all, in words ("host device PCI 0000:01:00.0"); NULL when
 * nothing is known against it. To be freed. */
char *saved_state_obstacle(const struct domain *domain);

/* Why libvirt would not start this VM from its image again, in words ("network lab is not active"),
 * where it is known beforehand that it will have to: a persistent VM that is paused. NULL when
 * nothing is known against it, also when libvirt does not answer. To be freed. */
char *saved_state_restart_obstacle(struct hypervisor *hypervisor, const struct domain *domain);

/* Bytes that the image of this VM may have at most. */
uint64_t saved_state_size_limit(const struct domain *domain);
/* Is there room for images of `size` bytes beside the reserve, in `directory` (as in the settings),
 * and for scratch space when that lies in the same file system?
 * ERROR_SPACE with figures; ERROR_REFUSED when it is no local directory. */
int saved_state_check_room(const struct saved_state_settings *settings, uint64_t size,
                           struct error *error);

/* Bytes of host memory that the VM has in use, at most what it is given. */
int saved_state_memory_in_use(struct hypervisor *hypervisor, const struct domain *domain,
                              uint64_t *ret_bytes, struct error *error);
/* Bytes per second that the directory takes, measured by writing and syncing a file of some MiB
 * without name; 0.1 s on a fast disk. */
int saved_state_measure_rate(const struct saved_state_settings *settings, uint64_t *ret_rate,
                             struct error *error);

/* Directory and names made, undo steps known to the watchdog; no other job runs on the VM
 * (ERROR_BUSY). Changes nothing in the VM. The domain is running or paused. */
int saved_state_prepare(const struct saved_state_settings *settings, const struct domain *domain,
                        struct saved_state **ret_state, struct error *error);
/* Before the first pause of a set: what others have written to the file system of the images goes
 * to its disk, so that no VM waits for that. Takes as long as it takes. */
void saved_state_settle(const struct saved_state_settings *settings);
/* Pause the VM and write the image. Takes as long as that; the watchdog ends it at the limit.
 * ERROR_FAILED when the VM's state is not that of planning any more: then it is not touched.
 * On any other failure the VM is perhaps paused: saved_state_end() brings it back. */
int saved_state_take(struct saved_state *state, struct error *error);
/* The VM goes on, or stays paused, as it was before. ERROR_FAILED when somebody else resumed it in
 * the meantime: image and disks are then not of one instant. */
int saved_state_return(struct saved_state *state, struct error *error);
/* The VM back to what it was, the image away, frees. A VM that saved_state_take() has asked nothing
 * of is left as it is. -1 when something is left to the watchdog. NULL allowed. */
int saved_state_end(struct saved_state *state, struct error *error);

/* Path of the image; whole when saved_state_take() has returned 0. Borrowed. */
const char *saved_state_image(const struct saved_state *state);
/* true = the VM was paused before, and continues paused. */
bool saved_state_was_paused(const struct saved_state *state);

struct saved_state_times { /* monotonic ns, 0 = not yet */
    int64_t paused;        /* when it was asked to pause, or to save */
    int64_t saved;         /* the image is whole */
    int64_t returning, returned;
};
struct saved_state_times saved_state_times(const struct saved_state *state);

#endif
