/* Conditions 3, 4 and 5, judged from facts alone.
 *
 * A guest volume lies on one or more of the VM's disks. Wholly on left-out disks: it is left out,
 * too, and does not count. Partly: it spans devices and has a member outside the set, which is what
 * "dynamic" means here. A device that libvirt could not map to a disk of the VM is outside the set:
 * a fact that cannot be obtained counts as not holding.
 */
#include "writers/vm/plan.h"

#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

static void conclude(struct plan_condition *condition, bool holds, char *fact)
{
    free(condition->fact);
    condition->holds = holds;
    condition->fact = fact;
}

/* The device number of the file system that holds the directory of `path`. */
static int volume_of(const char *path, bool is_directory, dev_t *ret_volume)
{
    CLEANUP_FREE char *copy = memory_copy_string(path);
    struct stat stat_buffer;
    if (stat(is_directory ? copy : dirname(copy), &stat_buffer) != 0)
        return -1;
    *ret_volume = stat_buffer.st_dev;
    return 0;
}

void plan_judge_location(const struct domain *domain, const char *location,
                         struct plan_condition *ret_condition)
{
    if (!location) {
        conclude(ret_condition, true, memory_copy_string("snapshot files lie beside each disk"));
        return;
    }
    dev_t wanted;
    if (volume_of(location, true, &wanted) != 0) {
        conclude(ret_condition, false,
                 memory_format("%s cannot be examined: %s", location, strerror(errno)));
        return;
    }
    for (size_t i = 0; i < domain->disk_count; i++) {
        const struct disk *disk = &domain->disks[i];
        if (!disk->included)
            continue;
        dev_t found;
        const char *path = disk->layer_count ? disk->layers[0].path : NULL;
        bool is_file = strcmp(disk->source_type, "file") == 0 ||
                       (strcmp(disk->source_type, "volume") == 0 && path);
        if (!is_file || !path || volume_of(path, false, &found) != 0 || found != wanted) {
            conclude(ret_condition, false,
                     memory_format("disk %s (%s) is not on the volume of %s", disk->target,
                                   disk->source, location));
            return;
        }
    }
    conclude(ret_condition, true, memory_format("all disks are on the volume of %s", location));
}

struct spread {
    size_t inside, outside; /* members on included disks; others */
    size_t unmapped;
};

static struct spread spread_of(const struct domain *domain, const struct agent_volume *volume)
{
    struct spread spread = {.unmapped = volume->unmapped};
    for (size_t i = 0; i < volume->target_count; i++) {
        const struct disk *disk = domain_find_disk(domain, volume->targets[i]);
        if (disk && disk->included)
            spread.inside++;
        else if (disk)
            spread.outside++;
        else
            spread.unmapped++;
    }
    return spread;
}

static bool is_left_out(const struct spread *spread)
{
    return !spread->inside && !spread->unmapped && spread->outside;
}

void plan_judge_basic_disks(const struct domain *domain, const struct agent_volumes *volumes,
                            struct plan_condition *ret_condition)
{
    size_t counted = 0;
    for (size_t i = 0; i < volumes->count; i++) {
        const struct agent_volume *volume = &volumes->items[i];
        struct spread spread = spread_of(domain, volume);
        if (is_left_out(&spread))
            continue;
        counted++;
        if (spread.inside && !spread.outside && !spread.unmapped)
            continue;
        const char *why = !spread.inside && !spread.outside
                              ? "lies on a device that is no known disk of the VM"
                              : "spans devices and has a member outside the set";
        conclude(ret_condition, false,
                 memory_format("%s (%s) %s", volume->mountpoint, volume->device, why));
        return;
    }
    conclude(ret_condition, true,
             counted ? memory_format("%zu mounted volumes lie wholly on disks of the set", counted)
                     : memory_copy_string("no volume of the set is mounted"));
}

static bool can_freeze(const char *file_system)
{
    static const char *const known[] = {"ext2",   "ext3", "ext4",     "xfs",  "btrfs",
                                        "f2fs",   "jfs",  "reiserfs", "gfs2", "ocfs2",
                                        "nilfs2", "NTFS", "ReFS"};
    for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
        if (strcmp(file_system, known[i]) == 0)
            return true;
    return false;
}

/* A FAT EFI system partition holds boot files that nobody writes in between; it is tolerated. */
static bool is_efi_partition(const struct agent_volume *volume)
{
    static const char *const places[] = {"/boot/efi", "/efi", "/boot", "System Reserved"};
    if (strcmp(volume->file_system, "vfat") != 0 && strncmp(volume->file_system, "FAT", 3) != 0)
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        if (strcmp(volume->mountpoint, places[i]) == 0)
            return true;
    return false;
}

void plan_judge_file_systems(const struct domain *domain, const struct agent_volumes *volumes,
                             struct plan_condition *ret_condition)
{
    size_t counted = 0;
    for (size_t i = 0; i < volumes->count; i++) {
        const struct agent_volume *volume = &volumes->items[i];
        struct spread spread = spread_of(domain, volume);
        if (is_left_out(&spread) || is_efi_partition(volume))
            continue;
        if (!can_freeze(volume->file_system)) {
            conclude(ret_condition, false,
                     memory_format("%s (%s): file system %s cannot be frozen", volume->mountpoint,
                                   volume->device, volume->file_system));
            return;
        }
        counted++;
    }
    conclude(ret_condition, true,
             memory_format("%zu mounted file systems, all can be frozen", counted));
}
