/* Events come in the thread of libvirt's event loop (connection.c). The structure is shared with
 * it: owner and registration hold a reference each, since libvirt may still be in a callback while
 * it is deregistered. */
#include "hypervisor/lifecycle.h"

#include "hypervisor/hypervisor-private.h"

#include <string.h>
#include <strings.h>

enum { STARTED_LIMIT = 16384 };

struct lifecycle {
    virConnectPtr connection; /* set by lifecycle_new(), closed by lifecycle_free() */
    int registration;

    pthread_mutex_t lock;
    /* Guarded by lock. */
    unsigned references;
    bool lost;
    char (*started)[VIR_UUID_STRING_BUFLEN];
    size_t started_count;
};

static void release(void *context)
{
    struct lifecycle *lifecycle = context;
    (void)pthread_mutex_lock(&lifecycle->lock);
    bool last = --lifecycle->references == 0;
    (void)pthread_mutex_unlock(&lifecycle->lock);
    if (!last)
        return;
    (void)pthread_mutex_destroy(&lifecycle->lock);
    free(lifecycle->started);
    free(lifecycle);
}

static size_t find(const struct lifecycle *lifecycle, const char *uuid)
{
    size_t index = 0;
    while (index < lifecycle->started_count && strcasecmp(lifecycle->started[index], uuid) != 0)
        index++;
    return index;
}

static int note_event(virConnectPtr connection, virDomainPtr domain, int event, int detail,
                      void *context)
{
    (void)connection;
    (void)detail;
    struct lifecycle *lifecycle = context;
    char uuid[VIR_UUID_STRING_BUFLEN];
    if (event != VIR_DOMAIN_EVENT_STARTED || virDomainGetUUIDString(domain, uuid) != 0)
        return 0;
    (void)pthread_mutex_lock(&lifecycle->lock);
    size_t index = find(lifecycle, uuid);
    if (index == lifecycle->started_count) {
        if (index >= STARTED_LIMIT) {
            lifecycle->lost = true;
        } else {
            lifecycle->started =
                memory_resize(lifecycle->started, index + 1, sizeof *lifecycle->started);
            memcpy(lifecycle->started[index], uuid, sizeof uuid);
            lifecycle->started_count++;
        }
    }
    (void)pthread_mutex_unlock(&lifecycle->lock);
    return 0;
}

static void note_close(virConnectPtr connection, int reason, void *context)
{
    (void)connection;
    struct lifecycle *lifecycle = context;
    if (reason == VIR_CONNECT_CLOSE_REASON_CLIENT)
        return;
    (void)pthread_mutex_lock(&lifecycle->lock);
    lifecycle->lost = true;
    (void)pthread_mutex_unlock(&lifecycle->lock);
}

static int subscribe(struct lifecycle *lifecycle, struct error *error)
{
    lifecycle->references++;
    if (VIR(virConnectRegisterCloseCallback(lifecycle->connection, note_close, lifecycle,
                                            release)) != 0) {
        lifecycle->references--;
        return call_error(error, "cannot watch the connection to libvirt");
    }
    lifecycle->references++;
    lifecycle->registration = VIR(virConnectDomainEventRegisterAny(
        lifecycle->connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
        VIR_DOMAIN_EVENT_CALLBACK(note_event), lifecycle, release));
    if (lifecycle->registration >= 0)
        return 0;
    lifecycle->references--;
    return call_error(error, "cannot watch for VMs that are started");
}

int lifecycle_new(const char *uri, struct lifecycle **ret_lifecycle, struct error *error)
{
    struct lifecycle *lifecycle = NEW(struct lifecycle);
    lifecycle->references = 1;
    lifecycle->registration = -1;
    (void)pthread_mutex_init(&lifecycle->lock, NULL);
    if (connection_open(uri, &lifecycle->connection, error) != 0 ||
        subscribe(lifecycle, error) != 0) {
        lifecycle_free(lifecycle);
        return -1;
    }
    *ret_lifecycle = lifecycle;
    return 0;
}

void lifecycle_free(struct lifecycle *lifecycle)
{
    if (!lifecycle)
        return;
    virConnectPtr connection = lifecycle->connection;
    if (connection && lifecycle->registration >= 0)
        (void)VIR(virConnectDomainEventDeregisterAny(connection, lifecycle->registration));
    if (connection) {
        (void)VIR(virConnectUnregisterCloseCallback(connection, note_close));
        (void)virConnectClose(connection);
    }
    release(lifecycle);
}

void lifecycle_reset(struct lifecycle *lifecycle, const char *uuid)
{
    (void)pthread_mutex_lock(&lifecycle->lock);
    size_t index = find(lifecycle, uuid);
    if (index < lifecycle->started_count) {
        size_t last = --lifecycle->started_count;
        memmove(lifecycle->started[index], lifecycle->started[last], VIR_UUID_STRING_BUFLEN);
    }
    (void)pthread_mutex_unlock(&lifecycle->lock);
}

bool lifecycle_was_started(struct lifecycle *lifecycle, const char *uuid)
{
    (void)pthread_mutex_lock(&lifecycle->lock);
    bool started = find(lifecycle, uuid) < lifecycle->started_count;
    (void)pthread_mutex_unlock(&lifecycle->lock);
    return started;
}

bool lifecycle_is_lost(struct lifecycle *lifecycle)
{
    (void)pthread_mutex_lock(&lifecycle->lock);
    bool lost = lifecycle->lost;
    (void)pthread_mutex_unlock(&lifecycle->lock);
    return lost;
}
