/* Documents: small ones are one object, larger ones a list of parts. docs/format/tree.md. */
#include "repository/private.h"

#include <string.h>

static uint32_t part_count(size_t size)
{
    return size <= FORMAT_DOCUMENT_INLINE
               ? 0
               : (uint32_t)((size + FORMAT_DOCUMENT_PART - 1) / FORMAT_DOCUMENT_PART);
}

static size_t part_length(size_t size, uint32_t part)
{
    size_t rest = size - (size_t)part * FORMAT_DOCUMENT_PART;
    return rest < FORMAT_DOCUMENT_PART ? rest : FORMAT_DOCUMENT_PART;
}

int repository_writer_put_document(struct repository_writer *writer, const void *data, size_t size,
                                   struct object_id *ret_root, uint64_t *ret_stored,
                                   struct error *error)
{
    if (size > FORMAT_DOCUMENT_MAX)
        return error_set(error, ERROR_REFUSED, "a document of %zu bytes is too large", size);
    struct format_document head = {0};
    uint32_t parts = part_count(size);
    size_t body = parts ? parts * sizeof(struct object_id) : size;
    CLEANUP_FREE uint8_t *root = memory_new(1, sizeof head + body);
    uint64_t total = 0, stored;
    memcpy(head.magic, FORMAT_DOCUMENT_MAGIC, FORMAT_MAGIC_SIZE);
    bytes_put64(head.size, size);
    bytes_put32(head.parts, parts);
    bytes_put32(head.part_size, parts ? FORMAT_DOCUMENT_PART : 0);
    memcpy(root, &head, sizeof head);
    if (!parts && size)
        memcpy(root + sizeof head, data, size);
    for (uint32_t i = 0; i < parts; i++) {
        struct object_id id;
        const uint8_t *part = (const uint8_t *)data + (size_t)i * FORMAT_DOCUMENT_PART;
        if (repository_writer_put(writer, OBJECT_DOCUMENT, part, part_length(size, i), &id, &stored,
                                  error) != 0)
            return -1;
        memcpy(root + sizeof head + i * sizeof id, id.bytes, sizeof id);
        total += stored;
    }
    struct object_id id;
    if (repository_writer_put(writer, OBJECT_DOCUMENT, root, sizeof head + body, &id, &stored,
                              error) != 0)
        return -1;
    *ret_root = id;
    *ret_stored = total + stored;
    return 0;
}

int document_parse(const void *data, size_t size, uint64_t *ret_size, uint32_t *ret_parts,
                   struct error *error)
{
    struct format_document head;
    if (size < sizeof head)
        return error_set(error, ERROR_DAMAGED, "the document's root is too short");
    memcpy(&head, data, sizeof head);
    uint64_t length = bytes_get64(head.size);
    uint32_t parts = bytes_get32(head.parts);
    if (memcmp(head.magic, FORMAT_DOCUMENT_MAGIC, FORMAT_MAGIC_SIZE) != 0)
        return error_set(error, ERROR_DAMAGED, "the document's root is something else");
    if (length > FORMAT_DOCUMENT_MAX || parts != part_count(length) ||
        bytes_get32(head.part_size) != (parts ? FORMAT_DOCUMENT_PART : 0) ||
        size != sizeof head + (parts ? parts * sizeof(struct object_id) : length))
        return error_set(error, ERROR_DAMAGED, "the document's root has impossible sizes");
    *ret_size = length;
    *ret_parts = parts;
    return 0;
}

static int get_parts(struct repository *repository, const uint8_t *ids, size_t size, uint32_t parts,
                     char *data, struct error *error)
{
    for (uint32_t i = 0; i < parts; i++) {
        struct object_id id;
        size_t length = part_length(size, i), got = length;
        char *part = data + (size_t)i * FORMAT_DOCUMENT_PART;
        memcpy(id.bytes, ids + i * sizeof id, sizeof id);
        if (object_id_is_zero(&id))
            memset(part, 0, length);
        else if (repository_get(repository, &id, OBJECT_DOCUMENT, part, length, &got, error) != 0)
            return -1;
        if (got != length)
            return error_set(error, ERROR_DAMAGED, "a part of the document has a wrong size");
    }
    return 0;
}

int repository_get_document(struct repository *repository, const struct object_id *root,
                            char **ret_data, size_t *ret_size, struct error *error)
{
    enum { room = sizeof(struct format_document) + FORMAT_DOCUMENT_INLINE };
    CLEANUP_FREE uint8_t *head = memory_new(1, room);
    size_t head_size;
    uint64_t size;
    uint32_t parts;
    if (repository_get(repository, root, OBJECT_DOCUMENT, head, room, &head_size, error) != 0 ||
        document_parse(head, head_size, &size, &parts, error) != 0)
        return -1;
    CLEANUP_FREE char *data = memory_try_new(size + 1, 1);
    const uint8_t *body = head + sizeof(struct format_document);
    if (!data)
        return error_set(error, ERROR_FAILED, "no memory for a document of %zu bytes",
                         (size_t)size);
    if (!parts && size)
        memcpy(data, body, size);
    if (get_parts(repository, body, size, parts, data, error) != 0)
        return -1;
    data[size] = '\0';
    *ret_data = TAKE_PTR(data);
    *ret_size = size;
    return 0;
}
