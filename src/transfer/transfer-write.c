/* The disk's thread walks over the ids. Chunks go to the workers, who get and authenticate them and
 * hand them back; only then are they written. Zeroes are not stored: runs of them become
 * write-zeroes requests (one at a time, so that a server that cannot do it costs one failure and
 * then gets written zeroes), or nothing when the target reads as zeroes already. */
#include "transfer/transfer-write.h"

#include "base/clock.h"
#include "transfer/export.h"

#include <errno.h>

enum {
    IDS = 256,              /* looked up at once */
    ZERO_LIMIT = 128 << 20, /* servers that write the zeroes must end within the time limit */
};

/* What may wait in the server's cache before it is asked to flush, while the writing goes on. So
 * the storage works from the beginning, and the last flush, for which all wait, is short. */
#define UNFLUSHED_LIMIT (UINT64_C(512) << 20)

struct writer {
    /* Set by transfer_write_disk(), never changed. */
    struct job *job;
    struct transfer_disk *disk;
    struct repository *repository; /* any thread */
    struct disk_reader *tree;      /* any thread */
    uint64_t chunks;
    /* Owned by the disk's thread. */
    struct export export;
    struct share share;
    uint64_t next; /* chunk: all before are written, on their way, zero, or in the run of zeroes */
    uint64_t ids_first, ids_end; /* chunks whose ids are in `ids` */
    struct object_id ids[IDS];
    uint64_t zero_offset, zero_end; /* a run of zeroes that is not written yet */
    bool zeroing;                   /* its beginning is in flight */
    uint64_t unflushed;             /* bytes written since the last flush was sent */
    bool flushing;                  /* it is in flight */
    struct buffer *ready;           /* authenticated, oldest first */
};

/* ---- In the workers ---------------------------------------------------------------------------
 */

static int fetch(const struct writer *writer, struct buffer *buffer, struct error *error)
{
    size_t size;
    if (repository_get(writer->repository, &buffer->id, OBJECT_DATA, buffer->data,
                       writer->job->chunk_size, &size, error) == 0) {
        if (size == buffer->size)
            return 0;
        (void)error_set(error, ERROR_DAMAGED, "the chunk has %zu bytes, %u were expected", size,
                        buffer->size);
    }
    return error_prefix(error, "%s: cannot get the data of offset %llu: ", writer->disk->label,
                        (unsigned long long)buffer->offset);
}

int transfer_write_work(void *context, void *task, struct error *error)
{
    struct buffer *buffer = task;
    int result = fetch(buffer->disk, buffer, error);
    if (result == 0) {
        buffers_hand_back(buffer);
        return 0;
    }
    job_fail(context, error);
    buffers_return(buffer);
    return -1;
}

/* ---- In the disk's thread ---------------------------------------------------------------------
 */

static uint32_t bytes_of(const struct writer *writer, uint64_t chunk)
{
    uint64_t rest = writer->disk->size - chunk * writer->job->chunk_size;
    return rest < writer->job->chunk_size ? (uint32_t)rest : writer->job->chunk_size;
}

static const struct object_id *next_id(struct writer *writer, struct error *error)
{
    if (writer->next >= writer->ids_end) {
        uint64_t rest = writer->chunks - writer->next;
        size_t count = rest < IDS ? (size_t)rest : IDS;
        if (disk_reader_ids(writer->tree, writer->next, count, writer->ids, error) != 0)
            return NULL;
        writer->ids_first = writer->next;
        writer->ids_end = writer->next + count;
    }
    return &writer->ids[writer->next - writer->ids_first];
}

/* False: an earlier run has to be written first. */
static bool plan_zeroes(struct writer *writer)
{
    uint64_t offset = writer->next * writer->job->chunk_size;
    uint32_t size = bytes_of(writer, writer->next);
    if (writer->disk->target_is_zero) {
        atomic_fetch_add(&writer->disk->bytes_done, size);
        return true;
    }
    if (writer->zero_offset == writer->zero_end)
        writer->zero_offset = writer->zero_end = offset;
    if (writer->zero_end != offset)
        return false;
    writer->zero_end += size;
    return true;
}

static int plan(struct writer *writer, struct error *error)
{
    for (; writer->next < writer->chunks; writer->next++) {
        const struct object_id *id = next_id(writer, error);
        if (!id)
            return -1;
        if (object_id_is_zero(id)) {
            if (!plan_zeroes(writer))
                return 0;
            continue;
        }
        struct buffer *buffer = buffers_take(&writer->share, error);
        if (!buffer)
            return error_is_set(error) ? -1 : 0;
        buffer->disk = writer;
        buffer->id = *id;
        buffer->offset = writer->next * writer->job->chunk_size;
        buffer->size = bytes_of(writer, writer->next);
        if (workers_submit(writer->job->workers, buffer, error) != 0)
            return -1;
    }
    return 0;
}

static void collect(struct writer *writer)
{
    struct buffer **tail = &writer->ready;
    while (*tail)
        tail = &(*tail)->next;
    *tail = buffers_collect(&writer->share);
}

static int send_data(struct writer *writer, struct error *error)
{
    while (writer->ready && export_has_room(&writer->export)) {
        struct buffer *buffer = writer->ready;
        writer->ready = buffer->next;
        if (export_send(&writer->export, EXPORT_WRITE, buffer, buffer->offset, buffer->size,
                        error) != 0)
            return -1;
    }
    return 0;
}

static int send_zeroes(struct writer *writer, struct error *error)
{
    struct export *export = &writer->export;
    while (writer->zero_offset < writer->zero_end && !writer->zeroing && export_has_room(export)) {
        uint64_t offset = writer->zero_offset, size = writer->zero_end - offset;
        uint64_t most = export->can_zero ? ZERO_LIMIT : writer->job->chunk_size;
        size = size < most ? size : most;
        writer->zeroing = export->can_zero;
        if (!writer->zeroing)
            writer->zero_offset += size;
        if (export_send(export, export->can_zero ? EXPORT_ZERO : EXPORT_WRITE, NULL, offset, size,
                        error) != 0)
            return -1;
    }
    return 0;
}

static int send_flush(struct writer *writer, struct error *error)
{
    writer->flushing = true;
    writer->unflushed = 0;
    return export_send(&writer->export, EXPORT_FLUSH, NULL, 0, 0, error);
}

static int flush_early(struct writer *writer, struct error *error)
{
    if (writer->unflushed < UNFLUSHED_LIMIT || writer->flushing ||
        !export_has_room(&writer->export))
        return 0;
    return send_flush(writer, error);
}

static bool means_unsupported(int number)
{
    return number == EOPNOTSUPP || number == EINVAL;
}

static int take_answer(struct writer *writer, const struct export_request *answer,
                       struct error *error)
{
    if (answer->buffer)
        buffers_return(answer->buffer);
    if (answer->operation == EXPORT_ZERO) {
        writer->zeroing = false;
        if (means_unsupported(answer->number)) {
            writer->export.can_zero = false;
            return 0;
        }
    }
    if (answer->number)
        return export_fault(answer, error);
    switch (answer->operation) {
    case EXPORT_FLUSH:
        writer->flushing = false;
        break;
    case EXPORT_ZERO:
        writer->zero_offset += answer->size;
        break;
    default:
        writer->unflushed += answer->size;
        atomic_fetch_add(&writer->disk->bytes_read, answer->size);
    }
    atomic_fetch_add(&writer->disk->bytes_done, answer->size);
    return 0;
}

static int wait_and_take(struct writer *writer, struct error *error)
{
    struct export_request answer;
    if (export_wait(&writer->export, error) != 0)
        return -1;
    while (export_answered(&writer->export, &answer))
        if (take_answer(writer, &answer, error) != 0)
            return -1;
    collect(writer);
    return 0;
}

static int write_all(struct writer *writer, struct error *error)
{
    for (;;) {
        if (plan(writer, error) != 0 || send_data(writer, error) != 0 ||
            send_zeroes(writer, error) != 0 || flush_early(writer, error) != 0)
            return -1;
        if (writer->next == writer->chunks && !writer->export.in_flight &&
            buffers_held(&writer->share) == 0)
            break;
        if (wait_and_take(writer, error) != 0)
            return -1;
    }
    if (send_flush(writer, error) != 0)
        return -1;
    while (writer->export.in_flight)
        if (wait_and_take(writer, error) != 0)
            return -1;
    return 0;
}

static void forget(const struct export_request *request)
{
    if (request->buffer)
        buffers_return(request->buffer);
}

static void failed(struct writer *writer, struct error *error)
{
    (void)error_prefix(error, "%s: ", writer->disk->label);
    job_fail(writer->job, error);
}

static void drop_ready(struct writer *writer)
{
    for (struct buffer *buffer = writer->ready, *next; buffer; buffer = next) {
        next = buffer->next;
        buffers_return(buffer);
    }
}

/* The connection ends first; then the workers, who end at once after a failure, give back what
 * they have. */
static void write_export(struct writer *writer, struct error *error)
{
    const struct transfer_disk *disk = writer->disk;
    if (export_open(&writer->export, writer->job, disk->nbd_uri, disk->size, true,
                    writer->share.wake, error) != 0) {
        failed(writer, error);
        return;
    }
    if (write_all(writer, error) == 0) {
        export_end(&writer->export);
    } else {
        failed(writer, error);
        export_close(&writer->export, forget);
    }
    drop_ready(writer);
    buffers_settle(&writer->share);
}

static void open_and_write(struct writer *writer, struct error *error)
{
    const struct transfer_disk *disk = writer->disk;
    if (disk_reader_new(writer->repository, &disk->root, &writer->tree, error) != 0) {
        failed(writer, error);
        return;
    }
    uint64_t size = disk_reader_size(writer->tree);
    if (size == disk->size) {
        write_export(writer, error);
    } else {
        (void)error_set(error, ERROR_DAMAGED, "the stored disk has %llu bytes, %llu were expected",
                        (unsigned long long)size, (unsigned long long)disk->size);
        failed(writer, error);
    }
    disk_reader_free(writer->tree);
}

void transfer_write_disk(struct job *job, struct repository *repository, struct transfer_disk *disk)
{
    struct writer *writer = NEW(struct writer);
    struct error error = ERROR_INIT;
    writer->job = job;
    writer->disk = disk;
    writer->repository = repository;
    writer->chunks = disk->size / job->chunk_size + (disk->size % job->chunk_size != 0);
    atomic_store(&disk->started, clock_monotonic());
    if (buffers_join(job->buffers, &writer->share, &error) != 0) {
        failed(writer, &error);
    } else {
        open_and_write(writer, &error);
        buffers_leave(&writer->share);
    }
    atomic_store(&disk->ended, clock_monotonic());
    free(writer);
}
