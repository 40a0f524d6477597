/* Opening: which URIs are taken, what must answer there, and libvirt's event loop.
 *
 * One thread per process runs libvirt's event loop. It notices at once when libvirtd closes a
 * connection, answers and sends keep-alive messages, so that a call to a libvirtd that hangs fails
 * after half a minute instead of never, and delivers the life-cycle events (lifecycle.h).
 */
#include "hypervisor/connection.h"

#include "hypervisor/hypervisor-private.h"

#include <libxml/uri.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { KEEPALIVE_SECONDS = 5, KEEPALIVE_COUNT = 6 };
enum { LIBVIRT_NEEDED = 9000000, QEMU_NEEDED = 7002000 };

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static bool library_ready;

static void be_silent(void *context, virErrorPtr fault)
{
    (void)context;
    (void)fault;
}

static void *run_events(void *context)
{
    (void)context;
    for (;;)
        if (virEventRunDefaultImpl() != 0)
            clock_sleep(100 * CLOCK_MILLISECOND);
    return NULL;
}

/* The thread lives as long as the process and takes no signals: they belong to the program. */
static void start_library(void)
{
    if (virInitialize() != 0)
        return;
    virSetErrorFunc(NULL, be_silent);
    if (virEventRegisterDefaultImpl() != 0)
        return;
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    library_ready = pthread_create(&thread, NULL, run_events, NULL) == 0;
    if (library_ready)
        (void)pthread_detach(thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- URIs ---- */

static bool is_local(const xmlURI *parsed)
{
    if (!parsed->scheme || (parsed->server && *parsed->server))
        return false;
    if (strcmp(parsed->scheme, "qemu") != 0 && strcmp(parsed->scheme, "qemu+unix") != 0)
        return false;
    return parsed->path &&
           (strcmp(parsed->path, "/system") == 0 || strcmp(parsed->path, "/session") == 0);
}

int connection_check_uri(const char *uri, const char *origin, struct error *error)
{
    xmlURIPtr parsed = xmlParseURI(uri);
    bool local = parsed && is_local(parsed);
    bool qemu = parsed && parsed->scheme && strncmp(parsed->scheme, "qemu", 4) == 0;
    xmlFreeURI(parsed);
    if (local)
        return 0;
    (void)error_set(error, ERROR_USAGE, "libvirt URI \"%s\"%s is not a local one of QEMU's%s", uri,
                    origin, qemu ? ": only the host that vmshadow runs on can be backed up" : "");
    return error_advise(error, "libvirt-not-local",
                        "run vmshadow on that host, with qemu:///system");
}

static const char *choose_uri(const char *uri, const char **ret_origin)
{
    *ret_origin = "";
    if (uri)
        return uri;
    const char *fallback = getenv("LIBVIRT_DEFAULT_URI");
    if (!fallback || !*fallback)
        return "qemu:///system";
    *ret_origin = " (from LIBVIRT_DEFAULT_URI)";
    return fallback;
}

/* ---- One connection ---- */

int connection_open(const char *uri, virConnectPtr *ret_connection, struct error *error)
{
    virConnectPtr connection = VIR(virConnectOpen(uri));
    if (!connection) {
        (void)call_error(error, "no connection to libvirt at %s", uri);
        if (error && error->kind == ERROR_DENIED)
            return error_advise(error, "libvirt-denied",
                                "libvirt lets root in and its group: adduser USER libvirt, then "
                                "log in again; everybody has the VMs of qemu:///session");
        if (error)
            error->kind = ERROR_CONNECTION;
        return error_advise(error, "libvirt-unreachable",
                            "is it running? systemctl status libvirtd (or virtqemud); its "
                            "socket is /run/libvirt/libvirt-sock (or virtqemud-sock)");
    }
    (void)VIR(virConnectSetKeepAlive(connection, KEEPALIVE_SECONDS, KEEPALIVE_COUNT));
    *ret_connection = connection;
    return 0;
}

static char *version_text(unsigned long version)
{
    return memory_format("%lu.%lu.%lu", version / 1000000, version / 1000 % 1000, version % 1000);
}

int connection_check_versions(unsigned long library, unsigned long qemu, struct error *error)
{
    if (library >= LIBVIRT_NEEDED && qemu >= QEMU_NEEDED)
        return 0;
    CLEANUP_FREE char *library_text = version_text(library);
    CLEANUP_FREE char *qemu_text = version_text(qemu);
    (void)error_set(error, ERROR_REFUSED,
                    "libvirt 9.0 and QEMU 7.2 are needed, this host has libvirt %s and QEMU %s",
                    library_text, qemu_text);
    return error_advise(error, "libvirt-too-old", "use a host with a later release");
}

static int read_versions(struct hypervisor *hypervisor, virConnectPtr connection,
                         struct error *error)
{
    unsigned long library, qemu;
    if (VIR(virConnectGetLibVersion(connection, &library)) != 0 ||
        VIR(virConnectGetVersion(connection, &qemu)) != 0)
        return call_error(error, "cannot ask libvirt at %s for its version", hypervisor->uri);
    if (connection_check_versions(library, qemu, error) != 0)
        return -1;
    CLEANUP_FREE char *library_text = version_text(library);
    CLEANUP_FREE char *qemu_text = version_text(qemu);
    CLEANUP_FREE char *host = VIR(virConnectGetHostname(connection));
    hypervisor->version = memory_format("libvirt %s, QEMU %s on %s", library_text, qemu_text,
                                        host ? host : "this host");
    return 0;
}

/* ---- The pool ---- */

static struct hypervisor *hypervisor_new(const char *uri, unsigned agent_limit)
{
    struct hypervisor *hypervisor = NEW(struct hypervisor);
    hypervisor->uri = memory_copy_string(uri);
    hypervisor->agent_limit = agent_limit;
    (void)pthread_mutex_init(&hypervisor->lock, NULL);
    (void)pthread_cond_init(&hypervisor->returned, NULL);
    for (size_t i = 0; i < CALL_CONNECTIONS; i++)
        (void)pthread_mutex_init(&hypervisor->connections[i].lock, NULL);
    return hypervisor;
}

void hypervisor_close(struct hypervisor *hypervisor)
{
    if (!hypervisor)
        return;
    for (size_t i = 0; i < CALL_CONNECTIONS; i++) {
        struct connection *connection = &hypervisor->connections[i];
        for (size_t k = 0; k < connection->domain_count; k++)
            (void)virDomainFree(connection->domains[k].domain);
        free(connection->domains);
        if (connection->connection)
            (void)virConnectClose(connection->connection);
        (void)pthread_mutex_destroy(&connection->lock);
    }
    (void)pthread_cond_destroy(&hypervisor->returned);
    (void)pthread_mutex_destroy(&hypervisor->lock);
    free(hypervisor->version);
    free(hypervisor->uri);
    free(hypervisor);
}

int hypervisor_open_limited(const char *uri, unsigned agent_limit,
                            struct hypervisor **ret_hypervisor, struct error *error)
{
    const char *origin;
    uri = choose_uri(uri, &origin);
    if (connection_check_uri(uri, origin, error) != 0)
        return -1;
    (void)pthread_once(&library_once, start_library);
    if (!library_ready)
        return error_set(error, ERROR_FAILED, "libvirt's library cannot be started");
    CLEANUP(hypervisor_closep)
    struct hypervisor *hypervisor = hypervisor_new(uri, agent_limit);
    virConnectPtr connection;
    if (connection_open(uri, &connection, error) != 0)
        return -1;
    hypervisor->connections[0].connection = connection;
    if (read_versions(hypervisor, connection, error) != 0)
        return -1;
    *ret_hypervisor = TAKE_PTR(hypervisor);
    return 0;
}

int hypervisor_open(const char *uri, struct hypervisor **ret_hypervisor, struct error *error)
{
    return hypervisor_open_limited(uri, CALL_AGENT_LIMIT, ret_hypervisor, error);
}

const char *hypervisor_uri(const struct hypervisor *hypervisor)
{
    return hypervisor->uri;
}

const char *hypervisor_version(const struct hypervisor *hypervisor)
{
    return hypervisor->version;
}

unsigned long hypervisor_call_count(void)
{
    return call_count();
}
