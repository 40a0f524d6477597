/* What the files of saved state share. */
#ifndef HYPERVISOR_SAVED_STATE_PRIVATE_H
#define HYPERVISOR_SAVED_STATE_PRIVATE_H

#include "hypervisor/call.h"
#include "hypervisor/saved-state.h"

struct saved_state {
    /* Set by saved_state_prepare(), never changed. */
    struct hypervisor *hypervisor;
    struct undo *undo;
    char *uuid, *name;
    bool was_paused, persistent;
    int64_t limit;
    char *directory, *image;
    char *snapshot_xml; /* for the memory snapshot */
    char *live_xml;     /* of the plan, or NULL */
    char **disk_files;  /* what the VM writes to, "" = without a path; NULL-terminated */

    bool touched;          /* from before the first call that changes the VM */
    bool restart, started; /* members of the return step (undo-kinds.h) */
    uint64_t scratch_step; /* of undo, in the order they are added; 0 = not open */
    uint64_t return_step;  /* the image is removed by it, until the VM has returned */
    uint64_t image_step;   /* from then on by this one */
    int64_t deadline;      /* of the pause, monotonic */

    struct saved_state_times times;
};

/* saved-state-image.c: is the file a whole image of libvirt's (not one that is being written)?
 * 1 = yes, 0 = no, or there is none; -1 = it cannot be read. */
int saved_state_is_whole(const char *path);
/* 1 = a disk was written to after the image, or there is no image: somebody has started the VM
 * since. -1 = nobody can tell: a device, a disk on a file system of the network, whose clock is
 * another one, and one that is not there have no such time. `disks` is an array of paths, "" =
 * without one. */
int saved_state_is_outdated(const char *image, const json_t *disks);
/* XML of a memory snapshot to `image` that leaves all disks of the VM alone; to be freed. */
char *saved_state_snapshot_xml(const struct domain *domain, const char *image);

/* saved-state-networks.c: would libvirt start a VM of this live XML now? ERROR_REFUSED names the
 * network or device that is missing. NULL: nothing is known against it. */
int saved_state_check_networks(struct hypervisor *hypervisor, const char *live_xml,
                               struct error *error);

#endif
