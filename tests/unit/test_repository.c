/* repository: what goes in comes out, content is stored once, and everything that is asked for
 * wrongly is refused. Each test runs on a directory and in memory, with and without encryption. */
#include "repository-kit.h"

#include <pthread.h>

struct fixture {
    bool directory, encrypted;
    char path[64];
    struct repository *repository;
};

static struct backend *fixture_backend(const struct fixture *fixture, bool create)
{
    struct backend *backend;
    struct error error = ERROR_INIT;
    if (!fixture->directory)
        return backend_memory_new();
    assert_good(backend_directory_new(io_real(), fixture->path, create, &backend, &error), &error);
    return backend;
}

static const char *fixture_passphrase(const struct fixture *fixture)
{
    return fixture->encrypted ? KIT_PASSPHRASE : NULL;
}

static struct repository *open_backend(const struct fixture *fixture, struct backend *backend)
{
    struct repository *repository;
    struct error error = ERROR_INIT;
    assert_good(repository_open(backend, fixture_passphrase(fixture), &repository, &error), &error);
    kit_shrink(repository);
    return repository;
}

/* Close and open again, so that nothing comes out of memory that is not in storage. */
static void reopen(struct fixture *fixture)
{
    struct backend *backend = TAKE_PTR(fixture->repository->backend);
    repository_free(fixture->repository);
    fixture->repository = open_backend(fixture, backend);
}

static int setup(struct fixture *fixture)
{
    struct error error = ERROR_INIT;
    if (fixture->directory)
        kit_folder(fixture->path);
    struct backend *backend = fixture_backend(fixture, true);
    assert_good(kit_init(backend, fixture_passphrase(fixture), &error), &error);
    fixture->repository = open_backend(fixture, backend);
    return 0;
}

#define VARIANT(name, on_disk, secret)                                                             \
    static int name(void **state)                                                                  \
    {                                                                                              \
        static struct fixture fixture;                                                             \
        fixture = (struct fixture){.directory = (on_disk), .encrypted = (secret)};                 \
        *state = &fixture;                                                                         \
        return setup(&fixture);                                                                    \
    }
VARIANT(setup_directory, true, true)
VARIANT(setup_memory, false, true)
VARIANT(setup_memory_open, false, false)

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    repository_free(fixture->repository);
    if (fixture->directory)
        kit_remove_tree(fixture->path);
    return 0;
}

/* ---- Tests --------------------------------------------------------------------------------- */

static void load_and_compare(struct fixture *fixture, const char *name,
                             const struct kit_image *image)
{
    struct error error = ERROR_INIT;
    CLEANUP_JSON json_t *manifest = repository_load(fixture->repository, name, &error);
    if (!manifest)
        fail_msg("%s", error.message);
    assert_good(kit_compare(fixture->repository, manifest, image, &error), &error);
}

static void disks_round_trip(void **state)
{
    struct fixture *fixture = *state;
    static const size_t sizes[] = {0, 1, 512, KIT_CHUNK, KIT_CHUNK + 1, 40 * KIT_CHUNK + 777};
    struct error error = ERROR_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct kit_image image = kit_image_new(sizes[i], i);
        struct id id;
        assert_good(
            kit_backup(fixture->repository, &image, "2026-11-23T14:18:05Z", &id, NULL, &error),
            &error);
        load_and_compare(fixture, id.text, &image);
        reopen(fixture);
        load_and_compare(fixture, id.text, &image);
        free(image.data);
    }
}

static void content_is_stored_once(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    uint64_t first, again, changed;
    struct kit_image image = kit_image_new(20 * KIT_CHUNK, 4);
    assert_good(
        kit_backup(fixture->repository, &image, "2026-11-23T14:18:05Z", NULL, &first, &error),
        &error);
    assert_true(first > 5 * KIT_CHUNK);
    reopen(fixture);
    assert_good(
        kit_backup(fixture->repository, &image, "2026-11-23T14:18:06Z", NULL, &again, &error),
        &error);
    assert_int_equal(again, 0);
    image.data[0] ^= 1; /* one random chunk, one block, the root, the document */
    assert_good(
        kit_backup(fixture->repository, &image, "2026-11-23T14:18:07Z", NULL, &changed, &error),
        &error);
    assert_true(changed > KIT_CHUNK && changed < KIT_CHUNK + FORMAT_BLOCK_SIZE);
    load_and_compare(fixture, "latest", &image);
    free(image.data);
}

static void zeroes_cost_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    struct repository_writer *writer;
    struct disk_writer *disk;
    struct object_id root, id;
    uint64_t stored;
    CLEANUP_FREE uint8_t *zeroes = memory_new(1, KIT_CHUNK);
    assert_good(repository_writer_new(fixture->repository, &writer, &error), &error);
    assert_good(repository_writer_put(writer, OBJECT_DATA, zeroes, KIT_CHUNK, &id, &stored, &error),
                &error);
    assert_true(object_id_is_zero(&id));
    assert_int_equal(stored, 0);
    assert_good(disk_writer_new(writer, UINT64_C(1) << 50, &disk, &error), &error);
    assert_good(disk_writer_finish(disk, &root, &stored, &error), &error);
    assert_true(stored < 200);
    assert_good(repository_writer_flush(writer, &error), &error);
    struct disk_reader *reader;
    assert_good(disk_reader_new(fixture->repository, &root, &reader, &error), &error);
    assert_true(disk_reader_size(reader) == UINT64_C(1) << 50);
    assert_good(disk_reader_ids(reader, (UINT64_C(1) << 34) - 1, 1, &id, &error), &error);
    assert_true(object_id_is_zero(&id));
    assert_int_equal(disk_reader_ids(reader, UINT64_C(1) << 34, 1, &id, &error), -1);
    disk_reader_free(reader);
    repository_writer_free(writer);
}

/* Three levels, chunks in an order that leaves nodes open, completed nodes put early. */
static void large_trees_round_trip(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    enum { chunks = 1024 * 1024 + 1500 };
    struct repository_writer *writer;
    struct disk_writer *disk;
    struct object_id root, id = {{0}};
    uint64_t stored;
    assert_good(repository_writer_new(fixture->repository, &writer, &error), &error);
    assert_good(disk_writer_new(writer, (uint64_t)chunks * KIT_CHUNK - 5, &disk, &error), &error);
    for (uint32_t i = 1024; i-- > 0;) { /* one node, backwards */
        bytes_put32(id.bytes, i + 1);
        assert_good(disk_writer_set(disk, 5 * 1024 + i, &id, &error), &error);
    }
    assert_int_equal(disk_writer_set(disk, 5 * 1024, &id, &error), -1);
    assert_non_null(strstr(error.message, "twice"));
    error_clear(&error);
    for (uint32_t i = 0; i < chunks; i += 70001) {
        bytes_put32(id.bytes, i + 7);
        assert_good(disk_writer_set(disk, i, &id, &error), &error);
    }
    bytes_put32(id.bytes, 99);
    assert_good(disk_writer_set(disk, chunks - 1, &id, &error), &error);
    assert_int_equal(disk_writer_set(disk, chunks, &id, &error), -1);
    error_clear(&error);
    assert_good(disk_writer_finish(disk, &root, &stored, &error), &error);
    assert_good(repository_writer_flush(writer, &error), &error);
    repository_writer_free(writer);
    struct disk_reader *reader;
    CLEANUP_FREE struct object_id *ids = NEW_ARRAY(struct object_id, chunks);
    assert_good(disk_reader_new(fixture->repository, &root, &reader, &error), &error);
    assert_good(disk_reader_ids(reader, 0, chunks, ids, &error), &error);
    disk_reader_free(reader);
    for (uint32_t i = 0; i < chunks; i++) {
        uint32_t expected = i / 1024 == 5 ? i % 1024 + 1 : i % 70001 == 0 ? i + 7 : 0;
        if (i == chunks - 1)
            expected = 99;
        assert_int_equal(bytes_get32(ids[i].bytes), expected);
    }
}

/* Blocks that are closed early make the same tree as those that are closed at the end. */
static void closing_early_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    enum { chunks = 3 * 1024 * 1024 + 10 };
    struct repository_writer *writer;
    struct object_id roots[2], id = {{0}};
    uint64_t stored[2];
    assert_good(repository_writer_new(fixture->repository, &writer, &error), &error);
    for (unsigned early = 0; early < 2; early++) {
        struct disk_writer *disk;
        assert_good(disk_writer_new(writer, (uint64_t)chunks * KIT_CHUNK, &disk, &error), &error);
        for (uint32_t i = 0; i < chunks; i += i < 5000 ? 3 : 65537) {
            bytes_put32(id.bytes, i + 1);
            if (early)
                assert_good(disk_writer_close_before(disk, i, &error), &error);
            assert_good(disk_writer_set(disk, i, &id, &error), &error);
        }
        if (early) {
            assert_int_equal(disk_writer_set(disk, 3, &id, &error), -1);
            error_clear(&error);
            assert_good(disk_writer_close_before(disk, chunks + 5, &error), &error);
        }
        assert_good(disk_writer_finish(disk, &roots[early], &stored[early], &error), &error);
    }
    assert_memory_equal(&roots[0], &roots[1], sizeof roots[0]);
    assert_int_equal(stored[1], 0);
    repository_writer_free(writer);
}

static void documents_round_trip(void **state)
{
    struct fixture *fixture = *state;
    static const size_t sizes[] = {0, 1, 65536, 65537, 1 << 20, (1 << 20) + 1, 5 * (1 << 20) + 3};
    struct error error = ERROR_INIT;
    struct repository_writer *writer;
    struct object_id roots[ARRAY_SIZE(sizes)];
    uint64_t stored;
    fixture->repository->pack_size = 2 << 20;
    assert_good(repository_writer_new(fixture->repository, &writer, &error), &error);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct kit_image image = kit_image_new(sizes[i], i);
        if (i == 4)
            memset(image.data, 0, image.size); /* parts of zeroes are not stored */
        assert_good(repository_writer_put_document(writer, image.data, image.size, &roots[i],
                                                   &stored, &error),
                    &error);
        free(image.data);
    }
    assert_int_equal(
        repository_writer_put_document(writer, roots, (64 << 20) + 1, &roots[0], &stored, &error),
        -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    error_clear(&error);
    assert_good(repository_writer_flush(writer, &error), &error);
    repository_writer_free(writer);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct kit_image image = kit_image_new(sizes[i], i);
        CLEANUP_FREE char *data = NULL;
        size_t size;
        if (i == 4)
            memset(image.data, 0, image.size);
        assert_good(repository_get_document(fixture->repository, &roots[i], &data, &size, &error),
                    &error);
        assert_int_equal(size, sizes[i]);
        assert_true(memcmp(data, image.data, size) == 0);
        assert_int_equal(data[size], 0);
        free(image.data);
    }
}

struct listing {
    unsigned count, damaged;
    char times[8][32];
};

static int note_backup(void *context, const json_t *manifest, struct error *error)
{
    struct listing *listing = context;
    (void)error;
    (void)snprintf(listing->times[listing->count++], 32, "%s",
                   json_string_or(manifest, "time", ""));
    return 0;
}

static void note_damaged(void *context, const char *name, const struct error *error)
{
    struct listing *listing = context;
    assert_non_null(strstr(error->message, name));
    listing->damaged++;
}

static void backups_are_listed_by_time(void **state)
{
    struct fixture *fixture = *state;
    static const char *const times[] = {"2026-11-23T14:18:05Z", "2024-01-01T00:00:00Z",
                                        "2025-06-30T23:59:59Z"};
    struct error error = ERROR_INIT;
    struct listing listing = {0};
    struct kit_image image = kit_image_new(3 * KIT_CHUNK, 1);
    struct id ids[3];
    for (unsigned i = 0; i < 3; i++)
        assert_good(kit_backup(fixture->repository, &image, times[i], &ids[i], NULL, &error),
                    &error);
    free(image.data);
    assert_good(repository_list(fixture->repository, note_backup, note_damaged, &listing, &error),
                &error);
    assert_int_equal(listing.count, 3);
    assert_int_equal(listing.damaged, 0);
    assert_string_equal(listing.times[0], times[1]);
    assert_string_equal(listing.times[1], times[2]);
    assert_string_equal(listing.times[2], times[0]);

    CLEANUP_JSON json_t *latest = repository_load(fixture->repository, "latest", &error);
    assert_string_equal(json_string_or(latest, "id", ""), ids[0].text);
    char prefix[9];
    (void)snprintf(prefix, sizeof prefix, "%.8s", ids[1].text);
    CLEANUP_JSON json_t *second = repository_load(fixture->repository, prefix, &error);
    assert_string_equal(json_string_or(second, "id", ""), ids[1].text);
    assert_null(repository_load(fixture->repository, "zzzz", &error));
    assert_int_equal(error.kind, ERROR_NOT_FOUND);
    error_clear(&error);
    assert_null(repository_load(fixture->repository, "abc", &error));
    assert_int_equal(error.kind, ERROR_USAGE);
}

static void a_damaged_backup_does_not_hide_others(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    struct listing listing = {0};
    struct kit_image image = kit_image_new(KIT_CHUNK, 1);
    assert_good(kit_backup(fixture->repository, &image, "2026-11-23T14:18:05Z", NULL, NULL, &error),
                &error);
    free(image.data);
    struct backend *backend = fixture->repository->backend;
    struct iovec junk = {(void *)"junk", 4};
    assert_good(
        backend->put(backend, "backups/66841cd4-6ded-4f4b-8f17-fd23f8ddc3de", &junk, 1, &error),
        &error);
    assert_good(repository_list(fixture->repository, note_backup, note_damaged, &listing, &error),
                &error);
    assert_int_equal(listing.count, 1);
    assert_int_equal(listing.damaged, 1);
    assert_null(repository_load(fixture->repository, "latest", &error));
    assert_int_equal(error.kind, ERROR_DAMAGED);
}

static void a_backup_needs_its_roots(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    struct repository_writer *writer;
    struct object_id disk = {{1, 2, 3}}, document;
    struct listing listing = {0};
    struct id id = id_new();
    uint64_t stored;
    assert_good(repository_writer_new(fixture->repository, &writer, &error), &error);
    assert_good(repository_writer_put_document(writer, "x", 1, &document, &stored, &error), &error);
    CLEANUP_JSON json_t *manifest = kit_manifest("2026-11-23T14:18:05Z", &disk, 5, &document);
    assert_int_equal(repository_writer_commit(writer, &id, manifest, &error), -1);
    assert_non_null(strstr(error.message, "vda"));
    error_clear(&error);
    assert_good(repository_list(fixture->repository, note_backup, note_damaged, &listing, &error),
                &error);
    assert_int_equal(listing.count, 0);
}

/* The memory of a VM is a root like its disks. */
static void a_backup_needs_its_saved_state(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    struct kit_image image = kit_image_new(3 * KIT_CHUNK, 1);
    struct repository_writer *writer;
    struct object_id disk, missing = {{1, 2, 3}};
    struct id id = id_new();
    uint64_t stored;
    char text[2 * REPOSITORY_ID_SIZE + 1];
    object_id_format(&missing, text);
    assert_good(repository_writer_new(fixture->repository, &writer, &error), &error);
    assert_good(kit_put_disk(writer, &image, &disk, &stored, &error), &error);
    CLEANUP_JSON json_t *manifest = kit_manifest("2026-11-23T14:18:05Z", &disk, image.size, &disk);
    json_t *vm = json_array_get(json_object_get(manifest, "vms"), 0), *saved = json_object();
    json_object_del(vm, "documents");
    json_set_string(saved, "root", text);
    json_set_integer(saved, "padded_size", 512);
    json_set(vm, "saved_state", saved);
    assert_int_equal(repository_writer_commit(writer, &id, manifest, &error), -1);
    assert_non_null(strstr(error.message, "saved state"));
    free(image.data);
}

/* The same id again is refused, and the first backup stays as it was. */
static void an_id_is_used_once(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    struct id id;
    struct object_id document;
    uint64_t stored;
    struct repository_writer *writer;
    struct kit_image image = kit_image_new(2 * KIT_CHUNK, 1);
    assert_good(kit_backup(fixture->repository, &image, "2026-11-23T14:18:05Z", &id, NULL, &error),
                &error);
    assert_good(repository_writer_new(fixture->repository, &writer, &error), &error);
    assert_good(repository_writer_put_document(writer, "x", 1, &document, &stored, &error), &error);
    CLEANUP_JSON json_t *manifest = json_pack("{s:s,s:[]}", "time", "2026-11-23T14:18:06Z", "vms");
    assert_int_equal(repository_writer_commit(writer, &id, manifest, &error), -1);
    assert_int_equal(error.kind, ERROR_EXISTS);
    load_and_compare(fixture, "latest", &image);
    free(image.data);
}

static void nothing_is_listed_before_commit(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    struct listing listing = {0};
    struct repository_writer *writer;
    struct object_id root;
    uint64_t stored;
    struct kit_image image = kit_image_new(30 * KIT_CHUNK, 1);
    assert_good(repository_writer_new(fixture->repository, &writer, &error), &error);
    assert_good(kit_put_disk(writer, &image, &root, &stored, &error), &error);
    repository_writer_free(writer);
    free(image.data);
    reopen(fixture);
    assert_good(repository_list(fixture->repository, note_backup, note_damaged, &listing, &error),
                &error);
    assert_int_equal(listing.count, 0);
}

static void keys_open_and_refuse(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    struct repository *other;
    bool encrypted;
    struct backend *backend = fixture->repository->backend;
    assert_good(repository_is_encrypted(backend, &encrypted, &error), &error);
    assert_int_equal(encrypted, fixture->encrypted);
    assert_int_equal(repository_open(backend, "wrong", &other, &error), -1);
    assert_int_equal(error.kind, ERROR_AUTHENTICATION);
    error_clear(&error);
    if (encrypted) {
        assert_int_equal(repository_open(backend, NULL, &other, &error), -1);
        assert_int_equal(error.kind, ERROR_AUTHENTICATION);
    }
    error_clear(&error);
    assert_int_equal(kit_init(backend, NULL, &error), -1);
    assert_int_equal(error.kind, ERROR_EXISTS);
    error_clear(&error);
    struct backend *empty = backend_memory_new();
    assert_int_equal(repository_open(empty, "x", &other, &error), -1);
    assert_int_equal(error.kind, ERROR_NOT_FOUND);
    backend_free(empty);
}

/* ---- Main ---------------------------------------------------------------------------------- */

#define ON_ALL(test)                                                                               \
    {#test " (directory)", test, setup_directory, teardown, NULL},                                 \
        {#test " (memory)", test, setup_memory, teardown, NULL},                                   \
    {                                                                                              \
#test " (memory, no encryption)", test, setup_memory_open, teardown, NULL                  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(disks_round_trip),
        ON_ALL(content_is_stored_once),
        ON_ALL(zeroes_cost_nothing),
        ON_ALL(large_trees_round_trip),
        ON_ALL(closing_early_changes_nothing),
        ON_ALL(documents_round_trip),
        ON_ALL(backups_are_listed_by_time),
        ON_ALL(a_damaged_backup_does_not_hide_others),
        ON_ALL(a_backup_needs_its_roots),
        ON_ALL(a_backup_needs_its_saved_state),
        ON_ALL(an_id_is_used_once),
        ON_ALL(nothing_is_listed_before_commit),
        ON_ALL(keys_open_and_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
