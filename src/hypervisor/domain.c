/* A description is read in one go: state, definition and live XML of one moment, as far as libvirt
 * lets them be. A VM that stops between two of the calls is read again. */
#include "hypervisor/domain.h"

#include "hypervisor/call.h"
#include "hypervisor/disk.h"
#include "hypervisor/domain-private.h"
#include "hypervisor/domain-xml.h"

#include <string.h>

enum { READ_ATTEMPTS = 3 };

const char *domain_state_name(enum domain_state state)
{
    static const char *const names[] = {
        [DOMAIN_RUNNING] = "running",
        [DOMAIN_PAUSED] = "paused",
        [DOMAIN_PAUSED_IO] = "paused (I/O error)",
        [DOMAIN_OFF] = "off",
        [DOMAIN_SAVED] = "saved",
        [DOMAIN_CRASHED] = "crashed",
        [DOMAIN_OTHER] = "in transition",
    };
    return (size_t)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

static void free_disk(struct disk *disk)
{
    for (size_t i = 0; i < disk->layer_count; i++) {
        free(disk->layers[i].path);
        free(disk->layers[i].format);
    }
    free(disk->layers);
    free(disk->target);
    free(disk->device);
    free(disk->source_type);
    free(disk->source);
    free(disk->format);
    free(disk->bus);
    free(disk->serial);
    free(disk->error_policy);
    free(disk->reason);
}

static void free_interface(struct network_interface *interface)
{
    free(interface->type);
    free(interface->source);
    free(interface->mac);
    free(interface->model);
    free(interface->target);
}

void domain_free(struct domain *domain)
{
    if (!domain)
        return;
    for (size_t i = 0; i < domain->disk_count; i++)
        free_disk(&domain->disks[i]);
    for (size_t i = 0; i < domain->interface_count; i++)
        free_interface(&domain->interfaces[i]);
    for (size_t i = 0; i < domain->host_device_count; i++)
        free(domain->host_devices[i]);
    for (size_t i = 0; i < domain->detached_count; i++) {
        free(domain->detached[i].target);
        free(domain->detached[i].source);
    }
    char *texts[] = {domain->name,        domain->uuid,        domain->inactive_xml,
                     domain->live_xml,    domain->nvram,       domain->configuration_file,
                     domain->kernel,      domain->initrd,      domain->tpm_state_directory,
                     domain->device_tree, domain->managed_save};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(texts[i]);
    free(domain->disks);
    free(domain->interfaces);
    free(domain->host_devices);
    free(domain->detached);
    free(domain);
}

void domain_list_free(struct domain **domains, size_t count)
{
    for (size_t i = 0; domains && i < count; i++)
        domain_free(domains[i]);
    free(domains);
}

const struct disk *domain_find_disk(const struct domain *domain, const char *target)
{
    for (size_t i = 0; i < domain->disk_count; i++)
        if (strcmp(domain->disks[i].target, target) == 0)
            return &domain->disks[i];
    return NULL;
}

/* ---- State ---- */

int domain_read_operation(virDomainPtr handle)
{
    int type = VIR_DOMAIN_JOB_NONE, count = 0, operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;
    virTypedParameterPtr parameters = NULL;
    if (VIR(virDomainGetJobStats(handle, &type, &parameters, &count, 0)) != 0)
        return -1;
    (void)virTypedParamsGetInt(parameters, count, VIR_DOMAIN_JOB_OPERATION, &operation);
    virTypedParamsFree(parameters, count);
    return type == VIR_DOMAIN_JOB_NONE ? -1 : operation;
}

/* libvirt keeps the name of an operation as the reason after its end, too: a VM that was started
 * paused from a save image stays "paused (migrating)". */
static bool has_operation(virDomainPtr handle)
{
    int operation = domain_read_operation(handle);
    return operation >= 0 && operation != VIR_DOMAIN_JOB_OPERATION_BACKUP;
}

static enum domain_state paused_state(virDomainPtr handle, int reason)
{
    switch (reason) {
    case VIR_DOMAIN_PAUSED_IOERROR:
        return DOMAIN_PAUSED_IO;
    case VIR_DOMAIN_PAUSED_CRASHED:
        return DOMAIN_CRASHED;
    case VIR_DOMAIN_PAUSED_MIGRATION: /* an operation of libvirt that will end */
    case VIR_DOMAIN_PAUSED_SAVE:
    case VIR_DOMAIN_PAUSED_DUMP:
    case VIR_DOMAIN_PAUSED_SNAPSHOT:
        return has_operation(handle) ? DOMAIN_OTHER : DOMAIN_PAUSED;
    case VIR_DOMAIN_PAUSED_SHUTTING_DOWN:
    case VIR_DOMAIN_PAUSED_STARTING_UP:
    case VIR_DOMAIN_PAUSED_POSTCOPY:
    case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED:
        return DOMAIN_OTHER;
    default:
        return DOMAIN_PAUSED;
    }
}

int domain_read_state(virDomainPtr handle, enum domain_state *ret_state, struct error *error)
{
    int state, reason;
    const char *name = virDomainGetName(handle);
    if (VIR(virDomainGetState(handle, &state, &reason, 0)) != 0)
        return call_error(error, "VM %s", name);
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
        *ret_state = DOMAIN_RUNNING;
        break;
    case VIR_DOMAIN_PAUSED:
        *ret_state = paused_state(handle, reason);
        break;
    case VIR_DOMAIN_SHUTOFF:
        *ret_state = VIR(virDomainHasManagedSaveImage(handle, 0)) == 1 ? DOMAIN_SAVED : DOMAIN_OFF;
        break;
    case VIR_DOMAIN_CRASHED:
        *ret_state = DOMAIN_CRASHED;
        break;
    default:
        *ret_state = DOMAIN_OTHER;
    }
    return 0;
}

/* ---- Description ---- */

static char *existing(char *path)
{
    if (access(path, F_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static bool is_session(const struct hypervisor *hypervisor)
{
    return strstr(hypervisor_uri(hypervisor), "/session") != NULL;
}

static char *configuration_directory(const struct hypervisor *hypervisor)
{
    const char *home = getenv("HOME");
    const char *configured = getenv("XDG_CONFIG_HOME");
    if (!is_session(hypervisor))
        return memory_copy_string("/etc/libvirt/qemu");
    return configured ? memory_format("%s/libvirt/qemu", configured)
                      : memory_format("%s/.config/libvirt/qemu", home ? home : "");
}

char *domain_save_directory(const struct hypervisor *hypervisor)
{
    if (!is_session(hypervisor))
        return memory_copy_string("/var/lib/libvirt/qemu/save");
    CLEANUP_FREE char *base = configuration_directory(hypervisor);
    return memory_format("%s/save", base);
}

/* libvirt names these files after the VM; no call tells where they are. */
static void find_files(const struct hypervisor *hypervisor, struct domain *domain)
{
    CLEANUP_FREE char *base = configuration_directory(hypervisor);
    CLEANUP_FREE char *saves = domain_save_directory(hypervisor);
    domain->configuration_file = existing(memory_format("%s/%s.xml", base, domain->name));
    if (domain->state != DOMAIN_SAVED)
        return;
    domain->managed_save = existing(memory_format("%s/%s.save", saves, domain->name));
}

static void read_live_disk(virDomainPtr handle, struct disk *disk)
{
    virDomainBlockInfo block;
    virDomainBlockJobInfo job;
    if (!*disk->source_type)
        return;
    if (VIR(virDomainGetBlockInfo(handle, disk->target, &block, 0)) == 0 &&
        block.capacity <= INT64_MAX && block.allocation <= INT64_MAX) {
        disk->size = (int64_t)block.capacity;
        disk->allocation = (int64_t)block.allocation;
    }
    disk->has_block_job = VIR(virDomainGetBlockJobInfo(handle, disk->target, &job, 0)) == 1;
}

static void describe_disks(struct call *call, virDomainPtr handle, struct domain *domain,
                           const struct disk_facts *facts)
{
    for (size_t i = 0; i < domain->disk_count; i++) {
        disk_classify(call, &domain->disks[i], &facts[i]);
        if (domain->live_xml)
            read_live_disk(handle, &domain->disks[i]);
        else if (domain->disks[i].included)
            disk_read_stopped(&domain->disks[i], &facts[i]);
    }
}

static char *read_definition(virDomainPtr handle)
{
    return VIR(virDomainGetXMLDesc(handle, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE));
}

int domain_read_definition(struct hypervisor *hypervisor, const char *uuid, char **ret_xml,
                           struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (call_begin_domain(hypervisor, CALL_PLAIN, uuid, &call, error) != 0)
        return -1;
    char *xml = read_definition(call.domain);
    if (!xml)
        return call_error(error, "VM %s: cannot read its XML", call.name);
    *ret_xml = xml;
    return 0;
}

static int read_texts(virDomainPtr handle, char **ret_inactive, char **ret_live,
                      struct error *error)
{
    char *live = NULL;
    const char *name = virDomainGetName(handle);
    int active = VIR(virDomainIsActive(handle));
    char *inactive = active < 0 ? NULL : read_definition(handle);
    if (inactive && active == 1)
        live = VIR(virDomainGetXMLDesc(handle, 0));
    if (!inactive || (active == 1 && !live)) {
        free(inactive);
        return call_error(error, "VM %s: cannot read its XML", name);
    }
    *ret_inactive = inactive;
    *ret_live = live;
    return 0;
}

static int describe(struct call *call, virDomainPtr handle, struct domain **ret_domain,
                    struct error *error)
{
    CLEANUP_FREE char *inactive = NULL;
    CLEANUP_FREE char *live = NULL;
    enum domain_state state;
    CLEANUP(domain_freep) struct domain *domain = NULL;
    struct disk_facts *facts = NULL;
    int autostart = 0;
    if (domain_read_state(handle, &state, error) != 0 ||
        read_texts(handle, &inactive, &live, error) != 0 ||
        domain_xml_read(live ? live : inactive, &domain, &facts, error) != 0)
        return -1;
    if (live && domain_xml_compare(domain, inactive, error) != 0) {
        disk_facts_free(facts, domain->disk_count);
        return -1;
    }
    domain->state = state;
    domain->inactive_xml = TAKE_PTR(inactive);
    domain->live_xml = TAKE_PTR(live);
    domain->persistent = VIR(virDomainIsPersistent(handle)) == 1;
    domain->autostart = VIR(virDomainGetAutostart(handle, &autostart)) == 0 && autostart;
    find_files(call->hypervisor, domain);
    describe_disks(call, handle, domain, facts);
    disk_facts_free(facts, domain->disk_count);
    bool off = state == DOMAIN_OFF || state == DOMAIN_SAVED;
    if (state != DOMAIN_CRASHED && off == (domain->live_xml != NULL))
        return error_set(error, ERROR_BUSY, "VM %s changes its state", domain->name);
    *ret_domain = TAKE_PTR(domain);
    return 0;
}

int domain_describe(struct call *call, virDomainPtr handle, struct domain **ret_domain,
                    struct error *error)
{
    struct error fault = ERROR_INIT;
    for (int attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
        error_clear(&fault);
        if (describe(call, handle, ret_domain, &fault) == 0)
            return 0;
        if (fault.kind == ERROR_NOT_FOUND || fault.kind == ERROR_CONNECTION)
            break;
        clock_sleep(20 * CLOCK_MILLISECOND);
    }
    error_move(error, &fault);
    return -1;
}
