/* Rights: what the user who runs the program may do here, and where what is his lies.
 *
 * Root works with the host's VMs (qemu:///system). A member of the group that may use libvirt can
 * look at them, but a backup or restore also writes the host's journal and reads what QEMU's user
 * owns. Everybody else has the VMs of his own (qemu:///session), with journals and defaults below
 * his home.
 */
#ifndef REQUESTER_RIGHTS_H
#define REQUESTER_RIGHTS_H

#include "requester/requester.h"

/* VMs of the user himself, and the user is not root? */
bool rights_is_session(const struct requester_host *host);

/* May this process back up and restore? Looked at before anything is touched: the state directory
 * `state`, and for qemu:///system the directory in which QEMU makes its sockets. ERROR_DENIED names
 * each right that is missing and says who has it. */
int rights_check(const struct requester_host *host, const char *state, struct error *error);

/* Where a user's own journals lie, and libvirt's images of qemu:///session. Static. */
const char *rights_state_directory(void);
const char *rights_default_location(void);

#endif
