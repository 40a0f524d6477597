/* What a struct hypervisor is: the pool of connections. Private to connection.c and call.c. */
#ifndef HYPERVISOR_PRIVATE_H
#define HYPERVISOR_PRIVATE_H

#include "hypervisor/call.h"

#include <pthread.h>

/* A looked-up domain. virDomainPtr is bound to its connection; only the UUID in it matters. */
struct known_domain {
    char uuid[VIR_UUID_STRING_BUFLEN];
    virDomainPtr domain;
};

struct connection {
    unsigned calls; /* tickets out; guarded by hypervisor.lock */

    /* Guarded by lock. */
    pthread_mutex_t lock;
    virConnectPtr connection; /* NULL = not open yet */
    struct known_domain *domains;
    size_t domain_count;
};

struct hypervisor {
    /* Set by hypervisor_open_limited(), never changed. */
    char *uri, *version;
    unsigned agent_limit;

    pthread_mutex_t lock;
    pthread_cond_t returned; /* a ticket came back */
    unsigned agent_calls;    /* guarded by lock */
    struct connection connections[CALL_CONNECTIONS];
};

/* As hypervisor_open(), with another limit of calls that may wait for guests. */
int hypervisor_open_limited(const char *uri, unsigned agent_limit,
                            struct hypervisor **ret_hypervisor, struct error *error);
/* One connection to libvirt, checked by nobody yet. */
int connection_open(const char *uri, virConnectPtr *ret_connection, struct error *error);

/* Is it local? `origin` is put after it in the message: where the URI comes from. */
int connection_check_uri(const char *uri, const char *origin, struct error *error);
/* As libvirt counts: major * 1000000 + minor * 1000 + release. ERROR_REFUSED when one is too old.
 */
int connection_check_versions(unsigned long library, unsigned long qemu, struct error *error);

#endif
