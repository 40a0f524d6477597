/* Which VMs there are: names, UUIDs and tags, without the rest of their descriptions.
 *
 * Tags are words that an administrator puts into a VM's own definition, as libvirt metadata of the
 * namespace urn:vmshadow, so that they move with the VM:
 *
 *   virsh metadata web1 urn:vmshadow --key vmshadow --set '<tags>nightly web</tags>' --config
 *
 * The words stand in the text of the element, apart by blanks; its name does not matter.
 */
#ifndef HYPERVISOR_DOMAIN_NAMES_H
#define HYPERVISOR_DOMAIN_NAMES_H

#include "hypervisor/connection.h"

#include <stdbool.h>
#include <stddef.h>

#define DOMAIN_TAGS_NAMESPACE "urn:vmshadow"

struct domain_names {
    char *name, *uuid;
    char **tags;
    size_t tag_count;
};

/* All VMs, sorted by name; tags only `with_tags` (a call to libvirt for each VM): tags that cannot
 * be read are an error, "tags-unreadable", that names the VM. The array and its members belong to
 * the caller. ERROR_CONNECTION, ERROR_REFUSED (more than 16384 VMs). */
int domain_names_list(struct hypervisor *hypervisor, bool with_tags,
                      struct domain_names **ret_domains, size_t *ret_count, struct error *error);
void domain_names_free(struct domain_names *domains, size_t count);

/* The words in the metadata's XML are added to the tags; for domain_names_list() and tests.
 * ERROR_DAMAGED: no XML, or more than 1 MiB; ERROR_REFUSED: more than 1000 words. */
int domain_names_read_tags(const char *xml, struct domain_names *domain, struct error *error);

#endif
