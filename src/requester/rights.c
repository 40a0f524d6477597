/* What is asked for is what the kernel would say (faccessat with the effective user), not whether
 * the user is root: a service with the right capabilities passes. */
#include "requester/rights.h"

#include "base/memory.h"
#include "hypervisor/directory.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QEMU_DIRECTORY "/var/lib/libvirt/qemu"

bool rights_is_session(const struct requester_host *host)
{
    const char *uri = host->uri ? host->uri : getenv("LIBVIRT_DEFAULT_URI");
    return geteuid() != 0 && uri && strstr(uri, "/session");
}

/* ---- A user's own places ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char *state_directory, *default_location;

static char *place(const char *variable, const char *home, const char *name)
{
    const char *base = getenv(variable), *user = getenv("HOME");
    if (base && *base == '/')
        return memory_format("%s/%s", base, name);
    return memory_format("%s/%s/%s", user && *user == '/' ? user : "/nonexistent", home, name);
}

static void find_places(void)
{
    state_directory = place("XDG_STATE_HOME", ".local/state", "vmshadow");
    default_location = place("XDG_DATA_HOME", ".local/share", "libvirt/images");
}

const char *rights_state_directory(void)
{
    (void)pthread_once(&once, find_places);
    return state_directory;
}

const char *rights_default_location(void)
{
    (void)pthread_once(&once, find_places);
    return default_location;
}

/* ---- What may be done ---- */

/* Write into `path`, or make it when it is not there. */
static bool may_write(const char *path)
{
    CLEANUP_FREE char *part = directory_existing_part(path);
    return faccessat(AT_FDCWD, part, W_OK | X_OK, AT_EACCESS) == 0;
}

int rights_check(const struct requester_host *host, const char *state, struct error *error)
{
    bool journal = may_write(state), sockets = rights_is_session(host) || may_write(QEMU_DIRECTORY);
    if (journal && sockets)
        return 0;
    (void)error_set(error, ERROR_DENIED,
                    "user %u may not back up or restore VMs here: no right to write in %s%s%s%s%s",
                    (unsigned)geteuid(), journal ? "" : state,
                    journal ? "" : " (the journal of what is to be undone)",
                    journal || sockets ? "" : ", nor in ", sockets ? "" : QEMU_DIRECTORY,
                    sockets ? "" : " (sockets of QEMU)");
    return error_advise(error, "rights-missing",
                        "run it as root; a member of group libvirt may use inspect, writers and "
                        "providers, and everybody has the VMs of qemu:///session");
}
