/* Taking one backup off the list by hand. */
#include "requester/requester.h"

#include "base/id.h"
#include "base/memory.h"

#include <string.h>

/* Which VMs and disks other backups that are newer have, too. */
struct looking {
    const json_t *manifest;
    json_t *covered; /* "UUID" and "UUID/TARGET": true */
    bool passed;     /* the backups are listed oldest first: those after it are newer */
};

static char *item_of(const json_t *vm, const json_t *disk)
{
    const char *uuid = json_string_or(vm, "uuid", "");
    return disk ? memory_format("%s/%s", uuid, json_string_or(disk, "target", ""))
                : memory_copy_string(uuid);
}

static int look_at(void *context, const json_t *other, struct error *error)
{
    (void)error;
    struct looking *looking = context;
    size_t index, inner;
    json_t *vm, *disk;
    if (!looking->passed) {
        looking->passed = strcmp(json_string_or(other, "id", ""),
                                 json_string_or(looking->manifest, "id", "")) == 0;
        return 0;
    }
    json_array_foreach(json_object_get(other, "vms"), index, vm)
    {
        CLEANUP_FREE char *item = item_of(vm, NULL);
        json_set_boolean(looking->covered, item, true);
        json_array_foreach(json_object_get(vm, "disks"), inner, disk)
        {
            CLEANUP_FREE char *part = item_of(vm, disk);
            json_set_boolean(looking->covered, part, true);
        }
    }
    return 0;
}

static int refuse(const json_t *manifest, const json_t *vm, const json_t *disk, struct error *error)
{
    (void)error_set(error, ERROR_REFUSED, "backup %s is the newest one of VM %s%s%s",
                    json_string_or(manifest, "id", ""), json_string_or(vm, "name", ""),
                    disk ? ", disk " : "", disk ? json_string_or(disk, "target", "") : "");
    return error_advise(error, "newest-backup", "back the VM up first, or give --newest");
}

static int check_covered(const struct looking *looking, struct error *error)
{
    size_t index, inner;
    json_t *vm, *disk;
    json_array_foreach(json_object_get(looking->manifest, "vms"), index, vm)
    {
        CLEANUP_FREE char *item = item_of(vm, NULL);
        if (!json_object_get(looking->covered, item))
            return refuse(looking->manifest, vm, NULL, error);
        json_array_foreach(json_object_get(vm, "disks"), inner, disk)
        {
            CLEANUP_FREE char *part = item_of(vm, disk);
            if (!json_object_get(looking->covered, part))
                return refuse(looking->manifest, vm, disk, error);
        }
    }
    return 0;
}

static int take_off(struct repository *repository, const char *id, const char *time,
                    json_t **ret_result, struct error *error)
{
    if (repository_forget(repository, id, error) != 0)
        return -1;
    json_t *result = json_object();
    json_set_string(result, "backup", id);
    json_set_string(result, "time", time);
    *ret_result = result;
    return 0;
}

/* Nobody can tell what one holds that cannot be read. It keeps retention from its work and `latest`
 * from being told, so there must be a way to be rid of it: by its whole id only, since a beginning
 * of one or `latest` might mean another. */
static int forget_damaged(struct repository *repository, const char *backup, bool newest,
                          struct error *damage, json_t **ret_result, struct error *error)
{
    struct id id;
    bool whole = id_parse(backup, &id) == 0;
    if (damage->kind == ERROR_DAMAGED && whole && newest) {
        error_clear(damage);
        return take_off(repository, id.text, NULL, ret_result, error);
    }
    if (damage->kind == ERROR_DAMAGED && strcmp(backup, "latest") != 0)
        (void)error_advise(damage, "backup-unreadable",
                           "its whole id and --newest take it off the list unread");
    error_move(error, damage);
    return -1;
}

int requester_forget(struct repository *repository, const char *backup, bool newest,
                     json_t **ret_result, struct error *error)
{
    struct error damage = ERROR_INIT;
    CLEANUP_JSON json_t *manifest = repository_load(repository, backup, &damage);
    CLEANUP_JSON json_t *covered = json_object();
    if (!manifest)
        return forget_damaged(repository, backup, newest, &damage, ret_result, error);
    struct looking looking = {.manifest = manifest, .covered = covered};
    if (!newest && (repository_list(repository, look_at, NULL, &looking, error) != 0 ||
                    check_covered(&looking, error) != 0))
        return -1;
    return take_off(repository, json_string_or(manifest, "id", ""),
                    json_string_or(manifest, "time", ""), ret_result, error);
}
