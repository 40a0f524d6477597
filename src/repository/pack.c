/* A place that was reserved is never given to something else, not even after a failure: its offset
 * is the nonce. */
#include "repository/pack.h"

#include <inttypes.h>
#include <string.h>

struct pack *pack_new(const struct crypto *crypto, const uint8_t repository[FORMAT_NAME_SIZE],
                      uint8_t *buffer, size_t capacity)
{
    struct pack *pack = NEW(struct pack);
    pack->name = name_new();
    pack->buffer = buffer;
    pack->capacity = capacity;
    frame_init(&pack->frame, FRAME_PACK, crypto, repository, &pack->name);
    memcpy(buffer, &pack->frame.header, sizeof pack->frame.header);
    pack->used = sizeof pack->frame.header;
    return pack;
}

void pack_free(struct pack *pack)
{
    if (!pack)
        return;
    free(pack->entries);
    memory_wipe(pack->frame.key, sizeof pack->frame.key);
    free(pack);
}

bool pack_fits(const struct pack *pack, size_t packed)
{
    return pack->count < FORMAT_PACK_ENTRIES_MAX &&
           pack->capacity - pack->used >= packed + FORMAT_TAG_SIZE;
}

void pack_reserve(struct pack *pack, struct format_entry *what, size_t packed)
{
    bytes_put32(what->offset, (uint32_t)pack->used);
    bytes_put32(what->stored, (uint32_t)(packed + FORMAT_TAG_SIZE));
    pack->used += packed + FORMAT_TAG_SIZE;
    ARRAY_APPEND(pack->entries, pack->count, *what);
}

void pack_seal(struct pack *pack, struct workspace *workspace, const struct format_entry *entry,
               const void *packed, size_t size)
{
    struct crypto_place place = frame_place(pack->frame.key, entry);
    crypto_seal(&workspace->crypto, &place, packed, size,
                pack->buffer + bytes_get32(entry->offset));
}

int pack_put(struct pack *pack, struct backend *backend, struct workspace *workspace,
             struct error *error)
{
    CLEANUP_FREE uint8_t *tail = NULL;
    size_t tail_size;
    char path[name_path_size];
    if (frame_seal_tail(&pack->frame, workspace, pack->used, pack->count, pack->entries,
                        pack->count * sizeof *pack->entries, false, &tail, &tail_size, error) != 0)
        return -1;
    struct iovec pieces[] = {{pack->buffer, pack->used},
                             {tail, tail_size},
                             {&pack->frame.trailer, sizeof pack->frame.trailer}};
    pack->file_size = bytes_get64(pack->frame.trailer.file_size);
    name_pack_path(&pack->name, path);
    return backend->put(backend, path, pieces, 3, error);
}

int pack_check_directory(const struct format_entry *entries, uint32_t count, uint64_t body_end,
                         const char *path, struct error *error)
{
    uint64_t expected = sizeof(struct format_header);
    if (count > FORMAT_PACK_ENTRIES_MAX)
        return error_set(error, ERROR_DAMAGED, "%s: %" PRIu32 " objects cannot be", path, count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t stored = bytes_get32(entries[i].stored), plain = bytes_get32(entries[i].plain);
        if (bytes_get32(entries[i].offset) != expected || stored < FORMAT_TAG_SIZE ||
            stored > FORMAT_OBJECT_MAX + FORMAT_TAG_SIZE || plain > FORMAT_OBJECT_MAX)
            return error_set(error, ERROR_DAMAGED,
                             "%s: entry %" PRIu32 " of its directory is wrong", path, i);
        expected += stored;
    }
    if (expected != body_end)
        return error_set(error, ERROR_DAMAGED, "%s: its objects do not fill it", path);
    return 0;
}
