/* Which VM is meant: by name or UUID, one or all. Only those that are wanted are described. */
#include "hypervisor/call.h"
#include "hypervisor/domain-private.h"

#include <string.h>
#include <strings.h>

enum { DOMAINS_LIMIT = 16384 };

static int by_name(const void *left, const void *right)
{
    const struct domain *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

bool domain_is_named(const char *word, const char *name, const char *uuid)
{
    return strcmp(word, name) == 0 || strcasecmp(word, uuid) == 0;
}

struct wanted {
    const char *const *words;
    size_t count;
};

static bool is_wanted(const struct wanted *wanted, virDomainPtr handle)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    const char *name = virDomainGetName(handle);
    if (!wanted->count || !name || virDomainGetUUIDString(handle, uuid) != 0)
        return true;
    for (size_t i = 0; i < wanted->count; i++)
        if (domain_is_named(wanted->words[i], name, uuid))
            return true;
    return false;
}

static int describe_wanted(struct call *call, virDomainPtr *handles, int found,
                           const struct wanted *wanted, struct domain ***ret_domains,
                           size_t *ret_count, struct error *error)
{
    struct domain **domains = NEW_ARRAY(struct domain *, (size_t)found + 1);
    size_t count = 0;
    for (int i = 0; i < found; i++) {
        struct error fault = ERROR_INIT;
        if (!is_wanted(wanted, handles[i]))
            continue;
        if (domain_describe(call, handles[i], &domains[count], &fault) == 0) {
            count++;
        } else if (fault.kind != ERROR_NOT_FOUND) { /* else it went since it was listed */
            error_move(error, &fault);
            domain_list_free(domains, count);
            return -1;
        }
    }
    qsort(domains, count, sizeof(struct domain *), by_name);
    *ret_domains = domains;
    *ret_count = count;
    return 0;
}

int domain_list(struct hypervisor *hypervisor, const char *const *wanted, size_t wanted_count,
                struct domain ***ret_domains, size_t *ret_count, struct error *error)
{
    struct wanted those = {wanted, wanted_count};
    CLEANUP_CALL struct call call = CALL_NONE;
    if (call_begin(hypervisor, CALL_PLAIN, &call, error) != 0)
        return -1;
    virDomainPtr *handles = NULL;
    int found = VIR(virConnectListAllDomains(call.connection, &handles, 0));
    if (found < 0)
        return call_error(error, "cannot list the VMs");
    int result =
        found > DOMAINS_LIMIT
            ? error_set(error, ERROR_FAILED, "this host has too many VMs (%d)", found)
            : describe_wanted(&call, handles, found, &those, ret_domains, ret_count, error);
    for (int i = 0; i < found; i++)
        (void)virDomainFree(handles[i]);
    free(handles);
    return result;
}

/* A name may look like a UUID; the name goes first, as in virsh. */
static virDomainPtr find_by_word(virConnectPtr connection, const char *name)
{
    virDomainPtr handle = VIR(virDomainLookupByName(connection, name));
    if (handle || call_last_code() != VIR_ERR_NO_DOMAIN)
        return handle;
    char plain[VIR_UUID_STRING_BUFLEN];
    if (strlen(name) >= sizeof plain)
        return NULL;
    return VIR(virDomainLookupByUUIDString(connection, name));
}

static int look_up(struct call *call, const char *name, virDomainPtr *ret_handle,
                   struct error *error)
{
    *ret_handle = find_by_word(call->connection, name);
    if (*ret_handle)
        return 0;
    if (call_last_code() != VIR_ERR_NO_DOMAIN && call_last_code() != VIR_ERR_INVALID_ARG)
        return call_error(error, "cannot look VM %s up", name);
    (void)error_set(error, ERROR_NOT_FOUND, "no VM has the name or UUID \"%s\"", name);
    return error_advise(error, "no-such-vm", "vmshadow inspect lists the VMs of this host");
}

int domain_lookup(struct hypervisor *hypervisor, const char *name, struct domain **ret_domain,
                  struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    CLEANUP_DOMAIN virDomainPtr handle = NULL;
    if (call_begin(hypervisor, CALL_PLAIN, &call, error) != 0 ||
        look_up(&call, name, &handle, error) != 0)
        return -1;
    return domain_describe(&call, handle, ret_domain, error);
}

int domain_check_exists(struct hypervisor *hypervisor, const char *name, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    CLEANUP_DOMAIN virDomainPtr handle = NULL;
    return call_begin(hypervisor, CALL_PLAIN, &call, error) != 0 ||
                   look_up(&call, name, &handle, error) != 0
               ? -1
               : 0;
}

int domain_get_state(struct hypervisor *hypervisor, const char *uuid, enum domain_state *ret_state,
                     struct error *error)
{
    struct error fault = ERROR_INIT;
    for (int attempt = 0; attempt < 2; attempt++) { /* the second over a new connection */
        error_clear(&fault);
        CLEANUP_CALL struct call call = CALL_NONE;
        if (call_begin_domain(hypervisor, CALL_PLAIN, uuid, &call, &fault) == 0 &&
            domain_read_state(call.domain, ret_state, &fault) == 0)
            return 0;
        if (fault.kind != ERROR_CONNECTION)
            break;
    }
    error_move(error, &fault);
    return -1;
}
