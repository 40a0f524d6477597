/* Making, opening, and reading one object. */
#include "repository/private.h"

#include "repository/wrap.h"

#include <string.h>

enum {
    default_chunk_size = 256 << 10, /* measured: docs/performance.md */
    default_pack_size = 32 << 20,
    default_segment_limit = 128 << 10,
    default_packs_alive = 3,
    default_pages_cached = 4096,
    default_blocks_cached = 64,
};

/* ---- Making -------------------------------------------------------------------------------- */

static int refuse_file(void *context, const char *name, struct error *error)
{
    struct backend *backend = context;
    (void)error_set(error, ERROR_EXISTS, "%s holds %s of an earlier repository",
                    backend->description, name);
    return error_advise(error, "repository-exists", "choose an empty directory");
}

/* A header alone decides what a repository is: where data is left without one, a new one would make
 * it unreadable for ever. */
static int check_empty(struct backend *backend, struct error *error)
{
    static const char *const folders[] = {"packs/", "index/", "backups/"};
    uint64_t size;
    struct error fault = ERROR_INIT;
    if (backend->size(backend, FORMAT_HEADER_FILE, &size, &fault) == 0) {
        (void)error_set(error, ERROR_EXISTS, "there is a repository in %s already",
                        backend->description);
        return error_advise(error, "repository-exists", "use it, or choose an empty directory");
    }
    if (fault.kind != ERROR_NOT_FOUND) {
        error_move(error, &fault);
        return -1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (backend->list(backend, folders[i], refuse_file, backend, error) != 0)
            return -1;
    return 0;
}

static int make_identity(const struct repository_parameters *parameters,
                         struct identity *ret_identity, struct error *error)
{
    struct identity identity = {.id = id_new()};
    identity.chunk_size = parameters->chunk_size ? parameters->chunk_size : default_chunk_size;
    identity.encrypted = parameters->passphrase != NULL;
    (void)name_from_id(&identity.id, &identity.repository);
    if (identity.chunk_size < FORMAT_CHUNK_MIN || identity.chunk_size > FORMAT_CHUNK_MAX ||
        (identity.chunk_size & (identity.chunk_size - 1)) != 0)
        return error_set(error, ERROR_USAGE,
                         "chunk size %u is not a power of two between 64 KiB and 4 MiB",
                         identity.chunk_size);
    if (identity.encrypted && !parameters->passphrase[0])
        return error_set(error, ERROR_USAGE, "the passphrase is empty");
    *ret_identity = identity;
    return 0;
}

int repository_init(struct backend *backend, const struct repository_parameters *parameters,
                    struct error *error)
{
    struct identity identity;
    uint8_t master[FORMAT_KEY_SIZE];
    if (make_identity(parameters, &identity, error) != 0 || check_empty(backend, error) != 0)
        return -1;
    if (identity.encrypted)
        crypto_random(master, sizeof master);
    else
        crypto_open_master(identity.repository.bytes, master);
    CLEANUP(crypto_freep) struct crypto *crypto = crypto_new(master, identity.repository.bytes);
    int result = 0;
    if (identity.encrypted)
        result = wrap_add(backend, &identity, crypto, master, parameters->passphrase,
                          parameters->scrypt_cost, error);
    memory_wipe(master, sizeof master);
    if (result != 0)
        return -1;
    return identity_write(backend, &identity, crypto, error);
}

/* ---- Opening ------------------------------------------------------------------------------- */

int repository_is_encrypted(struct backend *backend, bool *ret_encrypted, struct error *error)
{
    struct identity identity;
    if (identity_read(backend, &identity, NULL, error) != 0)
        return -1;
    *ret_encrypted = identity.encrypted;
    return 0;
}

int repository_open(struct backend *backend, const char *passphrase,
                    struct repository **ret_repository, struct error *error)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP(repository_freep) struct repository *repository = NEW(struct repository);
    if (identity_read(backend, &repository->identity, &text, error) != 0 ||
        identity_unlock(backend, &repository->identity, text, passphrase, &repository->crypto,
                        error) != 0)
        return -1;
    repository->workspaces = workspace_pool_new(repository->crypto);
    repository->source = (struct frame_source){
        backend, repository->crypto, repository->identity.repository.bytes, repository->workspaces};
    repository->index = index_new(&repository->source, default_pages_cached);
    repository->pack_size = default_pack_size;
    repository->segment_limit = default_segment_limit;
    repository->packs_alive = default_packs_alive;
    repository->blocks_cached = default_blocks_cached;
    if (index_refresh(repository->index, error) != 0)
        return -1;
    repository->backend = backend; /* taken over from here on */
    *ret_repository = TAKE_PTR(repository);
    return 0;
}

void repository_free(struct repository *repository)
{
    if (!repository)
        return;
    index_free(repository->index);
    workspace_pool_free(repository->workspaces);
    crypto_free(repository->crypto);
    backend_free(repository->backend);
    free(repository);
}

uint32_t repository_chunk_size(const struct repository *repository)
{
    return repository->identity.chunk_size;
}

struct id repository_id(const struct repository *repository)
{
    return repository->identity.id;
}

/* ---- Reading an object --------------------------------------------------------------------- */

static int copy_damaged(const struct index_place *place, const struct object_id *id,
                        const char *reason, struct error *error)
{
    char text[2 * REPOSITORY_ID_SIZE + 1], path[name_path_size];
    object_id_format(id, text);
    name_pack_path(&place->pack, path);
    (void)error_set(error, ERROR_DAMAGED, "object %s in %s is damaged: %s", text, path, reason);
    return error_advise(error, "stored-data-damaged",
                        "vmshadow verify tells which backups are touched");
}

/* Decrypt in the workspace, decompress into the caller's buffer, compare with the id. */
static int open_copy(struct workspace *workspace, const uint8_t *key,
                     const struct index_place *place, const struct object_id *id, uint8_t *sealed,
                     void *buffer, struct error *error)
{
    const struct format_entry *entry = &place->entry;
    size_t stored = bytes_get32(entry->stored), plain = bytes_get32(entry->plain);
    struct crypto_place where = frame_place(key, entry);
    uint8_t actual[FORMAT_ID_SIZE];
    if (crypto_open(&workspace->crypto, &where, sealed, stored, sealed) != 0)
        return copy_damaged(place, id, "authentication failed", error);
    if (workspace_unpack(workspace, entry->codec[0], sealed, stored - FORMAT_TAG_SIZE, buffer,
                         plain) != 0)
        return copy_damaged(place, id, "it cannot be decompressed", error);
    crypto_object_id(&workspace->crypto, entry->type[0], buffer, plain, actual);
    if (memcmp(actual, id, sizeof actual) != 0)
        return copy_damaged(place, id, "its content has another id", error);
    return 0;
}

int repository_read_copy(struct repository *repository, const struct index_place *place,
                         const struct object_id *id, enum object_type type, void *buffer,
                         size_t capacity, size_t *ret_size, struct error *error)
{
    const struct format_entry *entry = &place->entry;
    size_t stored = bytes_get32(entry->stored), plain = bytes_get32(entry->plain);
    if (entry->type[0] != type)
        return copy_damaged(place, id, "it is of another type", error);
    if (plain > capacity || stored < FORMAT_TAG_SIZE ||
        stored > FORMAT_OBJECT_MAX + FORMAT_TAG_SIZE)
        return copy_damaged(place, id, "its size cannot be", error);
    WORKSPACE_LOAN(workspace, repository->workspaces);
    uint8_t *sealed = workspace_buffer(workspace, 0, stored);
    uint8_t key[FORMAT_KEY_SIZE];
    char path[name_path_size];
    if (!sealed)
        return error_set(error, ERROR_FAILED, "no memory to read an object");
    name_pack_path(&place->pack, path);
    if (repository->backend->get(repository->backend, path, bytes_get32(entry->offset), sealed,
                                 stored, error) != 0)
        return -1;
    crypto_file_key(repository->crypto, "pack", &place->pack, NULL, key);
    int result = open_copy(workspace, key, place, id, sealed, buffer, error);
    memory_wipe(key, sizeof key);
    if (result == 0)
        *ret_size = plain;
    return result;
}

/* Every copy in turn. 1 read, 0 no copy at all, -1 none could be read. */
static int read_any_copy(struct repository *repository, const struct object_id *id,
                         enum object_type type, void *buffer, size_t capacity, size_t *ret_size,
                         struct error *error)
{
    struct index_cursor cursor = {0};
    struct index_place place;
    struct error first = ERROR_INIT;
    int found;
    while ((found = index_find(repository->index, id, false, &cursor, &place, error)) > 0) {
        struct error fault = ERROR_INIT;
        if (repository_read_copy(repository, &place, id, type, buffer, capacity, ret_size,
                                 &fault) == 0)
            return 1;
        error_move(&first, &fault);
    }
    if (found < 0)
        return -1;
    if (!error_is_set(&first))
        return 0;
    if (first.kind == ERROR_NOT_FOUND)
        first.kind = ERROR_DAMAGED; /* the pack is gone, not something the caller named */
    error_move(error, &first);
    return -1;
}

int repository_get(struct repository *repository, const struct object_id *id, enum object_type type,
                   void *buffer, size_t capacity, size_t *ret_size, struct error *error)
{
    char text[2 * REPOSITORY_ID_SIZE + 1];
    if (object_id_is_zero(id))
        return error_set(error, ERROR_USAGE, "the zero id names no object");
    int found = read_any_copy(repository, id, type, buffer, capacity, ret_size, error);
    if (found == 0 && index_refresh(repository->index, error) == 0) /* another host was quicker */
        found = read_any_copy(repository, id, type, buffer, capacity, ret_size, error);
    if (found > 0)
        return 0;
    object_id_format(id, text);
    (void)error_set(error, ERROR_DAMAGED, "object %s is not in the index%s", text,
                    index_damage(repository->index) ? ", which is damaged" : "");
    return error_advise(error, "stored-data-damaged",
                        "vmshadow verify tells which backups are touched");
}
