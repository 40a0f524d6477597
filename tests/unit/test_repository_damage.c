/* repository: whatever happens to the stored bytes is found, named, and never read as data. */
#include "repository-kit.h"

#include "repository/pack.h"

static struct repository *open_plain(struct backend *backend)
{
    struct repository *repository;
    struct error error = ERROR_INIT;
    assert_good(repository_open(backend, NULL, &repository, &error), &error);
    kit_shrink(repository);
    return repository;
}

/* Give the backend back, which the repository would free. */
static struct backend *close_keep(struct repository *repository)
{
    struct backend *backend = TAKE_PTR(repository->backend);
    repository_free(repository);
    return backend;
}

/* A repository without encryption (the code is the same, and no scrypt runs thousands of times)
 * with backups of `count` images. */
static struct backend *make(struct kit_image *images, unsigned count)
{
    struct backend *backend = backend_memory_new();
    struct error error = ERROR_INIT;
    assert_good(kit_init(backend, NULL, &error), &error);
    struct repository *repository = open_plain(backend);
    for (unsigned i = 0; i < count; i++) {
        CLEANUP_FREE char *time = memory_format("2026-11-23T14:18:%02uZ", i);
        assert_good(kit_backup(repository, &images[i], time, NULL, NULL, &error), &error);
    }
    kit_assert_clean(repository);
    return close_keep(repository);
}

struct reading {
    struct repository *repository;
    const struct kit_image *images;
    unsigned image_count, good, bad;
};

/* Which image a backup is of follows from its time. kit_compare() fails the test when a backup
 * reads as something else than it was. */
static int read_backup(void *context, const json_t *manifest, struct error *error)
{
    struct reading *reading = context;
    unsigned which = (unsigned)atoi(json_string_or(manifest, "time", "") + 17);
    struct error fault = ERROR_INIT;
    (void)error;
    assert_true(which < reading->image_count);
    if (kit_compare(reading->repository, manifest, &reading->images[which], &fault) == 0)
        reading->good++;
    else
        reading->bad++;
    return 0;
}

static void note_damaged(void *context, const char *name, const struct error *error)
{
    (void)name;
    (void)error;
    ((struct reading *)context)->bad++;
}

static struct reading read_all(struct repository *repository, const struct kit_image *images,
                               unsigned count)
{
    struct reading reading = {repository, images, count, 0, 0};
    struct error error = ERROR_INIT;
    assert_good(repository_list(repository, read_backup, note_damaged, &reading, &error), &error);
    return reading;
}

/* Open what may be damaged: found at the opening, or by verify; and what reads, reads right. */
static bool is_detected(struct backend *backend, const char *passphrase,
                        const struct kit_image *images, unsigned count)
{
    struct repository *repository;
    struct error error = ERROR_INIT;
    if (repository_open(backend, passphrase, &repository, &error) != 0)
        return true;
    (void)read_all(repository, images, count);
    struct kit_faults faults = kit_verify(repository);
    (void)close_keep(repository);
    return faults.count > 0;
}

static void every_flip_is_detected(void **state)
{
    (void)state;
    struct kit_image image = {200, memory_new(200, 1)};
    memset(image.data, 'a', image.size);
    struct backend *backend = make(&image, 1);
    struct kit_files all = kit_files_of(backend);
    unsigned flips = 0;
    for (size_t i = 0; i < all.count; i++) {
        struct kit_file *file = &all.files[i];
        for (size_t at = 0; at < file->size; at++) {
            /* In the middle of a long page of zeroes, encrypted, one byte is like another. */
            if (file->size > 3000 && at > 300 && at < file->size - 300 && at % 29)
                continue;
            uint8_t bit = (uint8_t)(1 << at % 8);
            file->data[at] ^= bit;
            kit_replace(backend, file->name, file->data, file->size);
            if (!is_detected(backend, NULL, &image, 1))
                fail_msg("bit %zu of byte %zu of %s was changed unseen", at % 8, at, file->name);
            file->data[at] ^= bit;
            flips++;
        }
        kit_replace(backend, file->name, file->data, file->size);
    }
    print_message("%u flips\n", flips);
    assert_false(is_detected(backend, NULL, &image, 1));
    kit_free_files(&all);
    backend_free(backend);
    free(image.data);
}

/* With encryption: the identity and the wrap, through the passphrase. */
static void every_flip_of_keys_is_detected(void **state)
{
    (void)state;
    struct kit_image none = {0, NULL};
    struct backend *backend = backend_memory_new();
    struct error error = ERROR_INIT;
    assert_good(kit_init(backend, KIT_PASSPHRASE, &error), &error);
    struct kit_files all = kit_files_of(backend);
    assert_int_equal(all.count, 2);
    for (size_t i = 0; i < all.count; i++) {
        struct kit_file *file = &all.files[i];
        for (size_t at = 0; at < file->size; at++) {
            uint8_t bit = (uint8_t)(1 << at % 8);
            file->data[at] ^= bit;
            kit_replace(backend, file->name, file->data, file->size);
            if (!is_detected(backend, KIT_PASSPHRASE, &none, 0))
                fail_msg("bit %zu of byte %zu of %s was changed unseen", at % 8, at, file->name);
            file->data[at] ^= bit;
        }
        kit_replace(backend, file->name, file->data, file->size);
    }
    assert_false(is_detected(backend, KIT_PASSPHRASE, &none, 0));
    kit_free_files(&all);
    backend_free(backend);
}

static void cut_and_grown_files_are_detected(void **state)
{
    (void)state;
    struct kit_image image = {200, memory_new(200, 1)};
    memset(image.data, 'b', image.size);
    struct backend *backend = make(&image, 1);
    struct kit_files all = kit_files_of(backend);
    for (size_t i = 0; i < all.count; i++) {
        struct kit_file *file = &all.files[i];
        for (size_t size = 0; size <= file->size + 1; size += size < 200 ? 1 : 37) {
            if (size == file->size)
                continue;
            size_t given = size < file->size ? size : file->size + 1;
            kit_replace(backend, file->name, file->data, given);
            if (!is_detected(backend, NULL, &image, 1))
                fail_msg("%s with %zu of %" PRIu64 " bytes was not seen", file->name, given,
                         file->size);
        }
        kit_replace(backend, file->name, NULL, 0);
        if (strncmp(file->name, "backups/", 8) != 0) /* a backup that is gone was forgotten */
            assert_true(is_detected(backend, NULL, &image, 1));
        kit_replace(backend, file->name, file->data, file->size);
    }
    kit_free_files(&all);
    backend_free(backend);
    free(image.data);
}

/* Two files of a kind exchange their contents, or a foreign repository's file is put in place. */
static void swapped_files_are_detected(void **state)
{
    (void)state;
    static const char *const kinds[] = {"packs/", "index/", "backups/"};
    struct kit_image images[2] = {kit_image_new(2 * KIT_CHUNK, 1), kit_image_new(2 * KIT_CHUNK, 5)};
    struct backend *backend = make(images, 2), *other = make(images, 2);
    struct kit_files all = kit_files_of(backend), foreign = kit_files_of(other);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct kit_file *a = kit_file(&all, kinds[i], 0), *b = kit_file(&all, kinds[i], 1);
        struct kit_file *c = kit_file(&foreign, kinds[i], 0);
        kit_replace(backend, a->name, b->data, b->size);
        assert_true(is_detected(backend, NULL, images, 2));
        kit_replace(backend, b->name, a->data, a->size);
        assert_true(is_detected(backend, NULL, images, 2));
        kit_replace(backend, a->name, a->data, a->size);
        kit_replace(backend, b->name, c->data, c->size);
        assert_true(is_detected(backend, NULL, images, 2));
        kit_replace(backend, b->name, b->data, b->size);
        kit_replace(backend, c->name, c->data, c->size); /* beside ours, under its own name */
        assert_true(is_detected(backend, NULL, images, 2));
        kit_replace(backend, c->name, NULL, 0);
        assert_false(is_detected(backend, NULL, images, 2));
    }
    struct kit_file *head = kit_file(&foreign, FORMAT_HEADER_FILE, 0);
    kit_replace(backend, FORMAT_HEADER_FILE, head->data, head->size);
    assert_true(is_detected(backend, NULL, images, 2));
    kit_free_files(&all);
    kit_free_files(&foreign);
    backend_free(backend);
    backend_free(other);
    free(images[0].data);
    free(images[1].data);
}

/* Damage is told with the VM and the disk that it touches, and only with these. */
static void verify_names_what_is_touched(void **state)
{
    (void)state;
    struct kit_image images[2] = {kit_image_new(8 * KIT_CHUNK, 4), kit_image_new(3 * KIT_CHUNK, 1)};
    struct backend *backend = make(images, 2);
    struct kit_files all = kit_files_of(backend);
    struct repository *repository = open_plain(backend);
    struct error error = ERROR_INIT;
    CLEANUP_JSON json_t *newest = repository_load(repository, "latest", &error);
    backend = close_keep(repository);

    struct kit_file *largest = kit_file(&all, "packs/", 0);
    for (size_t i = 0; i < all.count; i++)
        if (strncmp(all.files[i].name, "packs/", 6) == 0 && all.files[i].size > largest->size)
            largest = &all.files[i];
    largest->data[100] ^= 1; /* in its first object, a chunk of random bytes of the first image */
    kit_replace(backend, largest->name, largest->data, largest->size);
    repository = open_plain(backend);
    struct kit_faults faults = kit_verify(repository);
    assert_true(kit_has_fault(&faults, largest->name, "authentication failed"));
    assert_true(kit_has_fault(&faults, "backups/", "VM web & \"1\" ä, disk vda: 1 of 8 chunks"));
    assert_int_equal(faults.count, 2);
    backend = close_keep(repository);

    kit_replace(backend, largest->name, NULL, 0);
    repository = open_plain(backend);
    faults = kit_verify(repository);
    assert_true(kit_has_fault(&faults, largest->name, "missing"));
    assert_true(kit_has_fault(&faults, "backups/", "disk vda"));
    for (unsigned i = 0; i < faults.count; i++)
        assert_null(strstr(faults.objects[i], json_string_or(newest, "id", "?")));
    backend = close_keep(repository);

    kit_replace(backend, "packs/README", "x", 1);
    kit_replace(backend, "strange", "x", 1);
    repository = open_plain(backend);
    faults = kit_verify(repository);
    assert_true(kit_has_fault(&faults, "packs/README", "none of the repository's"));
    assert_true(kit_has_fault(&faults, "strange", "none of the repository's"));
    repository_free(repository);
    kit_free_files(&all);
    free(images[0].data);
    free(images[1].data);
}

/* A chunk whose pack is gone is stored again by the next backup that reads it, and then the old
 * backup is whole again, too. */
static void a_later_backup_heals(void **state)
{
    (void)state;
    struct kit_image image = kit_image_new(40 * KIT_CHUNK, 3);
    struct backend *backend = make(&image, 1);
    struct kit_files all = kit_files_of(backend);
    struct error error = ERROR_INIT;
    for (unsigned i = 0; i < 2; i++) {
        struct kit_file *pack = kit_file(&all, "packs/", i);
        kit_replace(backend, pack->name, i ? pack->data : NULL, pack->size / 2); /* gone, cut */
    }
    struct repository *repository = open_plain(backend);
    struct reading reading = read_all(repository, &image, 1);
    assert_int_equal(reading.good, 0);
    assert_good(kit_backup(repository, &image, "2026-11-23T14:18:00Z", NULL, NULL, &error), &error);
    backend = close_keep(repository);
    repository = open_plain(backend);
    reading = read_all(repository, &image, 1);
    assert_int_equal(reading.good, 2);
    assert_int_equal(reading.bad, 0);
    repository_free(repository);
    kit_free_files(&all);
    free(image.data);
}

/* ---- Objects that were made to deceive, by somebody who has the keys ------------------------ */

/* A pack and an index with one object whose entry says what `entry` says. */
static void put_forged(struct repository *repository, struct format_entry *entry,
                       const void *packed, size_t size, uint32_t wrong_offset)
{
    WORKSPACE_LOAN(workspace, repository->workspaces);
    CLEANUP_FREE uint8_t *buffer = memory_new(1, 1 << 20);
    struct error error = ERROR_INIT;
    struct file_name name;
    struct format_pack where;
    struct pack *pack =
        pack_new(repository->crypto, repository->identity.repository.bytes, buffer, 1 << 20);
    pack_reserve(pack, entry, size);
    pack_seal(pack, workspace, entry, packed, size);
    assert_good(pack_put(pack, repository->backend, workspace, &error), &error);
    memcpy(where.name, pack->name.bytes, sizeof where.name);
    bytes_put64(where.size, pack->file_size);
    bytes_put32(entry->offset, bytes_get32(entry->offset) + wrong_offset);
    assert_good(segment_write(&repository->source, entry, 1, &where, 1, &name, &error), &error);
    assert_good(index_add(repository->index, &name, &error), &error);
    pack_free(pack);
}

static void expect_refused(struct repository *repository, const uint8_t *id, const char *reason)
{
    struct error error = ERROR_INIT;
    struct object_id object;
    CLEANUP_FREE uint8_t *buffer = memory_new(1, FORMAT_OBJECT_MAX);
    size_t size;
    memcpy(object.bytes, id, sizeof object.bytes);
    assert_int_equal(
        repository_get(repository, &object, OBJECT_DATA, buffer, FORMAT_OBJECT_MAX, &size, &error),
        -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    if (!strstr(error.message, reason))
        fail_msg("\"%s\" is not in \"%s\"", reason, error.message);
    assert_true(kit_verify(repository).count > 0);
}

static void forged_objects_are_refused(void **state)
{
    (void)state;
    struct kit_image image = {200, memory_new(200, 1)};
    static uint8_t zeroes[1 << 20];
    char bomb[4096];
    size_t bomb_size = ZSTD_compress(bomb, sizeof bomb, zeroes, sizeof zeroes, 1);
    assert_false(ZSTD_isError(bomb_size));
    memset(image.data, 'c', image.size);
    struct {
        uint32_t plain, wrong_offset;
        uint8_t type, codec;
        const char *reason;
    } cases[] = {
        {100, 0, OBJECT_DATA, FORMAT_ZSTD, "decompressed"},   /* a bomb */
        {1 << 20, 0, OBJECT_DATA, FORMAT_ZSTD, "another id"}, /* content of another id */
        {UINT32_MAX, 0, OBJECT_DATA, FORMAT_ZSTD, "size"},
        {100, 0, OBJECT_DATA, FORMAT_RAW, "decompressed"},
        {1 << 20, 0, OBJECT_DATA, 7, "decompressed"},
        {1 << 20, 0, OBJECT_TREE, FORMAT_ZSTD, "type"},
        {1 << 20, 1, OBJECT_DATA, FORMAT_ZSTD, "authentication"}, /* the index points wrong */
        {1 << 20, UINT32_MAX / 2, OBJECT_DATA, FORMAT_ZSTD, "too short"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct repository *repository = open_plain(make(&image, 1));
        struct format_entry entry = {
            .id = {9, 9, 9}, .type = {cases[i].type}, .codec = {cases[i].codec}};
        bytes_put32(entry.plain, cases[i].plain);
        put_forged(repository, &entry, bomb, bomb_size, cases[i].wrong_offset);
        expect_refused(repository, entry.id, cases[i].reason);
        repository_free(repository);
    }
    free(image.data);
}

/* A false entry beside a right one does not keep the object from being read. */
static void a_good_copy_is_found_behind_a_bad_one(void **state)
{
    (void)state;
    struct kit_image image = kit_image_new(KIT_CHUNK, 2);
    struct repository *repository = open_plain(make(&image, 1));
    struct error error = ERROR_INIT;
    CLEANUP_JSON json_t *manifest = repository_load(repository, "latest", &error);
    struct object_id root = kit_root(manifest, "disk");
    struct format_entry entry = {.type = {OBJECT_TREE}, .codec = {FORMAT_RAW}};
    memcpy(entry.id, root.bytes, sizeof entry.id);
    bytes_put32(entry.plain, 64);
    put_forged(repository, &entry, image.data, 64, 0);
    assert_good(kit_compare(repository, manifest, &image, &error), &error);
    assert_true(kit_verify(repository).count > 0);
    repository_free(repository);
    free(image.data);
}

/* ---- Texts --------------------------------------------------------------------------------- */

static void open_text(const char *name, const char *text, const char *passphrase,
                      enum error_kind kind, const char *reason)
{
    struct backend *backend = backend_memory_new();
    struct repository *repository;
    struct error error = ERROR_INIT;
    assert_good(kit_init(backend, passphrase, &error), &error);
    struct kit_files all = kit_files_of(backend);
    kit_replace(backend, kit_file(&all, name, 0)->name, text, strlen(text));
    assert_int_equal(repository_open(backend, passphrase, &repository, &error), -1);
    if (error.kind != kind || !strstr(error.message, reason))
        fail_msg("%s: kind %d, \"%s\"", reason, error.kind, error.message);
    kit_free_files(&all);
    backend_free(backend);
}

static void texts_are_bounded_and_versions_refused(void **state)
{
    (void)state;
    CLEANUP_FREE char *large = memory_new(1, 100000);
    memset(large, 'x', 99999);
    static const char *const sums = "00000000000000000000000000000000"
                                    "00000000000000000000000000000000";
    CLEANUP_FREE char *future =
        memory_format("{\"magic\":\"vmshadow-repository\",\"version\":2}\n%s\n", sums);
    CLEANUP_FREE char *other =
        memory_format("{\"magic\":\"vmshadow-repository\",\"version\":1,\"id\":\"66841cd4-6ded-"
                      "4f4b-8f17-fd23f8ddc3de\",\"chunk_size\":4096,\"encryption\":\"none\"}\n%s\n",
                      sums);
    open_text(FORMAT_HEADER_FILE, large, NULL, ERROR_DAMAGED, "size");
    open_text(FORMAT_HEADER_FILE, "", NULL, ERROR_DAMAGED, "two lines");
    open_text(FORMAT_HEADER_FILE, "{}\nx\n", NULL, ERROR_DAMAGED, "magic");
    open_text(FORMAT_HEADER_FILE, future, NULL, ERROR_REFUSED, "version 2");
    open_text(FORMAT_HEADER_FILE, other, NULL, ERROR_DAMAGED, "chunk size");
    open_text("keys/", large, KIT_PASSPHRASE, ERROR_DAMAGED, "keys/");
    open_text("keys/", "", KIT_PASSPHRASE, ERROR_DAMAGED, "keys/");
}

/* scrypt's cost in a file is refused before memory is taken for it. */
static void a_greedy_wrap_is_refused(void **state)
{
    (void)state;
    struct backend *backend = backend_memory_new();
    struct repository *repository;
    struct error error = ERROR_INIT;
    assert_good(kit_init(backend, KIT_PASSPHRASE, &error), &error);
    struct kit_files all = kit_files_of(backend);
    struct kit_file *key = kit_file(&all, "keys/", 0);
    char *cost = strstr((char *)key->data, "\"n\":1024");
    assert_non_null(cost);
    CLEANUP_FREE char *greedy =
        memory_format("%.*s\"n\":1099511627776%s", (int)(cost - (char *)key->data), key->data,
                      cost + strlen("\"n\":1024"));
    kit_replace(backend, key->name, greedy, strlen(greedy));
    int64_t start = clock_monotonic();
    assert_int_equal(repository_open(backend, KIT_PASSPHRASE, &repository, &error), -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    assert_true(clock_monotonic() - start < CLOCK_SECOND);
    kit_free_files(&all);
    backend_free(backend);
}

/* A repository that was replaced by one without encryption is not taken for the real one. */
static void a_passphrase_is_never_ignored(void **state)
{
    (void)state;
    struct backend *backend = backend_memory_new();
    struct repository *repository;
    struct error error = ERROR_INIT;
    assert_good(kit_init(backend, NULL, &error), &error);
    assert_int_equal(repository_open(backend, KIT_PASSPHRASE, &repository, &error), -1);
    assert_int_equal(error.kind, ERROR_AUTHENTICATION);
    backend_free(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flip_is_detected),
        cmocka_unit_test(every_flip_of_keys_is_detected),
        cmocka_unit_test(cut_and_grown_files_are_detected),
        cmocka_unit_test(swapped_files_are_detected),
        cmocka_unit_test(verify_names_what_is_touched),
        cmocka_unit_test(a_later_backup_heals),
        cmocka_unit_test(forged_objects_are_refused),
        cmocka_unit_test(a_good_copy_is_found_behind_a_bad_one),
        cmocka_unit_test(texts_are_bounded_and_versions_refused),
        cmocka_unit_test(a_greedy_wrap_is_refused),
        cmocka_unit_test(a_passphrase_is_never_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
