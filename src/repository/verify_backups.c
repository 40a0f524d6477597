/* Backups: every id that a manifest leads to must have a good copy. What is wrong is told per disk
 * or document, with the VM's name: that is what somebody wants to know who reads about damage.
 *
 * Trees share most of their blocks. A block under which all is good is remembered and not walked
 * again; one that leads to damage is, so that every backup it touches is named. The blocks over the
 * last chunk are always walked, because what is right there depends on the disk's size.
 */
#include "repository/backup.h"
#include "repository/tree.h"
#include "repository/verify.h"

#include <inttypes.h>
#include <string.h>

struct disk_check {
    struct verify *verify;
    struct tree tree;
    uint64_t bad_chunks, first_bad;
    struct error failure; /* the storage failed: ends the check */
};

static void note_bad(struct disk_check *check, uint64_t first, uint64_t count)
{
    if (!check->bad_chunks)
        check->first_bad = first;
    check->bad_chunks += count;
}

/* Has an object a copy that was read, of this type and length (`size` 0: any)? 1, 0 or -1. */
static int has_good_copy(struct verify *verify, const struct object_id *id, enum object_type type,
                         size_t size, struct error *error)
{
    struct index_cursor cursor = {0};
    struct index_place place;
    int found;
    while ((found = index_find(verify->repository->index, id, false, &cursor, &place, error)) > 0)
        if (place.entry.type[0] == type && (!size || bytes_get32(place.entry.plain) == size) &&
            verify_find_pack(verify, &place.pack) &&
            !verify_is_bad_copy(verify, &place.pack, id->bytes))
            return 1;
    return found;
}

static uint64_t chunks_under(unsigned level)
{
    return UINT64_C(1) << 10 * level;
}

static bool check_block(struct disk_check *check, const struct object_id *id, unsigned level,
                        uint64_t first);

/* One id in a block: of a chunk (level 0) or of a block. */
static bool check_id(struct disk_check *check, const struct object_id *id, unsigned level,
                     uint64_t chunk)
{
    if (chunk >= check->tree.chunks) { /* behind the end: only zero is right */
        if (object_id_is_zero(id))
            return true;
        note_bad(check, check->tree.chunks, 1);
        return false;
    }
    if (object_id_is_zero(id))
        return true;
    if (level)
        return check_block(check, id, level - 1, chunk);
    int good = has_good_copy(check->verify, id, OBJECT_DATA, tree_chunk_length(&check->tree, chunk),
                             &check->failure);
    if (good == 0)
        note_bad(check, chunk, 1);
    return good > 0;
}

/* The block of `level` whose first chunk is `first`. */
static bool check_block(struct disk_check *check, const struct object_id *id, unsigned level,
                        uint64_t first)
{
    struct verify *verify = check->verify;
    uint64_t rest = check->tree.chunks - first, under = chunks_under(level + 1);
    bool holds_last = rest <= under, good = true;
    size_t size = 0;
    struct error fault = ERROR_INIT;
    if (!holds_last && idset_has(verify->good_trees, id))
        return true;
    CLEANUP_FREE struct object_id *ids = memory_new(1, FORMAT_BLOCK_SIZE);
    if (repository_get(verify->repository, id, OBJECT_TREE, ids, FORMAT_BLOCK_SIZE, &size,
                       &fault) != 0 ||
        size != FORMAT_BLOCK_SIZE) {
        note_bad(check, first, rest < under ? rest : under);
        return false;
    }
    for (uint64_t i = 0; i < FORMAT_BLOCK_IDS && !error_is_set(&check->failure); i++)
        good = check_id(check, &ids[i], level, first + i * chunks_under(level)) && good;
    if (good && !holds_last)
        (void)idset_add(verify->good_trees, id);
    return good;
}

struct backup_check {
    struct verify *verify;
    const char *path;
};

static void tell(struct backup_check *check, const struct backup_root *root, const char *format,
                 ...) __attribute__((format(printf, 3, 4)));
static void tell(struct backup_check *check, const struct backup_root *root, const char *format,
                 ...)
{
    va_list arguments;
    va_start(arguments, format);
    CLEANUP_FREE char *what = memory_vformat(format, arguments);
    va_end(arguments);
    CLEANUP_FREE char *name = backup_root_text(root);
    verify_fault(check->verify, check->path, "%s%s%s%s: %s", root->vm ? "VM " : "",
                 root->vm ? root->vm : "", root->vm ? ", " : "", name, what);
}

static int check_disk(struct backup_check *backup, const struct backup_root *root,
                      struct error *error)
{
    struct repository *repository = backup->verify->repository;
    struct disk_check check = {.verify = backup->verify};
    struct format_disk data;
    struct error fault = ERROR_INIT;
    size_t size;
    if (repository_get(repository, &root->root, OBJECT_TREE, &data, sizeof data, &size, &fault) !=
            0 ||
        tree_parse(&data, size, repository->identity.chunk_size, &check.tree, &fault) != 0) {
        tell(backup, root, "it cannot be restored: %s", fault.message);
        return 0;
    }
    if (check.tree.size != root->size)
        tell(backup, root, "its size in the manifest is wrong");
    if (!object_id_is_zero(&check.tree.top))
        (void)check_block(&check, &check.tree.top, check.tree.levels - 1, 0);
    if (check.bad_chunks)
        tell(backup, root,
             "%" PRIu64 " of %" PRIu64 " chunks are damaged or missing, the first at byte %" PRIu64,
             check.bad_chunks, check.tree.chunks, check.first_bad * check.tree.chunk_size);
    error_move(error, &check.failure);
    return error_is_set(error) ? -1 : 0;
}

static int check_document(struct backup_check *backup, const struct backup_root *root)
{
    struct verify *verify = backup->verify;
    CLEANUP_FREE char *data = NULL;
    struct error fault = ERROR_INIT;
    size_t size;
    if (idset_has(verify->good_trees, &root->root))
        return 0;
    if (repository_get_document(verify->repository, &root->root, &data, &size, &fault) != 0)
        tell(backup, root, "it cannot be restored: %s", fault.message);
    else
        (void)idset_add(verify->good_trees, &root->root);
    return 0;
}

static int check_root(void *context, const struct backup_root *root, struct error *error)
{
    return root->kind == BACKUP_DOCUMENT ? check_document(context, root)
                                         : check_disk(context, root, error);
}

static int check_backup(struct verify *verify, const struct file_name *name, struct error *error)
{
    char path[name_path_size];
    struct error fault = ERROR_INIT, ending = ERROR_INIT;
    name_backup_path(name, path);
    struct backup_check check = {verify, path};
    CLEANUP_JSON json_t *manifest = backup_read(verify->repository, name, &fault);
    if (!manifest) {
        if (fault.kind != ERROR_NOT_FOUND) /* removed since it was listed */
            verify_fault(verify, path, "%s", fault.message);
        return 0;
    }
    verify->counts.backups++;
    if (backup_roots(manifest, check_root, &check, &ending) == 0)
        return 0;
    if (ending.kind != ERROR_DAMAGED) {
        error_move(error, &ending);
        return -1;
    }
    verify_fault(verify, path, "%s", ending.message);
    return 0;
}

int verify_backups(struct verify *verify, struct error *error)
{
    for (size_t i = 0; i < verify->backup_count; i++)
        if (check_backup(verify, &verify->backups[i], error) != 0)
            return -1;
    return 0;
}
