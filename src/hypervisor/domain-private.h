/* What files of the room share about domains. */
#ifndef HYPERVISOR_DOMAIN_PRIVATE_H
#define HYPERVISOR_DOMAIN_PRIVATE_H

#include "hypervisor/call.h"
#include "hypervisor/domain.h"

#include <libvirt/libvirt.h>

/* All of a VM, read in one go; one that changes meanwhile is read again. */
int domain_describe(struct call *call, virDomainPtr handle, struct domain **ret_domain,
                    struct error *error);

/* State now of a looked-up domain. */
int domain_read_state(virDomainPtr handle, enum domain_state *ret_state, struct error *error);

/* VIR_DOMAIN_JOB_OPERATION_* of the job that runs on it; -1 = none, or it cannot be told. */
int domain_read_operation(virDomainPtr handle);

/* The definition as libvirt keeps it, with secrets; to be freed. ERROR_NOT_FOUND. */
int domain_read_definition(struct hypervisor *hypervisor, const char *uuid, char **ret_xml,
                           struct error *error);

#endif
