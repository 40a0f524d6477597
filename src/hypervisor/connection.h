/* Connections to libvirt. The only room that sees <libvirt/>: others get these opaque types.
 *
 * libvirtd serves five calls of one connection at once and a call to a hanging guest agent blocks
 * one of them (environment facts in docs/libvirt.md), so calls are spread over a small pool: at
 * most 4 calls per connection. Local URIs only (qemu:///system, qemu:///session,
 * qemu+unix:///...): a remote one is ERROR_USAGE with a clear text.
 */
#ifndef HYPERVISOR_CONNECTION_H
#define HYPERVISOR_CONNECTION_H

#include "base/error.h"
#include "base/memory.h"

struct hypervisor;

/* `uri` NULL = LIBVIRT_DEFAULT_URI or qemu:///system. ERROR_CONNECTION when libvirt does not
 * answer, with the socket or service to look at as hint. Any thread may use the result. */
int hypervisor_open(const char *uri, struct hypervisor **ret_hypervisor, struct error *error);
void hypervisor_close(struct hypervisor *hypervisor);
static inline void hypervisor_closep(struct hypervisor **hypervisor)
{
    hypervisor_close(*hypervisor);
}
const char *hypervisor_uri(const struct hypervisor *hypervisor);
/* "libvirt 9.0.0, QEMU 7.2.22 on host" for records. Owned by the hypervisor. */
const char *hypervisor_version(const struct hypervisor *hypervisor);
/* Number of libvirt calls made by this process through this room so far: a test proves with it
 * that Freeze and Thaw of the VM writer make none. */
unsigned long hypervisor_call_count(void);

#endif
