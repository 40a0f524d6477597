/* Makes one libvirt call of a program fail, for tests: preloaded, it stands in front of libvirt's
 * functions, counts the calls of them all, and lets the N-th return its failure without doing
 * anything.
 *
 *   VMSHADOW_TEST_FAIL=N:FILE   N = 1 is the first call; its name is written to FILE, and nothing
 *                               when it was not reached. N = 0: none fails, all names are written.
 *   VMSHADOW_TEST_FAIL=NAME:FILE  each call of that function fails.
 *   VMSHADOW_TEST_FAIL_CODE=N     with this code of libvirt, VIR_ERR_INTERNAL_ERROR unless given.
 *   VMSHADOW_TEST_FAIL_WHILE=NAME:FILE  instead: each call of that function fails, also of a
 *                               watchdog, as long as FILE is there; the name is appended to it.
 *   VMSHADOW_TEST_FAIL_HANG=NAME:FILE  each call of that function has its effect, then appends the
 *                               name to FILE and returns only when FILE is gone.
 *
 * Otherwise a watchdog is left alone: it is what puts things right.
 *
 * Each wrapper passes on eight words, whatever the function takes: on this machine's calling
 * convention the rest is not looked at. Functions that only read or free what is in memory are not
 * there; they do not fail.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef intptr_t function(intptr_t, intptr_t, intptr_t, intptr_t, intptr_t, intptr_t, intptr_t,
                          intptr_t);

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Set once. */
static bool is_on;
static unsigned long wanted;
static char wanted_name[64]; /* "" = the number is wanted */
static int code = VIR_ERR_INTERNAL_ERROR;
static int names = -1;
static struct call_while {
    const char *path; /* as long as it is there */
    char name[64];
} failing, hanging;
/* Atomic. */
static atomic_ulong counted;

static bool is_watchdog(void)
{
    char words[4096];
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? 0 : read(file, words, sizeof words - 1);
    if (file >= 0)
        (void)close(file);
    words[size > 0 ? size : 0] = '\0';
    const char *verb = words + strlen(words) + 1;
    return size > 0 && verb < words + size && strcmp(verb, "watchdog") == 0;
}

static void read_while(const char *variable, struct call_while *ret_call)
{
    const char *text = getenv(variable);
    const char *colon = text ? strchr(text, ':') : NULL;
    if (!colon)
        return;
    (void)snprintf(ret_call->name, sizeof ret_call->name, "%.*s", (int)(colon - text), text);
    ret_call->path = colon + 1;
}

static void read_environment(void)
{
    read_while("VMSHADOW_TEST_FAIL_WHILE", &failing);
    if (!is_watchdog())
        read_while("VMSHADOW_TEST_FAIL_HANG", &hanging);
    const char *text = getenv("VMSHADOW_TEST_FAIL");
    const char *path = text ? strchr(text, ':') : NULL;
    if (!path || is_watchdog())
        return;
    wanted = strtoul(text, NULL, 10);
    if (strncmp(text, "vir", 3) == 0)
        (void)snprintf(wanted_name, sizeof wanted_name, "%.*s", (int)(path - text), text);
    if (getenv("VMSHADOW_TEST_FAIL_CODE"))
        code = (int)strtol(getenv("VMSHADOW_TEST_FAIL_CODE"), NULL, 10);
    /* High, so that a descriptor of the program keeps the number that it has without this. */
    int file = open(path + 1, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    names = file < 0 ? -1 : fcntl(file, F_DUPFD_CLOEXEC, 200);
    (void)close(file);
    is_on = names >= 0;
}

/* libvirt's own last failure is not to be set from outside. Any call forgets it, as there. */
static _Thread_local bool has_failed;

virErrorPtr virGetLastError(void)
{
    static virErrorPtr (*real)(void);
    static virError fault = {.domain = VIR_FROM_NONE,
                             .level = VIR_ERR_ERROR,
                             .message = (char *)"made to fail by a test"};
    fault.code = code;
    if (has_failed)
        return &fault;
    if (!real)
        real = (virErrorPtr(*)(void))dlsym(RTLD_NEXT, "virGetLastError");
    return real();
}

static bool is_for_now(const struct call_while *call, const char *name)
{
    if (!call->path || strcmp(name, call->name) != 0)
        return false;
    int file = open(call->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (file < 0)
        return false;
    (void)dprintf(file, "%s\n", name);
    (void)close(file);
    return true;
}

static bool fails(const char *name)
{
    has_failed = false;
    (void)pthread_once(&once, read_environment);
    if (is_for_now(&failing, name))
        return has_failed = true;
    if (!is_on)
        return false;
    bool is_it = atomic_fetch_add(&counted, 1) + 1 == wanted;
    has_failed = *wanted_name ? strcmp(name, wanted_name) == 0 : is_it;
    if (has_failed || (wanted == 0 && !*wanted_name))
        (void)dprintf(names, "%s\n", name);
    return has_failed;
}

static intptr_t return_late(const char *name, intptr_t result)
{
    if (is_for_now(&hanging, name))
        while (access(hanging.path, F_OK) == 0)
            (void)usleep(10000);
    return result;
}

/* CALL(name, failure): what it returns when it has failed. */
#define CALL(name, failure)                                                                        \
    intptr_t name##_wrapper(intptr_t, intptr_t, intptr_t, intptr_t, intptr_t, intptr_t, intptr_t,  \
                            intptr_t) __asm__(#name);                                              \
    __attribute__((visibility("default")))                                                         \
    intptr_t name##_wrapper(intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e,            \
                            intptr_t f, intptr_t g, intptr_t h)                                    \
    {                                                                                              \
        static function *real;                                                                     \
        if (!real)                                                                                 \
            real = (function *)dlsym(RTLD_NEXT, #name);                                            \
        return fails(#name) ? (failure) : return_late(#name, real(a, b, c, d, e, f, g, h));        \
    }

CALL(virConnectDomainEventRegisterAny, -1)
CALL(virConnectGetHostname, 0)
CALL(virConnectGetLibVersion, -1)
CALL(virConnectGetVersion, -1)
CALL(virConnectListAllDomains, -1)
CALL(virConnectOpen, 0)
CALL(virDomainAbortJob, -1)
CALL(virDomainAgentSetResponseTimeout, -1)
CALL(virDomainBackupBegin, -1)
CALL(virDomainBackupGetXMLDesc, 0)
CALL(virDomainCreateWithFlags, -1)
CALL(virDomainDefineXMLFlags, 0)
CALL(virDomainDestroy, -1)
CALL(virDomainFSFreeze, -1)
CALL(virDomainFSThaw, -1)
CALL(virDomainGetAutostart, -1)
CALL(virDomainGetBlockInfo, -1)
CALL(virDomainGetBlockJobInfo, -1)
CALL(virDomainGetGuestInfo, -1)
CALL(virDomainGetJobInfo, -1)
CALL(virDomainGetJobStats, -1)
CALL(virDomainGetState, -1)
CALL(virDomainGetXMLDesc, 0)
CALL(virDomainHasManagedSaveImage, -1)
CALL(virDomainIsActive, -1)
CALL(virDomainIsPersistent, -1)
CALL(virDomainListAllCheckpoints, -1)
CALL(virDomainLookupByName, 0)
CALL(virDomainLookupByUUIDString, 0)
CALL(virDomainManagedSave, -1)
CALL(virDomainManagedSaveDefineXML, -1)
CALL(virDomainManagedSaveRemove, -1)
CALL(virDomainMemoryStats, -1)
CALL(virDomainQemuAgentCommand, 0)
CALL(virDomainRestoreFlags, -1)
CALL(virDomainResume, -1)
CALL(virDomainSaveFlags, -1)
CALL(virDomainSaveImageGetXMLDesc, 0)
CALL(virDomainSetAutostart, -1)
CALL(virDomainSnapshotCreateXML, 0)
CALL(virDomainSnapshotNum, -1)
CALL(virDomainSuspend, -1)
CALL(virDomainUndefineFlags, -1)
CALL(virDomainUpdateDeviceFlags, -1)
CALL(virNetworkGetXMLDesc, 0)
CALL(virNetworkIsActive, -1)
CALL(virNetworkLookupByName, 0)
CALL(virStoragePoolGetXMLDesc, 0)
CALL(virStoragePoolLookupByName, 0)
CALL(virStorageVolGetPath, 0)
CALL(virStorageVolLookupByName, 0)
