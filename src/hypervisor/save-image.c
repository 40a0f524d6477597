/* Whether a saved VM continues paused is told by no call of libvirt, so the header is read here. It
 * is the same since 2009: magic (16 bytes, another one while the image is not complete), then
 * 32-bit numbers in the host's byte order: version, length of the XML, was running, compression,
 * ... */
#include "hypervisor/save-image.h"

#include "base/io.h"
#include "hypervisor/call.h"
#include "hypervisor/domain-xml.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { NEWEST_VERSION = 3, MAGIC_SIZE = 16 };

struct header {
    char magic[MAGIC_SIZE];
    uint32_t version, xml_size, was_running;
};
_Static_assert(sizeof(struct header) == 28, "the beginning of libvirt's header");

static int check_header(const struct header *header, const char *path, struct error *error)
{
    if (memcmp(header->magic, "LibvirtQemudPart", MAGIC_SIZE) == 0)
        return error_set(error, ERROR_DAMAGED, "the save image %s was not written to its end",
                         path);
    if (memcmp(header->magic, "LibvirtQemudSave", MAGIC_SIZE) != 0)
        return error_set(error, ERROR_DAMAGED, "%s is no save image of libvirt", path);
    if (header->version == 0 || header->version > NEWEST_VERSION)
        return error_set(error, ERROR_REFUSED,
                         "the save image %s has format %u, which is not known", path,
                         header->version);
    if (header->xml_size == 0 || header->xml_size > DOMAIN_XML_LIMIT || header->was_running > 1)
        return error_set(error, ERROR_DAMAGED, "the header of the save image %s is damaged", path);
    return 0;
}

int save_image_read(const char *path, struct save_image *ret_image, struct error *error)
{
    struct header header;
    struct stat facts;
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (file < 0 || fstat(file, &facts) != 0)
        return error_errno(error, errno, "save image %s", path);
    if (!S_ISREG(facts.st_mode) || facts.st_size < (off_t)sizeof header)
        return error_set(error, ERROR_DAMAGED, "%s is no save image of libvirt", path);
    if (io_read_all(io_real(), file, &header, sizeof header, 0) != 0)
        return error_errno(error, errno, "cannot read the save image %s", path);
    if (check_header(&header, path, error) != 0)
        return -1;
    *ret_image = (struct save_image){
        .paused = !header.was_running,
        .size = (uint64_t)facts.st_size,
    };
    return 0;
}

int save_image_read_xml(struct hypervisor *hypervisor, const char *path, char **ret_xml,
                        struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (call_begin(hypervisor, CALL_PLAIN, &call, error) != 0)
        return -1;
    char *xml =
        VIR(virDomainSaveImageGetXMLDesc(call.connection, path, VIR_DOMAIN_SAVE_IMAGE_XML_SECURE));
    if (!xml)
        return call_error(error, "cannot read the XML in the save image %s", path);
    *ret_xml = xml;
    return 0;
}

static const char *path_of(const struct disk *disk)
{
    return disk->layer_count && disk->layers[0].path ? disk->layers[0].path : disk->source;
}

static bool is_same(const char *one, const char *other)
{
    return one && other ? strcmp(one, other) == 0 : one == other;
}

static int check_disk(const struct disk *saved, const struct domain *domain, struct error *error)
{
    if (saved->read_only || !*saved->source_type || strcmp(saved->device, "cdrom") == 0)
        return 0;
    const struct disk *disk = domain_find_disk(domain, saved->target);
    const char *path = path_of(saved), *defined = disk ? path_of(disk) : NULL;
    if (disk && (is_same(path, defined) || is_same(saved->source, disk->source)))
        return 0;
    (void)error_set(error, ERROR_REFUSED,
                    "it was saved with disk %s on %s; its definition has it %s%s", saved->target,
                    path ? path : "?", disk ? "on " : "no more", defined ? defined : "");
    return error_advise(error, "saved-disks-differ",
                        "start the VM, or drop the saved state (virsh managedsave-remove %s)",
                        domain->name);
}

int save_image_check_disks(const char *xml, const struct domain *domain, struct error *error)
{
    struct domain *saved = NULL;
    struct disk_facts *facts = NULL;
    if (domain_xml_read(xml, &saved, &facts, error) != 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < saved->disk_count && result == 0; i++)
        result = check_disk(&saved->disks[i], domain, error);
    disk_facts_free(facts, saved->disk_count);
    domain_free(saved);
    return result;
}
