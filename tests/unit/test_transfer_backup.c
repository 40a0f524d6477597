/* Transfer, backup: what is stored is what real NBD servers serve, and no more is read than has to
 * be. */
#include "transfer_kit.h"

#define RAW(path) server_qemu((path), "raw", "--read-only")

static void odd_sizes_are_whole(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1,         511,          512,
                                     513,       CHUNK - 1,    CHUNK,
                                     CHUNK + 1, CHUNK + 512,  5 * CHUNK - 511,
                                     5 * CHUNK, 5 * CHUNK + 3};
    enum { COUNT = ARRAY_SIZE(sizes) };
    struct repository *repository = kit_repository();
    struct server servers[COUNT];
    struct transfer_disk disks[COUNT] = {0};
    char *paths[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        CLEANUP_FREE char *name = memory_format("odd-%zu", i);
        paths[i] = kit_image(name, sizes[i]);
        kit_fill(paths[i], 0, sizes[i], i);
        servers[i] = server_nbdkit("--readonly", "file", paths[i], NULL);
        disks[i] =
            (struct transfer_disk){.label = "odd", .nbd_uri = servers[i].uri, .size = sizes[i]};
    }
    kit_backup(repository, disks, COUNT, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        kit_assert_stored(repository, &disks[i], paths[i]);
        assert_int_equal(disks[i].bytes_read, sizes[i]);
        server_stop(&servers[i]);
        free(paths[i]);
    }
    repository_free(repository);
}

/* Islands of data at places that do not fit the chunks; the rest are holes. */
static char *image_of_islands(const char *name, uint64_t size)
{
    char *path = kit_image(name, size);
    kit_fill(path, 3 * CHUNK + 5000, 1, 1);
    kit_fill(path, 9 * CHUNK - 100, 200, 2); /* over an edge */
    kit_fill(path, 20 * CHUNK, 7 * CHUNK, 3);
    kit_fill(path, 40 * CHUNK, 10, 4); /* two islands in one chunk */
    kit_fill(path, 41 * CHUNK - 10, 10, 5);
    kit_fill(path, size - 1, 1, 6);
    return path;
}

static void holes_are_not_read(void **state)
{
    (void)state;
    const uint64_t size = 300 * MIB;
    CLEANUP_FREE char *path = image_of_islands("islands", size);
    CLEANUP_SERVER struct server server = RAW(path);
    struct repository *repository = kit_repository();
    struct transfer_disk disk = {.label = "islands", .nbd_uri = server.uri, .size = size};
    kit_backup(repository, &disk, 1, NULL);
    kit_assert_stored(repository, &disk, path);
    /* Pages of the islands: 1 + 2 + 7 chunks + the whole of one chunk + 1. */
    assert_true(disk.bytes_read <= 4 * 4096 + 8 * CHUNK);
    assert_true(disk.bytes_read >= 7 * CHUNK + 4096);
    repository_free(repository);
}

static void a_backing_chain_is_read_through(void **state)
{
    (void)state;
    const uint64_t size = 20 * MIB;
    CLEANUP_FREE char *base = image_of_islands("base", size);
    CLEANUP_FREE char *top = kit_path("top.qcow2");
    CLEANUP_FREE char *flat = kit_path("flat");
    kit_run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, top, NULL);
    kit_run("qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 3M", "-c", "write -z 1280k 64k", top,
            NULL);
    kit_run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", top, flat, NULL);
    CLEANUP_SERVER struct server server = server_qemu(top, "qcow2", "--read-only");
    struct repository *repository = kit_repository();
    struct transfer_disk disk = {.label = "top", .nbd_uri = server.uri, .size = size};
    kit_backup(repository, &disk, 1, NULL);
    kit_assert_stored(repository, &disk, flat);
    assert_true(disk.bytes_read < 5 * MIB);
    repository_free(repository);
}

static void written_zeroes_are_not_stored(void **state)
{
    (void)state;
    const uint64_t size = 100 * CHUNK;
    CLEANUP_FREE char *path = kit_image("zeroes", size);
    kit_write_zeroes(path, 0, size);
    kit_fill(path, 50 * CHUNK, CHUNK, 1);
    CLEANUP_SERVER struct server server =
        server_nbdkit("--readonly", "--filter=noextents", "file", path, NULL);
    struct repository *repository = kit_repository();
    struct transfer_disk disk = {.label = "zeroes", .nbd_uri = server.uri, .size = size};
    kit_backup(repository, &disk, 1, NULL);
    kit_assert_stored(repository, &disk, path);
    assert_int_equal(disk.bytes_read, size);
    assert_true(disk.bytes_stored < 2 * CHUNK);
    repository_free(repository);
}

/* Back up a sparse image from a server with these arguments; returns the bytes read. */
static uint64_t backup_islands(struct server server, const char *path, uint64_t size)
{
    struct repository *repository = kit_repository();
    struct transfer_disk disk = {.label = "disk", .nbd_uri = server.uri, .size = size};
    kit_backup(repository, &disk, 1, NULL);
    kit_assert_stored(repository, &disk, path);
    repository_free(repository);
    server_stop(&server);
    return disk.bytes_read;
}

static void without_block_status_all_is_read(void **state)
{
    (void)state;
    const uint64_t size = 50 * CHUNK;
    CLEANUP_FREE char *path = image_of_islands("no-status", size);
    assert_int_equal(
        backup_islands(server_nbdkit("--readonly", "--no-sr", "file", path, NULL), path, size),
        size);
    assert_int_equal(
        backup_islands(server_nbdkit("--readonly", "--filter=noextents", "file", path, NULL), path,
                       size),
        size);
    /* Offered, but it fails. */
    assert_int_equal(backup_islands(server_nbdkit("--readonly", "--filter=error", "file", path,
                                                  "error-extents-rate=100%", NULL),
                                    path, size),
                     size);
}

/* A server that tells one extent of at most 8192 bytes at a time, also the wrong way for reads:
 * what it calls a hole but not zero has to be read. */
static void short_answers_are_asked_on(void **state)
{
    (void)state;
    const uint64_t size = 4 * CHUNK + 100;
    CLEANUP_FREE char *path = kit_image("short", size);
    kit_fill(path, 2 * CHUNK + 5, 1000, 1);
    CLEANUP_FREE char *get_size = memory_format("get_size=echo %llu", (unsigned long long)size);
    CLEANUP_FREE char *pread = memory_format(
        "pread=dd if=%s skip=$4 count=$3 iflag=count_bytes,skip_bytes status=none", path);
    static const char extents[] =
        "extents="
        "if [ $4 -lt 131072 ]; then echo $4 8192 hole,zero; else echo $4 8192 hole; fi";
    uint64_t read =
        backup_islands(server_nbdkit("eval", get_size, pread, extents, NULL), path, size);
    assert_true(read == size - 2 * CHUNK);
}

static void a_server_that_takes_little_is_served(void **state)
{
    (void)state;
    const uint64_t size = 30 * CHUNK;
    CLEANUP_FREE char *path = kit_image("little", size);
    kit_fill(path, 3, size - 5, 9);
    (void)backup_islands(server_nbdkit("--readonly", "--filter=blocksize-policy", "file", path,
                                       "blocksize-minimum=512", "blocksize-preferred=4096",
                                       "blocksize-maximum=8192", "blocksize-error-policy=error",
                                       NULL),
                         path, size);
}

/* Five disks of 40 chunks, three buffers, 16 requests wanted for each. */
static void disks_share_few_buffers(void **state)
{
    (void)state;
    enum { COUNT = 5 };
    const uint64_t size = 40 * CHUNK;
    struct server servers[COUNT];
    struct transfer_disk disks[COUNT] = {0};
    char *paths[COUNT];
    unsigned peak = 0;
    struct transfer_settings settings = {.workers = 2, .buffers = 3, .ret_peak_buffers = &peak};
    struct repository *repository = kit_repository();
    for (size_t i = 0; i < COUNT; i++) {
        CLEANUP_FREE char *name = memory_format("shared-%zu", i);
        paths[i] = kit_image(name, size);
        kit_fill(paths[i], 0, size, 100 + i);
        servers[i] = i % 2 ? RAW(paths[i]) : server_nbdkit("--readonly", "file", paths[i], NULL);
        disks[i] = (struct transfer_disk){.label = name, .nbd_uri = servers[i].uri, .size = size};
    }
    kit_backup(repository, disks, COUNT, &settings);
    assert_true(peak >= 1 && peak <= 3);
    for (size_t i = 0; i < COUNT; i++) {
        kit_assert_stored(repository, &disks[i], paths[i]);
        server_stop(&servers[i]);
        free(paths[i]);
    }
    repository_free(repository);
}

/* 8 GiB with 512 MiB of data, whose holes read as other than zero: so a hole that was read would
 * be stored. Neither size nor data moves the bound on buffers. */
static void memory_does_not_follow_the_disk(void **state)
{
    (void)state;
    const uint64_t size = 8 * GIB, data = 512 * MIB;
    CLEANUP_FREE char *list = kit_path("extents");
    FILE *file = fopen(list, "we");
    assert_non_null(file);
    for (unsigned i = 0; i < 8; i++)
        fprintf(file, "%uM 64M\n", i * 1024 + 100);
    fclose(file);
    CLEANUP_FREE char *option = memory_format("extentlist=%s", list);
    CLEANUP_SERVER struct server server =
        server_nbdkit("--readonly", "--filter=extentlist", "pattern", "size=8G", option, NULL);
    struct error error = ERROR_INIT;
    struct repository *repository = kit_repository();
    struct repository_writer *writer = kit_writer(repository);
    unsigned peak = 0;
    struct transfer_settings settings = {.buffers = 24, .ret_peak_buffers = &peak};
    struct transfer_disk disk = {.label = "large", .nbd_uri = server.uri, .size = size};
    assert_int_equal(transfer_backup(writer, CHUNK, &disk, 1, &settings, NULL, NULL, &error), 0);
    assert_int_equal(disk.bytes_read, data);
    assert_int_equal(disk.bytes_done, size);
    assert_true(peak >= 2 && peak <= 24);
    repository_writer_free(writer);
    repository_free(repository);
}

static void an_empty_disk_is_a_disk(void **state)
{
    (void)state;
    CLEANUP_SERVER struct server server = server_nbdkit("null", "size=0", NULL);
    struct repository *repository = kit_repository();
    struct transfer_disk disks[2] = {{.label = "empty", .nbd_uri = server.uri}};
    kit_backup(repository, disks, 1, NULL);
    kit_assert_stored(repository, disks, "/dev/null");
    repository_free(repository);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_sizes_are_whole),
        cmocka_unit_test(holes_are_not_read),
        cmocka_unit_test(a_backing_chain_is_read_through),
        cmocka_unit_test(written_zeroes_are_not_stored),
        cmocka_unit_test(without_block_status_all_is_read),
        cmocka_unit_test(short_answers_are_asked_on),
        cmocka_unit_test(a_server_that_takes_little_is_served),
        cmocka_unit_test(disks_share_few_buffers),
        cmocka_unit_test(memory_does_not_follow_the_disk),
        cmocka_unit_test(an_empty_disk_is_a_disk),
    };
    return cmocka_run_group_tests_name("transfer: backup", tests, kit_make_folder,
                                       kit_remove_folder);
}
