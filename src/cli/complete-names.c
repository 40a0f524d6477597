/* Where names come from. The passphrase is taken from a file or not at all. */
#include "cli/complete-names.h"

#include "base/memory.h"
#include "cli/config.h"
#include "cli/repository-option.h"
#include "requester/requester.h"

#include <string.h>

static void add(json_t *names, const char *value, const char *text)
{
    json_t *name = json_object();
    json_set_string(name, "value", value);
    json_set_string(name, "text", text);
    json_append(names, name);
}

json_t *complete_vms(const struct complete_place *place)
{
    struct requester_host host = {.uri = place->connect};
    struct requester_selection selection = {.all = true};
    CLEANUP_JSON json_t *result = NULL;
    json_t *names = json_array(), *vm;
    size_t index;
    (void)requester_select(&host, &selection, &result, NULL);
    json_array_foreach(json_object_get(result, "vms"), index, vm)
    {
        add(names, json_string_or(vm, "name", ""), "a VM");
    }
    return names;
}

/* ---- Backups ---- */

static int add_file(void *names, const char *name, struct error *error)
{
    (void)error;
    const char *id = strrchr(name, '/');
    add(names, id ? id + 1 : name, "a backup");
    return 0;
}

static void add_ids(const struct complete_place *place, json_t *names)
{
    CLEANUP(backend_freep) struct backend *backend = NULL;
    if (place->repository &&
        backend_directory_new(io_real(), place->repository, false, &backend, NULL) == 0)
        (void)backend->list(backend, "backups/", add_file, names, NULL);
}

/* As `list` gives them; NULL where that needs a passphrase which is not at hand. */
static json_t *list_backups(const struct complete_place *place)
{
    CLEANUP(backend_freep) struct backend *backend = NULL;
    CLEANUP(repository_freep) struct repository *repository = NULL;
    struct options options = {.repository = place->repository,
                              .passphrase_file = place->passphrase_file};
    json_t *result = NULL;
    bool encrypted;
    if (!place->repository ||
        backend_directory_new(io_real(), place->repository, false, &backend, NULL) != 0 ||
        repository_is_encrypted(backend, &encrypted, NULL) != 0 ||
        (encrypted && !place->passphrase_file) ||
        repository_option_open(&options, &repository, NULL) != 0)
        return NULL;
    (void)requester_list(repository, NULL, &result, NULL);
    return result;
}

static void add_backup(json_t *names, const json_t *backup)
{
    CLEANUP_FREE char *text = memory_copy_string(json_string_or(backup, "time", ""));
    size_t index;
    json_t *vm;
    json_array_foreach(json_object_get(backup, "vms"), index, vm)
    {
        CLEANUP_FREE char *before = text;
        text = memory_format("%s%s%s", before, index ? ", " : ": ", json_string_or(vm, "name", ""));
    }
    add(names, json_string_or(backup, "id", ""), text);
}

json_t *complete_backups(const struct complete_place *place)
{
    CLEANUP_JSON json_t *list = list_backups(place);
    json_t *names = json_array(), *backup;
    size_t index;
    add(names, "latest", "the newest backup");
    if (!list)
        add_ids(place, names);
    json_array_foreach(json_object_get(list, "backups"), index, backup)
    {
        add_backup(names, backup);
    }
    return names;
}

static const json_t *find_backup(const json_t *backups, const char *name)
{
    size_t index;
    json_t *backup;
    if (strcmp(name, "latest") == 0)
        return json_array_get(backups, json_array_size(backups) - 1);
    json_array_foreach(backups, index, backup)
    {
        if (strncmp(json_string_or(backup, "id", ""), name, strlen(name)) == 0)
            return backup;
    }
    return NULL;
}

json_t *complete_vms_of(const struct complete_place *place, const char *backup)
{
    CLEANUP_JSON json_t *list = list_backups(place);
    const json_t *found = find_backup(json_object_get(list, "backups"), backup);
    if (!found)
        return complete_vms(place);
    json_t *names = json_array(), *vm;
    size_t index;
    json_array_foreach(json_object_get(found, "vms"), index, vm)
    {
        add(names, json_string_or(vm, "name", ""), json_string_or(vm, "method", ""));
    }
    return names;
}

/* ---- Jobs ---- */

json_t *complete_jobs(void)
{
    CLEANUP_JSON json_t *jobs = config_jobs();
    json_t *names = json_array(), *job;
    size_t index;
    json_array_foreach(jobs, index, job)
    {
        add(names, json_string_value(job), "a job");
    }
    return names;
}
