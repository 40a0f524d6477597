/* Transfer, damage: a repository that is full or damaged, and targets that do not take what is
 * written: no byte that was not authenticated is written, and what fails is named. */
#include "transfer_kit.h"

/* ---- The repository's faults ------------------------------------------------------------------
 */

/* A backend in memory whose storage runs full, or one of whose chunks is damaged when it is read.
 */
struct bad_backend {
    struct backend backend; /* the table that the repository sees */
    struct backend *real;
    atomic_int puts_left;
    atomic_int damage_at; /* 1 = the next large read, ... */
};

static int bad_put(struct backend *backend, const char *name, const struct iovec *pieces, int count,
                   struct error *error)
{
    struct bad_backend *bad = (struct bad_backend *)backend;
    if (atomic_fetch_sub(&bad->puts_left, 1) <= 0)
        return error_errno(error, ENOSPC, "cannot write %s", name);
    return bad->real->put(bad->real, name, pieces, count, error);
}

static int bad_get(struct backend *backend, const char *name, uint64_t offset, void *buffer,
                   size_t size, struct error *error)
{
    struct bad_backend *bad = (struct bad_backend *)backend;
    if (bad->real->get(bad->real, name, offset, buffer, size, error) != 0)
        return -1;
    /* Only large reads: data, not the blocks of ids. */
    if (strstr(name, "pack") && size > CHUNK / 2 && atomic_fetch_sub(&bad->damage_at, 1) == 1)
        ((uint8_t *)buffer)[size / 2] ^= 0x10;
    return 0;
}

static int bad_size(struct backend *backend, const char *name, uint64_t *ret_size,
                    struct error *error)
{
    struct backend *real = ((struct bad_backend *)backend)->real;
    return real->size(real, name, ret_size, error);
}

static int bad_list(struct backend *backend, const char *prefix,
                    int (*each)(void *context, const char *name, struct error *error),
                    void *context, struct error *error)
{
    struct backend *real = ((struct bad_backend *)backend)->real;
    return real->list(real, prefix, each, context, error);
}

static int bad_remove(struct backend *backend, const char *name, struct error *error)
{
    struct backend *real = ((struct bad_backend *)backend)->real;
    return real->remove(real, name, error);
}

static void bad_free(struct backend *backend)
{
    backend_free(((struct bad_backend *)backend)->real);
    free(backend);
}

static struct bad_backend *bad_backend_new(void)
{
    struct bad_backend *bad = NEW(struct bad_backend);
    bad->real = backend_memory_new();
    bad->backend = (struct backend){.put = bad_put,
                                    .get = bad_get,
                                    .size = bad_size,
                                    .list = bad_list,
                                    .remove = bad_remove,
                                    .free = bad_free,
                                    .description = "memory with faults"};
    atomic_store(&bad->puts_left, INT32_MAX);
    return bad;
}

static void a_full_repository_ends_it(void **state)
{
    (void)state;
    const uint64_t size = 120 * MIB; /* more than the packs that a writer keeps in memory */
    struct error error = ERROR_INIT;
    struct bad_backend *bad = bad_backend_new();
    struct repository *repository = kit_repository_on(&bad->backend, NULL);
    struct repository_writer *writer = kit_writer(repository);
    CLEANUP_FREE char *path = kit_image("full", size);
    kit_fill(path, 0, size, 3);
    CLEANUP_SERVER struct server server = server_qemu(path, "raw", "--read-only");
    struct transfer_disk disk = disk_of(&server, size);
    atomic_store(&bad->puts_left, 0);
    assert_int_equal(transfer_backup(writer, CHUNK, &disk, 1, NULL, NULL, NULL, &error), -1);
    assert_error(&error, ERROR_SPACE, "");
    repository_writer_free(writer);
    repository_free(repository);
}

/* Whose bytes does the target have: each chunk is the old one or the stored one, and the one that
 * the error names is the old one. */
static void check_target(const char *target, uint64_t size, uint64_t damaged)
{
    CLEANUP_CLOSE int file = open(target, O_RDONLY | O_CLOEXEC);
    CLEANUP_FREE uint8_t *data = memory_new(3, CHUNK);
    for (uint64_t at = 0; at < size; at += CHUNK) {
        assert_int_equal(pread(file, data, CHUNK, (off_t)at), CHUNK);
        kit_random(data + CHUNK, CHUNK, at, 1);
        kit_random(data + 2 * CHUNK, CHUNK, at, 2);
        bool stored = memcmp(data, data + CHUNK, CHUNK) == 0;
        bool old = memcmp(data, data + 2 * CHUNK, CHUNK) == 0;
        assert_true(stored != old);
        if (at == damaged)
            assert_true(old);
    }
}

static void damaged_data_is_never_written(void **state)
{
    (void)state;
    const uint64_t size = 4 * MIB;
    struct error error = ERROR_INIT;
    struct bad_backend *bad = bad_backend_new();
    struct repository *repository = kit_repository_on(&bad->backend, "a passphrase");
    CLEANUP_FREE char *source = kit_image("source", size);
    CLEANUP_FREE char *target = kit_image("target", size);
    for (uint64_t at = 0; at < size; at += CHUNK) {
        kit_fill(source, at, CHUNK, 1);
        kit_fill(target, at, CHUNK, 2);
    }
    struct server from = server_qemu(source, "raw", "--read-only");
    struct server to = server_qemu(target, "raw", NULL);
    struct transfer_disk disk = disk_of(&from, size);
    kit_backup(repository, &disk, 1, NULL);
    server_stop(&from);
    struct transfer_disk back = disk_of(&to, size);
    back.root = disk.root;
    atomic_store(&bad->damage_at, 40);
    assert_int_equal(transfer_restore(repository, &back, 1, NULL, NULL, NULL, &error), -1);
    assert_error(&error, ERROR_DAMAGED, "cannot get the data of offset ");
    assert_true(back.bytes_read < size);
    server_stop(&to);
    check_target(target, size, strtoull(strstr(error.message, "offset ") + 7, NULL, 10));
    repository_free(repository);
}

/* A tree that is authentic and wrong: a chunk in the middle is short. Not even its beginning is
 * written. */
static void a_chunk_of_a_wrong_size_is_damage(void **state)
{
    (void)state;
    const uint64_t size = 4 * CHUNK;
    struct error error = ERROR_INIT;
    struct repository *repository = kit_repository();
    struct repository_writer *writer = kit_writer(repository);
    struct disk_writer *tree = NULL;
    struct object_id id;
    uint64_t stored;
    CLEANUP_SERVER struct server server = server_nbdkit("memory", "256K", NULL);
    struct transfer_disk disk = disk_of(&server, size);
    assert_int_equal(repository_writer_put(writer, OBJECT_DATA, "short", 5, &id, &stored, &error),
                     0);
    assert_int_equal(disk_writer_new(writer, size, &tree, &error), 0);
    assert_int_equal(disk_writer_set(tree, 1, &id, &error), 0);
    assert_int_equal(disk_writer_finish(tree, &disk.root, &stored, &error), 0);
    kit_commit(writer, &disk, 1);
    disk.target_is_zero = true;
    assert_int_equal(transfer_restore(repository, &disk, 1, NULL, NULL, NULL, &error), -1);
    assert_error(&error, ERROR_DAMAGED, "the chunk has 5 bytes, 65536 were expected");
    assert_int_equal(disk.bytes_read, 0);
    repository_free(repository);
}

/* ---- Restore's own ----------------------------------------------------------------------------
 */

static struct object_id store_pattern(struct repository *repository, uint64_t size)
{
    CLEANUP_FREE char *option = memory_format("size=%llu", (unsigned long long)size);
    CLEANUP_SERVER struct server server = server_nbdkit("--readonly", "pattern", option, NULL);
    struct transfer_disk disk = disk_of(&server, size);
    kit_backup(repository, &disk, 1, NULL);
    return disk.root;
}

static void fail_restore(struct repository *repository, const struct object_id *root, uint64_t size,
                         struct server server, int64_t time_limit, struct error *error)
{
    struct transfer_settings settings = {.time_limit = time_limit};
    struct transfer_disk disk = disk_of(&server, size);
    disk.root = *root;
    *error = ERROR_INIT;
    assert_int_equal(transfer_restore(repository, &disk, 1, &settings, NULL, NULL, error), -1);
    if (time_limit)
        kill(process_id(server.process), SIGKILL); /* it would wait for its delay */
    server_stop(&server); /* asked to, nbdkit's eval plugin removes its scripts from /tmp */
}

static void targets_that_cannot_hold_it_are_refused(void **state)
{
    (void)state;
    const uint64_t size = 4 * MIB;
    struct error error;
    struct repository *repository = kit_repository();
    struct object_id root = store_pattern(repository, size);
    fail_restore(repository, &root, size, server_nbdkit("--readonly", "memory", "4M", NULL), 0,
                 &error);
    assert_error(&error, ERROR_REFUSED, "read-only");
    fail_restore(repository, &root, size, server_nbdkit("memory", "5M", NULL), 0, &error);
    assert_error(&error, ERROR_REFUSED, "5242880 bytes, 4194304 were expected");
    fail_restore(repository, &root, size + 1, server_nbdkit("memory", "5M", NULL), 0, &error);
    assert_error(&error, ERROR_DAMAGED, "4194304 bytes, 4194305 were expected");
    fail_restore(
        repository, &root, size,
        server_nbdkit("eval", "get_size=echo 4M", "pread=exit 1", "pwrite=cat >/dev/null", NULL), 0,
        &error);
    assert_error(&error, ERROR_REFUSED, "cannot flush");
    repository_free(repository);
}

static void write_faults_name_the_place(void **state)
{
    (void)state;
    const uint64_t size = 4 * MIB;
    struct error error;
    struct repository *repository = kit_repository();
    struct object_id root = store_pattern(repository, size);
    fail_restore(repository, &root, size,
                 server_nbdkit("--filter=error", "memory", "4M", "error-pwrite=ENOSPC",
                               "error-pwrite-rate=100%", NULL),
                 0, &error);
    assert_error(&error, ERROR_SPACE, "cannot write 65536 bytes at offset ");
    fail_restore(repository, &root, size,
                 server_nbdkit("eval", "get_size=echo 4M", "pread=exit 1", "pwrite=cat >/dev/null",
                               "flush=echo EIO >&2; exit 1", NULL),
                 0, &error);
    assert_error(&error, ERROR_FAILED, "cannot flush: Input/output error");
    fail_restore(repository, &root, size,
                 server_nbdkit("--filter=delay", "memory", "4M", "wdelay=30", NULL),
                 CLOCK_SECOND / 3, &error);
    assert_error(&error, ERROR_TIMEOUT, "has not answered for");
    repository_free(repository);
}

/* A flush may take ten times as long as another answer, and then is overdue. */
static void a_flush_has_its_own_limit(void **state)
{
    (void)state;
    const uint64_t size = CHUNK;
    struct error error = ERROR_INIT;
    struct repository *repository = kit_repository();
    struct transfer_settings settings = {.time_limit = CLOCK_SECOND / 2};
    struct object_id root = store_pattern(repository, size);
    CLEANUP_SERVER struct server slow =
        server_nbdkit("eval", "get_size=echo 64K", "pread=exit 1", "pwrite=cat >/dev/null",
                      "flush=sleep 1", NULL);
    struct transfer_disk disk = disk_of(&slow, size);
    disk.root = root;
    if (transfer_restore(repository, &disk, 1, &settings, NULL, NULL, &error) != 0)
        fail_msg("%s", error.message);
    repository_free(repository);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_repository_ends_it),
        cmocka_unit_test(damaged_data_is_never_written),
        cmocka_unit_test(a_chunk_of_a_wrong_size_is_damage),
        cmocka_unit_test(targets_that_cannot_hold_it_are_refused),
        cmocka_unit_test(write_faults_name_the_place),
        cmocka_unit_test(a_flush_has_its_own_limit),
    };
    return cmocka_run_group_tests_name("transfer: damage", tests, kit_make_folder,
                                       kit_remove_folder);
}
