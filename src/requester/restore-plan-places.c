/* Whose a file is. Files are compared by device and inode, since one file has many paths; those
 * that are not there by their real directory and their name. A restore replaces and removes only
 * what the VM that is there now has as disk, and that nobody else uses in any layer. */
#include "requester/restore-plan-private.h"

#include "requester/restore-device.h"

#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

/* ---- One file? ---- */

static char *real_place(const char *path)
{
    CLEANUP_FREE char *copy = memory_copy_string(path);
    CLEANUP_FREE char *name = memory_copy_string(path);
    CLEANUP_FREE char *directory = realpath(dirname(copy), NULL);
    return directory ? memory_format("%s/%s", directory, basename(name)) : memory_copy_string(path);
}

bool plan_same_file(const char *left, const char *right)
{
    struct stat a, b;
    if (strcmp(left, right) == 0)
        return true;
    bool left_exists = stat(left, &a) == 0, right_exists = stat(right, &b) == 0;
    if (left_exists != right_exists)
        return false;
    if (left_exists && S_ISBLK(a.st_mode) && S_ISBLK(b.st_mode))
        return a.st_rdev == b.st_rdev;
    if (left_exists)
        return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    CLEANUP_FREE char *one = real_place(left);
    CLEANUP_FREE char *other = real_place(right);
    return strcmp(one, other) == 0;
}

bool plan_is_below(const char *path, const char *directory)
{
    CLEANUP_FREE char *place = real_place(path);
    CLEANUP_FREE char *real = directory ? realpath(directory, NULL) : NULL;
    size_t length = real ? strlen(real) : 0;
    return real && strncmp(place, real, length) == 0 && place[length] == '/';
}

/* ---- Who uses it? ---- */

static bool disk_uses(const struct disk *disk, const char *path)
{
    for (size_t i = 0; i < disk->layer_count; i++)
        if (disk->layers[i].path && plan_same_file(disk->layers[i].path, path))
            return true;
    return false;
}

static bool domain_uses(const struct domain *domain, const char *path)
{
    for (size_t i = 0; i < domain->disk_count; i++)
        if (disk_uses(&domain->disks[i], path))
            return true;
    const char *others[] = {domain->nvram, domain->kernel, domain->initrd, domain->device_tree};
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        if (others[i] && plan_same_file(others[i], path))
            return true;
    return plan_is_below(path, domain->tpm_state_directory);
}

const struct domain *plan_other_user(const struct planning *planning, const struct planned_vm *vm,
                                     const char *path)
{
    for (size_t i = 0; i < planning->domain_count; i++)
        if (strcmp(planning->domains[i]->uuid, vm->uuid) != 0 &&
            domain_uses(planning->domains[i], path))
            return planning->domains[i];
    return NULL;
}

bool plan_has_target(const json_t *list, const char *target)
{
    size_t index;
    json_t *entry;
    json_array_foreach(list, index, entry)
    {
        if (strcmp(json_string_or(entry, "target", ""), target) == 0)
            return true;
    }
    return false;
}

static bool is_restored(const struct planned_vm *vm, const struct disk *disk)
{
    return plan_has_target(json_object_get(vm->entry, "disks"), disk->target);
}

/* A disk of the VM now that the restore does not replace, but which needs the file. */
static const struct disk *staying_user(const struct planned_vm *vm, const char *path)
{
    for (size_t i = 0; vm->now && i < vm->now->disk_count; i++)
        if (!is_restored(vm, &vm->now->disks[i]) && disk_uses(&vm->now->disks[i], path))
            return &vm->now->disks[i];
    return NULL;
}

static bool is_own_disk(const struct planned_vm *vm, const char *path)
{
    for (size_t i = 0; vm->now && i < vm->now->disk_count; i++)
        if (is_restored(vm, &vm->now->disks[i]) && disk_uses(&vm->now->disks[i], path))
            return true;
    return false;
}

/* ---- What is at the place of a disk ---- */

static int check_users(const struct planning *planning, const struct planned_vm *vm,
                       const char *path, struct error *error)
{
    const struct domain *other = plan_other_user(planning, vm, path);
    if (other) {
        (void)error_set(error, ERROR_REFUSED, "%s belongs to VM %s", path, other->name);
        return error_advise(error, "restore-path-of-another-vm",
                            "restore to another directory with --to");
    }
    const struct disk *stays = staying_user(vm, path);
    if (stays)
        return error_set(error, ERROR_REFUSED, "disk %s of the VM now, which stays, needs %s",
                         stays->target, path);
    return 0;
}

static int check_device(const struct planning *planning, struct planned_vm *vm, const char *path,
                        struct error *error)
{
    if (check_users(planning, vm, path, error) != 0)
        return -1;
    if (!vm->now || is_own_disk(vm, path))
        return 0;
    (void)error_set(error, ERROR_REFUSED, "%s is no disk of the VM as it is now", path);
    return error_advise(error, "restore-file-in-the-way",
                        "see whose that device is, or restore to a directory with --to");
}

int plan_check_place(const struct planning *planning, struct planned_vm *vm, const char *path,
                     struct error *error)
{
    struct stat facts;
    if (check_users(planning, vm, path, error) != 0)
        return -1;
    if (lstat(path, &facts) != 0)
        return 0;
    if (!S_ISREG(facts.st_mode))
        return error_set(error, ERROR_REFUSED, "%s is there and is no file", path);
    if (is_own_disk(vm, path))
        return 0;
    if (!vm->now && !planning->directory) {
        planned_vm_add_notice(vm, "%s is there: it is taken for the lost VM's disk and replaced",
                              path);
        return 0;
    }
    (void)error_set(error, ERROR_REFUSED, "%s is there and is no disk of the VM as it is now",
                    path);
    return error_advise(error, "restore-file-in-the-way",
                        "move that file away, or restore to another directory with --to");
}

/* Two VMs of one plan, or two files of one VM. */
int plan_check_claims(const struct planning *planning, const char *path, struct error *error)
{
    for (size_t v = 0; v < planning->plan->count; v++) {
        const struct planned_vm *vm = &planning->plan->vms[v];
        for (size_t i = 0; i < vm->disk_count; i++)
            if (plan_same_file(vm->disks[i].path, path)) {
                (void)error_set(error, ERROR_REFUSED,
                                "%s is where disk %s of VM %s would be restored, too", path,
                                vm->disks[i].target, vm->name);
                return error_advise(error, "restore-places-collide",
                                    "restore one of them at a time, each with its own --to");
            }
    }
    return 0;
}

/* The place is the device itself, by the name that the definition has. */
int plan_device(const struct planning *planning, struct planned_vm *vm, struct planned_disk *disk,
                const char *path, struct error *error)
{
    if (strcmp(disk->format, "raw") != 0)
        return error_set(error, ERROR_REFUSED,
                         "it is of format '%s'; onto a block device only raw disks are written",
                         disk->format);
    disk->device = true;
    disk->path = memory_copy_string(path);
    if (plan_check_claims(planning, path, error) != 0 ||
        check_device(planning, vm, path, error) != 0 ||
        restore_device_check(path, disk->size, error) != 0)
        return -1;
    planned_vm_add_notice(vm,
                          "disk %s: the block device %s is overwritten in place: what is on it is "
                          "lost even if the restore fails, and the VM then stays off",
                          disk->target, path);
    return manifest_get_root(disk->entry, "root", "the backup", &disk->root, error);
}

const struct planned_file *plan_find_claim(const struct planning *planning, const char *path,
                                           const struct planned_vm **ret_vm)
{
    for (size_t v = 0; v < planning->plan->count; v++) {
        const struct planned_vm *vm = &planning->plan->vms[v];
        for (size_t i = 0; i < vm->file_count; i++)
            if (!vm->files[i].keep && plan_same_file(vm->files[i].path, path)) {
                *ret_vm = vm;
                return &vm->files[i];
            }
    }
    return NULL;
}

/* ---- Files of the VM that is there now ---- */

static const char *keep_reason(const struct planning *planning, const struct planned_vm *vm,
                               const char *path, const char **ret_name)
{
    struct stat facts;
    const struct domain *other = plan_other_user(planning, vm, path);
    const struct disk *stays = staying_user(vm, path);
    *ret_name = other ? other->name : stays ? stays->target : "";
    if (other)
        return "is used by VM ";
    if (stays)
        return "is needed by disk ";
    if (lstat(path, &facts) == 0 && S_ISLNK(facts.st_mode))
        return "is a symbolic link";
    return NULL;
}

char *plan_old_path(const struct planning *planning, struct planned_vm *vm,
                    const struct planned_disk *disk)
{
    const struct disk *now = vm->now ? domain_find_disk(vm->now, disk->target) : NULL;
    if (!now || !now->included || strcmp(now->source_type, "file") != 0 || !now->layer_count)
        return NULL;
    const char *path = now->layers[0].path, *name;
    struct stat facts;
    if (!path || plan_same_file(path, disk->path) || lstat(path, &facts) != 0)
        return NULL;
    const char *reason = keep_reason(planning, vm, path, &name);
    if (reason) {
        planned_vm_add_notice(vm, "disk %s: %s %s%s%s: it stays", disk->target, path, reason, name,
                              *name ? ", too" : "");
        return NULL;
    }
    planned_vm_add_notice(vm, "disk %s goes to %s: its file now, %s, is removed in the end",
                          disk->target, disk->path, path);
    return memory_copy_string(path);
}

void plan_name_lost_disks(struct planned_vm *vm)
{
    for (size_t i = 0; vm->now && i < vm->now->disk_count; i++) {
        const struct disk *disk = &vm->now->disks[i];
        if (!disk->source || is_restored(vm, disk) ||
            plan_has_target(json_object_get(vm->entry, "left_out"), disk->target))
            continue;
        planned_vm_add_notice(vm,
                              "disk %s (%s) is not in the backup: it stays where it is, but is no "
                              "longer part of the VM",
                              disk->target, disk->source);
    }
}

/* ---- The link in the default location ---- */

static bool lies_in(const char *path, const struct stat *directory)
{
    struct stat facts;
    CLEANUP_FREE char *copy = memory_copy_string(path);
    return path[0] == '/' && stat(dirname(copy), &facts) == 0 &&
           facts.st_dev == directory->st_dev && facts.st_ino == directory->st_ino;
}

/* A link of ours leads to where the VM is, was at the backup, or will be, or nowhere any more. */
static bool is_our_link(const struct planned_vm *vm, const char *link)
{
    struct stat facts;
    if (lstat(link, &facts) != 0 || !S_ISLNK(facts.st_mode))
        return false;
    if (stat(link, &facts) != 0)
        return true;
    if (!S_ISDIR(facts.st_mode))
        return false;
    for (size_t i = 0; i < vm->disk_count; i++)
        if (lies_in(vm->disks[i].path, &facts) ||
            lies_in(json_string_or(vm->disks[i].entry, "path", ""), &facts))
            return true;
    for (size_t i = 0; vm->now && i < vm->now->disk_count; i++) {
        const struct disk *disk = &vm->now->disks[i];
        if (disk->included && disk->layer_count && disk->layers[0].path &&
            lies_in(disk->layers[0].path, &facts))
            return true;
    }
    return false;
}

int plan_check_link(const struct planning *planning, const struct planned_vm *vm,
                    struct error *error)
{
    if (!vm->disk_count)
        return 0;
    const char *place = run_default_location(planning->host);
    CLEANUP_FREE char *copy = memory_copy_string(vm->disks[0].path);
    if (strcmp(dirname(copy), place) == 0)
        return 0;
    CLEANUP_FREE char *link = memory_format("%s/%s", place, vm->name);
    struct stat facts;
    if (lstat(link, &facts) != 0 || is_our_link(vm, link))
        return 0;
    (void)error_set(error, ERROR_REFUSED, "%s is there and is no link of ours", link);
    return error_advise(error, "restore-link-in-the-way",
                        "the VM lies outside the default location and a link with its name "
                        "must lead to it; move that file away");
}
