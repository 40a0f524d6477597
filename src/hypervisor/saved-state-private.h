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
    char **disk_files;  /* what the VM writes to, "" = without a path; NULL-terminated */
    uint64_t steps[5];  /* of undo, in the order they were added */
    size_t step_count;
    uint64_t return_step; /* the last of them */
    int64_t deadline;     /* of the pause, monotonic */

    struct saved_state_times times;
};

/* saved-state-image.c: is the file a whole image of libvirt's (not one that is being written)? */
bool saved_state_is_whole(const char *path);
/* 1 = a disk was written to after the image, or there is no image: somebody has started the VM
 * since. -1 = nobody can tell: a device, a disk of the network and one that is not there have no
 * such time. `disks` is an array of paths, "" = without one. */
int saved_state_is_outdated(const char *image, const json_t *disks);
/* XML of a memory snapshot to `image` that leaves all disks of the VM alone; to be freed. */
char *saved_state_snapshot_xml(const struct domain *domain, const char *image);

#endif
