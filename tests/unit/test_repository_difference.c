/* repository: what two disks differ in is what a comparison byte for byte finds, chunk by chunk,
 * for disks of any two sizes and heights of their trees; and what they share is not read. */
#include "repository-kit.h"
#include "repository/tree.h"

struct fixture {
    struct repository *repository;
    struct repository_writer *writer;
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct error error = ERROR_INIT;
    struct backend *backend = backend_memory_new();
    fixture = (struct fixture){0};
    assert_good(kit_init(backend, KIT_PASSPHRASE, &error), &error);
    assert_good(repository_open(backend, KIT_PASSPHRASE, &fixture.repository, &error), &error);
    assert_good(repository_writer_new(fixture.repository, &fixture.writer, &error), &error);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    repository_writer_free(fixture->writer);
    repository_free(fixture->repository);
    return 0;
}

/* Chunk `index` of a sparse disk holds this byte all over. */
struct mark {
    uint64_t index;
    uint8_t byte;
};

/* A disk of so many bytes with some chunks in it. */
static struct object_id make_disk(struct fixture *fixture, uint64_t size, const struct mark *marks,
                                  size_t count)
{
    struct error error = ERROR_INIT;
    struct disk_writer *disk;
    struct object_id id, root;
    uint64_t stored;
    CLEANUP_FREE uint8_t *data = memory_new(KIT_CHUNK, 1);
    assert_good(disk_writer_new(fixture->writer, size, &disk, &error), &error);
    for (size_t i = 0; i < count; i++) {
        uint64_t rest = size - marks[i].index * KIT_CHUNK;
        size_t length = rest < KIT_CHUNK ? (size_t)rest : KIT_CHUNK;
        memset(data, marks[i].byte, length);
        assert_good(
            repository_writer_put(fixture->writer, OBJECT_DATA, data, length, &id, &stored, &error),
            &error);
        assert_good(disk_writer_set(disk, marks[i].index, &id, &error), &error);
    }
    assert_good(disk_writer_finish(disk, &root, &stored, &error), &error);
    return root;
}

static void finish(struct fixture *fixture)
{
    struct error error = ERROR_INIT;
    assert_good(repository_writer_flush(fixture->writer, &error), &error);
    repository_writer_free(TAKE_PTR(fixture->writer));
    struct backend *backend = TAKE_PTR(fixture->repository->backend);
    repository_free(fixture->repository);
    assert_good(repository_open(backend, KIT_PASSPHRASE, &fixture->repository, &error), &error);
}

/* Both ways round. */
static void expect(struct fixture *fixture, const struct object_id *left,
                   const struct object_id *right, uint64_t expected)
{
    struct error error = ERROR_INIT;
    uint64_t bytes = 1;
    assert_good(repository_compare_disks(fixture->repository, left, right, &bytes, &error), &error);
    assert_int_equal(bytes, expected);
    assert_good(repository_compare_disks(fixture->repository, right, left, &bytes, &error), &error);
    assert_int_equal(bytes, expected);
}

#define MARKS(...)                                                                                 \
    (const struct mark[]){__VA_ARGS__},                                                            \
        sizeof((const struct mark[]){__VA_ARGS__}) / sizeof(struct mark)

static void chunks_that_differ_are_counted(void **state)
{
    struct fixture *fixture = *state;
    uint64_t size = 3000 * (uint64_t)KIT_CHUNK; /* two levels */
    struct object_id base = make_disk(fixture, size, MARKS({0, 1}, {1023, 2}, {1024, 3}));
    struct object_id same = make_disk(fixture, size, MARKS({0, 1}, {1023, 2}, {1024, 3}));
    struct object_id one = make_disk(fixture, size, MARKS({0, 1}, {1023, 9}, {1024, 3}));
    struct object_id more = make_disk(fixture, size, MARKS({0, 1}, {1024, 3}, {2999, 4}));
    struct object_id none = make_disk(fixture, size, NULL, 0);
    finish(fixture);
    assert_memory_equal(&base, &same, sizeof base);
    expect(fixture, &base, &same, 0);
    expect(fixture, &base, &one, KIT_CHUNK);
    expect(fixture, &base, &more, 2 * KIT_CHUNK); /* one gone, one new */
    expect(fixture, &base, &none, 3 * KIT_CHUNK);
}

static void a_disk_on_one_side_is_its_data(void **state)
{
    struct fixture *fixture = *state;
    struct object_id disk =
        make_disk(fixture, 2000 * (uint64_t)KIT_CHUNK + 100, MARKS({7, 1}, {1999, 2}, {2000, 3}));
    struct object_id empty = make_disk(fixture, 0, NULL, 0);
    finish(fixture);
    expect(fixture, &disk, NULL, 2 * KIT_CHUNK + 100);
    expect(fixture, &disk, &empty, 2 * KIT_CHUNK + 100);
    expect(fixture, &empty, NULL, 0);
}

static void disks_of_different_sizes_are_compared(void **state)
{
    struct fixture *fixture = *state;
    static const uint64_t chunks[] = {1,
                                      3,
                                      1023,
                                      1024,
                                      1025,
                                      3000,
                                      UINT64_C(1) << 20,
                                      (UINT64_C(1) << 20) + 1}; /* one to three levels */
    struct object_id disks[ARRAY_SIZE(chunks)], grown[ARRAY_SIZE(chunks)];
    for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
        disks[i] = make_disk(fixture, chunks[i] * KIT_CHUNK, MARKS({0, 1}));
        grown[i] = make_disk(fixture, chunks[i] * KIT_CHUNK, MARKS({0, 1}, {chunks[i] - 1, 5}));
    }
    finish(fixture);
    for (size_t i = 0; i < ARRAY_SIZE(chunks); i++)
        for (size_t other = 0; other < ARRAY_SIZE(chunks); other++) {
            expect(fixture, &disks[i], &disks[other], 0); /* larger, but nothing in it */
            if (i > 0 && other > 0)
                expect(fixture, &disks[i], &grown[other], KIT_CHUNK);
        }
}

/* The last chunk of the smaller disk is short: it is another one in the larger disk, which counts
 * with the length there. */
static void a_short_last_chunk_counts_whole(void **state)
{
    struct fixture *fixture = *state;
    struct object_id small = make_disk(fixture, 2 * KIT_CHUNK + 512, MARKS({0, 1}, {2, 2}));
    struct object_id large = make_disk(fixture, 5 * KIT_CHUNK, MARKS({0, 1}, {2, 2}));
    finish(fixture);
    expect(fixture, &small, &large, KIT_CHUNK);
}

static void random_pairs_are_compared(void **state)
{
    struct fixture *fixture = *state;
    enum { DISKS = 8, CHUNKS = 2100 };
    static uint8_t bytes[DISKS][CHUNKS];
    struct object_id roots[DISKS];
    uint64_t seed = 77;
    for (unsigned i = 0; i < DISKS; i++) {
        struct mark marks[CHUNKS];
        size_t count = 0;
        for (unsigned chunk = 0; chunk < CHUNKS; chunk++) {
            if (kit_random(&seed) % 8)
                continue;
            bytes[i][chunk] = (uint8_t)(1 + kit_random(&seed) % 2);
            marks[count++] = (struct mark){chunk, bytes[i][chunk]};
        }
        roots[i] = make_disk(fixture, (uint64_t)CHUNKS * KIT_CHUNK, marks, count);
    }
    finish(fixture);
    for (unsigned left = 0; left < DISKS; left++)
        for (unsigned right = 0; right < left; right++) {
            uint64_t expected = 0;
            for (unsigned chunk = 0; chunk < CHUNKS; chunk++)
                expected += bytes[left][chunk] != bytes[right][chunk] ? KIT_CHUNK : 0;
            expect(fixture, &roots[left], &roots[right], expected);
        }
}

/* ---- Reads ---------------------------------------------------------------------------------- */

static unsigned reads;
static int (*real_get)(struct backend *backend, const char *name, uint64_t offset, void *data,
                       size_t size, struct error *error);

static int counting_get(struct backend *backend, const char *name, uint64_t offset, void *data,
                        size_t size, struct error *error)
{
    reads += strncmp(name, "packs/", 6) == 0;
    return real_get(backend, name, offset, data, size, error);
}

static void what_is_shared_is_not_read(void **state)
{
    struct fixture *fixture = *state;
    enum { MANY = 20 };
    struct mark marks[MANY];
    for (unsigned i = 0; i < MANY; i++) /* each in a block of its own */
        marks[i] = (struct mark){(uint64_t)i * FORMAT_BLOCK_IDS, (uint8_t)(i + 1)};
    uint64_t size = (uint64_t)MANY * FORMAT_BLOCK_IDS * KIT_CHUNK;
    struct object_id before = make_disk(fixture, size, marks, MANY);
    marks[11].byte = 99;
    struct object_id after = make_disk(fixture, size, marks, MANY);
    finish(fixture);
    struct backend *backend = fixture->repository->backend;
    real_get = backend->get;
    backend->get = counting_get;
    uint64_t bytes;
    struct error error = ERROR_INIT;
    reads = 0;
    assert_good(repository_compare_disks(fixture->repository, &before, &after, &bytes, &error),
                &error);
    assert_int_equal(bytes, KIT_CHUNK);
    assert_int_equal(reads, 2 + 2 + 2); /* roots, tops, the blocks that differ */
    reads = 0;
    assert_good(repository_compare_disks(fixture->repository, &after, &after, &bytes, &error),
                &error);
    assert_int_equal(bytes, 0);
    assert_int_equal(reads, 0);
    backend->get = real_get;
}

static void damage_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct object_id disk = make_disk(fixture, 10 * KIT_CHUNK, MARKS({0, 1}, {3, 2}));
    struct object_id other = make_disk(fixture, 10 * KIT_CHUNK, MARKS({0, 1}, {3, 3}));
    struct object_id chunk, nothing = {{1, 2, 3}};
    struct error error = ERROR_INIT;
    uint64_t bytes = 77, stored;
    assert_good(
        repository_writer_put(fixture->writer, OBJECT_TREE, "no root", 7, &chunk, &stored, &error),
        &error);
    finish(fixture);
    assert_int_equal(repository_compare_disks(fixture->repository, &disk, &nothing, &bytes, &error),
                     -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    error_clear(&error);
    assert_int_equal(repository_compare_disks(fixture->repository, &chunk, &other, &bytes, &error),
                     -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    assert_int_equal(bytes, 77);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(chunks_that_differ_are_counted),
        TEST(a_disk_on_one_side_is_its_data),
        TEST(disks_of_different_sizes_are_compared),
        TEST(a_short_last_chunk_counts_whole),
        TEST(random_pairs_are_compared),
        TEST(what_is_shared_is_not_read),
        TEST(damage_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
