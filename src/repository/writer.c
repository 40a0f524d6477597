/* The path of an object: id, claim, compress, place, seal; and of a pack: full, put, indexed.
 *
 *   any thread:  id ─► claimed before? in the index? ─► zstd + compare ─► place ─► seal ─┐
 *   one thread:                      put pack ◄─ closed and all of it sealed ◄───────────┘
 *                                       └─► enough entries? put index
 *
 * An object is claimed in a set before the work on it begins, so that two threads which bring the
 * same content store it once: the second is told "known" while the first is still at work. Hence a
 * failure after a claim fails the whole writer, and nothing that relied on it can be committed.
 * A claim is dropped when the object's entry is in a segment that the index has read back.
 *
 * Memory: packs_alive packs (buffers are used again), the claims and entries of one segment.
 */
#include "repository/private.h"

#include "base/workers.h"
#include "repository/idset.h"
#include "repository/pack.h"

#include <pthread.h>
#include <string.h>

/* A pack that is durable and not yet in the index. */
struct written_pack {
    struct format_pack pack;
    struct format_entry *entries; /* owned */
    uint32_t count;
};

struct repository_writer {
    /* Set at creation, never changed. */
    struct repository *repository;
    pthread_mutex_t lock;
    pthread_cond_t buffer_freed; /* also when the writer fails */
    /* Guarded by lock. */
    struct idset *claims;
    uint64_t generation; /* counts the segments put: claims may have left the set */
    struct pack *current;
    unsigned alive; /* buffers in use */
    uint8_t **idle; /* buffers to be used again */
    size_t idle_count;
    struct written_pack *written;
    size_t written_count, written_entries;
    struct error failure; /* the first; set = nothing works any more */
    /* The publisher thread; NULL after the flush. */
    struct workers *publisher;
};

static int publish_pack(void *context, void *task, struct error *error);
static void discard_pack(void *context, void *task);

int repository_writer_new(struct repository *repository, struct repository_writer **ret_writer,
                          struct error *error)
{
    if (index_refresh(repository->index, error) != 0) /* what other hosts have stored */
        return -1;
    struct repository_writer *writer = NEW(struct repository_writer);
    writer->repository = repository;
    writer->claims = idset_new();
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->buffer_freed, NULL);
    struct workers_task kind = {publish_pack, discard_pack, writer};
    writer->publisher = workers_new(1, repository->packs_alive, kind);
    *ret_writer = writer;
    return 0;
}

struct repository *repository_writer_repository(struct repository_writer *writer)
{
    return writer->repository;
}

/* ---- Failing ------------------------------------------------------------------------------- */

static void fail(struct repository_writer *writer, const struct error *error)
{
    pthread_mutex_lock(&writer->lock);
    if (!error_is_set(&writer->failure))
        writer->failure = *error;
    pthread_cond_broadcast(&writer->buffer_freed);
    pthread_mutex_unlock(&writer->lock);
}

/* Called with the lock held. */
static int check_failure(const struct repository_writer *writer, struct error *error)
{
    if (!error_is_set(&writer->failure))
        return 0;
    if (error && !error_is_set(error))
        *error = writer->failure;
    return -1;
}

/* ---- Index --------------------------------------------------------------------------------- */

static void free_written(struct written_pack *written, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(written[i].entries);
    free(written);
}

static int put_segment(struct repository_writer *writer, const struct written_pack *written,
                       size_t pack_count, size_t entry_count, struct error *error)
{
    struct repository *repository = writer->repository;
    CLEANUP_FREE struct format_pack *packs = NEW_ARRAY(struct format_pack, pack_count);
    CLEANUP_FREE struct format_entry *entries = NEW_ARRAY(struct format_entry, entry_count);
    struct file_name name;
    size_t used = 0;
    for (size_t i = 0; i < pack_count; i++) {
        packs[i] = written[i].pack;
        for (uint32_t j = 0; j < written[i].count; j++) {
            entries[used] = written[i].entries[j];
            bytes_put16(entries[used++].pack, (uint16_t)i);
        }
    }
    qsort(entries, used, sizeof *entries, segment_compare_entries);
    if (segment_write(&repository->source, entries, (uint32_t)used, packs, (uint32_t)pack_count,
                      &name, error) != 0)
        return -1;
    return index_add(repository->index, &name, error);
}

static void drop_claims(struct repository_writer *writer, const struct written_pack *written,
                        size_t count)
{
    pthread_mutex_lock(&writer->lock);
    for (size_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < written[i].count; j++) {
            struct object_id id;
            memcpy(id.bytes, written[i].entries[j].id, sizeof id.bytes);
            idset_remove(writer->claims, &id);
        }
    writer->generation++;
    pthread_mutex_unlock(&writer->lock);
}

/* Put an index of all packs that are durable. One thread at a time: the publisher, or the one that
 * flushes after it ended. */
static int put_index(struct repository_writer *writer, struct error *error)
{
    pthread_mutex_lock(&writer->lock);
    struct written_pack *written = TAKE_PTR(writer->written);
    size_t count = writer->written_count, entries = writer->written_entries;
    writer->written_count = writer->written_entries = 0;
    pthread_mutex_unlock(&writer->lock);
    int result = 0;
    if (count) {
        result = put_segment(writer, written, count, entries, error);
        if (result == 0)
            drop_claims(writer, written, count);
    }
    free_written(written, count);
    return result;
}

/* ---- Packs --------------------------------------------------------------------------------- */

static void give_buffer(struct repository_writer *writer, uint8_t *buffer)
{
    pthread_mutex_lock(&writer->lock);
    ARRAY_APPEND(writer->idle, writer->idle_count, buffer);
    writer->alive--;
    pthread_cond_broadcast(&writer->buffer_freed);
    pthread_mutex_unlock(&writer->lock);
}

static void discard_pack(void *context, void *task)
{
    struct pack *pack = task;
    give_buffer(context, pack->buffer);
    pack_free(pack);
}

/* Returns whether it is time to put an index. */
static bool remember_written(struct repository_writer *writer, struct pack *pack)
{
    struct written_pack written = {.entries = TAKE_PTR(pack->entries), .count = pack->count};
    memcpy(written.pack.name, pack->name.bytes, sizeof written.pack.name);
    bytes_put64(written.pack.size, pack->file_size);
    pthread_mutex_lock(&writer->lock);
    ARRAY_APPEND(writer->written, writer->written_count, written);
    writer->written_entries += written.count;
    bool enough = writer->written_entries >= writer->repository->segment_limit ||
                  writer->written_count >= FORMAT_SEGMENT_PACKS_MAX / 2;
    pthread_mutex_unlock(&writer->lock);
    return enough;
}

static int publish_pack(void *context, void *task, struct error *error)
{
    struct repository_writer *writer = context;
    struct pack *pack = task;
    struct workspace *workspace = workspace_take(writer->repository->workspaces);
    int result = pack_put(pack, writer->repository->backend, workspace, error);
    if (result != 0 && error && error->kind == ERROR_SPACE)
        (void)error_advise(error, "repository-full",
                           "make room there, then back up again: what is stored by now is used");
    workspace_give(writer->repository->workspaces, workspace);
    bool enough = result == 0 && remember_written(writer, pack);
    discard_pack(writer, pack);
    if (enough)
        result = put_index(writer, error);
    if (result != 0)
        fail(writer, error);
    return result;
}

/* Called with the lock held; the caller submits what it gets, without the lock. */
static struct pack *close_current(struct repository_writer *writer)
{
    struct pack *pack = TAKE_PTR(writer->current);
    if (!pack)
        return NULL;
    pack->closed = true;
    return pack->outstanding ? NULL : pack;
}

/* A buffer, waiting for one while packs_alive are in use. Called with the lock held, which is
 * released meanwhile. */
static uint8_t *wait_for_buffer(struct repository_writer *writer, struct error *error)
{
    while (writer->alive >= writer->repository->packs_alive && !error_is_set(&writer->failure) &&
           !writer->current)
        pthread_cond_wait(&writer->buffer_freed, &writer->lock);
    if (check_failure(writer, error) != 0 || writer->current)
        return NULL;
    uint8_t *buffer = writer->idle_count ? writer->idle[--writer->idle_count]
                                         : memory_try_new(writer->repository->pack_size, 1);
    if (!buffer)
        (void)error_set(error, ERROR_FAILED, "no memory for a pack");
    return buffer;
}

/* Make sure that there is a current pack with room. Called with the lock held. A pack that became
 * ready to be put is handed to *ret_full; then try again after submitting it. */
static int need_room(struct repository_writer *writer, size_t packed, struct pack **ret_full,
                     struct error *error)
{
    struct repository *repository = writer->repository;
    while (!*ret_full) {
        if (writer->current && pack_fits(writer->current, packed))
            return 0;
        if (writer->current) {
            *ret_full = close_current(writer);
            continue;
        }
        uint8_t *buffer = wait_for_buffer(writer, error);
        if (!buffer && !writer->current)
            return -1;
        if (!buffer)
            continue; /* another thread made one meanwhile */
        writer->alive++;
        writer->current = pack_new(repository->crypto, repository->identity.repository.bytes,
                                   buffer, repository->pack_size);
    }
    return 0;
}

static int submit(struct repository_writer *writer, struct pack *pack, struct error *error)
{
    return pack ? workers_submit(writer->publisher, pack, error) : 0;
}

/* A place in a pack for the object. ret_pack has one outstanding seal more. */
static int take_place(struct repository_writer *writer, struct format_entry *entry, size_t packed,
                      struct pack **ret_pack, struct error *error)
{
    for (;;) {
        struct pack *full = NULL;
        pthread_mutex_lock(&writer->lock);
        int result = check_failure(writer, error);
        if (result == 0)
            result = need_room(writer, packed, &full, error);
        if (result == 0 && !full) {
            *ret_pack = writer->current;
            pack_reserve(writer->current, entry, packed);
            writer->current->outstanding++;
        }
        pthread_mutex_unlock(&writer->lock);
        if (result != 0 || !full)
            return result;
        if (submit(writer, full, error) != 0)
            return -1;
    }
}

static int place_sealed(struct repository_writer *writer, struct pack *pack, struct error *error)
{
    pthread_mutex_lock(&writer->lock);
    bool ready = --pack->outstanding == 0 && pack->closed;
    pthread_mutex_unlock(&writer->lock);
    return ready ? submit(writer, pack, error) : 0;
}

/* ---- Objects ------------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *data, size_t size)
{
    if (size < 16)
        return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
    static const uint8_t zero[16];
    return memcmp(data, zero, 16) == 0 && memcmp(data, data + 16, size - 16) == 0;
}

/* 1: it is ours to store; 0: it is known; -1. The index is read without the lock; when a segment
 * was put meanwhile, a claim may have moved there from the set, so look again. */
static int claim(struct repository_writer *writer, const struct object_id *id, struct error *error)
{
    for (;;) {
        pthread_mutex_lock(&writer->lock);
        int result = check_failure(writer, error);
        bool claimed = idset_has(writer->claims, id);
        uint64_t generation = writer->generation;
        pthread_mutex_unlock(&writer->lock);
        if (result != 0 || claimed)
            return result;
        int has = index_has(writer->repository->index, id, error);
        if (has != 0)
            return has > 0 ? 0 : -1;
        pthread_mutex_lock(&writer->lock);
        bool changed = writer->generation != generation;
        bool ours = !changed && idset_add(writer->claims, id);
        pthread_mutex_unlock(&writer->lock);
        if (!changed)
            return ours;
    }
}

static int store(struct repository_writer *writer, struct workspace *workspace,
                 enum object_type type, const void *data, size_t size, const struct object_id *id,
                 uint64_t *ret_stored, struct error *error)
{
    const void *packed;
    size_t packed_size;
    struct format_entry entry = {.type = {(uint8_t)type}};
    struct pack *pack;
    if (workspace_pack(workspace, data, size, &packed, &packed_size, &entry.codec[0], error) != 0)
        return -1;
    memcpy(entry.id, id->bytes, sizeof entry.id);
    bytes_put32(entry.plain, (uint32_t)size);
    if (take_place(writer, &entry, packed_size, &pack, error) != 0)
        return -1;
    pack_seal(pack, workspace, &entry, packed, packed_size);
    *ret_stored = bytes_get32(entry.stored);
    return place_sealed(writer, pack, error);
}

int repository_writer_put(struct repository_writer *writer, enum object_type type, const void *data,
                          size_t size, struct object_id *ret_id, uint64_t *ret_stored,
                          struct error *error)
{
    struct object_id id = {{0}};
    uint64_t stored = 0;
    if (size > FORMAT_OBJECT_MAX)
        return error_set(error, ERROR_USAGE, "an object of %zu bytes is too large", size);
    if (!is_zero(data, size)) {
        WORKSPACE_LOAN(workspace, writer->repository->workspaces);
        struct error fault = ERROR_INIT;
        crypto_object_id(&workspace->crypto, (uint8_t)type, data, size, id.bytes);
        int result = claim(writer, &id, &fault);
        if (result > 0)
            result = store(writer, workspace, type, data, size, &id, &stored, &fault);
        if (result < 0) {
            fail(writer, &fault);
            error_move(error, &fault);
            return -1;
        }
    }
    *ret_id = id;
    *ret_stored = stored;
    return 0;
}

int repository_writer_knows(struct repository_writer *writer, const struct object_id *id,
                            struct error *error)
{
    if (object_id_is_zero(id))
        return 1;
    pthread_mutex_lock(&writer->lock);
    bool claimed = idset_has(writer->claims, id);
    pthread_mutex_unlock(&writer->lock);
    return claimed ? 1 : index_has(writer->repository->index, id, error);
}

/* ---- Ending -------------------------------------------------------------------------------- */

int repository_writer_flush(struct repository_writer *writer, struct error *error)
{
    pthread_mutex_lock(&writer->lock);
    int result = check_failure(writer, error);
    struct pack *last = result == 0 ? close_current(writer) : NULL;
    pthread_mutex_unlock(&writer->lock);
    if (result == 0)
        result = submit(writer, last, error);
    if (workers_finish(TAKE_PTR(writer->publisher), error) != 0)
        result = -1;
    return result == 0 ? put_index(writer, error) : -1;
}

void repository_writer_free(struct repository_writer *writer)
{
    if (!writer)
        return;
    if (writer->publisher) {
        struct error given_up = ERROR_INIT;
        (void)error_set(&given_up, ERROR_INTERRUPTED, "the backup was given up");
        workers_fail(writer->publisher, &given_up);
        (void)workers_finish(writer->publisher, NULL);
    }
    if (writer->current)
        discard_pack(writer, writer->current);
    free_written(writer->written, writer->written_count);
    for (size_t i = 0; i < writer->idle_count; i++)
        free(writer->idle[i]);
    free(writer->idle);
    idset_free(writer->claims);
    pthread_cond_destroy(&writer->buffer_freed);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}
