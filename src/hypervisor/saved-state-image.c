/* The image as a file: where it may go, how large it is, how fast it is written, is it whole. */
#include "hypervisor/saved-state-private.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/publish.h"
#include "hypervisor/directory.h"
#include "hypervisor/xml.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Devices, video memory and the definition come on top of the VM's memory. */
#define IMAGE_EXTRA (UINT64_C(64) << 20)
#define DEFAULT_RESERVE (UINT64_C(1) << 30)
#define PROBE_SIZE (UINT64_C(32) << 20)

uint64_t saved_state_size_limit(const struct domain *domain)
{
    return domain->memory + IMAGE_EXTRA;
}

int saved_state_check_room(const struct saved_state_settings *settings, uint64_t size,
                           struct error *error)
{
    CLEANUP_FREE char *base = directory_for_run(settings->hypervisor, settings->directory);
    CLEANUP_FREE char *directory = directory_existing_part(base);
    uint64_t reserve = settings->reserve ? settings->reserve : DEFAULT_RESERVE;
    uint64_t beside = instants_room_beside(settings->instants, directory), room;
    if (beside > reserve) /* one reserve for both, as they share the room */
        reserve = beside;
    if (directory_check_local(directory, error) != 0 ||
        directory_get_room(directory, &room, error) != 0)
        return -1;
    if (size <= UINT64_MAX - reserve && room >= size + reserve)
        return 0;
    (void)error_set(error, ERROR_SPACE,
                    "no room for memory images in %s: %llu MiB are free, of which %llu MiB must "
                    "stay free%s, and %llu MiB are needed",
                    base, (unsigned long long)(room >> 20), (unsigned long long)(reserve >> 20),
                    beside ? " or are for scratch space" : "", (unsigned long long)(size >> 20));
    return error_advise(error, "no-room-for-memory",
                        "make room there, or choose another local directory with "
                        "--saved-state-dir");
}

void saved_state_settle(const struct saved_state_settings *settings)
{
    CLEANUP_FREE char *directory = directory_for_run(settings->hypervisor, settings->directory);
    publish_settle(directory);
}

int saved_state_memory_in_use(struct hypervisor *hypervisor, const struct domain *domain,
                              uint64_t *ret_bytes, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    virDomainMemoryStatStruct facts[VIR_DOMAIN_MEMORY_STAT_NR];
    if (call_begin_domain(hypervisor, CALL_PLAIN, domain->uuid, &call, error) != 0)
        return -1;
    int count = VIR(virDomainMemoryStats(call.domain, facts, VIR_DOMAIN_MEMORY_STAT_NR, 0));
    uint64_t bytes = domain->memory;
    for (int i = 0; i < count;
         i++) /* of QEMU as a whole, which is a little more than the guest's */
        if (facts[i].tag == VIR_DOMAIN_MEMORY_STAT_RSS && facts[i].val < bytes >> 10)
            bytes = facts[i].val << 10;
    *ret_bytes = bytes;
    return 0;
}

/* No two blocks alike, so that no file system makes it cheaper than memory would be. */
static int write_probe(int file, struct error *error)
{
    enum { BLOCK = 4 << 20 };
    CLEANUP_FREE uint64_t *block = NEW_ARRAY(uint64_t, BLOCK / sizeof(uint64_t));
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
    for (uint64_t offset = 0; offset < PROBE_SIZE; offset += BLOCK) {
        for (size_t i = 0; i < BLOCK / sizeof *block; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block[i] = state;
        }
        if (io_write_all(io_real(), file, block, BLOCK, (off_t)offset) != 0)
            return error_errno(error, errno, "cannot write a probe");
    }
    return 0;
}

int saved_state_measure_rate(const struct saved_state_settings *settings, uint64_t *ret_rate,
                             struct error *error)
{
    CLEANUP_FREE char *base = directory_for_run(settings->hypervisor, settings->directory);
    CLEANUP_FREE char *directory = directory_existing_part(base);
    CLEANUP_CLOSE int file = open(directory, O_TMPFILE | O_RDWR | O_DSYNC | O_CLOEXEC, 0600);
    if (file < 0)
        return error_errno(error, errno, "cannot write to %s", directory);
    int64_t begin = clock_monotonic();
    if (write_probe(file, error) != 0)
        return error_prefix(error, "%s: ", directory);
    int64_t duration = clock_monotonic() - begin;
    *ret_rate = PROBE_SIZE * (uint64_t)CLOCK_SECOND / (uint64_t)(duration > 0 ? duration : 1);
    return 0;
}

/* libvirt writes "LibvirtQemudPart" first and replaces it when the image is whole. */
int saved_state_is_whole(const char *path)
{
    static const char whole[] = "LibvirtQemudSave";
    char magic[sizeof whole - 1];
    struct stat facts;
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        return errno == ENOENT ? 0 : -1;
    if (fstat(file, &facts) == 0 && facts.st_size < (off_t)sizeof magic)
        return 0;
    if (io_read_all(io_real(), file, magic, sizeof magic, 0) != 0)
        return -1;
    return memcmp(magic, whole, sizeof magic) == 0;
}

static bool is_later(const struct timespec *time, const struct timespec *than)
{
    return time->tv_sec > than->tv_sec ||
           (time->tv_sec == than->tv_sec && time->tv_nsec > than->tv_nsec);
}

int saved_state_is_outdated(const char *image, const json_t *disks)
{
    struct stat written, disk;
    size_t index;
    json_t *path;
    bool unknown = false;
    if (stat(image, &written) != 0)
        return 1;
    json_array_foreach(disks, index, path)
    {
        const char *text = json_string_value(path);
        if (!text || stat(text, &disk) != 0 || !S_ISREG(disk.st_mode) ||
            directory_check_local(text, NULL) != 0)
            unknown = true;
        else if (is_later(&disk.st_mtim, &written.st_mtim))
            return 1;
    }
    return unknown ? -1 : 0;
}

char *saved_state_snapshot_xml(const struct domain *domain, const char *image)
{
    CLEANUP_XML xmlDocPtr document = xmlNewDoc((const xmlChar *)"1.0");
    xmlNodePtr root = xmlNewNode(NULL, (const xmlChar *)"domainsnapshot");
    (void)xmlDocSetRootElement(document, root);
    xmlNodePtr memory = xmlNewChild(root, NULL, (const xmlChar *)"memory", NULL);
    (void)xmlNewProp(memory, (const xmlChar *)"snapshot", (const xmlChar *)"external");
    (void)xmlNewProp(memory, (const xmlChar *)"file", (const xmlChar *)image);
    xmlNodePtr disks = xmlNewChild(root, NULL, (const xmlChar *)"disks", NULL);
    for (size_t i = 0; i < domain->disk_count; i++) {
        xmlNodePtr disk = xmlNewChild(disks, NULL, (const xmlChar *)"disk", NULL);
        (void)xmlNewProp(disk, (const xmlChar *)"name", (const xmlChar *)domain->disks[i].target);
        (void)xmlNewProp(disk, (const xmlChar *)"snapshot", (const xmlChar *)"no");
    }
    xmlChar *text = NULL;
    int size = 0;
    xmlDocDumpMemory(document, &text, &size);
    char *copy = memory_copy_string((const char *)text);
    xmlFree(text);
    return copy;
}
