/* Memory in a backup: each save image is served by qemu-nbd like a raw disk and copied with the
 * disks, so that it is chunked, bounded in memory and deduplicated like them. An export has whole
 * sectors, so the stored tree may have up to 511 zeroes more than the file. */
#include "requester/backup-private.h"

#include "base/point.h"
#include "hypervisor/save-image.h"
#include "requester/image-server.h"

#include <string.h>

enum { SECTOR = 512 };

static uint64_t padded(uint64_t size)
{
    return (size + SECTOR - 1) / SECTOR * SECTOR;
}

static int open_memory(struct backup *backup, const struct domain *domain,
                       const struct vm_memory *memory, struct error *error)
{
    CLEANUP_FREE char *socket = NULL;
    struct save_image image;
    struct backup_memory copied = {.disk = backup->copy.count};
    uint64_t step;
    char *uri;
    if (save_image_read(memory->path, &image, error) != 0 ||
        save_image_read_xml(backup->run.hypervisor, memory->path, &copied.xml, error) != 0 ||
        save_image_check_disks(copied.xml, domain, error) != 0 ||
        image_server_name_socket(run_state_directory(backup->run.host), &socket, error) != 0 ||
        undo_add(backup->run.undo, domain->uuid, undo_remove_file.name, undo_path_arguments(socket),
                 &step, error) != 0 ||
        image_server_start(memory->path, "raw", true, socket, &copied.server, &uri, error) != 0) {
        free(copied.xml);
        return -1;
    }
    copied.uuid = memory_copy_string(domain->uuid);
    copied.paused = memory->paused;
    copied.size = image.size;
    copy_add(&backup->copy, domain->name, COPY_MEMORY, uri, padded(image.size));
    ARRAY_APPEND(backup->memories, backup->memory_count, copied);
    point_reached("saved state opened");
    return 0;
}

int backup_open_memories(struct backup *backup, struct error *error)
{
    const struct plan *const *plans;
    size_t count = plans_of(backup, &plans);
    for (size_t i = 0; i < count; i++) {
        struct vm_memory memory;
        const struct domain *domain = plans[i]->domain;
        if (vm_writer_memory(backup->run.writer, domain->uuid, &memory) &&
            open_memory(backup, domain, &memory, error) != 0)
            return error_prefix(error, "VM %s, saved state: ", domain->name);
    }
    return 0;
}

static json_t *make_entry(const struct backup *backup, const struct backup_memory *memory)
{
    const struct transfer_disk *transfer = &backup->copy.disks[memory->disk];
    json_t *entry = json_object();
    json_set_string(entry, "continues", memory->paused ? "paused" : "running");
    json_set_integer(entry, "size", (int64_t)memory->size);
    json_set_integer(entry, "padded_size", (int64_t)transfer->size);
    manifest_set_root(entry, "root", &transfer->root);
    json_set_integer(entry, "bytes_read", (int64_t)atomic_load(&transfer->bytes_read));
    json_set_integer(entry, "bytes_stored", (int64_t)atomic_load(&transfer->bytes_stored));
    return entry;
}

int backup_describe_memory(struct backup *backup, const char *uuid, json_t *vm, struct error *error)
{
    for (size_t i = 0; i < backup->memory_count; i++) {
        struct backup_memory *memory = &backup->memories[i];
        if (strcmp(memory->uuid, uuid) != 0)
            continue;
        json_set(vm, "saved_state", make_entry(backup, memory));
        return manifest_store_document(backup->writer, vm, "saved-state.xml", memory->xml,
                                       strlen(memory->xml), &backup->documents_stored, error);
    }
    return 0;
}

void backup_close_memories(struct backup *backup)
{
    for (size_t i = 0; i < backup->memory_count; i++) {
        image_server_stop(backup->memories[i].server);
        free(backup->memories[i].uuid);
        free(backup->memories[i].xml);
    }
    free(TAKE_PTR(backup->memories));
    backup->memory_count = 0;
}
