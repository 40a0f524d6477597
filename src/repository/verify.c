/* The whole check. It trusts nothing that another pass has not seen:
 *
 *   1. every name is one that the format knows; the identity and each wrap have the right MAC
 *   2. every pack: directory, and each object read, decrypted, decompressed, compared with its id
 *   3. every index segment: order, fan-out, and each entry equal to that of the pack's directory
 *   4. every backup: each id in its trees has a copy that pass 2 read, of the right type and length
 *
 * Names are listed in the reverse order of writing (backups, index, packs), so that a backup which
 * another host commits meanwhile is either not seen or seen with all it needs. Memory: 24 bytes a
 * pack, 32 a block of ids that is good, and what is broken.
 */
#include "repository/verify.h"

#include "repository/wrap.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

void verify_fault(struct verify *verify, const char *object, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    CLEANUP_FREE char *message = memory_vformat(format, arguments);
    va_end(arguments);
    CLEANUP_FREE char *name = memory_copy_string(object);
    for (char *c = name; *c; c++) /* names of strangers' files may hold anything */
        if (iscntrl((unsigned char)*c))
            *c = '?';
    pthread_mutex_lock(&verify->lock);
    verify->counts.faults++;
    if (verify->fault)
        verify->fault(verify->context, name, message);
    pthread_mutex_unlock(&verify->lock);
}

/* Ids are MACs, so id xor pack name is as good a key as both side by side. */
static struct object_id copy_key(const struct file_name *pack, const uint8_t *id)
{
    struct object_id key;
    memcpy(key.bytes, id, sizeof key.bytes);
    for (size_t i = 0; i < sizeof pack->bytes; i++)
        key.bytes[i] ^= pack->bytes[i];
    return key;
}

void verify_add_bad_copy(struct verify *verify, const struct file_name *pack, const uint8_t *id)
{
    struct object_id key = copy_key(pack, id);
    pthread_mutex_lock(&verify->lock);
    (void)idset_add(verify->bad_copies, &key);
    pthread_mutex_unlock(&verify->lock);
}

bool verify_is_bad_copy(struct verify *verify, const struct file_name *pack, const uint8_t *id)
{
    struct object_id key = copy_key(pack, id);
    pthread_mutex_lock(&verify->lock);
    bool bad = idset_has(verify->bad_copies, &key);
    pthread_mutex_unlock(&verify->lock);
    return bad;
}

static int compare_packs(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct file_name));
}

struct verify_pack *verify_find_pack(const struct verify *verify, const struct file_name *name)
{
    return verify->pack_count ? bsearch(name, verify->packs, verify->pack_count,
                                        sizeof *verify->packs, compare_packs)
                              : NULL;
}

/* ---- Names --------------------------------------------------------------------------------- */

static void fault_unknown(struct verify *verify, const char *path)
{
    verify_fault(verify, path, "this file is none of the repository's");
}

static int note_backup(void *context, const char *path, struct error *error)
{
    struct verify *verify = context;
    struct file_name name;
    (void)error;
    if (name_parse_backup_path(path, &name) == 0)
        ARRAY_APPEND(verify->backups, verify->backup_count, name);
    else
        fault_unknown(verify, path);
    return 0;
}

static int note_segment(void *context, const char *path, struct error *error)
{
    struct verify *verify = context;
    struct file_name name;
    (void)error;
    if (name_parse_index_path(path, &name) == 0)
        ARRAY_APPEND(verify->segments, verify->segment_count, name);
    else
        fault_unknown(verify, path);
    return 0;
}

static int note_pack(void *context, const char *path, struct error *error)
{
    struct verify *verify = context;
    struct verify_pack pack = {.broken = false};
    struct error fault = ERROR_INIT;
    uint64_t size;
    (void)error;
    if (name_parse_pack_path(path, &pack.name) != 0) {
        fault_unknown(verify, path);
        return 0;
    }
    if (verify->repository->backend->size(verify->repository->backend, path, &size, &fault) != 0 ||
        size > UINT32_MAX)
        size = 0; /* reading it will tell */
    pack.size = (uint32_t)size;
    verify->total += size;
    ARRAY_APPEND(verify->packs, verify->pack_count, pack);
    return 0;
}

static int check_key(void *context, const char *path, struct error *error)
{
    struct verify *verify = context;
    struct repository *repository = verify->repository;
    struct error fault = ERROR_INIT;
    (void)error;
    if (!repository->identity.encrypted)
        fault_unknown(verify, path);
    else if (wrap_check(repository->backend, &repository->identity, repository->crypto, path,
                        &fault) != 0)
        verify_fault(verify, path, "%s", fault.message);
    return 0;
}

/* Names outside the four folders. */
static int check_top(void *context, const char *path, struct error *error)
{
    static const char *const known[] = {"backups/", "index/", "packs/", "keys/"};
    (void)error;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (strncmp(path, known[i], strlen(known[i])) == 0)
            return 0;
    if (strcmp(path, FORMAT_HEADER_FILE) != 0)
        fault_unknown(context, path);
    return 0;
}

static void check_identity(struct verify *verify)
{
    struct repository *repository = verify->repository;
    struct identity identity;
    struct error fault = ERROR_INIT;
    CLEANUP_FREE char *text = NULL;
    if (identity_read(repository->backend, &identity, &text, &fault) != 0)
        verify_fault(verify, FORMAT_HEADER_FILE, "%s", fault.message);
    else if (identity_check(repository->crypto, text) != 0)
        verify_fault(verify, FORMAT_HEADER_FILE, "it was changed: its MAC is wrong");
}

static int list_names(struct verify *verify, struct error *error)
{
    struct backend *backend = verify->repository->backend;
    if (backend->list(backend, "backups/", note_backup, verify, error) != 0 ||
        backend->list(backend, "index/", note_segment, verify, error) != 0 ||
        index_refresh(verify->repository->index, error) != 0 ||
        backend->list(backend, "packs/", note_pack, verify, error) != 0 ||
        backend->list(backend, "keys/", check_key, verify, error) != 0 ||
        backend->list(backend, "", check_top, verify, error) != 0)
        return -1;
    if (verify->pack_count)
        qsort(verify->packs, verify->pack_count, sizeof *verify->packs, compare_packs);
    return 0;
}

/* ---- All of it ----------------------------------------------------------------------------- */

static int run(struct verify *verify, struct error *error)
{
    check_identity(verify);
    if (list_names(verify, error) != 0 || verify_packs(verify, error) != 0 ||
        verify_index(verify, error) != 0 || verify_backups(verify, error) != 0)
        return -1;
    if (verify->counts.faults) {
        (void)error_set(error, ERROR_DAMAGED, "the repository in %s has %" PRIu64 " faults",
                        verify->repository->backend->description, verify->counts.faults);
        return error_advise(
            error, "repository-faults",
            "backups that are not named are whole; look after the disk below the repository");
    }
    return 0;
}

int repository_verify(struct repository *repository,
                      void (*fault)(void *context, const char *object, const char *message),
                      void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                      struct repository_verify_counts *ret_counts, struct error *error)
{
    struct verify verify = {
        .repository = repository,
        .fault = fault,
        .progress = progress,
        .context = context,
        .bad_copies = idset_new(),
        .good_trees = idset_new(),
    };
    pthread_mutex_init(&verify.lock, NULL);
    int result = run(&verify, error);
    if (ret_counts)
        *ret_counts = verify.counts;
    pthread_mutex_destroy(&verify.lock);
    idset_free(verify.bad_copies);
    idset_free(verify.good_trees);
    free(verify.packs);
    free(verify.segments);
    free(verify.backups);
    return result;
}
