/* The shape of both directions: a job, a thread for each disk (a bounded number at once), a set of
 * workers for all. */
#include "transfer/transfer.h"

#include "base/clock.h"
#include "transfer/job.h"
#include "transfer/transfer-read.h"
#include "transfer/transfer-write.h"

enum {
    BUFFER_BYTES = 32 << 20, /* default for all buffers together */
    FEWEST_BUFFERS = 8,      /* default at least */
    REQUESTS = 16,           /* default; QEMU's NBD server works on as many at once */
    REQUESTS_LIMIT = 1024,
    TIME_LIMIT = 60,    /* seconds, default */
    DISKS_AT_ONCE = 16, /* more would only wait for each other */
    CHUNK_MINIMUM = 64 << 10,
    CHUNK_LIMIT = 4 << 20,
};

struct transfer {
    /* Set at the beginning, never changed. */
    struct job *job;
    struct repository_writer *writer; /* backup */
    struct repository *repository;    /* restore */
    struct transfer_disk *disks;
    struct object_id *roots; /* one element a disk, written by its thread */
};

static int work_on_disk(void *context, unsigned index)
{
    struct transfer *transfer = context;
    struct job *job = transfer->job;
    struct error error = ERROR_INIT;
    if (job_check(job, clock_monotonic(), &(int64_t){0}, &error) != 0)
        job_fail(job, &error);
    else if (transfer->writer)
        transfer_read_disk(job, transfer->writer, &transfer->disks[index], &transfer->roots[index]);
    else
        transfer_write_disk(job, transfer->repository, &transfer->disks[index]);
    return 0;
}

/* Only on failure: the workers may drop what they have not begun. */
static void drop_task(void *context, void *task)
{
    (void)context;
    buffers_return(task);
}

static unsigned default_buffers(uint32_t chunk_size)
{
    unsigned buffers = BUFFER_BYTES / chunk_size;
    return buffers > FEWEST_BUFFERS ? buffers : FEWEST_BUFFERS;
}

static int run(struct transfer *transfer, size_t count, const struct transfer_settings *settings,
               struct error *error)
{
    struct job *job = transfer->job;
    unsigned buffers = settings->buffers ? settings->buffers : default_buffers(job->chunk_size);
    CLEANUP_FREE void *zeroes = memory_new(1, job->chunk_size);
    job->zeroes = zeroes;
    job->requests = settings->requests ? settings->requests : REQUESTS;
    if (job->requests > REQUESTS_LIMIT)
        job->requests = REQUESTS_LIMIT;
    job->time_limit = settings->time_limit ? settings->time_limit : TIME_LIMIT * CLOCK_SECOND;
    job->buffers = buffers_new(buffers, job->chunk_size);
    pthread_mutex_init(&job->lock, NULL);
    /* The queue has room for every buffer, so handing over never blocks (buffers.h). */
    job->workers =
        workers_new(settings->workers, buffers,
                    (struct workers_task){
                        .run = transfer->writer ? transfer_read_work : transfer_write_work,
                        .discard = drop_task,
                        .context = job,
                    });
    unsigned at_once = buffers < DISKS_AT_ONCE ? buffers : DISKS_AT_ONCE;
    (void)workers_each((unsigned)count, at_once, work_on_disk, transfer);
    (void)workers_finish(job->workers, NULL);
    if (settings->ret_peak_buffers)
        *settings->ret_peak_buffers = buffers_peak(job->buffers);
    buffers_free(job->buffers);
    pthread_mutex_destroy(&job->lock);
    if (!atomic_load(&job->stopped))
        return 0;
    error_move(error, &job->error);
    return -1;
}

static int check_arguments(uint32_t chunk_size, size_t count, struct error *error)
{
    if (chunk_size < CHUNK_MINIMUM || chunk_size > CHUNK_LIMIT || (chunk_size & (chunk_size - 1)))
        return error_set(error, ERROR_DAMAGED, "chunks of %u bytes are not possible", chunk_size);
    if (count > UINT32_MAX)
        return error_set(error, ERROR_REFUSED, "%zu disks are too many", count);
    return 0;
}

static const struct transfer_settings defaults = {0};

int transfer_backup(struct repository_writer *writer, uint32_t chunk_size,
                    struct transfer_disk *disks, size_t count,
                    const struct transfer_settings *settings, transfer_check *check,
                    void *check_context, struct error *error)
{
    if (check_arguments(chunk_size, count, error) != 0)
        return -1;
    struct job job = {.chunk_size = chunk_size, .check = check, .check_context = check_context};
    CLEANUP_FREE struct object_id *roots = NEW_ARRAY(struct object_id, count);
    struct transfer transfer = {.job = &job, .writer = writer, .disks = disks, .roots = roots};
    if (run(&transfer, count, settings ? settings : &defaults, error) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        disks[i].root = roots[i];
    return 0;
}

int transfer_restore(struct repository *repository, struct transfer_disk *disks, size_t count,
                     const struct transfer_settings *settings, transfer_check *check,
                     void *check_context, struct error *error)
{
    uint32_t chunk_size = repository_chunk_size(repository);
    if (check_arguments(chunk_size, count, error) != 0)
        return -1;
    struct job job = {.chunk_size = chunk_size, .check = check, .check_context = check_context};
    struct transfer transfer = {.job = &job, .repository = repository, .disks = disks};
    return run(&transfer, count, settings ? settings : &defaults, error);
}
