/* Retention of a job: what retention.h chooses among its backups, within bounds that no choice
 * passes. A backup goes only when
 *
 *   - nothing is in doubt: every backup of the repository can be read, and none is of the future;
 *   - no rule needs it for any VM or any disk in it. Each is a series of its own: a later backup of
 *     the day without VM db1 is none of db1, whatever else it holds;
 *   - it is not the newest one of any VM or of any disk in it;
 *   - the backups that stay in its place were read back.
 *
 * A backup goes by its file in backups/ alone: one removal, durable. Its data stays. */
#include "requester/requester.h"

#include "base/clock.h"
#include "base/memory.h"
#include "requester/run.h"

#include <string.h>

/* Clocks of several hosts differ by that much without being wrong. */
#define FUTURE_TOLERANCE (5 * 60 * CLOCK_SECOND)

struct entry {
    char *id, *time;
    int64_t wall;
    bool own;      /* of this job and host */
    json_t *items; /* a member "UUID" for each VM, "UUID/TARGET" for each disk in it */
};

struct retaining {
    const struct requester_retention *retention;
    struct repository *repository;
    const struct requester_host *host;
    struct entry *entries; /* oldest first */
    size_t count;
    char *doubt;    /* why nothing may go, or NULL */
    json_t *proven; /* ids that were read back: true */
};

static void doubt(struct retaining *retaining, char *reason)
{
    if (retaining->doubt)
        free(reason);
    else
        retaining->doubt = reason;
}

/* ---- What there is ------------------------------------------------------------------------- */

static json_t *items_of(const json_t *manifest)
{
    json_t *items = json_object(), *vm, *disk;
    size_t index, inner;
    json_array_foreach(json_object_get(manifest, "vms"), index, vm)
    {
        const char *uuid = json_string_or(vm, "uuid", "");
        json_set_boolean(items, uuid, true);
        json_array_foreach(json_object_get(vm, "disks"), inner, disk)
        {
            CLEANUP_FREE char *item =
                memory_format("%s/%s", uuid, json_string_or(disk, "target", ""));
            json_set_boolean(items, item, true);
        }
    }
    return items;
}

static bool is_own(const struct requester_retention *retention, const json_t *manifest)
{
    const char *job = json_string_or(manifest, "job", NULL);
    const char *host = json_string_or(manifest, "host", "");
    return job && strcmp(job, retention->job) == 0 && strcmp(host, retention->host) == 0;
}

static int add_entry(void *context, const json_t *manifest, struct error *error)
{
    (void)error;
    struct retaining *retaining = context;
    const char *id = json_string_or(manifest, "id", ""),
               *time = json_string_or(manifest, "time", "");
    int64_t wall = 0;
    if (clock_parse(time, &wall) != 0)
        doubt(retaining, memory_format("backup %s has no time", id));
    else if (wall > clock_wall() + FUTURE_TOLERANCE)
        doubt(retaining,
              memory_format("backup %s is dated %s, in the future: a clock is wrong", id, time));
    struct entry entry = {memory_copy_string(id), memory_copy_string(time), wall,
                          is_own(retaining->retention, manifest), items_of(manifest)};
    ARRAY_APPEND(retaining->entries, retaining->count, entry);
    return 0;
}

static void add_damaged(void *context, const char *name, const struct error *error)
{
    doubt(context, memory_format("%s cannot be read: %s", name, error->message));
}

static void clear(struct retaining *retaining)
{
    for (size_t i = 0; i < retaining->count; i++) {
        free(retaining->entries[i].id);
        free(retaining->entries[i].time);
        json_decref(retaining->entries[i].items);
    }
    free(retaining->entries);
    free(retaining->doubt);
    json_decref(retaining->proven);
}

/* ---- What may go --------------------------------------------------------------------------- */

/* Keep those of the job's backups with this VM or disk that the rules need for it. */
static void choose_for(const struct retaining *retaining, const char *item, bool *keep)
{
    struct retention_backup *backups = NEW_ARRAY(struct retention_backup, retaining->count + 1);
    size_t *places = NEW_ARRAY(size_t, retaining->count + 1), count = 0;
    for (size_t i = 0; i < retaining->count; i++)
        if (retaining->entries[i].own && json_object_get(retaining->entries[i].items, item)) {
            backups[count].time = retaining->entries[i].wall / CLOCK_SECOND;
            places[count++] = i;
        }
    retention_choose(&retaining->retention->policy, backups, count);
    for (size_t i = 0; i < count; i++)
        keep[places[i]] = keep[places[i]] || backups[i].keep;
    free(backups);
    free(places);
}

static bool is_new(const struct requester_retention *retention, const char *id)
{
    for (size_t i = 0; i < retention->new_count; i++)
        if (strcmp(retention->new_backups[i], id) == 0)
            return true;
    return false;
}

static bool *choose(const struct retaining *retaining)
{
    bool *keep = NEW_ARRAY(bool, retaining->count + 1);
    CLEANUP_JSON json_t *done = json_object();
    for (size_t i = 0; i < retaining->count; i++) {
        const struct entry *entry = &retaining->entries[i];
        const char *item;
        json_t *value;
        keep[i] = keep[i] || !entry->own || is_new(retaining->retention, entry->id) ||
                  !json_object_size(entry->items);
        json_object_foreach(entry->own ? entry->items : NULL, item, value)
        {
            if (json_object_get(done, item))
                continue;
            json_set_boolean(done, item, true);
            choose_for(retaining, item, keep);
        }
    }
    return keep;
}

/* The newest backup of each VM and disk stays whatever the rules say; `newest` learns which. */
static void keep_newest(const struct retaining *retaining, bool *keep, json_t *newest)
{
    for (size_t i = retaining->count; i-- > 0;) {
        const char *item;
        json_t *value;
        json_object_foreach(retaining->entries[i].items, item, value)
        {
            if (json_object_get(newest, item))
                continue;
            keep[i] = true;
            json_set_string(newest, item, retaining->entries[i].id);
        }
    }
}

/* ---- Removing ------------------------------------------------------------------------------ */

static int prove(struct retaining *retaining, const char *id, struct error *error)
{
    if (json_object_get(retaining->proven, id))
        return 0;
    if (repository_prove(retaining->repository, id, error) != 0)
        return -1;
    json_set_boolean(retaining->proven, id, true);
    return 0;
}

static int prove_all(struct retaining *retaining, const struct entry *entry, const json_t *newest,
                     struct error *error)
{
    const char *item;
    json_t *value;
    for (size_t i = 0; i < retaining->retention->new_count; i++)
        if (prove(retaining, retaining->retention->new_backups[i], error) != 0)
            return -1;
    json_object_foreach(entry->items, item, value)
    {
        if (prove(retaining, json_string_or(newest, item, ""), error) != 0)
            return -1;
    }
    return 0;
}

static int remove_entry(struct retaining *retaining, const struct entry *entry,
                        const json_t *newest, json_t *removed, struct error *error)
{
    struct error fault = ERROR_INIT;
    if (prove_all(retaining, entry, newest, &fault) != 0) {
        doubt(retaining,
              memory_format("a backup that would stay cannot be read back: %s", fault.message));
        return 0;
    }
    if (repository_forget(retaining->repository, entry->id, error) != 0)
        return error_prefix(error, "retention: backup %s: ", entry->id);
    json_t *object = json_object();
    json_set_string(object, "id", entry->id);
    json_set_string(object, "time", entry->time);
    json_append(removed, object);
    return 0;
}

static int remove_all(struct retaining *retaining, json_t *removed, struct error *error)
{
    CLEANUP_FREE bool *keep = choose(retaining);
    CLEANUP_JSON json_t *newest = json_object();
    keep_newest(retaining, keep, newest);
    int result = 0;
    for (size_t i = 0; i < retaining->count && result == 0 && !retaining->doubt; i++)
        if (!keep[i])
            result = remove_entry(retaining, &retaining->entries[i], newest, removed, error);
    return result;
}

static size_t count_own(const struct retaining *retaining)
{
    size_t count = 0;
    for (size_t i = 0; i < retaining->count; i++)
        count += retaining->entries[i].own;
    return count;
}

int requester_retain(const struct requester_host *host, struct repository *repository,
                     const struct requester_retention *retention, json_t **ret_result,
                     struct error *error)
{
    struct retaining retaining = {
        .retention = retention, .repository = repository, .host = host, .proven = json_object()};
    json_t *removed = json_array();
    int result = repository_list(repository, add_entry, add_damaged, &retaining, error);
    if (result == 0 && !retaining.doubt)
        result = remove_all(&retaining, removed, error);
    if (retaining.doubt)
        run_notice(host, "no older backup was removed: %s", retaining.doubt);
    json_t *object = json_object();
    json_set_integer(object, "kept", (int64_t)(count_own(&retaining) - json_array_size(removed)));
    json_set(object, "removed", removed);
    json_set_string(object, "stopped", retaining.doubt);
    *ret_result = object;
    clear(&retaining);
    return result;
}
