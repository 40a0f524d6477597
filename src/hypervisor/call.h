/* Calls to libvirt: private to the room. Which connection a call goes over, and what its failure
 * is called.
 *
 * libvirtd works on five calls of one connection at once and has 20 threads for all of them; a call
 * to a guest's agent holds one as long as the guest is silent (docs/libvirt.md). So a struct call
 * is a ticket: at most 4 are out per connection, at most agent_limit of all may ask agents, and
 * connections are opened as they are needed, CALL_CONNECTIONS at most. When all tickets are out
 * call_begin() waits.
 *
 * A connection that libvirtd has closed (it was restarted) is replaced at the next ticket; a
 * libvirtd that is away is waited for CALL_PATIENCE.
 */
#ifndef HYPERVISOR_CALL_H
#define HYPERVISOR_CALL_H

#include "base/clock.h"
#include "hypervisor/connection.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CALL_CONNECTIONS = 4,
    CALLS_PER_CONNECTION = 4,
    CALL_AGENT_LIMIT = 10,         /* requester: freezes in flight */
    CALL_AGENT_LIMIT_WATCHDOG = 6, /* both together stay below libvirtd's 20 threads */
};
#define CALL_PATIENCE (5 * CLOCK_SECOND)

enum call_kind {
    CALL_PLAIN,
    CALL_AGENT, /* may wait for a guest */
};

struct call {
    struct hypervisor *hypervisor; /* NULL = no ticket held */
    size_t slot;
    enum call_kind kind;
    virConnectPtr connection; /* a reference */
    virDomainPtr domain;      /* a reference, or NULL */
    const char *name;         /* of the domain; asking libvirt for it clears the last failure */
};
#define CALL_NONE ((struct call){.hypervisor = NULL})
#define CLEANUP_CALL CLEANUP(call_end)

/* A ticket with a live connection. ERROR_CONNECTION when there is none to be had. */
int call_begin(struct hypervisor *hypervisor, enum call_kind kind, struct call *ret_call,
               struct error *error);
/* The same with the domain looked up (once per connection; kept). ERROR_NOT_FOUND. */
int call_begin_domain(struct hypervisor *hypervisor, enum call_kind kind, const char *uuid,
                      struct call *ret_call, struct error *error);
/* Give the ticket back. Also as cleanup of a struct call that is CALL_NONE. */
void call_end(struct call *call);
/* Open all connections and look the domain up on each, so that later calls need neither. */
int call_warm(struct hypervisor *hypervisor, const char *uuid, struct error *error);

/* Every call to libvirt is written VIR(virSomething(...)): it is counted. */
#define VIR(expression) (call_count_one(), (expression))
void call_count_one(void);
unsigned long call_count(void);

/* The failure of the last libvirt call of this thread: the format, ": ", libvirt's words. The kind
 * follows from libvirt's code, which is kept in error.number. Returns -1. */
int call_error(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* VIR_ERR_* of the last failed call of this thread. */
int call_last_code(void);

static inline void call_domain_freep(virDomainPtr *domain)
{
    if (*domain)
        (void)virDomainFree(*domain);
}
#define CLEANUP_DOMAIN CLEANUP(call_domain_freep)

#endif
