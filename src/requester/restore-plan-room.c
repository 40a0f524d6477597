/* Is there room for what a restore writes, while the old files are still there? */
#include "requester/restore-plan-private.h"

#include <errno.h>
#include <libgen.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

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

/* What is needed on one file system together. */
struct need {
    dev_t device;
    uint64_t bytes, available;
    char *where;
};

static int add_need(const char *directory, uint64_t bytes, struct need **needs, size_t *count,
                    struct error *error)
{
    struct stat facts;
    struct statvfs room;
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
    if (__builtin_add_overflow((*needs)[n].bytes, bytes, &(*needs)[n].bytes))
        (*needs)[n].bytes = UINT64_MAX;
    return 0;
}

static int add_disk(const struct planning *planning, const struct planned_disk *disk,
                    struct need **needs, size_t *count, struct error *error)
{
    CLEANUP_FREE char *copy = memory_copy_string(disk->path);
    uint64_t bytes = 0;
    if (disk->device)
        return 0;
    return data_size(planning, disk, &bytes, error) == 0
               ? add_need(dirname(copy), bytes, needs, count, error)
               : -1;
}

uint64_t plan_import_room(uint64_t image, uint64_t memory)
{
    const uint64_t devices = UINT64_C(64) << 20; /* their state, and the XML */
    uint64_t kept, both;
    if (__builtin_add_overflow(memory, devices, &kept) ||
        __builtin_add_overflow(image, kept > image ? kept : image, &both))
        return UINT64_MAX;
    return both;
}

static int add_memory(const struct planned_vm *vm, struct need **needs, size_t *count,
                      struct error *error)
{
    if (!vm->memory.path)
        return 0;
    CLEANUP_FREE char *copy = memory_copy_string(vm->memory.path);
    return add_need(dirname(copy), plan_import_room(vm->memory.padded_size, vm->memory.guest),
                    needs, count, error);
}

static int add_vm(const struct planning *planning, const struct planned_vm *vm, struct need **needs,
                  size_t *count, struct error *error)
{
    for (size_t d = 0; d < vm->disk_count; d++)
        if (add_disk(planning, &vm->disks[d], needs, count, error) != 0)
            return -1;
    return add_memory(vm, needs, count, error);
}

static int check_need(const struct need *need, struct error *error)
{
    if (need->bytes <= need->available)
        return 0;
    (void)error_set(error, ERROR_SPACE,
                    "%s has %llu MiB free; the restore writes up to %llu MiB beside the old files",
                    need->where, (unsigned long long)(need->available >> 20),
                    (unsigned long long)(need->bytes >> 20));
    return error_advise(error, "restore-no-room",
                        "make room there or restore to another directory with --to");
}

int plan_check_room(const struct planning *planning, const struct restore_plan *plan,
                    struct error *error)
{
    struct need *needs = NULL;
    size_t count = 0;
    int result = 0;
    for (size_t v = 0; v < plan->count && result == 0; v++)
        result = add_vm(planning, &plan->vms[v], &needs, &count, error);
    for (size_t n = 0; n < count; n++) {
        if (result == 0)
            result = check_need(&needs[n], error);
        free(needs[n].where);
    }
    free(needs);
    return result;
}
