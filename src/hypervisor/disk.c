/* Row B10. Left out beyond its list, because no consistent copy can be had through QEMU:
 *   shareable   another VM may write to it meanwhile, which a backup job of this VM does not see
 *   transient   what the guest writes is dropped when the VM stops, and libvirt refuses jobs on it
 *   vhost-user, vhost-vdpa   another process serves the guest; QEMU has no access to the data
 *   dir         a host directory shown as a FAT disk: no image
 * All are named with their reason, as those of the list are. */
#include "hypervisor/disk.h"

#include "hypervisor/image.h"
#include "hypervisor/server.h"
#include "hypervisor/xml.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define INSIDE ": back it up inside the guest"

static bool is(const char *text, const char *value)
{
    return text && strcmp(text, value) == 0;
}

static char *reason_by_device(const struct disk *disk)
{
    bool empty = !*disk->source_type;
    if (is(disk->device, "cdrom"))
        return memory_copy_string(empty ? "empty CD-ROM drive" : "CD-ROM medium");
    if (is(disk->device, "floppy"))
        return memory_copy_string(empty ? "empty floppy drive" : "floppy medium");
    if (is(disk->device, "lun"))
        return memory_copy_string("pass-through disk (device='lun')" INSIDE);
    return empty ? memory_copy_string("drive without a source") : NULL;
}

static char *reason_by_source(const struct disk *disk)
{
    if (is(disk->source_type, "nvme"))
        return memory_copy_string("pass-through disk (host NVMe device)" INSIDE);
    if (is(disk->source_type, "vhostuser") || is(disk->source_type, "vhostvdpa"))
        return memory_format("disk served by another process than QEMU (type='%s')" INSIDE,
                             disk->source_type);
    if (is(disk->source_type, "dir"))
        return memory_copy_string("host directory shown as a disk, no image: back it up as files "
                                  "of the host");
    return NULL;
}

static char *reason_iscsi(const struct disk_facts *facts, const char *pool_type, bool iscsi_device)
{
    if (is(facts->protocol, "iscsi"))
        return memory_copy_string("iSCSI disk (protocol='iscsi')" INSIDE);
    if (is(pool_type, "iscsi") || is(pool_type, "iscsi-direct"))
        return memory_format("iSCSI disk (storage pool %s of type %s)" INSIDE, facts->pool,
                             pool_type);
    if (iscsi_device)
        return memory_copy_string("iSCSI disk (a device of this host's iSCSI initiator)" INSIDE);
    return NULL;
}

static char *reason_by_use(const struct disk *disk)
{
    if (disk->read_only)
        return memory_copy_string("read-only medium");
    if (disk->shareable)
        return memory_copy_string("disk shared with other VMs (<shareable/>), whose writes no copy "
                                  "of this VM could keep apart" INSIDE);
    if (disk->transient)
        return memory_copy_string("transient disk: what is written to it is dropped when the VM "
                                  "stops");
    return NULL;
}

char *disk_reason_left_out(const struct disk *disk, const struct disk_facts *facts,
                           const char *pool_type, bool iscsi_device)
{
    char *reason = reason_by_device(disk);
    if (!reason)
        reason = reason_by_source(disk);
    if (!reason)
        reason = reason_iscsi(facts, pool_type, iscsi_device);
    return reason ? reason : reason_by_use(disk);
}

/* ---- iSCSI devices in sysfs ---- */

/* .../platform/host3/session1/target3:0:0/3:0:0:0/block/sdb/sdb1 */
static bool under_session(const char *path)
{
    for (const char *part = strstr(path, "/session"); part; part = strstr(part + 1, "/session")) {
        const char *digits = part + strlen("/session");
        size_t count = strspn(digits, "0123456789");
        if (count && digits[count] == '/')
            return true;
    }
    return false;
}

/* "mpath-..." or "part1-mpath-...": dm/uuid of multipath and of a partition on it. */
static bool is_multipath(const char *directory)
{
    CLEANUP_FREE char *path = memory_format("%s/dm/uuid", directory);
    CLEANUP_FILE FILE *file = fopen(path, "re");
    char uuid[256] = "";
    if (!file || !fgets(uuid, sizeof uuid, file))
        return false;
    return strncmp(uuid, "mpath-", 6) == 0 ||
           (strncmp(uuid, "part", 4) == 0 && strstr(uuid, "-mpath-"));
}

static bool directory_is_iscsi(const char *directory, int depth);

static bool slave_is_iscsi(const char *directory, int depth)
{
    CLEANUP_FREE char *path = memory_format("%s/slaves", directory);
    DIR *slaves = opendir(path);
    bool found = false;
    for (struct dirent *entry; !found && slaves && (entry = readdir(slaves));) {
        if (entry->d_name[0] == '.')
            continue;
        CLEANUP_FREE char *slave = memory_format("%s/%s", path, entry->d_name);
        found = directory_is_iscsi(slave, depth + 1);
    }
    if (slaves)
        (void)closedir(slaves);
    return found;
}

static bool directory_is_iscsi(const char *directory, int depth)
{
    char real[PATH_MAX];
    if (depth > 4 || !realpath(directory, real))
        return false;
    return under_session(real) || (is_multipath(real) && slave_is_iscsi(real, depth));
}

bool disk_is_iscsi_device(const char *sysfs, const char *device_number)
{
    CLEANUP_FREE char *path = memory_format("%s/dev/block/%s", sysfs, device_number);
    return directory_is_iscsi(path, 0);
}

static bool path_is_iscsi(const char *path)
{
    struct stat status;
    if (!path || stat(path, &status) != 0 || !S_ISBLK(status.st_mode))
        return false;
    CLEANUP_FREE char *number =
        memory_format("%u:%u", major(status.st_rdev), minor(status.st_rdev));
    return disk_is_iscsi_device("/sys", number);
}

/* ---- Volumes ---- */

static char *pool_type(virStoragePoolPtr pool)
{
    char *xml = VIR(virStoragePoolGetXMLDesc(pool, 0));
    CLEANUP_XML xmlDocPtr document = xml ? xml_parse(xml, 1 << 20, "pool XML", NULL) : NULL;
    free(xml);
    return document ? xml_attribute(xmlDocGetRootElement(document), "type") : NULL;
}

/* The volume's path takes the place of its name; what cannot be found stays a name. */
static void resolve_volume(virStoragePoolPtr pool, struct disk *disk,
                           const struct disk_facts *facts)
{
    virStorageVolPtr volume = VIR(virStorageVolLookupByName(pool, facts->volume));
    char *path = volume ? VIR(virStorageVolGetPath(volume)) : NULL;
    if (path && path[0] == '/') {
        memory_set_string(&disk->source, path);
        if (disk->layer_count)
            memory_set_string(&disk->layers[0].path, path);
    }
    free(path);
    if (volume)
        (void)virStorageVolFree(volume);
}

void disk_classify(struct call *call, struct disk *disk, const struct disk_facts *facts)
{
    CLEANUP_FREE char *type = NULL;
    if (is(disk->source_type, "volume")) {
        virStoragePoolPtr pool = VIR(virStoragePoolLookupByName(call->connection, facts->pool));
        if (pool) {
            type = pool_type(pool);
            resolve_volume(pool, disk, facts);
            (void)virStoragePoolFree(pool);
        }
    }
    bool iscsi = disk->layer_count && path_is_iscsi(disk->layers[0].path);
    disk->reason = disk_reason_left_out(disk, facts, type, iscsi);
    disk->included = !disk->reason;
}

/* ---- Images of VMs that are off ---- */

static int check_source(const struct disk *disk, const struct disk_facts *facts,
                        struct error *error)
{
    if (is(disk->source_type, "volume") && (!disk->layer_count || !disk->layers[0].path))
        return error_set(error, ERROR_NOT_FOUND,
                         "volume %s of storage pool %s cannot be found (is the pool active?)",
                         facts->volume, facts->pool);
    if (!disk->sliced)
        return 0;
    (void)error_set(error, ERROR_REFUSED, "it is a slice of its file");
    return error_advise(error, "vm-refused", "leave the disk out (--exclude-disk)");
}

void disk_read_stopped(struct disk *disk, const struct disk_facts *facts)
{
    CLEANUP_FREE char *options = NULL; /* of qemu-nbd: can they be made? */
    if (image_complete_chain(disk, facts, &disk->obstacle) == 0 &&
        check_source(disk, facts, &disk->obstacle) == 0)
        (void)server_options(disk->layers, disk->layer_count, facts, true, &options,
                             &disk->obstacle);
}
