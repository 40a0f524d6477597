/* What changed between two backups: VMs are paired by UUID, disks by target. */
#include "requester/manifest.h"
#include "requester/requester.h"

#include <string.h>

enum { FROM, TO, SIDES };

struct diff {
    struct repository *repository;
    json_t *manifests[SIDES];
    uint64_t bytes;
};

static json_t *find(const json_t *list, const char *member, const char *value)
{
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item)
    {
        if (strcmp(json_string_or(item, member, ""), value) == 0)
            return item;
    }
    return NULL;
}

static const char *change_of(const json_t *from, const json_t *to, bool same)
{
    if (!from)
        return "added";
    if (!to)
        return "removed";
    return same ? "same" : "changed";
}

static void set_size(json_t *object, const char *name, const json_t *disk)
{
    json_set(object, name, disk ? json_integer(json_integer_or(disk, "size", 0)) : json_null());
}

/* One disk as it is in both backups; NULL where it is not. */
static int add_disk(struct diff *diff, json_t *vm, const json_t *from, const json_t *to,
                    uint64_t *changed, struct error *error)
{
    struct object_id roots[SIDES];
    const json_t *sides[SIDES] = {from, to};
    const char *target = json_string_or(to ? to : from, "target", "");
    uint64_t bytes;
    for (int i = 0; i < SIDES; i++)
        if (sides[i] && manifest_get_root(sides[i], "root", "the backup", &roots[i], error) != 0)
            return -1;
    if (repository_compare_disks(diff->repository, from ? &roots[FROM] : NULL,
                                 to ? &roots[TO] : NULL, &bytes, error) != 0)
        return error_prefix(error, "VM %s, disk %s: ", json_string_or(vm, "name", ""), target);
    bool same = from && to && bytes == 0 &&
                json_integer_or(from, "size", 0) == json_integer_or(to, "size", 0);
    json_t *disk = json_object();
    json_set_string(disk, "target", target);
    json_set_string(disk, "change", change_of(from, to, same));
    set_size(disk, "size_from", from);
    set_size(disk, "size_to", to);
    json_set_integer(disk, "changed_bytes", (int64_t)bytes);
    json_append(json_object_get(vm, "disks"), disk);
    *changed += bytes;
    return 0;
}

/* A disk without data in the backup has no root. */
static bool is_stored(const json_t *disk)
{
    return json_is_string(json_object_get(disk, "root"));
}

static int add_disks(struct diff *diff, json_t *vm, const json_t *from, const json_t *to,
                     uint64_t *changed, struct error *error)
{
    const json_t *before = json_object_get(from, "disks"), *after = json_object_get(to, "disks");
    size_t index;
    json_t *disk;
    json_array_foreach(after, index, disk)
    {
        const json_t *old = find(before, "target", json_string_or(disk, "target", ""));
        if (is_stored(disk) &&
            add_disk(diff, vm, is_stored(old) ? old : NULL, disk, changed, error) != 0)
            return -1;
    }
    json_array_foreach(before, index, disk)
    {
        const json_t *now = find(after, "target", json_string_or(disk, "target", ""));
        if (is_stored(disk) && !is_stored(now) &&
            add_disk(diff, vm, disk, NULL, changed, error) != 0)
            return -1;
    }
    return 0;
}

static bool all_same(const json_t *disks)
{
    size_t index;
    json_t *disk;
    json_array_foreach(disks, index, disk)
    {
        if (strcmp(json_string_or(disk, "change", ""), "same") != 0)
            return false;
    }
    return true;
}

static int add_vm(struct diff *diff, json_t *vms, const json_t *from, const json_t *to,
                  struct error *error)
{
    const json_t *named = to ? to : from;
    uint64_t changed = 0;
    json_t *vm = json_object(), *disks = json_array();
    json_append(vms, vm);
    json_set_string(vm, "name", json_string_or(named, "name", ""));
    json_set_string(vm, "uuid", json_string_or(named, "uuid", ""));
    json_set(vm, "disks", disks);
    if (add_disks(diff, vm, from, to, &changed, error) != 0)
        return -1;
    json_set_string(vm, "change", change_of(from, to, all_same(disks)));
    json_set_integer(vm, "changed_bytes", (int64_t)changed);
    diff->bytes += changed;
    return 0;
}

static int add_vms(struct diff *diff, json_t *vms, struct error *error)
{
    const json_t *before = json_object_get(diff->manifests[FROM], "vms"),
                 *after = json_object_get(diff->manifests[TO], "vms");
    size_t index;
    json_t *vm;
    json_array_foreach(after, index, vm)
    {
        const json_t *old = find(before, "uuid", json_string_or(vm, "uuid", ""));
        if (add_vm(diff, vms, old, vm, error) != 0)
            return -1;
    }
    json_array_foreach(before, index, vm)
    {
        if (!find(after, "uuid", json_string_or(vm, "uuid", "")) &&
            add_vm(diff, vms, vm, NULL, error) != 0)
            return -1;
    }
    return 0;
}

static json_t *side(const json_t *manifest)
{
    json_t *object = json_object();
    json_set_string(object, "id", json_string_or(manifest, "id", ""));
    json_set_string(object, "time", json_string_or(manifest, "time", ""));
    return object;
}

int requester_diff(struct repository *repository, const char *from, const char *to,
                   json_t **ret_result, struct error *error)
{
    struct diff diff = {.repository = repository};
    CLEANUP_JSON json_t *before = repository_load(repository, from, error);
    CLEANUP_JSON json_t *after = before ? repository_load(repository, to, error) : NULL;
    CLEANUP_JSON json_t *vms = json_array();
    if (!before || !after)
        return -1;
    diff.manifests[FROM] = before;
    diff.manifests[TO] = after;
    if (add_vms(&diff, vms, error) != 0)
        return -1;
    json_t *result = json_object();
    json_set(result, "from", side(before));
    json_set(result, "to", side(after));
    json_set_integer(result, "chunk_size", repository_chunk_size(repository));
    json_set(result, "vms", TAKE_PTR(vms));
    json_set_integer(result, "changed_bytes", (int64_t)diff.bytes);
    *ret_result = result;
    return 0;
}
