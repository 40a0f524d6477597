/* Which VMs were started since when: libvirt's life-cycle events, on a connection of their own.
 * Private to the room.
 *
 * Needed for stopped VMs whose image is read in place: a VM that was started and stopped again
 * between two looks at its state is seen by nothing else where the storage tells no time of change.
 */
#ifndef HYPERVISOR_LIFECYCLE_H
#define HYPERVISOR_LIFECYCLE_H

#include "base/error.h"

#include <stdbool.h>

struct lifecycle;

int lifecycle_new(const char *uri, struct lifecycle **ret_lifecycle, struct error *error);
/* NULL allowed. */
void lifecycle_free(struct lifecycle *lifecycle);
/* Forget that the VM was started: from now on it counts. */
void lifecycle_reset(struct lifecycle *lifecycle, const char *uuid);
bool lifecycle_was_started(struct lifecycle *lifecycle, const char *uuid);
/* The connection broke (libvirtd was restarted): starts may have been missed. */
bool lifecycle_is_lost(struct lifecycle *lifecycle);

#endif
