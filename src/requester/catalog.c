/* What a repository holds: `list`. */
#include "base/clock.h"
#include "requester/manifest.h"
#include "requester/requester.h"
#include "requester/selection.h"

struct listing {
    const struct requester_list_options *options;
    json_t *backups, *damaged;
};

static json_t *summary_vms(const json_t *manifest, uint64_t *ret_size)
{
    json_t *list = json_array(), *vm, *disk;
    size_t index, inner;
    json_array_foreach(json_object_get(manifest, "vms"), index, vm)
    {
        json_t *object = json_object();
        json_set_string(object, "name", json_string_or(vm, "name", ""));
        json_set_string(object, "uuid", json_string_or(vm, "uuid", ""));
        json_set_string(object, "method", json_string_or(vm, "method", ""));
        json_t *memory = json_object_get(vm, "saved_state");
        json_set_string(object, "continues", json_string_or(memory, "continues", NULL));
        json_append(list, object);
        json_array_foreach(json_object_get(vm, "disks"), inner, disk)
        {
            *ret_size += (uint64_t)json_integer_or(disk, "size", 0);
        }
    }
    return list;
}

static bool has_vm(const json_t *manifest, const char *pattern)
{
    size_t index;
    json_t *vm;
    json_array_foreach(json_object_get(manifest, "vms"), index, vm)
    {
        if (selection_matches(pattern, json_string_or(vm, "name", ""),
                              json_string_or(vm, "uuid", "")))
            return true;
    }
    return false;
}

/* A time that cannot be read is no reason to hide a backup. */
static bool is_chosen(const struct requester_list_options *options, const json_t *manifest)
{
    int64_t instant;
    if (options->vm && !has_vm(manifest, options->vm))
        return false;
    if (clock_parse(json_string_or(manifest, "time", ""), &instant) != 0)
        return true;
    return instant >= options->since && instant <= options->until;
}

static int add_backup(void *context, const json_t *manifest, struct error *error)
{
    (void)error;
    struct listing *listing = context;
    if (!is_chosen(listing->options, manifest))
        return 0;
    json_t *backup = json_object();
    uint64_t size = 0;
    json_set_string(backup, "id", json_string_or(manifest, "id", ""));
    json_set_string(backup, "time", json_string_or(manifest, "time", ""));
    json_set_string(backup, "host", json_string_or(manifest, "host", ""));
    json_set_string(backup, "job", json_string_or(manifest, "job", NULL));
    json_set(backup, "vms", summary_vms(manifest, &size));
    json_set_integer(backup, "size", (int64_t)size);
    json_set_integer(backup, "bytes_stored", json_integer_or(manifest, "bytes_stored", 0));
    json_append(listing->backups, backup);
    return 0;
}

static void add_damaged(void *context, const char *name, const struct error *error)
{
    struct listing *listing = context;
    json_t *object = json_object();
    json_set_string(object, "file", name);
    json_set_string(object, "message", error->message);
    json_append(listing->damaged, object);
}

int requester_list(struct repository *repository, const struct requester_list_options *options,
                   json_t **ret_result, struct error *error)
{
    static const struct requester_list_options all = {.until = INT64_MAX};
    struct listing listing = {options ? options : &all, json_array(), json_array()};
    int result = repository_list(repository, add_backup, add_damaged, &listing, error);
    size_t damaged = json_array_size(listing.damaged);
    json_t *object = json_object();
    json_set(object, "backups", listing.backups);
    json_set(object, "damaged", listing.damaged);
    if (result != 0) {
        json_decref(object);
        return -1;
    }
    *ret_result = object;
    if (damaged) {
        (void)error_set(error, ERROR_DAMAGED, "%zu backups cannot be read", damaged);
        return error_advise(error, "backups-unreadable", "vmshadow verify tells what is touched");
    }
    return 0;
}
