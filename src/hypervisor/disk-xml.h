/* A <disk> element, read; and what of B10 can be told from it. Private to the room. */
#ifndef HYPERVISOR_DISK_XML_H
#define HYPERVISOR_DISK_XML_H

#include "hypervisor/domain-xml.h"
#include "hypervisor/xml.h"

/* Fills the (zeroed) members that domain_xml_read() lists; also on failure what it fills is to be
 * freed by the caller with the domain. */
int disk_xml_read(const xmlNode *element, struct disk *disk, struct disk_facts *facts,
                  struct error *error);

#endif
