/* What would be done and why, without doing it: `writers` and `inspect`. */
#include "requester/manifest.h"
#include "requester/run.h"

#include "base/clock.h"

#include "writers/vm/plan.h"

#include <string.h>

static json_t *describe_writers(const struct run *run)
{
    json_t *list = json_array();
    struct coordinator_writer writers[8];
    size_t count = coordinator_writers(run->coordinator, writers, ARRAY_SIZE(writers));
    for (size_t i = 0; i < count && i < ARRAY_SIZE(writers); i++) {
        json_t *writer = json_object();
        json_set_string(writer, "name", writers[i].name);
        json_set_string(writer, "id", writers[i].class_id.text);
        json_set_string(writer, "instance_id", writers[i].instance_id.text);
        json_set_string(writer, "state", vss_writer_state_name(writers[i].state));
        json_set_integer(writer, "state_number", writers[i].state);
        json_set_string(writer, "last_error",
                        writers[i].message[0] ? writers[i].message : "No error");
        json_append(list, writer);
    }
    return list;
}

static json_t *describe_providers(const struct run *run)
{
    static const char *const types[] = {"", "system", "software", "hardware"};
    struct provider_description provider = qemu_provider_description(run->provider);
    json_t *object = json_object();
    json_set_string(object, "name", provider.name);
    json_set_string(object, "id", provider.id.text);
    json_set_string(object, "type", types[provider.type]);
    json_set_string(object, "version", provider.version);
    json_t *list = json_array();
    json_append(list, object);
    return list;
}

int requester_writers(const struct requester_host *host, json_t **ret_result, struct error *error)
{
    CLEANUP(run_closep) struct run run = RUN_INIT;
    struct vm_writer_settings settings = {.barrier = true, .no_estimate = true};
    run.host = host;
    run.events = json_array();
    if (hypervisor_open(host->uri, &run.hypervisor, error) != 0)
        return -1;
    settings.hypervisor = run.hypervisor;
    if (run_start_session(&run, &settings, NULL, error) != 0 ||
        session_initialize_for_backup(run.session, error) != VSS_S_OK ||
        run_gather(&run, error) != 0)
        return -1;
    json_t *result = json_object();
    json_set(result, "writers", describe_writers(&run));
    json_set(result, "providers", describe_providers(&run));
    *ret_result = result;
    return 0;
}

/* What is no disk of the VM as it runs, and is left out for that. */
static json_t *describe_other(const char *target, const char *device, const char *source,
                              const char *reason)
{
    json_t *object = json_object();
    json_set_string(object, "target", target);
    json_set_string(object, "device", device);
    json_set_string(object, "source", source);
    json_set_string(object, "format", NULL);
    json_set_integer(object, "size", 0);
    json_set_boolean(object, "included", false);
    json_set_string(object, "reason", reason);
    json_set_boolean(object, "live_only", false);
    return object;
}

static json_t *describe_disks(const struct domain *domain)
{
    json_t *list = json_array();
    for (size_t i = 0; i < domain->disk_count; i++) {
        const struct disk *disk = &domain->disks[i];
        json_t *object = json_object();
        json_set_string(object, "target", disk->target);
        json_set_string(object, "device", disk->device);
        json_set_string(object, "source", disk->source);
        json_set_string(object, "format", disk->format);
        json_set_integer(object, "size", disk->size);
        json_set_boolean(object, "included", disk->included);
        json_set_string(object, "reason", disk->reason);
        json_set_boolean(object, "live_only", disk->live_only);
        json_append(list, object);
    }
    for (size_t i = 0; i < domain->host_device_count; i++)
        json_append(list,
                    describe_other(domain->host_devices[i], "hostdev", domain->host_devices[i],
                                   "host device passed through: back it up inside the "
                                   "guest"));
    for (size_t i = 0; i < domain->detached_count; i++)
        json_append(list, describe_other(domain->detached[i].target, "disk",
                                         domain->detached[i].source, MANIFEST_DETACHED));
    return list;
}

static void add_file(json_t *list, const char *role, const char *path)
{
    if (!path)
        return;
    json_t *file = json_object();
    json_set_string(file, "role", role);
    json_set_string(file, "path", path);
    json_append(list, file);
}

static json_t *describe_files(const struct domain *domain)
{
    json_t *list = json_array();
    add_file(list, "configuration", domain->configuration_file);
    add_file(list, "nvram", domain->nvram);
    add_file(list, "tpm", domain->tpm_state_directory);
    add_file(list, "kernel", domain->kernel);
    add_file(list, "initrd", domain->initrd);
    add_file(list, "device-tree", domain->device_tree);
    add_file(list, "saved-state", domain->managed_save);
    for (size_t i = 0; i < domain->disk_count; i++)
        for (size_t layer = 0; domain->disks[i].included && layer < domain->disks[i].layer_count;
             layer++)
            add_file(list, layer ? "backing" : "disk", domain->disks[i].layers[layer].path);
    return list;
}

static void set_known(json_t *object, const char *name, bool known, int64_t value)
{
    if (known)
        json_set_integer(object, name, value);
    else
        json_set(object, name, json_null());
}

static json_t *describe_plan(const struct plan *plan)
{
    json_t *vm = json_object();
    json_set_string(vm, "name", plan->domain->name);
    json_set_string(vm, "uuid", plan->domain->uuid);
    json_set_string(vm, "state", domain_state_name(plan->domain->state));
    json_set_string(vm, "method", plan_method_name(plan->method));
    json_set_string(vm, "caption", plan->caption);
    json_set_string(vm, "refused", plan->refused);
    bool known = plan->pause_estimate >= 0;
    set_known(vm, "pause_estimate_ms", known, plan->pause_estimate / CLOCK_MILLISECOND);
    set_known(vm, "memory_in_use", known, (int64_t)plan->memory_in_use);
    set_known(vm, "write_rate", known, (int64_t)plan->image_rate);
    json_set(vm, "conditions", manifest_conditions(plan));
    json_set(vm, "disks", describe_disks(plan->domain));
    json_set(vm, "files", describe_files(plan->domain));
    return vm;
}

int requester_inspect(const struct requester_host *host,
                      const struct requester_backup_options *options, json_t **ret_result,
                      struct error *error)
{
    CLEANUP(run_closep) struct run run = RUN_INIT;
    run.host = host;
    run.events = json_array();
    if (hypervisor_open(host->uri, &run.hypervisor, error) != 0)
        return -1;
    if (run_select(&run, &options->selection, error) != 0)
        return -1;
    struct vm_writer_settings settings = run_backup_settings(&run, options);
    if (run_start_session(&run, &settings, NULL, error) != 0 ||
        session_initialize_for_backup(run.session, error) != VSS_S_OK ||
        run_gather(&run, error) != 0)
        return -1;
    const struct plan *const *plans;
    size_t count = vm_writer_plans(run.writer, &plans);
    json_t *vms = json_array();
    for (size_t i = 0; i < count; i++)
        json_append(vms, describe_plan(plans[i]));
    json_t *result = json_object();
    json_set(result, "vms", vms);
    *ret_result = result;
    return 0;
}
