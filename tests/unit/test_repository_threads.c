/* repository: many threads write and read at once; content is stored once; memory is bounded by
 * the packs that may be alive; a failing storage ends everybody's waiting. Run it under a thread
 * sanitizer, too. */
#include "repository-kit.h"

#include "base/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 6, CHUNKS = 300, DISTINCT = 120 };

struct job {
    struct repository *repository;
    struct repository_writer *writer;
    struct disk_writer *disks[THREADS];
    struct object_id roots[THREADS];
    atomic_uint failures;
};

/* Chunk `i` of every disk: one of DISTINCT contents, some of them zeroes. */
static void fill_chunk(uint8_t *data, unsigned i)
{
    kit_fill(data, KIT_CHUNK, i % DISTINCT, i % DISTINCT);
}

static unsigned distinct_stored(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < DISTINCT; i++)
        count += i % 4 != 1; /* zeroes */
    return count;
}

/* Every thread brings every chunk, each in another order, and sets them in turn in all disks, so
 * that each disk gets each chunk from some thread. */
static int write_disk(void *context, unsigned thread)
{
    struct job *job = context;
    struct error error = ERROR_INIT;
    CLEANUP_FREE uint8_t *data = memory_new(1, KIT_CHUNK);
    for (unsigned i = 0; i < CHUNKS; i++) {
        unsigned chunk = (i + thread * 36) % CHUNKS;
        struct object_id id;
        uint64_t stored;
        fill_chunk(data, chunk);
        if (repository_writer_put(job->writer, OBJECT_DATA, data, KIT_CHUNK, &id, &stored,
                                  &error) != 0 ||
            disk_writer_set(job->disks[(thread + i) % THREADS], chunk, &id, &error) != 0)
            return -1;
    }
    return 0;
}

static int read_disk(void *context, unsigned thread)
{
    struct job *job = context;
    struct error error = ERROR_INIT;
    struct disk_reader *disk;
    CLEANUP_FREE uint8_t *data = memory_new(2, KIT_CHUNK);
    uint8_t *expected = data + KIT_CHUNK;
    int result = disk_reader_new(job->repository, &job->roots[thread % THREADS], &disk, &error);
    if (result != 0)
        return -1;
    for (unsigned i = 0; i < CHUNKS && result == 0; i++) {
        struct object_id id;
        size_t size = KIT_CHUNK;
        result = disk_reader_ids(disk, i, 1, &id, &error);
        memset(data, 0, KIT_CHUNK);
        if (result == 0 && !object_id_is_zero(&id))
            result =
                repository_get(job->repository, &id, OBJECT_DATA, data, KIT_CHUNK, &size, &error);
        fill_chunk(expected, i);
        if (size != KIT_CHUNK || memcmp(data, expected, KIT_CHUNK) != 0)
            result = -1;
    }
    disk_reader_free(disk);
    return result;
}

/* Several threads read the blocks of one disk through one reader. */
struct shared {
    struct disk_reader *disk;
    struct object_id first[CHUNKS];
};

static int read_shared(void *context, unsigned thread)
{
    struct shared *shared = context;
    struct object_id ids[CHUNKS];
    struct error error = ERROR_INIT;
    (void)thread;
    if (disk_reader_ids(shared->disk, 0, CHUNKS, ids, &error) != 0)
        return -1;
    return memcmp(ids, shared->first, sizeof ids) == 0 ? 0 : -1;
}

static struct repository *make(struct backend *backend)
{
    struct repository *repository;
    struct error error = ERROR_INIT;
    assert_good(kit_init(backend, NULL, &error), &error);
    assert_good(repository_open(backend, NULL, &repository, &error), &error);
    kit_shrink(repository);
    repository->pack_size = 300 << 10;
    repository->segment_limit = 16;
    return repository;
}

static void threads_store_once(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    struct job job = {.repository = make(backend_memory_new())};
    struct repository_verify_counts counts;
    uint64_t stored;
    assert_good(repository_writer_new(job.repository, &job.writer, &error), &error);
    for (unsigned i = 0; i < THREADS; i++)
        assert_good(
            disk_writer_new(job.writer, (uint64_t)CHUNKS * KIT_CHUNK, &job.disks[i], &error),
            &error);
    assert_int_equal(workers_each(THREADS, THREADS, write_disk, &job), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_good(disk_writer_finish(job.disks[i], &job.roots[i], &stored, &error), &error);
    assert_good(repository_writer_flush(job.writer, &error), &error);
    repository_writer_free(job.writer);

    assert_good(repository_verify(job.repository, NULL, NULL, NULL, &counts, &error), &error);
    /* one tree and one root for all disks, which are equal */
    assert_int_equal(counts.objects, distinct_stored() + 2);
    assert_int_equal(workers_each(2 * THREADS, THREADS, read_disk, &job), 0);

    struct shared shared;
    assert_good(disk_reader_new(job.repository, &job.roots[0], &shared.disk, &error), &error);
    assert_good(disk_reader_ids(shared.disk, 0, CHUNKS, shared.first, &error), &error);
    assert_int_equal(workers_each(4 * THREADS, THREADS, read_shared, &shared), 0);
    disk_reader_free(shared.disk);
    repository_free(job.repository);
}

/* Reading, refreshing and verifying go on while another writer of the same process commits. */
static int back_up_or_read(void *context, unsigned index)
{
    struct repository *repository = context;
    struct error error = ERROR_INIT;
    struct kit_image image = kit_image_new(12 * KIT_CHUNK, index);
    struct id id;
    int result = kit_backup(repository, &image, "2026-11-23T14:18:05Z", &id, NULL, &error);
    if (result == 0) {
        CLEANUP_JSON json_t *manifest = repository_load(repository, id.text, &error);
        result = manifest ? kit_compare(repository, manifest, &image, &error) : -1;
    }
    if (result == 0 && index % 4 == 0)
        result = repository_verify(repository, NULL, NULL, NULL, NULL, &error);
    if (result != 0)
        print_message("%s\n", error.message);
    free(image.data);
    return result;
}

static void writers_and_readers_share_a_repository(void **state)
{
    (void)state;
    struct repository *repository = make(backend_memory_new());
    assert_int_equal(workers_each(16, THREADS, back_up_or_read, repository), 0);
    kit_assert_clean(repository);
    repository_free(repository);
}

/* ---- A storage that fails while all threads are at work ------------------------------------- */

struct failing {
    struct repository_writer *writer;
    atomic_uint failed;
};

static int put_until_failure(void *context, unsigned thread)
{
    struct failing *failing = context;
    CLEANUP_FREE uint8_t *data = memory_new(1, KIT_CHUNK);
    for (unsigned i = 0; i < 10000; i++) {
        struct object_id id;
        uint64_t stored;
        struct error error = ERROR_INIT;
        kit_fill(data, 512, thread * 100000 + i + 1, 0);
        memset(data + 512, (int)(i | 1), KIT_CHUNK - 512);
        if (repository_writer_put(failing->writer, OBJECT_DATA, data, KIT_CHUNK, &id, &stored,
                                  &error) != 0) {
            assert_int_equal(error.kind, ERROR_SPACE);
            atomic_fetch_add(&failing->failed, 1);
            return 0;
        }
    }
    return -1;
}

static void a_full_storage_ends_every_thread(void **state)
{
    (void)state;
    char path[64];
    struct backend *backend;
    struct repository *repository;
    struct error error = ERROR_INIT;
    struct failing failing = {.failed = 0};
    kit_folder(path);
    struct io *io =
        io_fault_new((struct io_fault){.fail_at = 60, .number = ENOSPC, .sticky = true});
    assert_good(backend_directory_new(io, path, true, &backend, &error), &error);
    repository = make(backend);
    repository->pack_size = 70 << 10;
    repository->packs_alive = 1;
    assert_good(repository_writer_new(repository, &failing.writer, &error), &error);
    assert_int_equal(workers_each(THREADS, THREADS, put_until_failure, &failing), 0);
    assert_int_equal(atomic_load(&failing.failed), THREADS);
    struct id id = id_new();
    CLEANUP_JSON json_t *manifest = json_pack("{s:s,s:[]}", "time", "2026-11-23T14:18:06Z", "vms");
    assert_int_equal(repository_writer_commit(failing.writer, &id, manifest, &error), -1);
    assert_int_equal(error.kind, ERROR_SPACE);
    repository_free(repository);
    io_fault_free(io);
    kit_remove_tree(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_store_once),
        cmocka_unit_test(writers_and_readers_share_a_repository),
        cmocka_unit_test(a_full_storage_ends_every_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
