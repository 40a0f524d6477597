/* The disk's thread owns the connection: it asks for block status ahead, starts reads while there
 * are requests and buffers, and hands full buffers to the workers, who store them and return the
 * buffers. One request a chunk: from the first to the last byte that the block status does not call
 * zero. Holes in between are read, too: QEMU sends them as one "zeroes" reply, and a round trip for
 * each range costs more (README.md has the measurement). */
#include "transfer/transfer-read.h"

#include "base/clock.h"
#include "transfer/export.h"

#include <string.h>

/* Ranges are widened to this, so that a server does not read, copy and cut a page for less. */
enum { READ_ALIGNMENT = 4096 };

struct reader {
    /* Set by transfer_read_disk(), never changed. */
    struct job *job;
    struct transfer_disk *disk;
    struct repository_writer *writer; /* any thread */
    struct disk_writer *tree;         /* any thread */
    uint64_t chunks;
    /* Owned by the disk's thread. */
    struct export export;
    struct share share;
    struct allocation allocation;
    uint64_t next; /* chunk: all before are read or being read, or zero */
    uint64_t told; /* chunk: `next` when the tree was last told what will not come any more */
    bool asking;   /* a block status request is in flight */
};

/* ---- In the workers ---------------------------------------------------------------------------
 */

static int store(struct reader *reader, const struct buffer *buffer, struct error *error)
{
    struct object_id id;
    uint64_t stored;
    if (repository_writer_put(reader->writer, OBJECT_DATA, buffer->data, buffer->size, &id, &stored,
                              error) != 0 ||
        disk_writer_set(reader->tree, buffer->offset / reader->job->chunk_size, &id, error) != 0)
        return error_prefix(error,
                            "%s: cannot store the data of offset %llu: ", reader->disk->label,
                            (unsigned long long)buffer->offset);
    atomic_fetch_add(&reader->disk->bytes_stored, stored);
    return 0;
}

int transfer_read_work(void *context, void *task, struct error *error)
{
    struct buffer *buffer = task;
    struct reader *reader = buffer->disk;
    int result = store(reader, buffer, error);
    if (result == 0)
        atomic_fetch_add(&reader->disk->bytes_done, buffer->size);
    else
        job_fail(context, error);
    buffers_return(buffer);
    return result;
}

/* ---- In the disk's thread ---------------------------------------------------------------------
 */

static int ask(struct reader *reader, struct error *error)
{
    uint64_t offset, length;
    if (reader->asking || !export_has_room(&reader->export) ||
        !allocation_next_question(&reader->allocation, reader->next, &offset, &length))
        return 0;
    reader->asking = true;
    return export_send_status(&reader->export, &reader->allocation, &reader->next, offset, length,
                              error);
}

static int start_read(struct reader *reader, struct buffer *buffer,
                      const struct allocation_range *range, struct error *error)
{
    buffer->disk = reader;
    memset(buffer->data, 0, range->begin);
    memset(buffer->data + range->end, 0, buffer->size - range->end);
    return export_send(&reader->export, EXPORT_READ, buffer, buffer->offset + range->begin,
                       range->end - range->begin, error);
}

static int start_reads(struct reader *reader, struct error *error)
{
    uint32_t chunk_size = reader->job->chunk_size;
    while (reader->next < reader->chunks) {
        struct allocation_range range;
        if (!allocation_look_up(&reader->allocation, reader->next, &range))
            return 0;
        uint64_t offset = reader->next * chunk_size, rest = reader->disk->size - offset;
        uint32_t size = rest < chunk_size ? (uint32_t)rest : chunk_size;
        if (range.begin == range.end) {
            atomic_fetch_add(&reader->disk->bytes_done, size);
            reader->next++;
            continue;
        }
        struct buffer *buffer = NULL;
        if (!export_has_room(&reader->export) || !(buffer = buffers_take(&reader->share, error)))
            return error_is_set(error) ? -1 : 0;
        buffer->offset = offset;
        buffer->size = size;
        if (start_read(reader, buffer, &range, error) != 0)
            return -1;
        reader->next++;
    }
    return 0;
}

/* Block status only saves work: when the server will not tell, or makes no sense, all is read. */
static void take_status(struct reader *reader, const struct export_request *answer)
{
    reader->asking = false;
    if (answer->number || reader->allocation.known <= answer->offset)
        allocation_give_up(&reader->allocation);
}

static int take_answers(struct reader *reader, struct error *error)
{
    struct export_request answer;
    while (export_answered(&reader->export, &answer)) {
        if (answer.operation == EXPORT_STATUS) {
            take_status(reader, &answer);
            continue;
        }
        if (answer.number) {
            buffers_return(answer.buffer);
            return export_fault(&answer, error);
        }
        atomic_fetch_add(&reader->disk->bytes_read, answer.size);
        if (workers_submit(reader->job->workers, answer.buffer, error) != 0)
            return -1;
    }
    return 0;
}

/* Chunks that are zero never come to the tree: told now and then, it need not keep room for them.
 */
static int tell_tree(struct reader *reader, struct error *error)
{
    enum { NOW_AND_THEN = 1024 };
    uint32_t chunk_size = reader->job->chunk_size;
    if (reader->next - reader->told < NOW_AND_THEN)
        return 0;
    reader->told = reader->next;
    uint64_t lowest = buffers_lowest_offset(&reader->share, reader->next * chunk_size);
    return disk_writer_close_before(reader->tree, lowest / chunk_size, error);
}

static int read_all(struct reader *reader, struct error *error)
{
    for (;;) {
        if (ask(reader, error) != 0 || start_reads(reader, error) != 0 ||
            tell_tree(reader, error) != 0)
            return -1;
        if (reader->next == reader->chunks && buffers_held(&reader->share) == 0)
            return 0;
        if (export_wait(&reader->export, error) != 0 || take_answers(reader, error) != 0)
            return -1;
    }
}

static void forget(const struct export_request *request)
{
    if (request->buffer)
        buffers_return(request->buffer);
}

static int failed(struct reader *reader, struct error *error)
{
    (void)error_prefix(error, "%s: ", reader->disk->label);
    job_fail(reader->job, error);
    return -1;
}

/* The connection ends first, so that nothing more comes; then the workers, who end at once after
 * a failure, give back what they have. */
static int read_export(struct reader *reader, struct error *error)
{
    struct transfer_disk *disk = reader->disk;
    struct export *export = &reader->export;
    if (export_open(export, reader->job, disk->nbd_uri, disk->size, false, reader->share.wake,
                    error) != 0)
        return failed(reader, error);
    uint32_t alignment = export->minimum > READ_ALIGNMENT ? export->minimum : READ_ALIGNMENT;
    allocation_init(&reader->allocation, disk->size, reader->job->chunk_size, alignment);
    if (!export->can_status)
        allocation_give_up(&reader->allocation);
    int result = read_all(reader, error);
    if (result == 0) {
        export_end(export);
    } else {
        (void)failed(reader, error);
        export_close(export, forget);
    }
    buffers_settle(&reader->share);
    allocation_clear(&reader->allocation);
    return result;
}

static void read_and_finish(struct reader *reader, struct object_id *ret_root, struct error *error)
{
    uint64_t stored;
    if (disk_writer_new(reader->writer, reader->disk->size, &reader->tree, error) != 0)
        (void)failed(reader, error);
    else if (read_export(reader, error) != 0)
        disk_writer_free(reader->tree);
    else if (disk_writer_finish(reader->tree, ret_root, &stored, error) != 0)
        (void)failed(reader, error);
    else
        atomic_fetch_add(&reader->disk->bytes_stored, stored);
}

void transfer_read_disk(struct job *job, struct repository_writer *writer,
                        struct transfer_disk *disk, struct object_id *ret_root)
{
    struct reader reader = {.job = job, .disk = disk, .writer = writer};
    struct error error = ERROR_INIT;
    reader.chunks = disk->size / job->chunk_size + (disk->size % job->chunk_size != 0);
    atomic_store(&disk->started, clock_monotonic());
    if (buffers_join(job->buffers, &reader.share, &error) != 0) {
        (void)failed(&reader, &error);
    } else {
        read_and_finish(&reader, ret_root, &error);
        buffers_leave(&reader.share);
    }
    atomic_store(&disk->ended, clock_monotonic());
}
