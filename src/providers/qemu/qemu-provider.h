/* The qemu provider: point-in-time copies of VM disks on any storage (design.md section 4).
 *
 * A running VM's instant is a pull-mode backup job, which the VM writer began while the guest was
 * frozen; that of a VM which the writer has paused and saved begins here, at Commit. So does a
 * stopped VM's: a clone of the image where the file system can, else the image itself. Either way a
 * copy is an NBD export until it is deleted. A volume is "VM-UUID/target". The copies are not
 * persistent.
 */
#ifndef PROVIDERS_QEMU_QEMU_PROVIDER_H
#define PROVIDERS_QEMU_QEMU_PROVIDER_H

#include "hypervisor/instant.h"
#include "vss/provider.h"

#define QEMU_PROVIDER_ID "2b1d7a52-6a0c-4f5e-9d0b-1f3c5e7a9b24"
#define QEMU_PROVIDER_NAME "vmshadow QEMU provider"

struct qemu_provider;

/* Both must outlive it; NULL = only described (for `vmshadow writers`), supports no volume. */
struct qemu_provider *qemu_provider_new(struct hypervisor *hypervisor, struct instants *instants);
void qemu_provider_free(struct qemu_provider *provider); /* NULL allowed */
struct provider_description qemu_provider_description(struct qemu_provider *provider);

/* After the copy: was everything read still the instant's data? See instants_check(). */
int qemu_provider_check(struct qemu_provider *provider, struct error *error);

#endif
