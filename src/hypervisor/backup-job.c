/* The end of a job is asynchronous: virDomainAbortJob() returns while QEMU still cancels. Abort is
 * therefore asked once and then looked for, and asked again only when the job is seen to be ours
 * after a while: an abort that came late would hit another tool's job. */
#include "hypervisor/backup-job.h"

#include "hypervisor/domain-private.h"
#include "hypervisor/xml.h"

#include <string.h>

#define LOOK_PAUSE (20 * CLOCK_MILLISECOND)
#define RESUME_PAUSE (100 * CLOCK_MILLISECOND)
#define ABORT_AGAIN (3 * CLOCK_SECOND)
#define STARTING_LIMIT (2 * CLOCK_SECOND)

static xmlNodePtr add(xmlNodePtr parent, const char *name)
{
    return xmlNewChild(parent, NULL, (const xmlChar *)name, NULL);
}

static void set(xmlNodePtr node, const char *name, const char *value)
{
    (void)xmlNewProp(node, (const xmlChar *)name, (const xmlChar *)value);
}

char *backup_job_xml(const char *socket, const struct backup_job_disk *disks, size_t count)
{
    CLEANUP_XML xmlDocPtr document = xmlNewDoc((const xmlChar *)"1.0");
    xmlNodePtr root = xmlNewNode(NULL, (const xmlChar *)"domainbackup");
    (void)xmlDocSetRootElement(document, root);
    set(root, "mode", "pull");
    xmlNodePtr server = add(root, "server");
    set(server, "transport", "unix");
    set(server, "socket", socket);
    xmlNodePtr list = add(root, "disks");
    for (size_t i = 0; i < count; i++) {
        xmlNodePtr disk = add(list, "disk");
        set(disk, "name", disks[i].target);
        set(disk, "backup", "yes");
        set(disk, "type", "file");
        set(disk, "exportname", disks[i].target);
        set(add(disk, "driver"), "type", "qcow2");
        set(add(disk, "scratch"), "file", disks[i].scratch);
    }
    xmlChar *text = NULL;
    int size = 0;
    xmlDocDumpMemory(document, &text, &size);
    char *copy = memory_copy_string((const char *)text);
    xmlFree(text);
    return copy;
}

static bool is_starting(virDomainPtr domain)
{
    return domain_read_operation(domain) == VIR_DOMAIN_JOB_OPERATION_BACKUP;
}

static bool names_socket(const char *xml, const char *socket)
{
    CLEANUP_XML xmlDocPtr document = xml_parse(xml, 1 << 20, "backup XML", NULL);
    const xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    return socket && xml_attribute_is(xml_child(root, "server"), "socket", socket);
}

int backup_job_look(virDomainPtr domain, const char *socket, enum backup_job_state *ret_state,
                    struct error *error)
{
    const char *name = virDomainGetName(domain);
    CLEANUP_FREE char *xml = VIR(virDomainBackupGetXMLDesc(domain, 0));
    if (xml) {
        *ret_state = names_socket(xml, socket) ? BACKUP_JOB_OURS : BACKUP_JOB_FOREIGN;
        return 0;
    }
    if (call_last_code() != VIR_ERR_NO_DOMAIN_BACKUP)
        return call_error(error, "VM %s: cannot ask for its backup job", name);
    *ret_state = is_starting(domain) ? BACKUP_JOB_STARTING : BACKUP_JOB_NONE;
    return 0;
}

/* What one look at the VM found. */
enum progress { ENDED, ABORTING, WAITING };

static int look_once(struct hypervisor *hypervisor, const char *uuid, const char *socket,
                     bool abort, enum progress *ret_progress, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    enum domain_state state;
    enum backup_job_state job;
    if (call_begin_domain(hypervisor, CALL_PLAIN, uuid, &call, error) != 0 ||
        domain_read_state(call.domain, &state, error) != 0)
        return -1;
    if (state == DOMAIN_OFF || state == DOMAIN_SAVED) {
        *ret_progress = ENDED;
        return 0;
    }
    if (backup_job_look(call.domain, socket, &job, error) != 0)
        return -1;
    *ret_progress = job == BACKUP_JOB_OURS       ? ABORTING
                    : job == BACKUP_JOB_STARTING ? WAITING
                                                 : ENDED;
    if (*ret_progress == ABORTING && abort && VIR(virDomainAbortJob(call.domain)) != 0)
        return call_error(error, "VM %s: the backup job cannot be aborted", call.name);
    return 0;
}

/* 1 = it was paused and goes on, 0 = nothing to do, -1. */
static int resume_once(struct hypervisor *hypervisor, const char *uuid, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    enum domain_state state;
    if (call_begin_domain(hypervisor, CALL_PLAIN, uuid, &call, error) != 0 ||
        domain_read_state(call.domain, &state, error) != 0)
        return -1;
    if (state != DOMAIN_PAUSED_IO)
        return 0;
    if (VIR(virDomainResume(call.domain)) == 0)
        return 1;
    return call_error(error, "VM %s was paused for lack of scratch space and cannot be resumed",
                      call.name);
}

static bool is_gone(struct error *fault)
{
    return fault->kind == ERROR_NOT_FOUND;
}

static int wait_for_end(struct hypervisor *hypervisor, const char *uuid, const char *socket,
                        int64_t deadline, struct error *error)
{
    int64_t abort_from = 0, starting_until = clock_monotonic() + STARTING_LIMIT;
    for (;;) {
        struct error fault = ERROR_INIT;
        enum progress progress = WAITING;
        bool abort = clock_monotonic() >= abort_from;
        if (look_once(hypervisor, uuid, socket, abort, &progress, &fault) == 0) {
            if (progress == ENDED)
                return 0;
            if (progress == ABORTING && abort)
                abort_from = clock_monotonic() + ABORT_AGAIN;
            if (progress == WAITING && clock_monotonic() >= starting_until)
                return error_set(error, ERROR_TIMEOUT,
                                 "VM %s: libvirt is still beginning a backup job", uuid);
        } else if (is_gone(&fault)) {
            return 0;
        }
        if (clock_monotonic() >= deadline) {
            (void)error_set(&fault, ERROR_TIMEOUT, "VM %s: its backup job does not end", uuid);
            error_move(error, &fault);
            return -1;
        }
        clock_sleep(LOOK_PAUSE);
    }
}

/* Two looks: QEMU may have paused the VM an instant before the job ended, and libvirt not know yet.
 */
static int resume(struct hypervisor *hypervisor, const char *uuid, int64_t deadline,
                  struct error *error)
{
    for (int looks = 0;;) {
        struct error fault = ERROR_INIT;
        int result = resume_once(hypervisor, uuid, &fault);
        if (result < 0 && is_gone(&fault))
            return 0;
        if (result == 0 && ++looks == 2)
            return 0;
        if (clock_monotonic() >=
            deadline) { /* a VM that always pauses again has a fault of its own */
            error_move(error, &fault);
            return result < 0 ? -1 : 0;
        }
        clock_sleep(RESUME_PAUSE);
    }
}

int backup_job_end(struct hypervisor *hypervisor, const char *uuid, const char *socket,
                   bool resume_vm, int64_t deadline, struct error *error)
{
    if (wait_for_end(hypervisor, uuid, socket, deadline, error) != 0)
        return -1;
    return resume_vm ? resume(hypervisor, uuid, deadline, error) : 0;
}
