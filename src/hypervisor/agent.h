/* The guest's agent (QEMU's, channel org.qemu.guest_agent.0): asked through libvirt.
 *
 * Every call is bounded by `limit` (ns) towards the guest. The answers are untrusted: sizes and
 * counts are bounded. libvirt's response time-out is set before each call (it cannot be read back
 * and holds per domain), see docs/libvirt.md.
 */
#ifndef HYPERVISOR_AGENT_H
#define HYPERVISOR_AGENT_H

#include "hypervisor/domain.h"

struct agent_volume {
    char *mountpoint, *device, *file_system; /* "/data", "vdb", "ext4" */
    char **targets; /* disk targets of the domain it lies on, as far as libvirt could map them */
    size_t target_count;
    size_t unmapped; /* further devices that are no disk of the domain, or could not be mapped */
};
struct agent_volumes {
    struct agent_volume *items;
    size_t count;
};
void agent_volumes_free(struct agent_volumes *volumes); /* frees the content */

/* Does it answer? ERROR_CONNECTION with the reason (no channel, not connected, silent). */
int agent_ping(struct hypervisor *hypervisor, const char *uuid, int64_t limit, struct error *error);
/* Mounted file systems with the disks they lie on. */
int agent_get_volumes(struct hypervisor *hypervisor, const char *uuid, int64_t limit,
                      struct agent_volumes *ret_volumes, struct error *error);
/* Freeze all file systems. 0 and the number frozen. When it fails or times out the guest may still
 * freeze later: the caller must thaw with agent_thaw_until(). */
int agent_freeze(struct hypervisor *hypervisor, const char *uuid, int64_t limit, int *ret_frozen,
                 struct error *error);
/* One thaw. */
int agent_thaw(struct hypervisor *hypervisor, const char *uuid, int64_t limit, int *ret_thawed,
               struct error *error);
/* guest-fsfreeze-status: */
int agent_is_frozen(struct hypervisor *hypervisor, const char *uuid, int64_t limit,
                    bool *ret_frozen, struct error *error);
/* Thaw, and ask until the guest itself says "thawed" or the VM is off or gone (0), at most until
 * `deadline` (monotonic ns; INT64_MAX = for ever). A single thaw is not enough: a freeze that timed
 * out in libvirt still happens when the guest gets to it. */
int agent_thaw_until(struct hypervisor *hypervisor, const char *uuid, int64_t deadline,
                     struct error *error);

#endif
