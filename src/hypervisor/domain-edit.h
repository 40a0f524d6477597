/* Changes to a domain's XML before it is defined again: only what is named, all else stays as it
 * is. No libvirt call; any thread. */
#ifndef HYPERVISOR_DOMAIN_EDIT_H
#define HYPERVISOR_DOMAIN_EDIT_H

#include "base/error.h"
#include "base/memory.h"

#include <stdbool.h>

/* The location and format of one disk, as restored. */
struct domain_edit_disk {
    const char *target; /* "vda" */
    const char *path;   /* file */
    const char *format; /* of the file now */
};

/* Rows R6: where a disk's location or format differs from the definition it is updated (a
 * source of another type becomes type='file'), a saved backing chain, encryption and slices are
 * dropped (restored images are flat and plain), nothing else changes. *ret_xml is a new string;
 * *ret_changes the number of disks that were changed. A target that the definition does not have is
 * ERROR_DAMAGED. */
int domain_edit_disks(const char *xml, const struct domain_edit_disk *disks, size_t count,
                      char **ret_xml, unsigned *ret_changes, struct error *error);

/* Has the XML a disk of this target? false also when it is no domain XML. */
bool domain_edit_has_disk(const char *xml, const char *target);

/* <uuid> and <name> of a definition, to be freed. ERROR_DAMAGED when it is no domain. */
int domain_edit_identity(const char *xml, char **ret_uuid, char **ret_name, struct error *error);

#endif
