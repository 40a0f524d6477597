/* The order of the checks in frame_read() is the order of trust: magic and version, then sizes
 * against limits, then the tag, which covers all of it, then the content. */
#include "repository/frame.h"

#include <inttypes.h>
#include <string.h>

static const struct kind {
    const char *magic, *use;
    uint8_t tail_type;
    uint64_t file_max;
} kinds[] = {
    [FRAME_PACK] = {FORMAT_PACK_MAGIC, "pack", FORMAT_DIRECTORY, FORMAT_PACK_MAX},
    [FRAME_INDEX] = {FORMAT_INDEX_MAGIC, "index", FORMAT_TABLES, FORMAT_TAIL_MAX},
    [FRAME_BACKUP] = {FORMAT_BACKUP_MAGIC, "backup", FORMAT_MANIFEST, FORMAT_TAIL_MAX + 4096},
};

void frame_init(struct frame *frame, enum frame_kind kind, const struct crypto *crypto,
                const uint8_t repository[FORMAT_NAME_SIZE], const struct file_name *name)
{
    *frame = (struct frame){.kind = kind};
    memcpy(frame->header.magic, kinds[kind].magic, FORMAT_MAGIC_SIZE);
    bytes_put32(frame->header.version, FORMAT_VERSION);
    memcpy(frame->header.repository, repository, FORMAT_NAME_SIZE);
    memcpy(frame->header.name, name->bytes, FORMAT_NAME_SIZE);
    if (kind == FRAME_BACKUP)
        crypto_random(frame->header.salt, sizeof frame->header.salt);
    crypto_file_key(crypto, kinds[kind].use, name, frame->header.salt, frame->key);
}

uint64_t frame_body_end(const struct frame *frame)
{
    return bytes_get64(frame->trailer.file_size) - sizeof frame->trailer -
           bytes_get32(frame->trailer.tail_size);
}

struct crypto_place frame_place(const uint8_t *key, const struct format_entry *entry)
{
    return (struct crypto_place){
        .key = key,
        .offset = bytes_get32(entry->offset),
        .associated = {{(void *)entry, sizeof *entry}},
        .count = 1,
    };
}

/* The tail's entry is not stored: it follows from the trailer. */
static struct format_entry tail_entry(const struct frame *frame)
{
    struct format_entry entry = {.type = {kinds[frame->kind].tail_type},
                                 .codec = {frame->trailer.codec[0]}};
    bytes_put32(entry.offset, (uint32_t)frame_body_end(frame));
    memcpy(entry.stored, frame->trailer.tail_size, 4);
    memcpy(entry.plain, frame->trailer.tail_plain, 4);
    return entry;
}

static struct crypto_place tail_place(const struct frame *frame, const struct format_entry *entry)
{
    struct crypto_place place = frame_place(frame->key, entry);
    place.associated[1] = (struct iovec){(void *)&frame->header, sizeof frame->header};
    place.associated[2] = (struct iovec){(void *)&frame->trailer, sizeof frame->trailer};
    place.count = 3;
    return place;
}

int frame_seal_tail(struct frame *frame, struct workspace *workspace, uint64_t body_end,
                    uint32_t entries, const void *plain, size_t size, bool compress,
                    uint8_t **ret_tail, size_t *ret_size, struct error *error)
{
    const void *packed = plain;
    size_t packed_size = size;
    uint8_t codec = FORMAT_RAW;
    if (compress &&
        workspace_pack(workspace, plain, size, &packed, &packed_size, &codec, error) != 0)
        return -1;
    size_t sealed_size = packed_size + FORMAT_TAG_SIZE;
    uint8_t *sealed = memory_try_new(sealed_size, 1);
    if (!sealed)
        return error_set(error, ERROR_FAILED, "no memory for %zu bytes", sealed_size);
    struct format_trailer *trailer = &frame->trailer;
    memcpy(trailer->magic, frame->header.magic, FORMAT_MAGIC_SIZE);
    bytes_put64(trailer->file_size, body_end + sealed_size + sizeof *trailer);
    bytes_put32(trailer->tail_plain, (uint32_t)size);
    bytes_put32(trailer->tail_size, (uint32_t)sealed_size);
    bytes_put32(trailer->entries, entries);
    trailer->codec[0] = codec;
    struct format_entry entry = tail_entry(frame);
    struct crypto_place place = tail_place(frame, &entry);
    crypto_seal(&workspace->crypto, &place, packed, packed_size, sealed);
    *ret_tail = sealed;
    *ret_size = sealed_size;
    return 0;
}

static int check_header(const struct frame *frame, const char *path, const uint8_t *repository,
                        const struct file_name *name, struct error *error)
{
    const struct format_header *header = &frame->header;
    if (memcmp(header->magic, kinds[frame->kind].magic, FORMAT_MAGIC_SIZE) != 0)
        return error_set(error, ERROR_DAMAGED, "%s does not begin as a %s does", path,
                         kinds[frame->kind].use);
    if (bytes_get32(header->version) != FORMAT_VERSION)
        return error_set(error, ERROR_DAMAGED, "%s has format version %u; this program knows %d",
                         path, bytes_get32(header->version), FORMAT_VERSION);
    if (memcmp(header->repository, repository, FORMAT_NAME_SIZE) != 0)
        return error_set(error, ERROR_DAMAGED, "%s belongs to another repository", path);
    if (memcmp(header->name, name->bytes, FORMAT_NAME_SIZE) != 0)
        return error_set(error, ERROR_DAMAGED, "%s was renamed: its content is that of another",
                         path);
    return 0;
}

static int check_trailer(const struct frame *frame, const char *path, uint64_t size,
                         struct error *error)
{
    const struct format_trailer *trailer = &frame->trailer;
    uint64_t tail = bytes_get32(trailer->tail_size), plain = bytes_get32(trailer->tail_plain);
    if (memcmp(trailer->magic, frame->header.magic, FORMAT_MAGIC_SIZE) != 0)
        return error_set(error, ERROR_DAMAGED,
                         "%s does not end as it should: it is cut or something follows", path);
    if (bytes_get64(trailer->file_size) != size)
        return error_set(error, ERROR_DAMAGED, "%s is %" PRIu64 " bytes long and says %" PRIu64,
                         path, size, bytes_get64(trailer->file_size));
    if (tail < FORMAT_TAG_SIZE || plain > FORMAT_TAIL_MAX ||
        tail > size - sizeof frame->header - sizeof *trailer ||
        (trailer->codec[0] == FORMAT_RAW && tail != plain + FORMAT_TAG_SIZE))
        return error_set(error, ERROR_DAMAGED, "%s: the sizes in its trailer cannot be", path);
    return 0;
}

static int open_tail(const struct frame *frame, struct workspace_pool *workspaces, const char *path,
                     uint8_t *sealed, char *plain, struct error *error)
{
    WORKSPACE_LOAN(workspace, workspaces);
    struct format_entry entry = tail_entry(frame);
    struct crypto_place place = tail_place(frame, &entry);
    size_t sealed_size = bytes_get32(frame->trailer.tail_size);
    size_t size = bytes_get32(frame->trailer.tail_plain);
    if (crypto_open(&workspace->crypto, &place, sealed, sealed_size, sealed) != 0)
        return error_set(error, ERROR_DAMAGED, "%s is damaged: authentication failed", path);
    if (workspace_unpack(workspace, frame->trailer.codec[0], sealed, sealed_size - FORMAT_TAG_SIZE,
                         plain, size) != 0)
        return error_set(error, ERROR_DAMAGED, "%s: its tail cannot be decompressed", path);
    plain[size] = '\0';
    return 0;
}

/* Header, trailer and their checks. */
static int read_ends(const struct frame_source *source, const char *path,
                     const struct file_name *name, struct frame *frame, uint64_t size,
                     struct error *error)
{
    if (size < sizeof frame->header + sizeof frame->trailer + FORMAT_TAG_SIZE ||
        size > kinds[frame->kind].file_max)
        return error_set(error, ERROR_DAMAGED, "%s: its size, %" PRIu64 " bytes, cannot be", path,
                         size);
    if (source->backend->get(source->backend, path, 0, &frame->header, sizeof frame->header,
                             error) != 0 ||
        check_header(frame, path, source->repository, name, error) != 0)
        return -1;
    if (source->backend->get(source->backend, path, size - sizeof frame->trailer, &frame->trailer,
                             sizeof frame->trailer, error) != 0)
        return -1;
    return check_trailer(frame, path, size, error);
}

int frame_read(const struct frame_source *source, enum frame_kind kind, const char *path,
               const struct file_name *name, struct frame *ret_frame, char **ret_tail,
               size_t *ret_size, uint64_t *ret_file_size, struct error *error)
{
    struct frame frame = {.kind = kind};
    uint64_t size;
    if (source->backend->size(source->backend, path, &size, error) != 0 ||
        read_ends(source, path, name, &frame, size, error) != 0)
        return -1;
    crypto_file_key(source->crypto, kinds[kind].use, name, frame.header.salt, frame.key);
    size_t sealed_size = bytes_get32(frame.trailer.tail_size);
    size_t plain_size = bytes_get32(frame.trailer.tail_plain);
    CLEANUP_FREE uint8_t *sealed = memory_try_new(sealed_size, 1);
    CLEANUP_FREE char *plain = memory_try_new(plain_size + 1, 1);
    if (!sealed || !plain)
        return error_set(error, ERROR_FAILED, "%s: no memory for %zu bytes", path, plain_size);
    if (source->backend->get(source->backend, path, frame_body_end(&frame), sealed, sealed_size,
                             error) != 0 ||
        open_tail(&frame, source->workspaces, path, sealed, plain, error) != 0)
        return -1;
    *ret_frame = frame;
    *ret_tail = TAKE_PTR(plain);
    *ret_size = plain_size;
    *ret_file_size = size;
    return 0;
}

int frame_read_small(struct backend *backend, const char *path, size_t limit, char **ret_data,
                     size_t *ret_size, struct error *error)
{
    uint64_t size;
    if (backend->size(backend, path, &size, error) != 0)
        return -1;
    if (size > limit)
        return error_set(error, ERROR_DAMAGED, "%s: its size, %" PRIu64 " bytes, cannot be", path,
                         size);
    CLEANUP_FREE char *data = memory_try_new(size + 1, 1);
    if (!data)
        return error_set(error, ERROR_FAILED, "%s: no memory for %" PRIu64 " bytes", path, size);
    if (backend->get(backend, path, 0, data, size, error) != 0)
        return -1;
    data[size] = '\0';
    *ret_data = TAKE_PTR(data);
    *ret_size = size;
    return 0;
}
