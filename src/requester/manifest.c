/* Building and reading manifests; see manifest.h. */
#include "requester/manifest.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_PART (UINT64_C(32) << 20)
#define FILE_LIMIT (UINT64_C(2) << 30)

void manifest_set_root(json_t *object, const char *name, const struct object_id *root)
{
    char text[2 * REPOSITORY_ID_SIZE + 1];
    object_id_format(root, text);
    json_set_string(object, name, text);
}

int manifest_get_root(const json_t *object, const char *name, const char *what,
                      struct object_id *ret_root, struct error *error)
{
    const char *text = json_get_string(object, name, what, error);
    if (!text)
        return -1;
    if (object_id_parse(text, ret_root) != 0)
        return error_set(error, ERROR_DAMAGED, "%s: \"%s\" is no object id", what, name);
    return 0;
}

static json_t *owner_object(const struct stat *facts)
{
    json_t *owner = json_object();
    json_set_integer(owner, "uid", facts->st_uid);
    json_set_integer(owner, "gid", facts->st_gid);
    json_set_integer(owner, "mode", facts->st_mode & 07777);
    return owner;
}

json_t *manifest_owner(const char *path)
{
    struct stat facts;
    if (!path || stat(path, &facts) != 0 || !S_ISREG(facts.st_mode))
        return json_null();
    return owner_object(&facts);
}

/* Owners and modes of all directories on the way to a file, the nearest first. */
static json_t *directories_of(const char *path)
{
    json_t *list = json_array();
    CLEANUP_FREE char *copy = memory_copy_string(path);
    struct stat facts;
    for (char *slash; (slash = strrchr(copy, '/')) != NULL && slash != copy;) {
        *slash = '\0';
        if (stat(copy, &facts) != 0 || !S_ISDIR(facts.st_mode))
            continue;
        json_t *directory = owner_object(&facts);
        json_set_string(directory, "path", copy);
        json_append(list, directory);
    }
    return list;
}

const json_t *manifest_directory(const json_t *file, const char *path)
{
    size_t index;
    json_t *directory;
    json_array_foreach(json_object_get(file, "directories"), index, directory)
    {
        if (strcmp(json_string_or(directory, "path", ""), path) == 0)
            return directory;
    }
    return NULL;
}

int manifest_apply_owner(const json_t *owner, const char *path, mode_t allowed, struct error *error)
{
    if (!json_is_object(owner))
        return 0;
    uid_t uid = (uid_t)json_integer_or(owner, "uid", 0);
    gid_t gid = (gid_t)json_integer_or(owner, "gid", 0);
    mode_t mode = (mode_t)json_integer_or(owner, "mode", 0600) & allowed;
    if (chown(path, uid, gid) != 0 || chmod(path, mode) != 0)
        return error_errno(error, errno, "cannot set the owner of %s", path);
    return 0;
}

/* Could what it holds change while the VM goes on? */
static bool is_writable(const struct disk *disk)
{
    return !disk->read_only && *disk->source_type && strcmp(disk->device, "cdrom") != 0;
}

static json_t *left_out(const struct domain *domain)
{
    json_t *list = json_array();
    for (size_t i = 0; i < domain->disk_count; i++) {
        if (domain->disks[i].included)
            continue;
        json_t *disk = json_object();
        json_set_string(disk, "target", domain->disks[i].target);
        json_set_string(disk, "reason", domain->disks[i].reason);
        json_set_string(disk, "path",
                        domain->disks[i].layer_count ? domain->disks[i].layers[0].path : NULL);
        json_set_boolean(disk, "writable", is_writable(&domain->disks[i]));
        json_append(list, disk);
    }
    for (size_t i = 0; i < domain->host_device_count; i++) {
        json_t *device = json_object();
        json_set_string(device, "target", domain->host_devices[i]);
        json_set_string(device, "reason",
                        "host device passed through: back it up inside the guest");
        json_set_string(device, "path", NULL);
        json_set_boolean(device, "writable", true);
        json_append(list, device);
    }
    for (size_t i = 0; i < domain->detached_count; i++) {
        const struct detached_disk *detached = &domain->detached[i];
        json_t *disk = json_object();
        json_set_string(disk, "target", detached->target);
        json_set_string(disk, "reason", MANIFEST_DETACHED);
        json_set_string(disk, "path", detached->source[0] == '/' ? detached->source : NULL);
        json_set_boolean(disk, "writable", false); /* by this VM */
        json_append(list, disk);
    }
    return list;
}

static json_t *interfaces(const struct domain *domain)
{
    json_t *list = json_array();
    for (size_t i = 0; i < domain->interface_count; i++) {
        const struct network_interface *interface = &domain->interfaces[i];
        json_t *object = json_object();
        json_set_string(object, "mac", interface->mac);
        json_set_string(object, "type", interface->type);
        json_set_string(object, "source", interface->source);
        json_append(list, object);
    }
    return list;
}

json_t *manifest_conditions(const struct plan *plan)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < PLAN_CONDITIONS; i++) {
        json_t *condition = json_object();
        json_set_integer(condition, "number", i + 1);
        json_set_string(condition, "text", plan_condition_text(i + 1));
        json_set_boolean(condition, "holds", plan->conditions[i].holds);
        json_set_string(condition, "fact", plan->conditions[i].fact);
        json_append(list, condition);
    }
    return list;
}

json_t *manifest_vm(const struct plan *plan)
{
    const struct domain *domain = plan->domain;
    json_t *vm = json_object();
    json_set_string(vm, "name", domain->name);
    json_set_string(vm, "uuid", domain->uuid);
    json_set_string(vm, "method", plan_method_name(plan->method));
    json_set_string(vm, "state", domain_state_name(domain->state));
    json_set(vm, "conditions", manifest_conditions(plan));
    json_set_boolean(vm, "persistent", domain->persistent);
    json_set_boolean(vm, "autostart", domain->autostart);
    json_set(vm, "disks", json_array());
    json_set(vm, "left_out", left_out(domain));
    json_set(vm, "interfaces", interfaces(domain));
    json_set(vm, "saved_state", json_null());
    json_set(vm, "files", json_array());
    json_set(vm, "documents", json_object());
    return vm;
}

int manifest_store_document(struct repository_writer *repository, json_t *object, const char *name,
                            const void *data, size_t size, uint64_t *stored, struct error *error)
{
    struct object_id root;
    uint64_t added;
    if (repository_writer_put_document(repository, data, size, &root, &added, error) != 0)
        return -1;
    json_t *documents = json_object_get(object, "documents");
    if (!documents) {
        json_set(object, "documents", json_object());
        documents = json_object_get(object, "documents");
    }
    manifest_set_root(documents, name, &root);
    *stored += added;
    return 0;
}

/* ---- Files of a VM: in parts, since a document is bounded ---- */

struct storing {
    struct repository_writer *repository;
    json_t *vm;
    unsigned number; /* of the file */
    uint64_t *stored;
};

static json_t *begin_file(struct storing *storing, const char *role, const char *path,
                          uint64_t size)
{
    json_t *file = json_object();
    json_set_string(file, "role", role);
    json_set_string(file, "path", path);
    json_set_integer(file, "size", (int64_t)size);
    json_set(file, "parts", json_array());
    json_set(file, "owner", manifest_owner(path));
    json_set(file, "directories", directories_of(path));
    json_append(json_object_get(storing->vm, "files"), file);
    storing->number++;
    return file;
}

static int store_part(struct storing *storing, json_t *file, const void *data, size_t size,
                      struct error *error)
{
    json_t *parts = json_object_get(file, "parts");
    CLEANUP_FREE char *name =
        memory_format("file-%u-%zu", storing->number, json_array_size(parts) + 1);
    if (manifest_store_document(storing->repository, storing->vm, name, data, size, storing->stored,
                                error) != 0)
        return -1;
    json_append_string(parts, name);
    return 0;
}

static int store_open_file(struct storing *storing, const char *role, const char *path, int input,
                           struct error *error)
{
    struct stat facts;
    if (fstat(input, &facts) != 0)
        return error_errno(error, errno, "cannot examine %s", path);
    uint64_t size = (uint64_t)facts.st_size;
    if (!S_ISREG(facts.st_mode) || size > FILE_LIMIT)
        return error_set(error, ERROR_FAILED, "%s is no regular file of at most 2 GiB", path);
    CLEANUP_FREE void *buffer = memory_try_new(1, FILE_PART);
    if (!buffer)
        return error_set(error, ERROR_FAILED, "no memory to read %s", path);
    json_t *file = begin_file(storing, role, path, size);
    for (uint64_t offset = 0; offset < size;) {
        uint64_t rest = size - offset;
        size_t part = (size_t)(rest < FILE_PART ? rest : FILE_PART);
        if (io_read_all(io_real(), input, buffer, part, (off_t)offset) != 0)
            return error_errno(error, errno, "cannot read %s", path);
        if (store_part(storing, file, buffer, part, error) != 0)
            return -1;
        offset += part;
    }
    return 0;
}

static int store_file(struct storing *storing, const char *role, const char *path,
                      struct error *error)
{
    if (!path)
        return 0;
    CLEANUP_CLOSE int input = open(path, O_RDONLY | O_CLOEXEC);
    if (input < 0)
        return error_errno(error, errno, "cannot open the VM's %s %s", role, path);
    return store_open_file(storing, role, path, input, error);
}

static bool differs(const char *one, const char *other)
{
    return !one || !other || strcmp(one, other) != 0;
}

/* What the VM runs with may be in its saved state; what its next start wants is in the definition.
 * What that names and is not there yet is not the backup's fault. */
static int store_boot_files(struct storing *storing, const struct domain *domain,
                            struct error *error)
{
    CLEANUP(domain_freep) struct domain *next = NULL;
    if (domain->live_xml && domain_from_xml(domain->inactive_xml, &next, error) != 0)
        return -1;
    const struct {
        const char *role, *path, *next;
    } files[] = {{"kernel", domain->kernel, next ? next->kernel : NULL},
                 {"initrd", domain->initrd, next ? next->initrd : NULL},
                 {"device-tree", domain->device_tree, next ? next->device_tree : NULL}};
    for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
        bool other = files[i].next && differs(files[i].path, files[i].next) &&
                     access(files[i].next, F_OK) == 0;
        if (store_file(storing, files[i].role, files[i].path, error) != 0 ||
            (other && store_file(storing, files[i].role, files[i].next, error) != 0))
            return -1;
    }
    return 0;
}

int manifest_store_files(struct repository_writer *repository, const struct domain *domain,
                         const struct vm_capture *captures, size_t capture_count, json_t *vm,
                         uint64_t *stored, struct error *error)
{
    struct storing storing = {.repository = repository, .vm = vm, .stored = stored};
    if (manifest_store_document(repository, vm, "domain.xml", domain->inactive_xml,
                                strlen(domain->inactive_xml), stored, error) != 0)
        return -1;
    for (size_t i = 0; i < capture_count; i++) {
        json_t *file = begin_file(&storing, captures[i].role, captures[i].path, captures[i].size);
        if (store_part(&storing, file, captures[i].data, captures[i].size, error) != 0)
            return -1;
    }
    return store_boot_files(&storing, domain, error);
}

int manifest_write_parts(struct repository *repository, const json_t *vm, const json_t *file,
                         int (*part)(void *context, const void *data, size_t size, uint64_t offset,
                                     struct error *error),
                         void *context, struct error *error)
{
    uint64_t offset = 0;
    size_t index;
    json_t *name;
    json_array_foreach(json_object_get(file, "parts"), index, name)
    {
        struct object_id root;
        CLEANUP_FREE char *data = NULL;
        size_t size;
        const char *text = json_string_value(name);
        if (!text)
            return error_set(error, ERROR_DAMAGED, "the backup names a part of a file wrongly");
        if (manifest_get_root(json_object_get(vm, "documents"), text, "the backup", &root, error) !=
                0 ||
            repository_get_document(repository, &root, &data, &size, error) != 0 ||
            part(context, data, size, offset, error) != 0)
            return -1;
        offset += size;
    }
    if (offset != (uint64_t)json_integer_or(file, "size", -1))
        return error_set(error, ERROR_DAMAGED, "%s is not whole in the backup",
                         json_string_or(file, "path", "a file"));
    return 0;
}

json_t *manifest_find_vm(const json_t *manifest, const char *name)
{
    size_t index;
    json_t *vm;
    json_array_foreach(json_object_get(manifest, "vms"), index, vm)
    {
        if (strcmp(json_string_or(vm, "name", ""), name) == 0 ||
            strcasecmp(json_string_or(vm, "uuid", ""), name) == 0)
            return vm;
    }
    return NULL;
}
