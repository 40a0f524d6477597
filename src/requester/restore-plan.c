/* See restore-plan.h. One function a question; the first "no" ends it, naming VM and disk. */
#include "requester/restore-plan-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static void clear_vm(struct planned_vm *vm)
{
    for (size_t i = 0; i < vm->disk_count; i++) {
        free(vm->disks[i].target);
        free(vm->disks[i].path);
        free(vm->disks[i].old_path);
        free(vm->disks[i].format);
    }
    for (size_t i = 0; i < vm->file_count; i++) {
        free(vm->files[i].role);
        free(vm->files[i].path);
    }
    for (size_t i = 0; i < vm->interface_count; i++) {
        free(vm->interfaces[i].type);
        free(vm->interfaces[i].source);
    }
    free(vm->disks);
    free(vm->files);
    free(vm->interfaces);
    free(vm->memory.path);
    free(vm->memory.xml);
    free(vm->memory.load_xml);
    free(vm->name);
    free(vm->uuid);
    free(vm->xml);
    domain_free(vm->definition);
    json_decref(vm->networks);
    json_decref(vm->notices);
}

void restore_plan_clear(struct restore_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        clear_vm(&plan->vms[i]);
    free(plan->vms);
    json_decref(plan->manifest);
    *plan = (struct restore_plan){0};
}

void planned_vm_add_notice(struct planned_vm *vm, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    CLEANUP_FREE char *text = memory_vformat(format, arguments);
    va_end(arguments);
    json_append_string(vm->notices, text);
}

/* ---- The VM that is there now ---- */

static const struct domain *find_domain(const struct planning *planning, const char *uuid)
{
    for (size_t i = 0; i < planning->domain_count; i++)
        if (strcmp(planning->domains[i]->uuid, uuid) == 0)
            return planning->domains[i];
    return NULL;
}

/* Their metadata goes with the definition, and what they hold in the image with its file. */
static int check_snapshots(const struct planning *planning, const struct planned_vm *vm,
                           struct error *error)
{
    bool has;
    if (domain_has_snapshots(planning->hypervisor, vm->uuid, &has, error) != 0)
        return -1;
    if (!has)
        return 0;
    (void)error_set(error, ERROR_REFUSED,
                    "it has snapshots or checkpoints of libvirt, which cannot be put back yet");
    return error_advise(error, "vm-has-snapshots",
                        "delete them first: virsh snapshot-delete, virsh checkpoint-delete");
}

static int check_identity(const struct planning *planning, struct planned_vm *vm,
                          struct error *error)
{
    for (size_t i = 0; i < planning->domain_count; i++) {
        const struct domain *domain = planning->domains[i];
        if (strcmp(domain->name, vm->name) == 0 && strcmp(domain->uuid, vm->uuid) != 0) {
            (void)error_set(error, ERROR_REFUSED, "the name %s belongs to another VM (UUID %s)",
                            vm->name, domain->uuid);
            return error_advise(error, "vm-name-taken",
                                "rename that VM (virsh domrename) or remove it first");
        }
    }
    const struct domain *now = vm->now = find_domain(planning, vm->uuid);
    vm->exists = now != NULL;
    vm->state = now ? now->state : DOMAIN_OFF;
    vm->running = now && (now->state == DOMAIN_RUNNING || now->state == DOMAIN_PAUSED ||
                          now->state == DOMAIN_PAUSED_IO || now->state == DOMAIN_OTHER);
    if (now && !now->persistent) {
        (void)error_set(error, ERROR_REFUSED,
                        "it runs now as a transient domain, which could not "
                        "be put back if the restore failed; power it off first");
        return error_advise(error, "vm-transient", "power it off first");
    }
    if (vm->running)
        planned_vm_add_notice(
            vm,
            "the VM is %s and will be powered off; if the restore fails it is put back "
            "and started again, which is a reboot for it",
            domain_state_name(vm->state));
    if (now && now->state == DOMAIN_SAVED)
        planned_vm_add_notice(vm, "the VM is saved: its saved state goes with it; if the restore "
                                  "fails it is put back");
    return now ? check_snapshots(planning, vm, error) : 0;
}

/* ---- The whole ---- */

static int plan_vm(const struct planning *planning, struct planned_vm *vm, struct error *error)
{
    if (plan_definition(planning, vm, error) != 0 || check_identity(planning, vm, error) != 0 ||
        plan_disks(planning, vm, error) != 0 || plan_check_link(planning, vm, error) != 0)
        return -1;
    plan_name_lost_disks(vm);
    if (!json_boolean_or(vm->entry, "persistent", true))
        planned_vm_add_notice(vm,
                              "it was a transient domain, which libvirt forgets when it is off: "
                              "it comes back defined for good");
    if (plan_networks(planning, vm, error) != 0 || plan_memory(planning, vm, error) != 0 ||
        plan_files(planning, vm, error) != 0)
        return -1;
    plan_name_differences(vm);
    return 0;
}

static int add_vm(struct restore_plan *plan, const json_t *entry, struct error *error)
{
    const char *name = json_get_string(entry, "name", "the backup", error);
    const char *uuid = json_get_string(entry, "uuid", "the backup", error);
    if (!name || !uuid)
        return -1;
    for (size_t i = 0; i < plan->count; i++)
        if (strcmp(plan->vms[i].uuid, uuid) == 0)
            return 0;
    struct planned_vm vm = {
        .name = memory_copy_string(name),
        .uuid = memory_copy_string(uuid),
        .entry = entry,
        .networks = json_array(),
        .notices = json_array(),
    };
    ARRAY_APPEND(plan->vms, plan->count, vm);
    return 0;
}

static int choose_vms(struct restore_plan *plan, const struct requester_restore_options *options,
                      struct error *error)
{
    size_t index;
    json_t *entry;
    for (size_t i = 0; i < options->count; i++) {
        entry = manifest_find_vm(plan->manifest, options->vms[i]);
        if (!entry) {
            (void)error_set(error, ERROR_NOT_FOUND, "VM %s is not in backup %s", options->vms[i],
                            json_string_or(plan->manifest, "id", ""));
            return error_advise(error, "vm-not-in-backup", "vmshadow show BACKUP lists its VMs");
        }
        if (add_vm(plan, entry, error) != 0)
            return -1;
    }
    if (options->count)
        return 0;
    json_array_foreach(json_object_get(plan->manifest, "vms"), index, entry)
    {
        if (add_vm(plan, entry, error) != 0)
            return -1;
    }
    return 0;
}

/* Paths in definitions and in the record are absolute, whatever was said. */
static int find_directory(const char *wanted, char **ret_directory, struct error *error)
{
    struct stat facts;
    CLEANUP_FREE char *directory = wanted ? realpath(wanted, NULL) : NULL;
    if (wanted && !directory) {
        (void)error_set(error, ERROR_REFUSED, "--to %s: %s", wanted, strerror(errno));
        return error_advise(error, "restore-directory-missing",
                            "make the directory (or mount what belongs there) first");
    }
    if (directory && (stat(directory, &facts) != 0 || !S_ISDIR(facts.st_mode))) {
        (void)error_set(error, ERROR_REFUSED, "--to %s: it is no directory", wanted);
        return error_advise(error, "restore-directory-missing", "name a directory that is there");
    }
    if (directory && !json_holds(directory, strlen(directory))) {
        (void)error_set(error, ERROR_REFUSED,
                        "--to %s: its path is not UTF-8, so that no definition of a VM can have it",
                        wanted);
        return error_advise(error, "directory-not-nameable", "name another directory");
    }
    *ret_directory = TAKE_PTR(directory);
    return 0;
}

static int plan_vms(struct planning *planning, struct restore_plan *plan, struct error *error)
{
    int result = domain_list(planning->hypervisor, NULL, 0, &planning->domains,
                             &planning->domain_count, error);
    for (size_t i = 0; i < plan->count && result == 0; i++)
        if (plan_vm(planning, &plan->vms[i], error) != 0)
            result = error_prefix(error, "VM %s: ", plan->vms[i].name);
    if (result == 0)
        result = plan_check_room(planning, plan, error);
    for (size_t i = 0; i < plan->count; i++)
        plan->vms[i].now = NULL;
    domain_list_free(planning->domains, planning->domain_count);
    return result;
}

int restore_plan_make(struct restore_plan *plan, struct hypervisor *hypervisor,
                      struct repository *repository, const struct requester_host *host,
                      const struct requester_restore_options *options, struct error *error)
{
    struct planning planning = {
        .hypervisor = hypervisor,
        .repository = repository,
        .host = host,
        .options = options,
        .plan = plan,
    };
    plan->manifest = repository_load(repository, options->backup, error);
    if (!plan->manifest || choose_vms(plan, options, error) != 0 ||
        find_directory(options->directory, &planning.directory, error) != 0)
        return -1;
    int result = plan_vms(&planning, plan, error);
    free(planning.directory);
    return result;
}

json_t *restore_plan_json(const struct restore_plan *plan)
{
    json_t *result = json_object(), *vms = json_array();
    json_set_string(result, "backup", json_string_or(plan->manifest, "id", ""));
    for (size_t i = 0; i < plan->count; i++) {
        const struct planned_vm *vm = &plan->vms[i];
        json_t *object = json_object(), *disks = json_array();
        json_set_string(object, "name", vm->name);
        json_set_string(object, "uuid", vm->uuid);
        json_set_string(object, "replaces", vm->exists ? domain_state_name(vm->state) : NULL);
        for (size_t d = 0; d < vm->disk_count; d++) {
            json_t *disk = json_object();
            json_set_string(disk, "target", vm->disks[d].target);
            json_set_string(disk, "path", vm->disks[d].path);
            json_set_string(disk, "format", vm->disks[d].format);
            json_set_integer(disk, "size", (int64_t)vm->disks[d].size);
            json_append(disks, disk);
        }
        json_set(object, "disks", disks);
        const char *continues = vm->memory.paused ? "paused" : "running";
        json_set_string(object, "comes_back", vm->memory.path ? "saved" : "off");
        json_set_string(object, "continues", vm->memory.path ? continues : NULL);
        json_set(object, "networks", json_incref(vm->networks));
        json_set(object, "notices", json_incref(vm->notices));
        json_append(vms, object);
    }
    json_set(result, "vms", vms);
    return result;
}
