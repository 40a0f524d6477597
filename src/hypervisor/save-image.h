/* Save images: memory and devices of a VM in a file, as libvirt writes them for virsh save, virsh
 * managedsave and external memory snapshots. The file begins with a header and the VM's XML; what
 * follows is QEMU's and is nobody's to look into.
 */
#ifndef HYPERVISOR_SAVE_IMAGE_H
#define HYPERVISOR_SAVE_IMAGE_H

#include "hypervisor/domain.h"

struct save_image {
    bool paused;   /* the VM was paused when it was saved, and is so when it is started again */
    uint64_t size; /* of the file, bytes */
};

/* Read the header. ERROR_DAMAGED: it is no save image, or one that was not written to its end;
 * ERROR_REFUSED: a format of the future; ERROR_NOT_FOUND. */
int save_image_read(const char *path, struct save_image *ret_image, struct error *error);

/* The VM's XML in it, with secrets, as libvirt reads it; to be freed. */
int save_image_read_xml(struct hypervisor *hypervisor, const char *path, char **ret_xml,
                        struct error *error);

/* Are the disks in that XML those of `domain`, whose definition may have been changed since it was
 * saved? ERROR_REFUSED names a disk that is written to and is not, or is on another image. */
int save_image_check_disks(const char *xml, const struct domain *domain, struct error *error);

#endif
