/* The manifest is what makes a backup: it is put last, whole, under a new name. */
#include "repository/backup.h"

#include "base/clock.h"

#include <string.h>

/* ---- The roots of a manifest --------------------------------------------------------------- */

char *backup_root_text(const struct backup_root *root)
{
    static const char *const kinds[] = {"disk ", "saved state", "document "};
    return memory_format("%s%s", kinds[root->kind], root->name);
}

struct walk {
    int (*each)(void *context, const struct backup_root *root, struct error *error);
    void *context;
    const char *what; /* the manifest, in messages */
};

static int walk_root(const struct walk *walk, struct backup_root *root, const json_t *value,
                     struct error *error)
{
    const char *text = json_string_value(value);
    CLEANUP_FREE char *name = backup_root_text(root);
    if (!text || object_id_parse(text, &root->root) != 0)
        return error_set(error, ERROR_DAMAGED, "%s: the root of %s is not an id", walk->what, name);
    return walk->each(walk->context, root, error);
}

static int walk_documents(const struct walk *walk, const json_t *owner, const char *vm,
                          struct error *error)
{
    json_t *documents = json_object_get(owner, "documents"), *value;
    const char *name;
    if (!documents || json_is_null(documents))
        return 0;
    if (!json_is_object(documents))
        return error_set(error, ERROR_DAMAGED, "%s: \"documents\" is not an object", walk->what);
    json_object_foreach(documents, name, value)
    {
        struct backup_root root = {.vm = vm, .kind = BACKUP_DOCUMENT, .name = name};
        int result = walk_root(walk, &root, value, error);
        if (result != 0)
            return result;
    }
    return 0;
}

/* What is stored as a tree; `size_name` is the member with the size of the tree. */
static int walk_tree(const struct walk *walk, struct backup_root *root, const json_t *entry,
                     const char *size_name, struct error *error)
{
    int64_t size;
    CLEANUP_FREE char *name = backup_root_text(root);
    json_t *value = json_object_get(entry, "root");
    if (!value || json_is_null(value))
        return 0;
    if (json_get_integer(entry, size_name, walk->what, &size, error) != 0)
        return -1;
    if (size < 0)
        return error_set(error, ERROR_DAMAGED, "%s: %s has a negative size", walk->what, name);
    root->size = (uint64_t)size;
    return walk_root(walk, root, value, error);
}

static int walk_saved_state(const struct walk *walk, const json_t *vm, const char *name,
                            struct error *error)
{
    json_t *state = json_object_get(vm, "saved_state");
    struct backup_root root = {.vm = name, .kind = BACKUP_SAVED_STATE, .name = ""};
    if (!state || json_is_null(state))
        return 0;
    if (!json_is_object(state))
        return error_set(error, ERROR_DAMAGED, "%s: \"saved_state\" is not an object", walk->what);
    return walk_tree(walk, &root, state, "padded_size", error);
}

static int walk_disk(const struct walk *walk, const json_t *disk, const char *vm,
                     struct error *error)
{
    struct backup_root root = {.vm = vm, .kind = BACKUP_DISK};
    root.name = json_get_string(disk, "target", walk->what, error);
    return root.name ? walk_tree(walk, &root, disk, "size", error) : -1;
}

static int walk_vm(const struct walk *walk, const json_t *vm, struct error *error)
{
    const char *name = json_get_string(vm, "name", walk->what, error);
    if (!name || !json_get_string(vm, "uuid", walk->what, error))
        return -1;
    int result = walk_documents(walk, vm, name, error);
    if (result == 0)
        result = walk_saved_state(walk, vm, name, error);
    json_t *disks = json_object_get(vm, "disks"), *disk;
    size_t i;
    if (result != 0 || !disks || json_is_null(disks))
        return result;
    if (!json_is_array(disks))
        return error_set(error, ERROR_DAMAGED, "%s: \"disks\" is not an array", walk->what);
    json_array_foreach(disks, i, disk)
    {
        if ((result = walk_disk(walk, disk, name, error)) != 0)
            return result;
    }
    return 0;
}

int backup_roots(const json_t *manifest,
                 int (*each)(void *context, const struct backup_root *root, struct error *error),
                 void *context, struct error *error)
{
    struct walk walk = {each, context, "the backup's manifest"};
    json_t *vms = json_get_array(manifest, "vms", walk.what, error), *vm;
    size_t i;
    if (!vms)
        return -1;
    int result = walk_documents(&walk, manifest, NULL, error);
    if (result != 0)
        return result;
    json_array_foreach(vms, i, vm)
    {
        if ((result = walk_vm(&walk, vm, error)) != 0)
            return result;
    }
    return 0;
}

/* ---- Committing ---------------------------------------------------------------------------- */

static int check_known(void *context, const struct backup_root *root, struct error *error)
{
    int known = repository_writer_knows(context, &root->root, error);
    if (known > 0)
        return 0;
    if (known < 0)
        return -1;
    CLEANUP_FREE char *name = backup_root_text(root);
    return error_set(error, ERROR_FAILED, "%s of %s is not in the repository", name,
                     root->vm ? root->vm : "the backup");
}

/* A copy with the members that are the repository's to set. */
static json_t *complete_manifest(const json_t *manifest, const struct id *backup,
                                 struct error *error)
{
    int64_t wall;
    const char *id = json_string_or(manifest, "id", backup->text);
    if (strcmp(id, backup->text) != 0) {
        (void)error_set(error, ERROR_USAGE, "the manifest has another id than the backup");
        return NULL;
    }
    const char *time = json_get_string(manifest, "time", "the backup's manifest", error);
    if (!time)
        return NULL;
    if (clock_parse(time, &wall) != 0) {
        (void)error_set(error, ERROR_USAGE, "the manifest's \"time\" is not a time");
        return NULL;
    }
    json_t *copy = json_copy((json_t *)manifest);
    if (!copy)
        abort(); /* no memory */
    json_set_string(copy, "id", backup->text);
    json_set_integer(copy, "committed", clock_wall());
    return copy;
}

/* A put that failed may have made the name visible: a sync that fails comes after the rename, an
 * answer may get lost. What is told to have failed is not to be listed. */
static int put_or_withdraw(struct backend *backend, const char *path, const struct iovec *pieces,
                           int count, struct error *error)
{
    struct error fault = ERROR_INIT, removal = ERROR_INIT;
    if (backend->put(backend, path, pieces, count, &fault) == 0)
        return 0;
    if (fault.kind != ERROR_EXISTS && backend->remove(backend, path, &removal) != 0 &&
        removal.kind != ERROR_NOT_FOUND)
        (void)error_prefix(&fault, "the backup may be listed all the same: ");
    error_move(error, &fault);
    return -1;
}

static int put_manifest(struct repository *repository, const struct file_name *name,
                        const json_t *manifest, struct error *error)
{
    WORKSPACE_LOAN(workspace, repository->workspaces);
    CLEANUP_FREE char *text = json_text(manifest);
    CLEANUP_FREE uint8_t *tail = NULL;
    struct frame frame;
    size_t size = strlen(text), tail_size;
    char path[name_path_size];
    if (size > FORMAT_TAIL_MAX - 1)
        return error_set(error, ERROR_REFUSED, "the manifest is too large: %zu bytes", size);
    frame_init(&frame, FRAME_BACKUP, repository->crypto, repository->identity.repository.bytes,
               name);
    if (frame_seal_tail(&frame, workspace, sizeof frame.header, 0, text, size, true, &tail,
                        &tail_size, error) != 0)
        return -1;
    struct iovec pieces[] = {{&frame.header, sizeof frame.header},
                             {tail, tail_size},
                             {&frame.trailer, sizeof frame.trailer}};
    name_backup_path(name, path);
    int result = put_or_withdraw(repository->backend, path, pieces, 3, error);
    memory_wipe(frame.key, sizeof frame.key);
    return result;
}

static int commit(struct repository_writer *writer, const struct id *backup, const json_t *manifest,
                  struct error *error)
{
    struct file_name name;
    if (name_from_id(backup, &name) != 0)
        return error_set(error, ERROR_USAGE, "\"%s\" is not an id", backup->text);
    CLEANUP_JSON json_t *complete = complete_manifest(manifest, backup, error);
    if (!complete || repository_writer_flush(writer, error) != 0 ||
        backup_roots(complete, check_known, writer, error) != 0)
        return -1;
    return put_manifest(repository_writer_repository(writer), &name, complete, error);
}

int repository_writer_commit(struct repository_writer *writer, const struct id *backup,
                             const json_t *manifest, struct error *error)
{
    int result = commit(writer, backup, manifest, error);
    repository_writer_free(writer);
    return result;
}

/* ---- Reading ------------------------------------------------------------------------------- */

static int check_manifest(const json_t *manifest, const struct file_name *name, const char *path,
                          struct error *error)
{
    struct id id = name_to_id(name);
    int64_t number;
    const char *text = json_get_string(manifest, "id", path, error);
    if (!text)
        return -1;
    if (strcmp(text, id.text) != 0)
        return error_set(error, ERROR_DAMAGED, "%s: the manifest is that of %s", path, text);
    if (!json_get_string(manifest, "time", path, error) ||
        json_get_integer(manifest, "committed", path, &number, error) != 0)
        return -1;
    return 0;
}

json_t *backup_read(struct repository *repository, const struct file_name *name,
                    struct error *error)
{
    CLEANUP_FREE char *text = NULL;
    struct frame frame;
    size_t size;
    uint64_t file_size;
    char path[name_path_size];
    name_backup_path(name, path);
    if (frame_read(&repository->source, FRAME_BACKUP, path, name, &frame, &text, &size, &file_size,
                   error) != 0)
        return NULL;
    if (frame_body_end(&frame) != sizeof frame.header) {
        (void)error_set(error, ERROR_DAMAGED, "%s: something is before its manifest", path);
        return NULL;
    }
    CLEANUP_JSON json_t *manifest = json_parse(text, size, path, error);
    if (!manifest || check_manifest(manifest, name, path, error) != 0)
        return NULL;
    return TAKE_PTR(manifest);
}
