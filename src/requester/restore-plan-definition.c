/* What the definition in a backup says, beside what else the backup says of the VM.
 *
 * The disks of a backup are those that the VM had while it ran, the definition is that of its next
 * start: a disk may be in one of them only. The files that a backup holds beside disks are written
 * where the backup says, so the place has to be one that the definition (or the saved state) names
 * for just that: else whoever can write to the repository could have any file of the host made. */
#include "requester/restore-plan-private.h"

#include "base/id.h"
#include "hypervisor/domain-edit.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

int plan_definition(const struct planning *planning, struct planned_vm *vm, struct error *error)
{
    struct object_id root;
    struct id id;
    size_t size;
    if (manifest_get_root(json_object_get(vm->entry, "documents"), "domain.xml", "the backup",
                          &root, error) != 0 ||
        repository_get_document(planning->repository, &root, &vm->xml, &size, error) != 0 ||
        domain_from_xml(vm->xml, &vm->definition, error) != 0)
        return -1;
    const struct domain *definition = vm->definition;
    if (id_parse(vm->uuid, &id) != 0 || strcmp(definition->uuid, vm->uuid) != 0 ||
        strcmp(definition->name, vm->name) != 0)
        return error_set(error, ERROR_DAMAGED,
                         "its definition in the backup is of another VM (%s, %s)", definition->name,
                         definition->uuid);
    return 0;
}

/* ---- Disks that only one of both has ---- */

static void name_live_only(struct planned_vm *vm, const struct planned_disk *disk)
{
    if (domain_find_disk(vm->definition, disk->target))
        return;
    if (vm->memory.xml && domain_edit_has_disk(vm->memory.xml, disk->target))
        planned_vm_add_notice(vm,
                              "disk %s was attached to the running VM only: it is in the saved "
                              "state, but not in the definition, which counts once the VM was off",
                              disk->target);
    else
        planned_vm_add_notice(vm,
                              "disk %s was attached to the running VM only, and the definition "
                              "does not have it: %s comes back and is not attached (virsh "
                              "attach-disk %s %s %s --subdriver %s --persistent)",
                              disk->target, disk->path, vm->name, disk->path, disk->target,
                              disk->format);
}

/* Backups of such disks are not made any more. */
static void name_unwrapped(struct planned_vm *vm, const struct planned_disk *disk)
{
    const struct disk *defined = domain_find_disk(vm->definition, disk->target);
    if (defined && (defined->encrypted || defined->sliced))
        planned_vm_add_notice(vm, "disk %s was %s: it comes back as a plain image%s", disk->target,
                              defined->encrypted ? "encrypted by QEMU" : "a slice of its file",
                              defined->encrypted ? ", not encrypted" : "");
}

/* Backups name it among the disks that were left out; older ones do not. */
static void name_definition_only(struct planned_vm *vm, const struct disk *disk)
{
    struct stat facts;
    if (!disk->source || strcmp(disk->device, "cdrom") == 0 ||
        strcmp(disk->device, "floppy") == 0 ||
        plan_has_target(json_object_get(vm->entry, "disks"), disk->target) ||
        plan_has_target(json_object_get(vm->entry, "left_out"), disk->target))
        return;
    bool missing = disk->source[0] == '/' && stat(disk->source, &facts) != 0 && errno == ENOENT;
    planned_vm_add_notice(vm,
                          "disk %s (%s) is in the definition, but the VM did not have it when it "
                          "was backed up: %s",
                          disk->target, disk->source,
                          missing ? "it is not there, and the VM does not start before it is"
                                  : "it stays as it is");
}

void plan_name_differences(struct planned_vm *vm)
{
    for (size_t i = 0; i < vm->disk_count; i++) {
        name_live_only(vm, &vm->disks[i]);
        name_unwrapped(vm, &vm->disks[i]);
    }
    for (size_t i = 0; i < vm->definition->disk_count; i++)
        name_definition_only(vm, &vm->definition->disks[i]);
}

/* ---- Files beside disks ---- */

bool plan_is_file_role(const char *role)
{
    static const char *const roles[] = {"nvram", "tpm", "kernel", "initrd", "device-tree"};
    for (unsigned i = 0; i < ARRAY_SIZE(roles); i++)
        if (strcmp(role, roles[i]) == 0)
            return true;
    return false;
}

static bool is_or_is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (!path[length] || path[length] == '/');
}

/* Does a directory on the way to it, as far as that is there, lead out of `directory`? */
static bool leaves(const char *path, const char *directory)
{
    CLEANUP_FREE char *real = realpath(directory, NULL);
    CLEANUP_FREE char *part = memory_copy_string(path);
    struct stat facts;
    if (lstat(path, &facts) == 0 && S_ISLNK(facts.st_mode))
        return true;
    for (char *slash; real && (slash = strrchr(part, '/')) != NULL;) {
        *slash = '\0';
        if (strlen(part) <= strlen(directory))
            return false;
        CLEANUP_FREE char *there = realpath(part, NULL);
        if (there)
            return !is_or_is_below(there, real);
    }
    return false;
}

bool plan_names_file(const struct domain *definition, const char *role, const char *path)
{
    const struct {
        const char *role, *path;
    } files[] = {{"nvram", definition->nvram},
                 {"kernel", definition->kernel},
                 {"initrd", definition->initrd},
                 {"device-tree", definition->device_tree}};
    for (unsigned i = 0; i < ARRAY_SIZE(files); i++)
        if (strcmp(role, files[i].role) == 0)
            return files[i].path && strcmp(path, files[i].path) == 0;
    const char *state = definition->tpm_state_directory;
    return strcmp(role, "tpm") == 0 && state && strcmp(path, state) != 0 &&
           is_or_is_below(path, state) && !leaves(path, state);
}
