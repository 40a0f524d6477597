/* Taking a backup off the list, and looking whether one can be read, which comes before. */
#include "repository/backup.h"

static int prove_disk(struct repository *repository, const struct backup_root *root,
                      struct error *error)
{
    struct disk_reader *reader;
    if (disk_reader_new(repository, &root->root, &reader, error) != 0)
        return -1;
    uint64_t size = disk_reader_size(reader);
    disk_reader_free(reader);
    if (size == root->size)
        return 0;
    return error_set(error, ERROR_DAMAGED, "its root tells another size than the backup");
}

static int prove_document(struct repository *repository, const struct backup_root *root,
                          struct error *error)
{
    char *data;
    size_t size;
    if (repository_get_document(repository, &root->root, &data, &size, error) != 0)
        return -1;
    free(data);
    return 0;
}

static int prove_root(void *context, const struct backup_root *root, struct error *error)
{
    int result = root->kind == BACKUP_DOCUMENT ? prove_document(context, root, error)
                                               : prove_disk(context, root, error);
    if (result == 0)
        return 0;
    CLEANUP_FREE char *text = backup_root_text(root);
    return error_prefix(error, "%s%s%s%s: ", root->vm ? "VM " : "", root->vm ? root->vm : "",
                        root->vm ? ", " : "", text);
}

int repository_prove(struct repository *repository, const char *backup, struct error *error)
{
    CLEANUP_JSON json_t *manifest = repository_load(repository, backup, error);
    if (manifest && backup_roots(manifest, prove_root, repository, error) == 0)
        return 0;
    return error_prefix(error, "backup %s: ", backup);
}

int repository_forget(struct repository *repository, const char *backup, struct error *error)
{
    struct id id;
    struct file_name name;
    char path[name_path_size];
    if (id_parse(backup, &id) != 0 || name_from_id(&id, &name) != 0)
        return error_set(error, ERROR_USAGE, "\"%s\" is not the whole id of a backup", backup);
    name_backup_path(&name, path);
    return repository->backend->remove(repository->backend, path, error);
}
