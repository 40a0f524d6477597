/* Row R8: a VM whose memory is part of the backup comes back saved. Its disks are complete and it
 * is registered; libvirt loads its memory, paused, and keeps it as the VM's saved state. What a
 * failure leaves behind is undone by "drop-import", before the definition goes. */
#include "writers/vm/vm-writer-private.h"

#include "base/point.h"
#include "base/publish.h"
#include "hypervisor/save-image.h"
#include "hypervisor/saved-state-import.h"
#include "hypervisor/undo-kinds.h"

#include <fcntl.h>

int vm_writer_note_old_memory(struct vm_writer *writer, struct restored_vm *vm,
                              const struct domain *old, struct error *error)
{
    struct save_image image;
    uint64_t step;
    if (!old || old->state != DOMAIN_SAVED)
        return 0;
    if (!old->managed_save)
        return error_set(error, ERROR_REFUSED,
                         "it is saved, but its save image is not where libvirt keeps them");
    if (save_image_read(old->managed_save, &image, error) != 0)
        return -1;
    vm->old_memory_aside =
        memory_format("%s.vmshadow-aside-%.8s", old->managed_save, id_new().text);
    return undo_add(writer->settings.undo, vm->uuid, hypervisor_put_back_saved.name,
                    saved_state_aside_arguments(vm->uuid, vm->name, old->managed_save,
                                                vm->old_memory_aside, image.paused),
                    &step, error);
}

int vm_writer_set_old_memory_aside(struct restored_vm *vm, const struct domain *old,
                                   struct error *error)
{
    if (!vm->old_memory_aside)
        return 0;
    if (publish_rename(io_real(), AT_FDCWD, old->managed_save, vm->old_memory_aside,
                       PUBLISH_NEW_ONLY, error) != 0)
        return error_prefix(error, "setting its saved state aside: ");
    ARRAY_APPEND(vm->asides, vm->aside_count, memory_copy_string(vm->old_memory_aside));
    point_reached("saved state set aside");
    return 0;
}

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
                 saved_state_import_arguments(vm->uuid, vm->name, vm->memory_image,
                                              vm->old_memory_aside),
                 &step, error) != 0)
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
