/* The memory of the set's VMs: images that were written for the backup (save.c), and those of VMs
 * that were saved already. The latter stay where libvirt has them: they are read in place, by
 * whoever copies them, and looked at again afterwards. When such a VM is started libvirt removes
 * its image, when it is saved again there is another: both are seen. */
#include "writers/vm/vm-writer-private.h"

#include "hypervisor/save-image.h"

#include <string.h>

int vm_find_managed_save(struct vm *vm, struct error *error)
{
    const struct domain *domain = vm->plan->domain;
    struct save_image image;
    if (domain->state != DOMAIN_SAVED || !domain->managed_save)
        return 0;
    if (image_state_read(domain->managed_save, &vm->managed_before, error) != 0 ||
        save_image_read(domain->managed_save, &image, error) != 0)
        return error_prefix(error, "VM %s: ", domain->name);
    vm->managed_save = (struct vm_memory){domain->managed_save, image.paused};
    return 0;
}

static const struct vm *find_vm(const struct vm_writer *writer, const char *uuid)
{
    for (size_t i = 0; i < writer->vm_count; i++)
        if (strcmp(writer->vms[i].plan->domain->uuid, uuid) == 0)
            return &writer->vms[i];
    return NULL;
}

bool vm_writer_memory(const struct vm_writer *writer, const char *uuid,
                      struct vm_memory *ret_memory)
{
    const struct vm *vm = find_vm(writer, uuid);
    if (vm && vm->saved) {
        *ret_memory =
            (struct vm_memory){saved_state_image(vm->saved), saved_state_was_paused(vm->saved)};
        return true;
    }
    if (!vm || !vm->managed_save.path)
        return false;
    *ret_memory = vm->managed_save;
    return true;
}

int vm_writer_check_memory(const struct vm_writer *writer, const char *uuid, struct error *error)
{
    const struct vm *vm = find_vm(writer, uuid);
    struct image_state now;
    if (!vm || !vm->managed_save.path)
        return 0;
    if (image_state_read(vm->managed_save.path, &now, NULL) == 0 &&
        image_state_equal(&now, &vm->managed_before))
        return 0;
    (void)error_set(error, ERROR_FAILED,
                    "VM %s: its saved state was used or changed during the copy (%s)",
                    vm->plan->domain->name, vm->managed_save.path);
    return error_advise(error, "saved-state-changed", "back it up again, as it is now");
}
