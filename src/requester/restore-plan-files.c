/* Where disks and other files would go, and whose they are now. */
#include "requester/restore-plan-private.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Disks ---- */

static bool is_known_format(const char *format)
{
    static const char *const known[] = {"raw", "qcow2", "qcow", "vhdx", "vpc", "vmdk", "vdi"};
    for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
        if (strcmp(format, known[i]) == 0)
            return true;
    return false;
}

static bool is_clean_path(const char *path)
{
    CLEANUP_FREE char *copy = memory_copy_string(path);
    const char *name = basename(copy);
    return path[0] == '/' && !strstr(path, "/../") && !strchr(path, '\n') &&
           strcmp(name, "..") != 0 && strcmp(name, ".") != 0 && strcmp(name, "/") != 0;
}

/* A symbolic link stays; what it leads to is replaced. NULL when it leads nowhere. */
static char *resolve_link(const char *path)
{
    struct stat facts;
    if (lstat(path, &facts) == 0 && S_ISLNK(facts.st_mode))
        return realpath(path, NULL);
    return memory_copy_string(path);
}

static int place_disk(const struct planning *planning, struct planned_vm *vm, const char *path,
                      char **ret_path, struct error *error)
{
    CLEANUP_FREE char *copy = memory_copy_string(path);
    CLEANUP_FREE char *wanted = planning->directory
                                    ? memory_format("%s/%s", planning->directory, basename(copy))
                                    : memory_copy_string(path);
    char *place = resolve_link(wanted);
    if (!place) {
        (void)error_set(error, ERROR_REFUSED, "%s is a symbolic link that leads nowhere", wanted);
        return error_advise(error, "restore-link-broken",
                            "mount what belongs there, or remove the link");
    }
    if (strcmp(place, wanted) != 0)
        planned_vm_add_notice(vm,
                              "%s is a symbolic link: the disk is restored to %s, and the "
                              "definition names that file",
                              wanted, place);
    *ret_path = place;
    return 0;
}

static int check_directory(const char *path, struct error *error)
{
    CLEANUP_FREE char *copy = memory_copy_string(path);
    const char *directory = dirname(copy);
    struct stat facts;
    if (stat(directory, &facts) != 0 || !S_ISDIR(facts.st_mode)) {
        (void)error_set(error, ERROR_REFUSED, "the directory %s is not there", directory);
        return error_advise(error, "restore-directory-missing",
                            "make it (or mount what belongs there), then restore again");
    }
    if (access(directory, W_OK | X_OK) != 0)
        return error_set(error, ERROR_REFUSED, "the directory %s cannot be written: %s", directory,
                         strerror(errno));
    return 0;
}

static bool is_block(const json_t *entry)
{
    return strcmp(json_string_or(entry, "source_type", ""), "block") == 0;
}

/* A device comes back as a file of its name, in a directory that was named for it, or as itself,
 * where the user gave it up. */
static int check_type(const struct planning *planning, const json_t *entry, struct error *error)
{
    const char *type = json_string_or(entry, "source_type", "");
    if (strcmp(type, "file") == 0 || strcmp(type, "volume") == 0 ||
        (is_block(entry) && (planning->directory || planning->options->overwrite_block)))
        return 0;
    (void)error_set(error, ERROR_REFUSED,
                    "it was of type '%s'; restoring to anything but files is not supported yet",
                    type);
    return is_block(entry)
               ? error_advise(error, "restore-not-a-file",
                              "with --to DIR it comes back as a file in that directory; with "
                              "--overwrite-block the device is written, and lost if the "
                              "restore fails")
               : -1;
}

static int check_disk(const struct planning *planning, struct planned_vm *vm,
                      const struct planned_disk *disk, struct error *error)
{
    const struct planned_vm *owner;
    if (!is_known_format(disk->format))
        return error_set(error, ERROR_REFUSED, "images of format '%s' cannot be written",
                         disk->format);
    if (check_directory(disk->path, error) != 0 ||
        plan_check_claims(planning, disk->path, error) != 0)
        return -1;
    const struct planned_file *file = plan_find_claim(planning, disk->path, &owner);
    if (file)
        return error_set(error, ERROR_REFUSED, "%s is where the %s of VM %s would be restored, too",
                         disk->path, file->role, owner->name);
    return plan_check_place(planning, vm, disk->path, error);
}

static int fill_disk(const struct planning *planning, struct planned_vm *vm,
                     struct planned_disk *disk, struct error *error)
{
    const char *path = json_string_or(disk->entry, "path", "");
    if (check_type(planning, disk->entry, error) != 0)
        return -1;
    if (!is_clean_path(path))
        return error_set(error, ERROR_REFUSED, "its path in the backup is not usable");
    if (is_block(disk->entry) && !planning->directory)
        return plan_device(planning, vm, disk, path, error);
    /* The identity first: what comes after it is found by PreRestore. */
    if (place_disk(planning, vm, path, &disk->path, error) != 0 ||
        file_identity_get(disk->path, &disk->found, error) != 0 ||
        check_disk(planning, vm, disk, error) != 0)
        return -1;
    disk->old_path = plan_old_path(planning, vm, disk);
    if (disk->old_path && file_identity_get(disk->old_path, &disk->old_found, error) != 0)
        return -1;
    return manifest_get_root(disk->entry, "root", "the backup", &disk->root, error);
}

static int plan_disk(const struct planning *planning, struct planned_vm *vm, const json_t *entry,
                     struct error *error)
{
    int64_t size;
    const char *target = json_get_string(entry, "target", "the backup", error);
    if (!target || json_get_integer(entry, "size", "the backup", &size, error) != 0)
        return -1;
    struct planned_disk disk = {
        .target = memory_copy_string(target),
        .format = memory_copy_string(json_string_or(entry, "format", "")),
        .size = (uint64_t)size,
        .entry = entry,
    };
    int result = fill_disk(planning, vm, &disk, error);
    ARRAY_APPEND(vm->disks, vm->disk_count, disk);
    return result == 0 ? 0 : error_prefix(error, "disk %s: ", target);
}

/* What is not in the backup is left alone, and nothing else can bring it. */
static void name_left_out(struct planned_vm *vm, const json_t *entry)
{
    const char *target = json_string_or(entry, "target", "?");
    const char *path = json_string_or(entry, "path", NULL);
    struct stat facts;
    bool missing = path && path[0] == '/' && stat(path, &facts) != 0 && errno == ENOENT;
    planned_vm_add_notice(vm, "disk %s is not in the backup (%s): %s%s", target,
                          json_string_or(entry, "reason", "?"),
                          missing ? path : "it stays as it is",
                          missing ? " is not there, and the VM does not start before it is" : "");
}

int plan_disks(const struct planning *planning, struct planned_vm *vm, struct error *error)
{
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(vm->entry, "disks"), index, entry)
    {
        if (plan_disk(planning, vm, entry, error) != 0)
            return -1;
    }
    json_array_foreach(json_object_get(vm->entry, "left_out"), index, entry)
    {
        name_left_out(vm, entry);
    }
    return 0;
}

/* ---- Other files ---- */

struct comparing {
    int file;
    bool equal;
};

static int compare_part(void *context, const void *data, size_t size, uint64_t offset,
                        struct error *error)
{
    (void)error;
    struct comparing *comparing = context;
    CLEANUP_FREE char *now = memory_try_new(1, size);
    if (!now || io_read_all(io_real(), comparing->file, now, size, (off_t)offset) != 0 ||
        memcmp(now, data, size) != 0)
        comparing->equal = false;
    return 0;
}

static int is_equal(const struct planning *planning, const struct planned_vm *vm,
                    const json_t *entry, const char *path, bool *ret_equal, struct error *error)
{
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat facts;
    *ret_equal = false;
    if (file < 0 || fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode) ||
        facts.st_size != json_integer_or(entry, "size", -1))
        return 0;
    struct comparing comparing = {file, true};
    if (manifest_write_parts(planning->repository, vm->entry, entry, compare_part, &comparing,
                             error) != 0)
        return -1;
    *ret_equal = comparing.equal;
    return 0;
}

static bool is_own_role(const char *role)
{
    return strcmp(role, "nvram") == 0 || strcmp(role, "tpm") == 0;
}

static bool is_own_now(const struct planned_vm *vm, const struct planned_file *file)
{
    if (strcmp(file->role, "tpm") == 0)
        return plan_is_below(file->path, vm->now->tpm_state_directory);
    return vm->now->nvram && plan_same_file(vm->now->nvram, file->path);
}

/* A kernel, initrd or device tree is the host's or several VMs': what is there stays. */
static int check_present(const struct planning *planning, struct planned_vm *vm,
                         struct planned_file *file, struct error *error)
{
    struct stat facts;
    if (file->keep || lstat(file->path, &facts) != 0)
        return 0;
    const struct domain *other = plan_other_user(planning, vm, file->path);
    file->keep = other || !is_own_role(file->role);
    if (file->keep) {
        planned_vm_add_notice(vm, "%s differs from the %s in the backup%s%s%s: it stays as it is",
                              file->path, file->role, other ? " and is used by VM " : "",
                              other ? other->name : "", other ? ", too" : "");
        return 0;
    }
    if (!S_ISREG(facts.st_mode))
        return error_set(error, ERROR_REFUSED, "%s is there and is no file", file->path);
    if (!vm->now)
        planned_vm_add_notice(vm, "%s is there: it is taken for the lost VM's %s and replaced",
                              file->path, file->role);
    else if (!is_own_now(vm, file)) {
        (void)error_set(error, ERROR_REFUSED, "%s is there and is not the VM's %s now", file->path,
                        file->role);
        return error_advise(error, "restore-file-in-the-way",
                            "move that file away, then restore again");
    }
    return 0;
}

static bool is_same_content(const struct planned_vm *left_vm, const json_t *left,
                            const struct planned_vm *right_vm, const json_t *right)
{
    const json_t *parts = json_object_get(left, "parts"), *others = json_object_get(right, "parts");
    if (json_integer_or(left, "size", -1) != json_integer_or(right, "size", -2) ||
        json_array_size(parts) != json_array_size(others))
        return false;
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const char *part = json_string_value(json_array_get(parts, i));
        const char *other = json_string_value(json_array_get(others, i));
        const char *root =
            json_string_or(json_object_get(left_vm->entry, "documents"), part ? part : "", NULL);
        if (!root || strcmp(root, json_string_or(json_object_get(right_vm->entry, "documents"),
                                                 other ? other : "", "")) != 0)
            return false;
    }
    return true;
}

/* What several VMs of the plan have is written once. */
static int check_shared(const struct planning *planning, const struct planned_vm *vm,
                        struct planned_file *file, struct error *error)
{
    const struct planned_vm *owner;
    if (file->keep)
        return 0;
    if (plan_check_claims(planning, file->path, error) != 0)
        return -1;
    const struct planned_file *same = plan_find_claim(planning, file->path, &owner);
    if (!same)
        return 0;
    if (!is_same_content(owner, same->entry, vm, file->entry)) {
        (void)error_set(error, ERROR_REFUSED,
                        "%s is where the %s of VM %s would be restored, too, and they differ",
                        file->path, same->role, owner->name);
        return error_advise(error, "restore-places-collide", "restore one of them at a time");
    }
    file->keep = true;
    return 0;
}

static int fill_file(const struct planning *planning, struct planned_vm *vm,
                     struct planned_file *file, const char *path, struct error *error)
{
    if (!file->path)
        return error_set(error, ERROR_REFUSED, "%s is a symbolic link that leads nowhere", path);
    if (file_identity_get(file->path, &file->found, error) != 0 ||
        is_equal(planning, vm, file->entry, file->path, &file->keep, error) != 0 ||
        check_present(planning, vm, file, error) != 0 ||
        check_shared(planning, vm, file, error) != 0)
        return -1;
    if (!file->keep && !is_own_role(file->role)) /* what is there is kept */
        planned_vm_add_notice(vm, "%s is not there: the %s in the backup is written there",
                              file->path, file->role);
    return 0;
}

/* `saved`: what the saved state that comes back says; may be NULL. */
static int plan_file(const struct planning *planning, struct planned_vm *vm,
                     const struct domain *saved, const json_t *entry, struct error *error)
{
    const char *role = json_get_string(entry, "role", "the backup", error);
    const char *path = json_get_string(entry, "path", "the backup", error);
    if (!role || !path)
        return -1;
    if (!plan_is_file_role(role))
        return error_set(error, ERROR_REFUSED,
                         "the backup has a file %s of the kind '%s', which no VM has", path, role);
    if (!is_clean_path(path))
        return error_set(error, ERROR_REFUSED, "the path of its %s is not usable", role);
    if (!plan_names_file(vm->definition, role, path) &&
        !(saved && plan_names_file(saved, role, path))) {
        planned_vm_add_notice(
            vm,
            "%s, the %s in the backup, is not named by the definition: it is left "
            "in the backup",
            path, role);
        return 0;
    }
    struct planned_file file = {
        .role = memory_copy_string(role),
        .path = is_own_role(role) ? resolve_link(path) : memory_copy_string(path),
        .entry = entry,
    };
    int result = fill_file(planning, vm, &file, path, error);
    ARRAY_APPEND(vm->files, vm->file_count, file);
    return result;
}

int plan_files(const struct planning *planning, struct planned_vm *vm, struct error *error)
{
    CLEANUP(domain_freep) struct domain *saved = NULL;
    size_t index;
    json_t *entry;
    if (vm->memory.xml && domain_from_xml(vm->memory.xml, &saved, error) != 0)
        return error_prefix(error, "saved state: ");
    json_array_foreach(json_object_get(vm->entry, "files"), index, entry)
    {
        if (plan_file(planning, vm, saved, entry, error) != 0)
            return -1;
    }
    return 0;
}
