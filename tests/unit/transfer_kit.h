/* What the tests of the transfer share: a folder, images in it, real NBD servers on them, a
 * repository in memory, and comparing. */
#ifndef TESTS_TRANSFER_KIT_H
#define TESTS_TRANSFER_KIT_H

#include "base/clock.h"
#include "base/memory.h"
#include "base/process.h"
#include "transfer/transfer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

enum { CHUNK = 64 << 10, ARGUMENTS = 40 };

/* ---- Folder and images ------------------------------------------------------------------------
 */

static char kit_folder[64];

static inline int kit_make_folder(void **state)
{
    (void)state;
    strcpy(kit_folder, "/tmp/vmshadow-test-XXXXXX");
    return mkdtemp(kit_folder) ? 0 : -1;
}

static inline int kit_remove_folder(void **state)
{
    (void)state;
    DIR *folder = opendir(kit_folder);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        (void)unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    return rmdir(kit_folder);
}

/* A path in the folder, to be freed. */
static inline char *kit_path(const char *name)
{
    return memory_format("%s/%s", kit_folder, name);
}

/* Bytes that do not compress, and are others for each offset and seed; none is zero. */
static inline void kit_random(uint8_t *data, size_t size, uint64_t offset, uint64_t seed)
{
    uint64_t state = (offset + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ seed;
    for (size_t i = 0; i < size; i += sizeof state) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        uint64_t word = state | UINT64_C(0x0101010101010101);
        memcpy(data + i, &word, size - i < sizeof word ? size - i : sizeof word);
    }
}

/* A raw image of holes. */
static inline char *kit_image(const char *name, uint64_t size)
{
    char *path = kit_path(name);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)size), 0);
    close(file);
    return path;
}

static inline void kit_fill(const char *path, uint64_t offset, uint64_t size, uint64_t seed)
{
    CLEANUP_FREE uint8_t *data = memory_new(1, size);
    CLEANUP_CLOSE int file = open(path, O_RDWR | O_CLOEXEC);
    kit_random(data, size, offset, seed);
    assert_int_equal(pwrite(file, data, size, (off_t)offset), size);
}

/* The image has no bytes but zeroes there, written ones. */
static inline void kit_write_zeroes(const char *path, uint64_t offset, uint64_t size)
{
    CLEANUP_FREE uint8_t *data = memory_new(1, size);
    CLEANUP_CLOSE int file = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(file, data, size, (off_t)offset), size);
}

static inline void kit_run(const char *program, ...)
{
    char *arguments[ARGUMENTS] = {(char *)program};
    va_list list;
    va_start(list, program);
    for (size_t i = 1; (arguments[i] = va_arg(list, char *)) != NULL; i++)
        assert_true(i < ARGUMENTS - 1);
    va_end(list);
    struct error error = ERROR_INIT;
    if (process_run(arguments, 60 * CLOCK_SECOND, NULL, &error) != 0)
        fail_msg("%s", error.message);
}

static inline void kit_assert_same(const char *a, const char *b, uint64_t size)
{
    enum { PIECE = 1 << 20 };
    CLEANUP_FREE uint8_t *left = memory_new(2, PIECE);
    uint8_t *right = left + PIECE;
    CLEANUP_CLOSE int first = open(a, O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int second = open(b, O_RDONLY | O_CLOEXEC);
    assert_true(first >= 0 && second >= 0);
    for (uint64_t at = 0; at < size; at += PIECE) {
        size_t want = size - at < PIECE ? (size_t)(size - at) : PIECE;
        assert_int_equal(pread(first, left, want, (off_t)at), want);
        assert_int_equal(pread(second, right, want, (off_t)at), want);
        assert_memory_equal(left, right, want);
    }
}

/* ---- Servers ----------------------------------------------------------------------------------
 */

struct server {
    struct process *process;
    char *socket, *uri;
};

static inline void server_stop(struct server *server)
{
    process_stop(TAKE_PTR(server->process), 5 * CLOCK_SECOND);
    if (server->socket)
        (void)unlink(server->socket);
    free(TAKE_PTR(server->socket));
    free(TAKE_PTR(server->uri));
}
#define CLEANUP_SERVER CLEANUP(server_stop)

/* The server writes its process id to a file when it listens. */
static inline void wait_until_ready(const struct server *server, const char *ready)
{
    int64_t deadline = clock_monotonic() + 20 * CLOCK_SECOND;
    struct stat file;
    while (stat(ready, &file) != 0 || file.st_size == 0) {
        if (process_has_ended(server->process) || clock_monotonic() > deadline)
            fail_msg("the server does not start: %s", process_output(server->process));
        clock_sleep(2 * CLOCK_MILLISECOND);
    }
    (void)unlink(ready);
}

static inline struct server server_start(char **arguments, char *socket, char *ready)
{
    struct server server = {.socket = socket};
    struct error error = ERROR_INIT;
    server.uri = memory_format("nbd+unix:///?socket=%s", socket);
    if (process_start(arguments, &server.process, &error) != 0)
        fail_msg("%s", error.message);
    wait_until_ready(&server, ready);
    free(ready);
    return server;
}

/* qemu-nbd on an image; option: one more argument or NULL. */
static inline struct server server_qemu(const char *path, const char *format, const char *option)
{
    static unsigned number;
    char *socket = memory_format("%s/qemu-%u.socket", kit_folder, ++number);
    char *ready = memory_format("%s.pid", socket);
    CLEANUP_FREE char *format_option = memory_format("--format=%s", format);
    CLEANUP_FREE char *socket_option = memory_format("--socket=%s", socket);
    CLEANUP_FREE char *ready_option = memory_format("--pid-file=%s", ready);
    char *arguments[] = {(char *)"qemu-nbd", (char *)"--persistent", (char *)"--discard=unmap",
                         format_option,      socket_option,          ready_option,
                         (char *)path,       (char *)option,         NULL};
    return server_start(arguments, socket, ready);
}

/* nbdkit with these arguments (filters, plugin, parameters), NULL at the end. */
static inline struct server server_nbdkit(const char *first, ...)
{
    static unsigned number;
    char *socket = memory_format("%s/nbdkit-%u.socket", kit_folder, ++number);
    char *ready = memory_format("%s.pid", socket);
    char *arguments[ARGUMENTS] = {(char *)"nbdkit", (char *)"--foreground", (char *)"--unix",
                                  socket,           (char *)"--pidfile",    ready,
                                  (char *)first};
    va_list list;
    va_start(list, first);
    for (size_t i = 7; (arguments[i] = va_arg(list, char *)) != NULL; i++)
        assert_true(i < ARGUMENTS - 1);
    va_end(list);
    return server_start(arguments, socket, ready);
}

/* ---- Faults -----------------------------------------------------------------------------------
 */

/* Disks of the tests that fail. */
static inline void assert_error(const struct error *error, enum error_kind kind, const char *text)
{
    if (error->kind != kind || !strstr(error->message, text))
        fail_msg("%s: %s (expected %s: ...%s...)", error_kind_name(error->kind), error->message,
                 error_kind_name(kind), text);
    /* The disk first; but no disk is the reason when the caller ends it. */
    if ((strncmp(error->message, "VM web1, disk vda: ", 19) == 0) == (kind == ERROR_INTERRUPTED))
        fail_msg("label: %s", error->message);
}

static inline struct transfer_disk disk_of(const struct server *server, uint64_t size)
{
    return (struct transfer_disk){
        .label = "VM web1, disk vda", .nbd_uri = server->uri, .size = size};
}

/* ---- Repository -------------------------------------------------------------------------------
 */

static inline struct repository *kit_repository_on(struct backend *backend, const char *passphrase)
{
    struct error error = ERROR_INIT;
    struct repository_parameters parameters = {.chunk_size = CHUNK, .passphrase = passphrase};
    struct repository *repository = NULL;
    if (repository_init(backend, &parameters, &error) != 0 ||
        repository_open(backend, passphrase, &repository, &error) != 0)
        fail_msg("%s", error.message);
    return repository;
}

static inline struct repository *kit_repository(void)
{
    return kit_repository_on(backend_memory_new(), NULL);
}

static inline struct repository_writer *kit_writer(struct repository *repository)
{
    struct error error = ERROR_INIT;
    struct repository_writer *writer = NULL;
    if (repository_writer_new(repository, &writer, &error) != 0)
        fail_msg("%s", error.message);
    return writer;
}

/* Commit with a manifest that names these disks, as the requester does. */
static inline void kit_commit(struct repository_writer *writer, const struct transfer_disk *disks,
                              size_t count)
{
    struct error error = ERROR_INIT;
    struct id backup = id_new(), machine = id_new();
    CLEANUP_JSON json_t *manifest = json_object();
    json_t *list = json_array(), *vms = json_array(), *vm = json_object();
    for (size_t i = 0; i < count; i++) {
        char root[2 * REPOSITORY_ID_SIZE + 1];
        CLEANUP_FREE char *target = memory_format("vd%zu", i);
        json_t *disk = json_object();
        object_id_format(&disks[i].root, root);
        json_set_string(disk, "target", target);
        json_set_integer(disk, "size", (int64_t)disks[i].size);
        json_set_string(disk, "root", root);
        json_append(list, disk);
    }
    json_set_string(vm, "name", "test");
    json_set_string(vm, "uuid", machine.text);
    json_set(vm, "disks", list);
    json_set(vm, "documents", json_object());
    json_append(vms, vm);
    json_set_string(manifest, "id", backup.text);
    json_set_string(manifest, "time", "2026-11-23T14:18:05Z");
    json_set(manifest, "vms", vms);
    if (repository_writer_commit(writer, &backup, manifest, &error) != 0)
        fail_msg("%s", error.message);
}

/* Back up and commit; all must work. */
static inline void kit_backup(struct repository *repository, struct transfer_disk *disks,
                              size_t count, const struct transfer_settings *settings)
{
    struct error error = ERROR_INIT;
    struct repository_writer *writer = kit_writer(repository);
    if (transfer_backup(writer, repository_chunk_size(repository), disks, count, settings, NULL,
                        NULL, &error) != 0)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(disks[i].bytes_done, disks[i].size);
        assert_true(disks[i].started > 0 && disks[i].ended >= disks[i].started);
    }
    kit_commit(writer, disks, count);
}

static inline void kit_restore(struct repository *repository, struct transfer_disk *disks,
                               size_t count)
{
    struct error error = ERROR_INIT;
    if (transfer_restore(repository, disks, count, NULL, NULL, NULL, &error) != 0)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(disks[i].bytes_done, disks[i].size);
}

/* The stored disk is what the image has, read chunk by chunk without the transfer's help. Chunks
 * of zeroes must have no object. */
static inline void kit_assert_stored(struct repository *repository,
                                     const struct transfer_disk *disk, const char *path)
{
    struct error error = ERROR_INIT;
    struct disk_reader *reader = NULL;
    uint32_t chunk_size = repository_chunk_size(repository);
    CLEANUP_FREE uint8_t *stored = memory_new(2, chunk_size);
    uint8_t *image = stored + chunk_size;
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
    if (disk_reader_new(repository, &disk->root, &reader, &error) != 0)
        fail_msg("%s", error.message);
    assert_int_equal(disk_reader_size(reader), disk->size);
    for (uint64_t at = 0; at < disk->size; at += chunk_size) {
        size_t want = disk->size - at < chunk_size ? (size_t)(disk->size - at) : chunk_size;
        size_t size = want;
        struct object_id id;
        memset(stored, 0, chunk_size);
        memset(image, 0, chunk_size);
        assert_true(pread(file, image, want, (off_t)at) >= 0);
        assert_int_equal(disk_reader_ids(reader, at / chunk_size, 1, &id, &error), 0);
        if (!object_id_is_zero(&id) &&
            repository_get(repository, &id, OBJECT_DATA, stored, chunk_size, &size, &error) != 0)
            fail_msg("%s", error.message);
        assert_int_equal(size, want);
        assert_memory_equal(stored, image, want);
        if (image[0] == 0 && memcmp(image, image + 1, want - 1) == 0)
            assert_true(object_id_is_zero(&id));
    }
    disk_reader_free(reader);
}

#endif
