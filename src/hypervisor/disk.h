/* Which disks a backup includes (row B10), and what must be asked to tell. Private to the room. */
#ifndef HYPERVISOR_DISK_H
#define HYPERVISOR_DISK_H

#include "hypervisor/call.h"
#include "hypervisor/domain-xml.h"

/* Why a disk is left out, to be freed; NULL = it is included. `pool_type` is the type of the
 * storage pool it comes from, or NULL; `iscsi_device`: its source is a device of an iSCSI
 * initiator. Pure: tests call it with samples. */
char *disk_reason_left_out(const struct disk *disk, const struct disk_facts *facts,
                           const char *pool_type, bool iscsi_device);

/* Is the block device "MAJOR:MINOR" one that an iSCSI initiator of this host provides: the device
 * itself, a partition of it, or multipath over it? (A logical volume on such a device is storage of
 * the host like any other.) `sysfs` is "/sys" outside tests. */
bool disk_is_iscsi_device(const char *sysfs, const char *device_number);

/* Find what the XML only names: a volume's path through its pool; then included and reason. */
void disk_classify(struct call *call, struct disk *disk, const struct disk_facts *facts);

/* A disk of a VM that is off: its size and chain from its images, and disk->obstacle. Runs
 * qemu-img; to be called for included disks only, after disk_classify(). */
void disk_read_stopped(struct disk *disk, const struct disk_facts *facts);

#endif
