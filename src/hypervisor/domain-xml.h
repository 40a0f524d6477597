/* A domain's XML as libvirt writes it, read into a struct domain. Private to the room; touches
 * nothing but the text: no libvirt, no files, no network (tests feed it samples).
 *
 * Source of the elements: https://libvirt.org/formatdomain.html
 */
#ifndef HYPERVISOR_DOMAIN_XML_H
#define HYPERVISOR_DOMAIN_XML_H

#include "hypervisor/domain.h"

enum {
    DOMAIN_XML_LIMIT = 8 << 20, /* bytes; libvirt's own protocol carries 4 MiB */
    DOMAIN_XML_DEVICES = 4096,  /* of one kind */
    DOMAIN_XML_LAYERS = 200,    /* of a chain, libvirt's own limit */
};

/* What a disk's XML says beyond struct disk: needed to find and to open the source. */
struct disk_facts {
    char *protocol;             /* of a network source: "rbd", "nbd", "iscsi", ... */
    char *name;                 /* its image, export or target name */
    char *host, *port, *socket; /* its first host; NULL where it names none */
    size_t host_count;
    bool tls;
    char *user, *secret_uuid, *secret_usage; /* <auth> */
    char *pool, *volume;                     /* type='volume' */
    bool chain_complete; /* the XML tells the chain to its end (<backingStore/>) */
};
void disk_facts_free(struct disk_facts *facts, size_t count);

/* Read `xml`. Filled: name, uuid, memory, disks (without size, allocation, included, reason,
 * has_block_job), interfaces, channel, files of <os> and <tpm>, host devices. Nothing else.
 * facts[i] belongs to disks[i]; to be freed with disk_facts_free(). ERROR_DAMAGED names what is
 * wrong with the text. */
int domain_xml_read(const char *xml, struct domain **ret_domain, struct disk_facts **ret_facts,
                    struct error *error);

/* Where the definition has other disks than the running VM: live_only, detached. */
int domain_xml_compare(struct domain *running, const char *definition, struct error *error);

/* Name and UUID only; uuid may come back NULL. */
int domain_xml_read_names(const char *xml, char **ret_name, char **ret_uuid, struct error *error);

#endif
