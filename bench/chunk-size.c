/* Bench: what a chunk size and a compression level cost and bring, measured through the
 * repository itself. Run by hand, see bench/chunk-size.sh; the table is in docs/performance.md.
 *
 *   chunk-size IMAGE DIRECTORY CHUNK_KIB LEVEL THREADS
 *
 * prints one row of that table: the first backup (seconds, MB of the image's data per second of
 * processor time, MB stored), one of the unchanged image, one after 400 writes of 16 KiB at random
 * places (MB stored), reading all back, and verify. Processor time is what several disks at once
 * are bound by, and what a busy machine leaves unchanged. DIRECTORY must not exist; it is left
 * behind.
 */
#include "base/clock.h"
#include "base/workers.h"
#include "repository/private.h"

#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

struct job {
    struct repository *repository;
    struct repository_writer *writer;
    struct disk_writer *disk;
    struct disk_reader *reader;
    uint8_t *image;
    uint64_t size, chunks;
    uint32_t chunk_size;
    atomic_uint_fast64_t next, stored, data;
};

static void check(int result, const struct error *error)
{
    if (result != 0)
        errx(1, "%s", error->message);
}

static size_t length_of(const struct job *job, uint64_t chunk)
{
    uint64_t rest = job->size - chunk * job->chunk_size;
    return rest < job->chunk_size ? (size_t)rest : job->chunk_size;
}

static int write_chunks(void *context, unsigned thread)
{
    struct job *job = context;
    struct error error = ERROR_INIT;
    uint64_t chunk;
    (void)thread;
    while ((chunk = atomic_fetch_add(&job->next, 1)) < job->chunks) {
        struct object_id id;
        uint64_t stored;
        size_t length = length_of(job, chunk);
        check(repository_writer_put(job->writer, OBJECT_DATA, job->image + chunk * job->chunk_size,
                                    length, &id, &stored, &error),
              &error);
        if (object_id_is_zero(&id))
            continue;
        atomic_fetch_add(&job->data, length);
        atomic_fetch_add(&job->stored, stored);
        check(disk_writer_set(job->disk, chunk, &id, &error), &error);
    }
    return 0;
}

static struct object_id back_up(struct job *job, unsigned threads)
{
    struct error error = ERROR_INIT;
    struct object_id root;
    uint64_t stored;
    atomic_store(&job->next, 0);
    atomic_store(&job->stored, 0);
    atomic_store(&job->data, 0);
    check(repository_writer_new(job->repository, &job->writer, &error), &error);
    check(disk_writer_new(job->writer, job->size, &job->disk, &error), &error);
    (void)workers_each(threads, threads, write_chunks, job);
    check(disk_writer_finish(job->disk, &root, &stored, &error), &error);
    atomic_fetch_add(&job->stored, stored);
    check(repository_writer_flush(job->writer, &error), &error);
    repository_writer_free(job->writer);
    return root;
}

static int read_chunks(void *context, unsigned thread)
{
    struct job *job = context;
    struct error error = ERROR_INIT;
    CLEANUP_FREE uint8_t *buffer = memory_new(1, job->chunk_size);
    uint64_t chunk;
    (void)thread;
    while ((chunk = atomic_fetch_add(&job->next, 1)) < job->chunks) {
        struct object_id id;
        size_t size;
        check(disk_reader_ids(job->reader, chunk, 1, &id, &error), &error);
        if (object_id_is_zero(&id))
            continue;
        check(repository_get(job->repository, &id, OBJECT_DATA, buffer, job->chunk_size, &size,
                             &error),
              &error);
    }
    return 0;
}

static double seconds_since(int64_t start)
{
    return (double)(clock_monotonic() - start) / (double)CLOCK_SECOND;
}

static double processor_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* MB per second of processor time since *before, which is set to now. */
static double rate(double megabytes, double *before)
{
    double now = processor_seconds(), used = now - *before;
    *before = now;
    return megabytes / used;
}

/* The same places for every chunk size. */
static void change(struct job *job)
{
    uint64_t seed = 88172645463325252;
    for (unsigned i = 0; i < 400; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        uint64_t at = seed % (job->size >> 14) << 14;
        for (unsigned j = 0; j < 16384; j++)
            job->image[at + j] ^= (uint8_t)(j * (i + 1) + 1);
    }
}

static void open_repository(struct job *job, const char *path, int level)
{
    struct backend *backend;
    struct error error = ERROR_INIT;
    struct repository_parameters parameters = {.chunk_size = job->chunk_size, .passphrase = "x"};
    check(backend_directory_new(io_real(), path, true, &backend, &error), &error);
    check(repository_init(backend, &parameters, &error), &error);
    check(repository_open(backend, "x", &job->repository, &error), &error);
    workspace_pool_set_level(job->repository->workspaces, level);
}

static void map_image(struct job *job, const char *path)
{
    struct stat stat;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &stat) != 0)
        err(1, "%s", path);
    job->size = (uint64_t)stat.st_size;
    job->image = mmap(NULL, job->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    if (job->image == MAP_FAILED)
        err(1, "%s", path);
    (void)close(file);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        errx(2, "usage: %s IMAGE DIRECTORY CHUNK_KIB LEVEL THREADS", argv[0]);
    struct job job = {.chunk_size = (uint32_t)atoi(argv[3]) << 10};
    unsigned threads = (unsigned)atoi(argv[5]);
    struct error error = ERROR_INIT;
    map_image(&job, argv[1]);
    job.chunks = (job.size + job.chunk_size - 1) / job.chunk_size;
    open_repository(&job, argv[2], atoi(argv[4]));

    int64_t start = clock_monotonic();
    double before = processor_seconds();
    struct object_id root = back_up(&job, threads);
    double wall = seconds_since(start), data = (double)atomic_load(&job.data) / 1e6;
    double first = rate(data, &before);
    uint64_t stored = atomic_load(&job.stored);
    (void)back_up(&job, threads);
    double unchanged = rate(data, &before);
    change(&job);
    (void)back_up(&job, threads);
    uint64_t changed = atomic_load(&job.stored);

    before = processor_seconds();
    atomic_store(&job.next, 0);
    check(disk_reader_new(job.repository, &root, &job.reader, &error), &error);
    (void)workers_each(threads, threads, read_chunks, &job);
    disk_reader_free(job.reader);
    double reading = rate(data, &before);
    check(repository_verify(job.repository, NULL, NULL, NULL, NULL, &error), &error);
    double verifying = rate(data, &before);
    repository_free(job.repository);
    printf("| %u | %s | %.1f | %.0f | %.1f | %.0f | %.1f | %.0f | %.0f |\n", job.chunk_size >> 10,
           argv[4], wall, first, (double)stored / 1e6, unchanged, (double)changed / 1e6, reading,
           verifying);
    return 0;
}
