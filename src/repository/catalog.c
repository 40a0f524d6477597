/* Listing and finding backups. The names are sorted by what is in the manifests, but manifests are
 * not kept: a thousand of them may be large. Each is read again when it is handed out. */
#include "repository/backup.h"

#include "base/clock.h"

#include <string.h>

enum { backups_max = 1 << 20, prefix_min = 4 };

struct listed {
    struct file_name name;
    char time[clock_text_size];
    int64_t committed;
};

struct catalog {
    struct repository *repository;
    void (*damaged)(void *context, const char *name, const struct error *error);
    void *context;
    struct listed *listed;
    size_t count;
};

static void catalog_deinit(struct catalog *catalog)
{
    free(catalog->listed);
}

static int by_time(const void *left, const void *right)
{
    const struct listed *a = left, *b = right;
    int order = strcmp(a->time, b->time);
    if (order == 0)
        order = (a->committed > b->committed) - (a->committed < b->committed);
    return order ? order : memcmp(&a->name, &b->name, sizeof a->name);
}

/* A damaged backup is told and passed over; one that was removed meanwhile is gone. */
static json_t *read_or_tell(struct catalog *catalog, const struct file_name *name, bool *ret_failed,
                            struct error *error)
{
    struct error fault = ERROR_INIT;
    char path[name_path_size];
    json_t *manifest = backup_read(catalog->repository, name, &fault);
    *ret_failed = false;
    if (manifest || fault.kind == ERROR_NOT_FOUND)
        return manifest;
    name_backup_path(name, path);
    if (fault.kind == ERROR_DAMAGED) {
        if (catalog->damaged)
            catalog->damaged(catalog->context, path, &fault);
        return NULL;
    }
    *ret_failed = true;
    error_move(error, &fault);
    return NULL;
}

static int gather(void *context, const char *path, struct error *error)
{
    struct catalog *catalog = context;
    struct listed listed = {.committed = 0};
    bool failed;
    if (name_parse_backup_path(path, &listed.name) != 0)
        return 0; /* verify's business */
    CLEANUP_JSON json_t *manifest = read_or_tell(catalog, &listed.name, &failed, error);
    if (!manifest)
        return failed ? -1 : 0;
    if (catalog->count >= backups_max)
        return error_set(error, ERROR_REFUSED, "more than %d backups", backups_max);
    (void)snprintf(listed.time, sizeof listed.time, "%s", json_string_or(manifest, "time", ""));
    listed.committed = json_integer_or(manifest, "committed", 0);
    ARRAY_APPEND(catalog->listed, catalog->count, listed);
    return 0;
}

static int gather_all(struct catalog *catalog, struct error *error)
{
    struct backend *backend = catalog->repository->backend;
    if (backend->list(backend, "backups/", gather, catalog, error) != 0)
        return -1;
    if (catalog->count)
        qsort(catalog->listed, catalog->count, sizeof *catalog->listed, by_time);
    return 0;
}

int repository_list(struct repository *repository,
                    int (*each)(void *context, const json_t *manifest, struct error *error),
                    void (*damaged)(void *context, const char *name, const struct error *error),
                    void *context, struct error *error)
{
    CLEANUP(catalog_deinit)
    struct catalog catalog = {.repository = repository, .damaged = damaged, .context = context};
    if (gather_all(&catalog, error) != 0)
        return -1;
    catalog.damaged = NULL; /* told already */
    for (size_t i = 0; i < catalog.count; i++) {
        bool failed;
        CLEANUP_JSON json_t *manifest =
            read_or_tell(&catalog, &catalog.listed[i].name, &failed, error);
        if (failed)
            return -1;
        int result = manifest ? each(context, manifest, error) : 0;
        if (result != 0)
            return result;
    }
    return 0;
}

/* ---- One by name --------------------------------------------------------------------------- */

static void remember_damaged(void *context, const char *name, const struct error *error)
{
    struct error *first = context;
    (void)name;
    if (!error_is_set(first))
        *first = *error;
}

/* When a backup cannot be read, nobody knows which one is the latest: an older one must not be
 * taken for it silently. */
static json_t *load_latest(struct repository *repository, struct error *error)
{
    struct error damage = ERROR_INIT;
    CLEANUP(catalog_deinit)
    struct catalog catalog = {
        .repository = repository, .damaged = remember_damaged, .context = &damage};
    if (gather_all(&catalog, error) != 0)
        return NULL;
    if (error_is_set(&damage)) {
        error_move(error, &damage);
        (void)error_prefix(error, "cannot tell which backup is the latest: ");
        (void)error_advise(error, "latest-unknown",
                           "name the backup that you want (`vmshadow list`)");
        return NULL;
    }
    if (!catalog.count) {
        (void)error_set(error, ERROR_NOT_FOUND, "there are no backups in the repository");
        return NULL;
    }
    return backup_read(repository, &catalog.listed[catalog.count - 1].name, error);
}

struct search {
    const char *prefix;
    struct file_name name;
    unsigned hits;
};

static int match(void *context, const char *path, struct error *error)
{
    struct search *search = context;
    struct file_name name;
    (void)error;
    if (name_parse_backup_path(path, &name) != 0)
        return 0;
    struct id id = name_to_id(&name);
    if (strncmp(id.text, search->prefix, strlen(search->prefix)) == 0) {
        search->name = name;
        search->hits++;
    }
    return 0;
}

json_t *repository_load(struct repository *repository, const char *name, struct error *error)
{
    struct search search = {.prefix = name};
    struct backend *backend = repository->backend;
    if (strcmp(name, "latest") == 0)
        return load_latest(repository, error);
    if (strlen(name) < prefix_min) {
        (void)error_set(error, ERROR_USAGE,
                        "\"%s\" is too short for the beginning of a backup's id", name);
        return NULL;
    }
    if (backend->list(backend, "backups/", match, &search, error) != 0)
        return NULL;
    if (search.hits == 1)
        return backup_read(repository, &search.name, error);
    if (search.hits)
        (void)error_set(error, ERROR_USAGE, "%u backups begin with \"%s\"", search.hits, name);
    else
        (void)error_set(error, ERROR_NOT_FOUND, "there is no backup \"%s\"", name);
    (void)error_advise(error, "backup-name", "`vmshadow list` shows the backups");
    return NULL;
}
