/* Where disks and other files would go, whose they are now, and whether there is room. */
#include "requester/restore-plan-private.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static bool uses_path(const struct domain *domain, const char *path)
{
    for (size_t i = 0; i < domain->disk_count; i++)
        for (size_t layer = 0; layer < domain->disks[i].layer_count; layer++) {
            const char *used = domain->disks[i].layers[layer].path;
            if (used && strcmp(used, path) == 0)
                return true;
        }
    const char *others[] = {domain->nvram, domain->kernel, domain->initrd, domain->device_tree};
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        if (others[i] && strcmp(others[i], path) == 0)
            return true;
    return false;
}

static const struct domain *other_user(const struct planning *planning, const struct planned_vm *vm,
                                       const char *path)
{
    for (size_t i = 0; i < planning->domain_count; i++)
        if (strcmp(planning->domains[i]->uuid, vm->uuid) != 0 &&
            uses_path(planning->domains[i], path))
            return planning->domains[i];
    return NULL;
}

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
    return path[0] == '/' && !strstr(path, "/../") && !strchr(path, '\n');
}

static char *place_disk(const struct planning *planning, const json_t *entry)
{
    const char *path = json_string_or(entry, "path", "");
    if (!planning->options->directory)
        return memory_copy_string(path);
    CLEANUP_FREE char *copy = memory_copy_string(path);
    CLEANUP_FREE char *directory = realpath(planning->options->directory, NULL);
    return memory_format("%s/%s", directory ? directory : planning->options->directory,
                         basename(copy));
}

static int check_directory(const char *path, struct error *error)
{
    CLEANUP_FREE char *copy = memory_copy_string(path);
    const char *directory = dirname(copy);
    struct stat facts;
    if (stat(directory, &facts) != 0 || !S_ISDIR(facts.st_mode)) {
        (void)error_set(error, ERROR_REFUSED, "the directory %s is not there", directory);
        return error_hint(error, "make it (or mount what belongs there), then restore again");
    }
    if (access(directory, W_OK | X_OK) != 0)
        return error_set(error, ERROR_REFUSED, "the directory %s cannot be written: %s", directory,
                         strerror(errno));
    if (lstat(path, &facts) == 0 && !S_ISREG(facts.st_mode) && !S_ISLNK(facts.st_mode))
        return error_set(error, ERROR_REFUSED, "%s is there and is no file", path);
    return 0;
}

static int check_disk(const struct planning *planning, const struct planned_vm *vm,
                      const struct planned_disk *disk, const json_t *entry, struct error *error)
{
    const char *type = json_string_or(entry, "source_type", "");
    if (strcmp(type, "file") != 0 && strcmp(type, "volume") != 0)
        return error_set(error, ERROR_REFUSED,
                         "it was of type '%s'; restoring to anything but "
                         "files is not supported yet",
                         type);
    if (!is_clean_path(disk->path))
        return error_set(error, ERROR_REFUSED, "its path in the backup is not usable");
    if (!is_known_format(disk->format))
        return error_set(error, ERROR_REFUSED, "images of format '%s' cannot be written",
                         disk->format);
    const struct domain *other = other_user(planning, vm, disk->path);
    if (other)
        return error_set(error, ERROR_REFUSED, "%s belongs to VM %s", disk->path, other->name);
    for (size_t i = 0; i < vm->disk_count; i++)
        if (strcmp(vm->disks[i].path, disk->path) == 0)
            return error_set(error, ERROR_REFUSED, "two disks would be restored to %s", disk->path);
    return check_directory(disk->path, error);
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
        .path = place_disk(planning, entry),
        .format = memory_copy_string(json_string_or(entry, "format", "")),
        .size = (uint64_t)size,
        .entry = entry,
    };
    int result = check_disk(planning, vm, &disk, entry, error);
    ARRAY_APPEND(vm->disks, vm->disk_count, disk);
    if (result == 0)
        result = manifest_get_root(entry, "root", "the backup", &vm->disks[vm->disk_count - 1].root,
                                   error);
    return result == 0 ? 0 : error_prefix(error, "disk %s: ", target);
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
        planned_vm_add_notice(vm, "disk %s is not in the backup (%s): it stays as it is",
                              json_string_or(entry, "target", "?"),
                              json_string_or(entry, "reason", "?"));
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

/* A kernel that another VM boots from, too, is not exchanged under it. */
int plan_file(const struct planning *planning, struct planned_vm *vm, const json_t *entry,
              struct error *error)
{
    const char *role = json_get_string(entry, "role", "the backup", error);
    const char *path = json_get_string(entry, "path", "the backup", error);
    bool equal;
    if (!role || !path || is_equal(planning, vm, entry, path, &equal, error) != 0)
        return -1;
    if (!is_clean_path(path))
        return error_set(error, ERROR_REFUSED, "the path of its %s is not usable", role);
    struct planned_file file = {memory_copy_string(role), memory_copy_string(path), equal, entry};
    const struct domain *other = equal ? NULL : other_user(planning, vm, path);
    if (other && access(path, F_OK) == 0) {
        file.keep = true;
        planned_vm_add_notice(
            vm, "%s differs from the backup and is used by VM %s, too: it stays as it is", path,
            other->name);
    }
    ARRAY_APPEND(vm->files, vm->file_count, file);
    return 0;
}

/* ---- Room ---- */

static int data_size(const struct planning *planning, const struct planned_disk *disk,
                     uint64_t *ret_bytes, struct error *error)
{
    enum { BATCH = 4096 };
    struct disk_reader *reader;
    uint32_t chunk = repository_chunk_size(planning->repository);
    if (disk_reader_new(planning->repository, &disk->root, &reader, error) != 0)
        return -1;
    if (disk_reader_size(reader) != disk->size) {
        disk_reader_free(reader);
        return error_set(error, ERROR_DAMAGED, "the backup disagrees about the size of disk %s",
                         disk->target);
    }
    CLEANUP_FREE struct object_id *ids = NEW_ARRAY(struct object_id, BATCH);
    uint64_t chunks = (disk->size + chunk - 1) / chunk, data = 0;
    int result = 0;
    for (uint64_t first = 0; first < chunks && result == 0; first += BATCH) {
        size_t count = (size_t)(chunks - first < BATCH ? chunks - first : BATCH);
        result = disk_reader_ids(reader, first, count, ids, error);
        for (size_t i = 0; result == 0 && i < count; i++)
            data += !object_id_is_zero(&ids[i]);
    }
    disk_reader_free(reader);
    *ret_bytes = data * chunk;
    return result;
}

/* What the disks on one file system need together. */
struct need {
    dev_t device;
    uint64_t bytes, available;
    char *where;
};

static int add_need(const struct planning *planning, const struct planned_disk *disk,
                    struct need **needs, size_t *count, struct error *error)
{
    CLEANUP_FREE char *copy = memory_copy_string(disk->path);
    const char *directory = dirname(copy);
    struct stat facts;
    struct statvfs room;
    uint64_t bytes;
    if (data_size(planning, disk, &bytes, error) != 0)
        return -1;
    if (stat(directory, &facts) != 0 || statvfs(directory, &room) != 0)
        return error_errno(error, errno, "cannot examine %s", directory);
    size_t n = 0;
    while (n < *count && (*needs)[n].device != facts.st_dev)
        n++;
    if (n == *count) {
        struct need need = {facts.st_dev, 0, (uint64_t)room.f_bavail * room.f_frsize,
                            memory_copy_string(directory)};
        ARRAY_APPEND(*needs, *count, need);
    }
    (*needs)[n].bytes += bytes;
    return 0;
}

static int check_need(const struct need *need, struct error *error)
{
    if (need->bytes <= need->available)
        return 0;
    (void)error_set(error, ERROR_SPACE,
                    "%s has %llu MiB free; the restore writes up to %llu MiB beside the old files",
                    need->where, (unsigned long long)(need->available >> 20),
                    (unsigned long long)(need->bytes >> 20));
    return error_hint(error, "make room there or restore to another directory with --to");
}

int plan_check_room(const struct planning *planning, const struct restore_plan *plan,
                    struct error *error)
{
    struct need *needs = NULL;
    size_t count = 0;
    int result = 0;
    for (size_t v = 0; v < plan->count; v++)
        for (size_t d = 0; d < plan->vms[v].disk_count && result == 0; d++)
            result = add_need(planning, &plan->vms[v].disks[d], &needs, &count, error);
    for (size_t n = 0; n < count; n++) {
        if (result == 0)
            result = check_need(&needs[n], error);
        free(needs[n].where);
    }
    free(needs);
    return result;
}
