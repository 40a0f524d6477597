/* Tickets are counted under one lock; opening a connection, which may take long, happens under the
 * lock of that connection only, so that calls over the others go on. Who holds a ticket has
 * references of its own to the connection and the domain: a connection may be replaced by another
 * thread while a call over the old one is still failing. */
#include "hypervisor/call.h"

#include "hypervisor/hypervisor-private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

enum { KNOWN_DOMAINS = 4096 };
#define RETRY_PAUSE (100 * CLOCK_MILLISECOND)

static atomic_ulong counted_calls;

void call_count_one(void)
{
    atomic_fetch_add_explicit(&counted_calls, 1, memory_order_relaxed);
}

unsigned long call_count(void)
{
    return atomic_load_explicit(&counted_calls, memory_order_relaxed);
}

/* ---- Errors ---- */

/* A socket that refuses us is told as a system error with its errno; polkit has codes of its own.
 */
static bool is_denied(const virError *fault)
{
    switch (fault ? fault->code : VIR_ERR_OK) {
    case VIR_ERR_SYSTEM_ERROR:
        return fault->int1 == EACCES || fault->int1 == EPERM;
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
    case VIR_ERR_ACCESS_DENIED:
        return true;
    default:
        return false;
    }
}

static enum error_kind kind_of(const virError *fault)
{
    if (is_denied(fault))
        return ERROR_DENIED;
    if (fault && fault->domain == VIR_FROM_RPC)
        return ERROR_CONNECTION; /* closed, or silent for longer than keep-alive allows */
    switch (fault ? fault->code : VIR_ERR_OK) {
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_NO_NETWORK:
    case VIR_ERR_NO_STORAGE_POOL:
    case VIR_ERR_NO_STORAGE_VOL:
    case VIR_ERR_NO_SECRET:
        return ERROR_NOT_FOUND;
    case VIR_ERR_NO_CONNECT:
    case VIR_ERR_INVALID_CONN:
    case VIR_ERR_RPC:
    case VIR_ERR_SYSTEM_ERROR: /* the socket of libvirtd is not there */
    case VIR_ERR_AGENT_UNRESPONSIVE:
    case VIR_ERR_AGENT_UNSYNCED:
        return ERROR_CONNECTION;
    case VIR_ERR_OPERATION_TIMEOUT:
        return ERROR_TIMEOUT;
    case VIR_ERR_DOM_EXIST:
        return ERROR_EXISTS;
    case VIR_ERR_RESOURCE_BUSY:
    case VIR_ERR_BLOCK_COPY_ACTIVE:
        return ERROR_BUSY;
    default:
        return ERROR_FAILED;
    }
}

int call_last_code(void)
{
    virErrorPtr last = virGetLastError();
    return last ? last->code : VIR_ERR_OK;
}

int call_error(struct error *error, const char *format, ...)
{
    if (!error || error_is_set(error))
        return -1;
    virErrorPtr last = virGetLastError();
    va_list arguments;
    va_start(arguments, format);
    CLEANUP_FREE char *what = memory_vformat(format, arguments);
    va_end(arguments);
    const char *words = last && last->message ? last->message : "libvirt gave no reason";
    (void)error_set(error, kind_of(last), "%s: %s", what, words);
    for (char *c = error->message; *c; c++)
        if (*c == '\n')
            *c = ' ';
    error->number = last ? last->code : 0;
    return -1;
}

/* ---- Tickets ---- */

static struct connection *free_connection(struct hypervisor *hypervisor)
{
    for (size_t i = 0; i < CALL_CONNECTIONS; i++)
        if (hypervisor->connections[i].calls < CALLS_PER_CONNECTION)
            return &hypervisor->connections[i];
    return NULL;
}

static struct connection *take_ticket(struct hypervisor *hypervisor, enum call_kind kind)
{
    struct connection *connection;
    (void)pthread_mutex_lock(&hypervisor->lock);
    while ((kind == CALL_AGENT && hypervisor->agent_calls >= hypervisor->agent_limit) ||
           !(connection = free_connection(hypervisor)))
        (void)pthread_cond_wait(&hypervisor->returned, &hypervisor->lock);
    connection->calls++;
    if (kind == CALL_AGENT)
        hypervisor->agent_calls++;
    (void)pthread_mutex_unlock(&hypervisor->lock);
    return connection;
}

static void return_ticket(struct hypervisor *hypervisor, struct connection *connection,
                          enum call_kind kind)
{
    (void)pthread_mutex_lock(&hypervisor->lock);
    connection->calls--;
    if (kind == CALL_AGENT)
        hypervisor->agent_calls--;
    (void)pthread_cond_broadcast(&hypervisor->returned);
    (void)pthread_mutex_unlock(&hypervisor->lock);
}

static void forget_domains(struct connection *connection)
{
    for (size_t i = 0; i < connection->domain_count; i++)
        (void)virDomainFree(connection->domains[i].domain);
    free(connection->domains);
    connection->domains = NULL;
    connection->domain_count = 0;
}

/* Make sure that the connection is alive; its lock is held. */
static int revive(struct hypervisor *hypervisor, struct connection *connection, struct error *error)
{
    if (connection->connection && virConnectIsAlive(connection->connection) == 1)
        return 0;
    forget_domains(connection);
    if (connection->connection)
        (void)virConnectClose(connection->connection);
    connection->connection = NULL;
    int64_t deadline = clock_monotonic() + CALL_PATIENCE;
    struct error fault = ERROR_INIT;
    while (connection_open(hypervisor->uri, &connection->connection, &fault) != 0) {
        if (clock_monotonic() >= deadline) {
            error_move(error, &fault);
            return -1;
        }
        error_clear(&fault);
        clock_sleep(RETRY_PAUSE);
    }
    return 0;
}

static int look_up(struct connection *connection, const char *uuid, virDomainPtr *ret_domain,
                   struct error *error)
{
    for (size_t i = 0; i < connection->domain_count; i++)
        if (strcasecmp(connection->domains[i].uuid, uuid) == 0) {
            *ret_domain = connection->domains[i].domain;
            (void)virDomainRef(*ret_domain);
            return 0;
        }
    virDomainPtr domain = VIR(virDomainLookupByUUIDString(connection->connection, uuid));
    if (!domain)
        return call_error(error, "VM %s", uuid);
    if (connection->domain_count >= KNOWN_DOMAINS)
        forget_domains(connection);
    struct known_domain known = {.domain = domain};
    (void)snprintf(known.uuid, sizeof known.uuid, "%s", uuid);
    ARRAY_APPEND(connection->domains, connection->domain_count, known);
    (void)virDomainRef(domain);
    *ret_domain = domain;
    return 0;
}

/* Fill the references of a ticket. A connection found dead by the look-up is replaced once. */
static int connect_call(struct call *call, struct connection *connection, const char *uuid,
                        struct error *error)
{
    struct error fault = ERROR_INIT;
    for (int attempt = 0; attempt < 2; attempt++) {
        error_clear(&fault);
        if (revive(call->hypervisor, connection, &fault) != 0)
            break;
        if (!uuid || look_up(connection, uuid, &call->domain, &fault) == 0) {
            (void)virConnectRef(connection->connection);
            call->connection = connection->connection;
            call->name = call->domain ? virDomainGetName(call->domain) : NULL;
            return 0;
        }
        if (fault.kind == ERROR_NOT_FOUND || virConnectIsAlive(connection->connection) == 1)
            break;
    }
    error_move(error, &fault);
    return -1;
}

static int begin_over(struct hypervisor *hypervisor, struct connection *connection,
                      enum call_kind kind, const char *uuid, struct call *ret_call,
                      struct error *error)
{
    struct call call = {.hypervisor = hypervisor,
                        .slot = (size_t)(connection - hypervisor->connections),
                        .kind = kind};
    (void)pthread_mutex_lock(&connection->lock);
    int result = connect_call(&call, connection, uuid, error);
    (void)pthread_mutex_unlock(&connection->lock);
    if (result != 0)
        return_ticket(hypervisor, connection, kind);
    else
        *ret_call = call;
    return result;
}

int call_begin(struct hypervisor *hypervisor, enum call_kind kind, struct call *ret_call,
               struct error *error)
{
    return begin_over(hypervisor, take_ticket(hypervisor, kind), kind, NULL, ret_call, error);
}

int call_begin_domain(struct hypervisor *hypervisor, enum call_kind kind, const char *uuid,
                      struct call *ret_call, struct error *error)
{
    return begin_over(hypervisor, take_ticket(hypervisor, kind), kind, uuid, ret_call, error);
}

void call_end(struct call *call)
{
    if (!call->hypervisor)
        return;
    if (call->domain)
        (void)virDomainFree(call->domain);
    (void)virConnectClose(call->connection);
    return_ticket(call->hypervisor, &call->hypervisor->connections[call->slot], call->kind);
    *call = CALL_NONE;
}

int call_warm(struct hypervisor *hypervisor, const char *uuid, struct error *error)
{
    for (size_t i = 0; i < CALL_CONNECTIONS; i++) {
        struct connection *connection = &hypervisor->connections[i];
        (void)pthread_mutex_lock(&hypervisor->lock);
        connection->calls++; /* one more than the limit for the time of a look-up does no harm */
        (void)pthread_mutex_unlock(&hypervisor->lock);
        CLEANUP_CALL struct call call = CALL_NONE;
        if (begin_over(hypervisor, connection, CALL_PLAIN, uuid, &call, error) != 0)
            return -1;
    }
    return 0;
}
