/* Kit for the repository's tests: backends in memory and in a directory, small images with data of
 * all kinds, a backup of them, and its comparison byte for byte. */
#ifndef TESTS_REPOSITORY_KIT_H
#define TESTS_REPOSITORY_KIT_H

#include "base/clock.h"
#include "repository/private.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { KIT_CHUNK = 64 << 10, KIT_SCRYPT = 10 };
#define KIT_PASSPHRASE "correct horse battery staple"

#define assert_good(call, error)                                                                   \
    do {                                                                                           \
        if ((call) != 0) {                                                                         \
            print_message("%s: %s\n", #call, (error)->message);                                    \
            fail_msg("%s", #call);                                                                 \
        }                                                                                          \
    } while (0)

/* ---- Backends ------------------------------------------------------------------------------ */

static inline int kit_remove_entry(const char *path, const struct stat *stat, int type,
                                   struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void kit_remove_tree(const char *path)
{
    assert_int_equal(nftw(path, kit_remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* A new folder; `path` has room for 64 bytes. In memory where possible: loops sync thousands of
 * times. */
static inline void kit_folder(char *path)
{
    strcpy(path, "/dev/shm/vmshadow-unit-XXXXXX");
    if (mkdtemp(path))
        return;
    strcpy(path, "/tmp/vmshadow-unit-XXXXXX");
    assert_non_null(mkdtemp(path));
}

struct kit_file {
    char name[80];
    uint8_t *data;
    uint64_t size;
};

/* All files of a repository, to be freed with kit_free_files(). */
struct kit_files {
    struct backend *backend;
    struct kit_file *files;
    size_t count;
};

static inline int kit_gather(void *context, const char *name, struct error *error)
{
    struct kit_files *all = context;
    struct kit_file file = {.size = 0};
    (void)snprintf(file.name, sizeof file.name, "%s", name);
    if (all->backend->size(all->backend, name, &file.size, error) != 0)
        return -1;
    file.data = memory_new(file.size + 1, 1);
    ARRAY_APPEND(all->files, all->count, file);
    return all->backend->get(all->backend, name, 0, file.data, file.size, error);
}

static inline struct kit_files kit_files_of(struct backend *backend)
{
    struct kit_files all = {.backend = backend};
    struct error error = ERROR_INIT;
    assert_good(backend->list(backend, "", kit_gather, &all, &error), &error);
    return all;
}

static inline void kit_free_files(struct kit_files *all)
{
    for (size_t i = 0; i < all->count; i++)
        free(all->files[i].data);
    free(all->files);
}

/* The n-th file (from 0) whose name begins so. */
static inline struct kit_file *kit_file(struct kit_files *all, const char *prefix, unsigned n)
{
    for (size_t i = 0; i < all->count; i++)
        if (strncmp(all->files[i].name, prefix, strlen(prefix)) == 0 && n-- == 0)
            return &all->files[i];
    fail_msg("no file %s", prefix);
    return NULL;
}

/* Replace a file's content, or remove it (data NULL). */
static inline void kit_replace(struct backend *backend, const char *name, const void *data,
                               size_t size)
{
    struct error error = ERROR_INIT;
    struct iovec piece = {(void *)data, size};
    (void)backend->remove(backend, name, NULL);
    if (data)
        assert_good(backend->put(backend, name, &piece, 1, &error), &error);
}

/* ---- Images -------------------------------------------------------------------------------- */

struct kit_image {
    size_t size;
    uint8_t *data;
};

static inline uint64_t kit_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Chunks in turn: random bytes, zeroes, text that compresses, one byte repeated. */
static inline void kit_fill(uint8_t *data, size_t size, uint64_t seed, unsigned kind)
{
    seed = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (size_t i = 0; i < size; i++)
        switch (kind % 4) {
        case 0:
            data[i] = (uint8_t)kit_random(&seed);
            break;
        case 1:
            data[i] = 0;
            break;
        case 2:
            data[i] = (uint8_t)("the quick brown fox "[i % 20] + (i % 777 ? 0 : kit_random(&seed)));
            break;
        default:
            data[i] = (uint8_t)(seed | 1);
        }
}

static inline struct kit_image kit_image_new(size_t size, uint64_t seed)
{
    struct kit_image image = {size, memory_new(size ? size : 1, 1)};
    for (size_t at = 0, i = 0; at < size; at += KIT_CHUNK, i++) {
        size_t length = size - at < KIT_CHUNK ? size - at : KIT_CHUNK;
        kit_fill(image.data + at, length, seed + i, (unsigned)(seed + i));
    }
    return image;
}

/* ---- Backups ------------------------------------------------------------------------------- */

static inline int kit_put_disk(struct repository_writer *writer, const struct kit_image *image,
                               struct object_id *ret_root, uint64_t *ret_stored,
                               struct error *error)
{
    struct disk_writer *disk;
    uint64_t total = 0, stored;
    if (disk_writer_new(writer, image->size, &disk, error) != 0)
        return -1;
    for (size_t at = 0; at < image->size; at += KIT_CHUNK) {
        size_t length = image->size - at < KIT_CHUNK ? image->size - at : KIT_CHUNK;
        struct object_id id;
        if (repository_writer_put(writer, OBJECT_DATA, image->data + at, length, &id, &stored,
                                  error) != 0 ||
            (!object_id_is_zero(&id) && disk_writer_set(disk, at / KIT_CHUNK, &id, error) != 0)) {
            disk_writer_free(disk);
            return -1;
        }
        total += stored;
    }
    if (disk_writer_finish(disk, ret_root, &stored, error) != 0)
        return -1;
    *ret_stored = total + stored;
    return 0;
}

static inline json_t *kit_manifest(const char *time, const struct object_id *disk, size_t disk_size,
                                   const struct object_id *document)
{
    char text[65];
    object_id_format(disk, text);
    json_t *manifest = json_object(), *vms = json_array(), *vm = json_object();
    json_t *disks = json_array(), *entry = json_object(), *documents = json_object();
    json_set_string(entry, "target", "vda");
    json_set_integer(entry, "size", (int64_t)disk_size);
    json_set_string(entry, "root", text);
    json_append(disks, entry);
    object_id_format(document, text);
    json_set_string(documents, "domain.xml", text);
    json_set_string(vm, "name", "web & \"1\" ä");
    json_set_string(vm, "uuid", "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de");
    json_set(vm, "disks", disks);
    json_set(vm, "documents", documents);
    json_append(vms, vm);
    json_set_string(manifest, "time", time);
    json_set(manifest, "vms", vms);
    return manifest;
}

/* One VM with one disk and one document (the image's first 100 bytes). */
static inline int kit_backup(struct repository *repository, const struct kit_image *image,
                             const char *time, struct id *ret_id, uint64_t *ret_stored,
                             struct error *error)
{
    struct repository_writer *writer;
    struct object_id disk, document;
    struct id id = id_new();
    uint64_t stored, more;
    if (repository_writer_new(repository, &writer, error) != 0)
        return -1;
    if (kit_put_disk(writer, image, &disk, &stored, error) != 0 ||
        repository_writer_put_document(writer, image->data, image->size < 100 ? image->size : 100,
                                       &document, &more, error) != 0) {
        repository_writer_free(writer);
        return -1;
    }
    CLEANUP_JSON json_t *manifest = kit_manifest(time, &disk, image->size, &document);
    if (repository_writer_commit(writer, &id, manifest, error) != 0)
        return -1;
    if (ret_id)
        *ret_id = id;
    if (ret_stored)
        *ret_stored = stored + more;
    return 0;
}

static inline struct object_id kit_root(const json_t *manifest, const char *kind)
{
    struct object_id id;
    const json_t *vm = json_array_get(json_object_get(manifest, "vms"), 0);
    const char *text =
        strcmp(kind, "disk") == 0
            ? json_string_value(
                  json_object_get(json_array_get(json_object_get(vm, "disks"), 0), "root"))
            : json_string_value(json_object_get(json_object_get(vm, "documents"), "domain.xml"));
    assert_non_null(text);
    assert_int_equal(object_id_parse(text, &id), 0);
    return id;
}

/* Read a stored disk whole. -1 when it cannot be; *ret_data is to be freed. */
static inline int kit_read_disk(struct repository *repository, const struct object_id *root,
                                uint8_t **ret_data, size_t *ret_size, struct error *error)
{
    struct disk_reader *disk;
    if (disk_reader_new(repository, root, &disk, error) != 0)
        return -1;
    size_t size = disk_reader_size(disk), chunks = (size + KIT_CHUNK - 1) / KIT_CHUNK;
    CLEANUP_FREE struct object_id *ids = NEW_ARRAY(struct object_id, chunks ? chunks : 1);
    CLEANUP_FREE uint8_t *data = memory_new(size ? size : 1, 1);
    int result = disk_reader_ids(disk, 0, chunks, ids, error);
    disk_reader_free(disk);
    for (size_t i = 0; i < chunks && result == 0; i++) {
        size_t length = size - i * KIT_CHUNK < KIT_CHUNK ? size - i * KIT_CHUNK : KIT_CHUNK, got;
        if (object_id_is_zero(&ids[i]))
            continue;
        result = repository_get(repository, &ids[i], OBJECT_DATA, data + i * KIT_CHUNK, length,
                                &got, error);
        if (result == 0)
            assert_int_equal(got, length);
    }
    if (result != 0)
        return -1;
    *ret_data = TAKE_PTR(data);
    *ret_size = size;
    return 0;
}

/* 0 only when the backup holds exactly this image. A wrong byte fails the test. */
static inline int kit_compare(struct repository *repository, const json_t *manifest,
                              const struct kit_image *image, struct error *error)
{
    struct object_id disk = kit_root(manifest, "disk"), document = kit_root(manifest, "document");
    CLEANUP_FREE uint8_t *data = NULL;
    CLEANUP_FREE char *text = NULL;
    size_t size;
    if (kit_read_disk(repository, &disk, &data, &size, error) != 0)
        return -1;
    assert_int_equal(size, image->size);
    assert_true(!size || memcmp(data, image->data, size) == 0);
    if (repository_get_document(repository, &document, &text, &size, error) != 0)
        return -1;
    assert_int_equal(size, image->size < 100 ? image->size : 100);
    assert_true(!size || memcmp(text, image->data, size) == 0);
    return 0;
}

struct kit_faults {
    unsigned count;
    char objects[16][80], messages[16][300];
};

static inline void kit_note_fault(void *context, const char *object, const char *message)
{
    struct kit_faults *faults = context;
    if (faults->count < ARRAY_SIZE(faults->objects)) {
        (void)snprintf(faults->objects[faults->count], sizeof faults->objects[0], "%s", object);
        (void)snprintf(faults->messages[faults->count], sizeof faults->messages[0], "%s", message);
    }
    faults->count++;
}

static inline bool kit_has_fault(const struct kit_faults *faults, const char *object,
                                 const char *message)
{
    for (unsigned i = 0; i < faults->count && i < ARRAY_SIZE(faults->objects); i++)
        if (strstr(faults->objects[i], object) && strstr(faults->messages[i], message))
            return true;
    for (unsigned i = 0; i < faults->count && i < ARRAY_SIZE(faults->objects); i++)
        print_message("fault: %s: %s\n", faults->objects[i], faults->messages[i]);
    return false;
}

static inline struct kit_faults kit_verify(struct repository *repository)
{
    struct kit_faults faults = {0};
    struct repository_verify_counts counts;
    struct error error = ERROR_INIT;
    int result = repository_verify(repository, kit_note_fault, NULL, &faults, &counts, &error);
    assert_int_equal(result, faults.count ? -1 : 0);
    assert_int_equal(counts.faults, faults.count);
    assert_true(result == 0 || error.kind == ERROR_DAMAGED);
    return faults;
}

static inline void kit_assert_clean(struct repository *repository)
{
    struct kit_faults faults = kit_verify(repository);
    for (unsigned i = 0; i < faults.count && i < ARRAY_SIZE(faults.objects); i++)
        print_message("fault: %s: %s\n", faults.objects[i], faults.messages[i]);
    assert_int_equal(faults.count, 0);
}

/* Small packs and segments, so that little data visits the ways of much. */
static inline void kit_shrink(struct repository *repository)
{
    repository->pack_size = 200 << 10;
    repository->segment_limit = 8;
}

static inline int kit_init(struct backend *backend, const char *passphrase, struct error *error)
{
    struct repository_parameters parameters = {
        .chunk_size = KIT_CHUNK, .passphrase = passphrase, .scrypt_cost = KIT_SCRYPT};
    return repository_init(backend, &parameters, error);
}

#endif
