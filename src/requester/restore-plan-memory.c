/* Row R8: does a VM come back saved, and with what? Its memory belongs to the disks of its instant.
 * A disk that could change and was left out of the backup has gone on since: old memory on it would
 * destroy it, so such a VM comes back off unless the administrator insists. */
#include "requester/restore-plan-private.h"

#include "hypervisor/domain-edit.h"

#include <string.h>

enum { SECTOR = 512 };
#define MEMORY_LIMIT (UINT64_C(1) << 46)

static int read_entry(const json_t *entry, struct planned_memory *memory, struct error *error)
{
    static const char what[] = "the backup";
    int64_t size, padded;
    const char *continues = json_get_string(entry, "continues", what, error);
    if (!continues || json_get_integer(entry, "size", what, &size, error) != 0 ||
        json_get_integer(entry, "padded_size", what, &padded, error) != 0 ||
        manifest_get_root(entry, "root", what, &memory->root, error) != 0)
        return -1;
    memory->paused = strcmp(continues, "paused") == 0;
    if ((!memory->paused && strcmp(continues, "running") != 0) || size <= 0 ||
        (uint64_t)size > MEMORY_LIMIT || padded % SECTOR || padded < size ||
        padded - size >= SECTOR)
        return error_set(error, ERROR_DAMAGED, "the backup describes it wrongly");
    memory->size = (uint64_t)size;
    memory->padded_size = (uint64_t)padded;
    return 0;
}

/* The XML in the image, which takes the place of the definition while the VM runs on, is trusted no
 * more than that. */
static int read_xml(const struct planning *planning, struct planned_vm *vm, struct error *error)
{
    struct object_id root;
    size_t size;
    CLEANUP_FREE char *xml = NULL;
    CLEANUP_FREE char *uuid = NULL;
    CLEANUP_FREE char *name = NULL;
    CLEANUP(domain_freep) struct domain *saved = NULL;
    if (manifest_get_root(json_object_get(vm->entry, "documents"), "saved-state.xml", "the backup",
                          &root, error) != 0 ||
        repository_get_document(planning->repository, &root, &xml, &size, error) != 0 ||
        domain_edit_identity(xml, &uuid, &name, error) != 0 ||
        domain_from_xml(xml, &saved, error) != 0)
        return -1;
    vm->memory.guest = saved->memory;
    if (strcmp(uuid, vm->uuid) != 0 || strcmp(name, vm->name) != 0)
        return error_set(error, ERROR_DAMAGED, "it is of another VM (%s, %s)", name, uuid);
    if (plan_interfaces(planning, vm, xml, &vm->memory.xml, error) != 0)
        return -1;
    return interface_edit_for_loading(vm->memory.xml, vm->interfaces, vm->interface_count,
                                      &vm->memory.load_xml, error);
}

/* A disk that was left out although the VM may have written to it; NULL when there is none. */
static const char *left_out_disk(const struct planned_vm *vm)
{
    size_t index;
    json_t *disk;
    json_array_foreach(json_object_get(vm->entry, "left_out"), index, disk)
    {
        if (json_boolean_or(disk, "writable", true))
            return json_string_or(disk, "target", "?");
    }
    return NULL;
}

static bool is_wanted(const struct planning *planning, struct planned_vm *vm)
{
    const struct requester_restore_options *options = planning->options;
    const char *missing = left_out_disk(vm);
    if (options->discard_saved) {
        planned_vm_add_notice(vm, "it comes back off: its memory is in the backup and is left "
                                  "there, as was said");
        return false;
    }
    if (missing && !options->continue_saved) {
        planned_vm_add_notice(vm,
                              "it comes back off: disk %s was left out of the backup and may have "
                              "changed since, and memory that is older than a disk destroys it; "
                              "if it has not changed, --continue-saved brings the memory back",
                              missing);
        return false;
    }
    if (missing)
        planned_vm_add_notice(vm,
                              "it continues although disk %s was left out of the backup: if that "
                              "has changed since, the VM destroys it",
                              missing);
    return true;
}

/* The definition is mended with one command, the saved state with two, since its memory has the
 * link down as well; so the way that cannot go wrong is told. */
static void tell_of_adapters(struct planned_vm *vm)
{
    for (size_t i = 0; i < vm->interface_count; i++)
        if (vm->interfaces[i].action == INTERFACE_DISCONNECT) {
            planned_vm_add_notice(vm, "it continues with the disconnected adapters also when the "
                                      "definition is changed meanwhile; to continue connected, "
                                      "make what is missing first and restore again");
            return;
        }
}

int plan_memory(const struct planning *planning, struct planned_vm *vm, struct error *error)
{
    const json_t *entry = json_object_get(vm->entry, "saved_state");
    struct planned_memory *memory = &vm->memory;
    if (!json_is_object(entry) || !is_wanted(planning, vm))
        return 0;
    if (read_entry(entry, memory, error) != 0 || read_xml(planning, vm, error) != 0)
        return error_prefix(error, "saved state: ");
    CLEANUP_FREE char *directory = domain_save_directory(planning->hypervisor);
    tell_of_adapters(vm);
    memory->path = memory_format("%s/.vmshadow-%s.import", directory, vm->uuid);
    return 0;
}
