/* Transfer, restore: what was stored is what real NBD servers have in their images afterwards, as
 * QEMU itself reads them. */
#include "transfer_kit.h"

/* A stored disk with data, a long hole, and a short end; *ret_path is what it was made of. */
static struct transfer_disk stored_disk(struct repository *repository, const char *name,
                                        uint64_t size, char **ret_path)
{
    char *path = kit_image(name, size);
    uint64_t half = size / 2 / CHUNK * CHUNK;
    kit_fill(path, 0, size < 3 * CHUNK ? size : 3 * CHUNK, 1);
    kit_fill(path, half + 17, size - half < 2 * CHUNK ? size - half - 17 : 2 * CHUNK, 2);
    kit_fill(path, size - 1, 1, 3);
    struct server server = server_nbdkit("--readonly", "file", path, NULL);
    struct transfer_disk disk = {.label = "disk", .nbd_uri = server.uri, .size = size};
    kit_backup(repository, &disk, 1, NULL);
    server_stop(&server);
    *ret_path = path;
    return (struct transfer_disk){.label = "disk", .size = size, .root = disk.root};
}

/* A raw target full of other bytes. */
static char *dirty_target(const char *name, uint64_t size)
{
    char *path = kit_image(name, size);
    kit_fill(path, 0, size, 77);
    return path;
}

static void new_qcow2_has_what_was_stored(void **state)
{
    (void)state;
    const uint64_t size = 64 * MIB;
    struct repository *repository = kit_repository();
    CLEANUP_FREE char *source = NULL;
    CLEANUP_FREE char *target = kit_path("new.qcow2");
    struct transfer_disk disk = stored_disk(repository, "source", size, &source);
    kit_run("qemu-img", "create", "-q", "-f", "qcow2", target, "64M", NULL);
    struct server server = server_qemu(target, "qcow2", NULL);
    disk.nbd_uri = server.uri;
    disk.target_is_zero = true;
    kit_restore(repository, &disk, 1);
    server_stop(&server);
    kit_run("qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", source, target, NULL);
    kit_run("qemu-img", "check", "-q", "-f", "qcow2", target, NULL);
    assert_true(disk.bytes_read <= 7 * CHUNK); /* no zeroes were written */
    repository_free(repository);
}

static void an_old_image_is_overwritten_whole(void **state)
{
    (void)state;
    const uint64_t size = 40 * MIB;
    struct repository *repository = kit_repository();
    CLEANUP_FREE char *source = NULL;
    CLEANUP_FREE char *raw = dirty_target("old.raw", size);
    CLEANUP_FREE char *qcow2 = kit_path("old.qcow2");
    struct transfer_disk disk = stored_disk(repository, "source", size, &source);
    kit_run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2, NULL);
    struct server servers[] = {server_qemu(raw, "raw", NULL), server_qemu(qcow2, "qcow2", NULL)};
    struct transfer_disk disks[2] = {{0}};
    for (size_t i = 0; i < 2; i++)
        disks[i] = (struct transfer_disk){
            .label = "disk", .nbd_uri = servers[i].uri, .size = size, .root = disk.root};
    kit_restore(repository, disks, 2);
    server_stop(&servers[0]);
    server_stop(&servers[1]);
    kit_run("qemu-img", "compare", "-q", "-f", "raw", "-F", "raw", source, raw, NULL);
    kit_run("qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", source, qcow2, NULL);
    assert_true(disks[0].bytes_read <= 7 * CHUNK); /* zeroes were zeroed, not written */
    repository_free(repository);
}

static void odd_sizes_come_back(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 511, CHUNK - 1, CHUNK + 1, 5 * CHUNK + 513, 40 * CHUNK - 3};
    struct repository *repository = kit_repository();
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        CLEANUP_FREE char *path = kit_image("odd", sizes[i]);
        CLEANUP_FREE char *target = dirty_target("odd-target", sizes[i]);
        kit_fill(path, sizes[i] / 2, sizes[i] - sizes[i] / 2, i);
        struct server from = server_nbdkit("--readonly", "file", path, NULL);
        struct server to = server_nbdkit("file", target, NULL);
        struct transfer_disk disk = {.label = "odd", .nbd_uri = from.uri, .size = sizes[i]};
        kit_backup(repository, &disk, 1, NULL);
        struct transfer_disk back = {
            .label = "odd", .nbd_uri = to.uri, .size = sizes[i], .root = disk.root};
        kit_restore(repository, &back, 1);
        server_stop(&from);
        server_stop(&to);
        kit_assert_same(path, target, sizes[i]);
    }
    repository_free(repository);
}

/* Zeroes must arrive also where the server has no command for them, or refuses it. */
static void zeroes_are_written_where_they_must(void **state)
{
    (void)state;
    const uint64_t size = 30 * MIB + 100;
    struct repository *repository = kit_repository();
    CLEANUP_FREE char *source = NULL;
    struct transfer_disk disk = stored_disk(repository, "source", size, &source);
    for (unsigned i = 0; i < 3; i++) {
        CLEANUP_FREE char *target = dirty_target("target", size);
        struct server server =
            i == 0 ? server_nbdkit("--filter=nozero", "file", target, NULL)
            : i == 1
                ? server_nbdkit("--filter=error", "file", target, "error-zero=EINVAL",
                                "error-zero-rate=100%", NULL)
                : server_nbdkit("--filter=nozero", "--filter=blocksize-policy", "file", target,
                                "blocksize-maximum=65536", "blocksize-error-policy=error", NULL);
        struct transfer_disk back = {
            .label = "disk", .nbd_uri = server.uri, .size = size, .root = disk.root};
        kit_restore(repository, &back, 1);
        server_stop(&server);
        kit_assert_same(source, target, size);
        assert_true(back.bytes_read == size);
    }
    repository_free(repository);
}

static void disks_share_few_buffers(void **state)
{
    (void)state;
    enum { COUNT = 4 };
    const uint64_t size = 8 * MIB;
    unsigned peak = 0;
    struct error error = ERROR_INIT;
    struct transfer_settings settings = {.workers = 2, .buffers = 2, .ret_peak_buffers = &peak};
    struct repository *repository = kit_repository();
    struct server servers[COUNT];
    struct transfer_disk disks[COUNT] = {{0}};
    char *sources[COUNT], *targets[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        CLEANUP_FREE char *source = memory_format("source-%zu", i);
        CLEANUP_FREE char *target = memory_format("target-%zu", i);
        disks[i] = stored_disk(repository, source, size + i * CHUNK, &sources[i]);
        targets[i] = dirty_target(target, disks[i].size);
        servers[i] = server_qemu(targets[i], "raw", NULL);
        disks[i].nbd_uri = servers[i].uri;
    }
    if (transfer_restore(repository, disks, COUNT, &settings, NULL, NULL, &error) != 0)
        fail_msg("%s", error.message);
    assert_true(peak >= 1 && peak <= 2);
    for (size_t i = 0; i < COUNT; i++) {
        server_stop(&servers[i]);
        kit_assert_same(sources[i], targets[i], disks[i].size);
        free(sources[i]);
        free(targets[i]);
    }
    repository_free(repository);
}

/* A disk that is the same chunk all over. */
static struct object_id store_repeated(struct repository *repository, uint64_t size)
{
    struct error error = ERROR_INIT;
    struct repository_writer *writer = kit_writer(repository);
    struct disk_writer *tree = NULL;
    struct transfer_disk disk = {.size = size};
    struct object_id id;
    uint64_t stored;
    CLEANUP_FREE uint8_t *data = memory_new(1, CHUNK);
    kit_random(data, CHUNK, 0, 1);
    assert_int_equal(repository_writer_put(writer, OBJECT_DATA, data, CHUNK, &id, &stored, &error),
                     0);
    assert_int_equal(disk_writer_new(writer, size, &tree, &error), 0);
    for (uint64_t chunk = 0; chunk < size / CHUNK; chunk++)
        assert_int_equal(disk_writer_set(tree, chunk, &id, &error), 0);
    assert_int_equal(disk_writer_finish(tree, &disk.root, &stored, &error), 0);
    kit_commit(writer, &disk, 1);
    return disk.root;
}

/* The storage is asked to begin before all is written, and once more at the end. */
static void much_data_is_flushed_on_the_way(void **state)
{
    (void)state;
    const uint64_t size = 560 * MIB;
    struct repository *repository = kit_repository();
    CLEANUP_FREE char *log = kit_path("log");
    CLEANUP_FREE char *option = memory_format("logfile=%s", log);
    struct server server = server_nbdkit("--filter=log", "null", "size=560M", option, NULL);
    struct transfer_disk disk = {.label = "disk", .nbd_uri = server.uri, .size = size};
    disk.root = store_repeated(repository, size);
    kit_restore(repository, &disk, 1);
    assert_int_equal(disk.bytes_read, size);
    server_stop(&server);
    char line[512], last[512] = "";
    unsigned flushes = 0;
    FILE *file = fopen(log, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (strstr(line, " Flush id=") || strstr(line, " Write id=")) {
            flushes += strstr(line, " Flush id=") != NULL;
            memcpy(last, line, sizeof last);
        }
    fclose(file);
    assert_int_equal(flushes, 2);
    assert_non_null(strstr(last, " Flush id="));
    repository_free(repository);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_qcow2_has_what_was_stored),
        cmocka_unit_test(an_old_image_is_overwritten_whole),
        cmocka_unit_test(odd_sizes_come_back),
        cmocka_unit_test(zeroes_are_written_where_they_must),
        cmocka_unit_test(disks_share_few_buffers),
        cmocka_unit_test(much_data_is_flushed_on_the_way),
    };
    return cmocka_run_group_tests_name("transfer: restore", tests, kit_make_folder,
                                       kit_remove_folder);
}
