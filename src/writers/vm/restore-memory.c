/* Row R8: a VM whose memory is part of the backup comes back saved. Its disks are complete and it
 * is registered; libvirt loads its memory, paused, and keeps it as the VM's saved state. What a
 * failure leaves behind is undone by "drop-import", before the definition goes. */
#include "writers/vm/vm-writer-private.h"

#include "base/point.h"
#include "hypervisor/saved-state-import.h"
#include "hypervisor/undo-kinds.h"

int vm_writer_restore_memory(struct vm_writer *writer, struct restored_vm *vm, struct error *error)
{
    CLEANUP_FREE char *xml = NULL;
    CLEANUP_FREE char *load_xml = NULL;
    uint64_t step;
    if (!vm->memory_image)
        return 0;
    const char *to_load = vm->memory_load_xml;
    if (restored_vm_edit_disks(vm, vm->memory_xml, &xml, error) != 0 ||
        (to_load && restored_vm_edit_disks(vm, to_load, &load_xml, error) != 0) ||
        undo_add(writer->settings.undo, vm->uuid, hypervisor_drop_import.name,
                 saved_state_import_arguments(vm->uuid, vm->name, vm->memory_image), &step,
                 error) != 0)
        return -1;
    struct saved_state_import import = {
        .uuid = vm->uuid,
        .image = vm->memory_image,
        .xml = xml,
        .load_xml = load_xml,
        .paused = vm->memory_paused,
    };
    point_reached("before the import");
    if (saved_state_import(writer->settings.hypervisor, &import, error) != 0)
        return error_prefix(error, "saved state: ");
    ARRAY_APPEND(vm->asides, vm->aside_count, TAKE_PTR(vm->memory_image));
    return 0;
}
