/* The table of instants and what both kinds share. The end of an instant is its undo steps, run by
 * their handlers in reverse order: what recovery does after a crash is what every backup does. */
#include "hypervisor/instant-private.h"

#include "base/clock.h"
#include "base/id.h"
#include "hypervisor/directory.h"
#include "hypervisor/undo-kinds.h"

#include <libxml/uri.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>

#define LEAST_RESERVE (UINT64_C(1) << 30)
/* A full file system may still tell some KiB free. */
#define SMALLEST_RESERVE (UINT64_C(16) << 20)
#define LEAST_SCRATCH (UINT64_C(64) << 20)

/* ---- The table ---- */

struct instants *instants_new(const struct instants_settings *settings)
{
    struct instants *instants = NEW(struct instants);
    instants->hypervisor = settings->hypervisor;
    instants->undo = settings->undo;
    instants->base = directory_for_run(settings->hypervisor, NULL);
    instants->scratch = memory_copy_string(settings->scratch_directory ? settings->scratch_directory
                                                                       : instants->base);
    instants->reserve = settings->scratch_reserve;
    if (instants->reserve && instants->reserve < SMALLEST_RESERVE)
        instants->reserve = SMALLEST_RESERVE;
    instants->hold_stopped = settings->hold_stopped;
    struct id id = id_new();
    (void)snprintf(instants->run, sizeof instants->run, "%.8s", id.text);
    (void)pthread_mutex_init(&instants->lock, NULL);
    return instants;
}

static void free_disk(struct instant_disk *disk)
{
    for (size_t i = 0; i < disk->layer_count; i++) {
        free(disk->layers[i].path);
        free(disk->layers[i].clone);
        free(disk->layers[i].format);
    }
    free(disk->layers);
    disk_facts_free(disk->facts, 1);
    free(disk->target);
    free(disk->scratch);
    free(disk->socket);
}

static void instant_free(struct instant *instant)
{
    for (size_t i = 0; i < instant->disk_count; i++)
        free_disk(&instant->disks[i]);
    free(instant->disks);
    free(instant->steps);
    free(instant->set);
    free(instant->uuid);
    free(instant->name);
    free(instant->directory);
    free(instant->scratch);
    free(instant->socket);
    (void)pthread_mutex_destroy(&instant->lock);
    free(instant);
}

static struct instant *find(struct instants *instants, const char *set, const char *uuid)
{
    struct instant *found = NULL;
    (void)pthread_mutex_lock(&instants->lock);
    for (size_t i = 0; i < instants->count; i++)
        if (strcmp(instants->items[i]->set, set) == 0 &&
            strcmp(instants->items[i]->uuid, uuid) == 0)
            found = instants->items[i];
    (void)pthread_mutex_unlock(&instants->lock);
    return found;
}

/* ---- Room ---- */

uint64_t instants_reserve(const struct instants *instants)
{
    struct statvfs status;
    if (instants->reserve)
        return instants->reserve;
    CLEANUP_FREE char *directory = directory_existing_part(instants->scratch);
    if (statvfs(directory, &status) != 0)
        return LEAST_RESERVE;
    uint64_t part = (uint64_t)status.f_blocks * status.f_frsize / 50;
    return part > LEAST_RESERVE ? part : LEAST_RESERVE;
}

int instants_check_room(struct instants *instants, struct error *error)
{
    CLEANUP_FREE char *directory = directory_existing_part(instants->scratch);
    uint64_t room;
    if (directory_check_local(directory, error) != 0 ||
        directory_get_room(directory, &room, error) != 0)
        return -1;
    uint64_t reserve = instants_reserve(instants);
    if (room >= reserve + LEAST_SCRATCH)
        return 0;
    (void)error_set(error, ERROR_SPACE,
                    "no room for scratch space in %s: %llu MiB are free, of which %llu MiB must "
                    "stay free",
                    instants->scratch, (unsigned long long)(room >> 20),
                    (unsigned long long)(reserve >> 20));
    return error_advise(error, "scratch-no-room",
                        "make room there, or choose another directory on a local disk");
}

uint64_t instants_room_beside(const struct instants *instants, const char *directory)
{
    struct stat one, other;
    if (!instants)
        return 0;
    CLEANUP_FREE char *scratch = directory_existing_part(instants->scratch);
    CLEANUP_FREE char *existing = directory_existing_part(directory);
    if (stat(scratch, &one) != 0 || stat(existing, &other) != 0 || one.st_dev != other.st_dev)
        return 0;
    return instants_reserve(instants) + LEAST_SCRATCH;
}

/* ---- Prepare ---- */

int instant_add_step(struct instant *instant, const char *kind, json_t *arguments,
                     struct error *error)
{
    uint64_t step;
    if (undo_add(instant->owner->undo, instant->uuid, kind, arguments, &step, error) != 0)
        return -1;
    ARRAY_APPEND(instant->steps, instant->step_count, step);
    return 0;
}

static struct instant *instant_new(struct instants *instants, const char *set,
                                   const struct domain *domain, const char *const *targets)
{
    struct instant *instant = NEW(struct instant);
    (void)pthread_mutex_init(&instant->lock, NULL);
    instant->owner = instants;
    instant->set = memory_copy_string(set);
    instant->uuid = memory_copy_string(domain->uuid);
    instant->name = memory_copy_string(domain->name);
    instant->running = domain->live_xml != NULL;
    instant->was_paused = domain->state != DOMAIN_RUNNING;
    while (targets[instant->disk_count])
        instant->disk_count++;
    instant->disks = NEW_ARRAY(struct instant_disk, instant->disk_count + 1);
    for (size_t i = 0; i < instant->disk_count; i++)
        instant->disks[i].target = memory_copy_string(targets[i]);
    return instant;
}

/* Names that no other instant of any run has. */
static void set_names(struct instants *instants, struct instant *instant, size_t number)
{
    instant->directory = memory_format("%s/%s.%zu", instants->base, instants->run, number);
    instant->scratch = memory_format("%s/%s.%zu", instants->scratch, instants->run, number);
    instant->socket = memory_format("%s/nbd.sock", instant->directory);
    for (size_t i = 0; i < instant->disk_count; i++) {
        struct instant_disk *disk = &instant->disks[i];
        disk->scratch = memory_format("%s/%s.scratch", instant->scratch, disk->target);
        disk->socket = memory_format("%s/%zu.sock", instant->directory, i);
    }
}

static int check_request(const struct instant *instant, const struct domain *domain,
                         struct error *error)
{
    const struct sockaddr_un *address = NULL;
    if (domain->state == DOMAIN_OTHER || domain->state == DOMAIN_CRASHED)
        return error_set(error, ERROR_BUSY, "VM %s is %s: no instant can be taken", domain->name,
                         domain_state_name(domain->state));
    if (instant->disk_count == 0)
        return error_set(error, ERROR_USAGE, "VM %s: no disk is wanted", domain->name);
    for (size_t i = 0; i < instant->disk_count; i++)
        if (!domain_find_disk(domain, instant->disks[i].target))
            return error_set(error, ERROR_NOT_FOUND, "VM %s has no disk %s", domain->name,
                             instant->disks[i].target);
    if (strlen(instant->socket) + 8 >= sizeof address->sun_path)
        return error_set(error, ERROR_USAGE, "directory %s has too long a name for a socket",
                         instant->directory);
    return 0;
}

/* Steps in reverse; what stays open stays in the journal. */
static int undo_steps(struct instant *instant, struct error *error)
{
    int result = 0;
    for (size_t i = instant->step_count; i-- > 0;)
        if (undo_run(instant->owner->undo, instant->steps[i], error) != 0)
            result = -1;
    instant->step_count = 0;
    return result;
}

static void enter(struct instants *instants, struct instant *instant)
{
    (void)pthread_mutex_lock(&instants->lock);
    ARRAY_APPEND(instants->items, instants->count, instant);
    set_names(instants, instant, instants->count);
    (void)pthread_mutex_unlock(&instants->lock);
}

static bool is_open(struct instant *instant)
{
    if (!instant)
        return false;
    (void)pthread_mutex_lock(&instant->lock);
    bool open = instant->state != INSTANT_ENDED;
    (void)pthread_mutex_unlock(&instant->lock);
    return open;
}

bool instants_is_prepared(struct instants *instants, const char *set, const char *uuid)
{
    struct instant *instant = find(instants, set, uuid);
    if (!instant)
        return false;
    (void)pthread_mutex_lock(&instant->lock);
    bool prepared = instant->state == INSTANT_PREPARED;
    (void)pthread_mutex_unlock(&instant->lock);
    return prepared;
}

int instants_prepare(struct instants *instants, const char *set, const struct domain *domain,
                     const char *const *targets, struct error *error)
{
    if (is_open(find(instants, set, domain->uuid)))
        return error_set(error, ERROR_EXISTS, "VM %s is in this set already", domain->name);
    struct instant *instant = instant_new(instants, set, domain, targets);
    (void)pthread_mutex_lock(&instant->lock);
    enter(instants, instant);
    int result = check_request(instant, domain, error);
    if (result == 0)
        result = instant->running ? instant_running_prepare(instant, error)
                                  : instant_stopped_prepare(instant, domain, error);
    if (result != 0) {
        (void)undo_steps(instant, NULL);
        instant->state = INSTANT_ENDED;
    }
    (void)pthread_mutex_unlock(&instant->lock);
    return result;
}

/* ---- Begin, open, check, end ---- */

/* Find the instant and lock it; ERROR_NOT_FOUND / ERROR_FAILED when it is not in that state. */
static int lock_in_state(struct instants *instants, const char *set, const char *uuid,
                         enum instant_state state, struct instant **ret_instant,
                         struct error *error)
{
    static const char *const wanted[] = {"prepared", "begun", "ended"};
    struct instant *instant = find(instants, set, uuid);
    if (!instant)
        return error_set(error, ERROR_NOT_FOUND, "VM %s: no instant was prepared", uuid);
    (void)pthread_mutex_lock(&instant->lock);
    if (instant->state == state) {
        *ret_instant = instant;
        return 0;
    }
    (void)error_set(error, ERROR_FAILED, "VM %s: its instant is %s, not %s", instant->name,
                    wanted[instant->state], wanted[state]);
    (void)pthread_mutex_unlock(&instant->lock);
    return -1;
}

int instants_begin(struct instants *instants, const char *set, const char *uuid,
                   struct error *error)
{
    struct instant *instant;
    if (lock_in_state(instants, set, uuid, INSTANT_PREPARED, &instant, error) != 0)
        return -1;
    int result = instant->running ? instant_running_begin(instant, error)
                                  : instant_stopped_begin(instant, error);
    if (result == 0)
        instant->state = INSTANT_BEGUN;
    (void)pthread_mutex_unlock(&instant->lock);
    return result;
}

/* libnbd takes the socket's path percent-encoded. */
static char *make_uri(const char *export, const char *socket)
{
    xmlChar *name = xmlURIEscapeStr((const xmlChar *)export, NULL);
    xmlChar *path = xmlURIEscapeStr((const xmlChar *)socket, (const xmlChar *)"/");
    char *uri = memory_format("nbd+unix:///%s?socket=%s", (char *)name, (char *)path);
    xmlFree(name);
    xmlFree(path);
    return uri;
}

static struct instant_disk *find_disk(struct instant *instant, const char *target)
{
    for (size_t i = 0; i < instant->disk_count; i++)
        if (strcmp(instant->disks[i].target, target) == 0)
            return &instant->disks[i];
    return NULL;
}

int instants_open(struct instants *instants, const char *set, const char *uuid, const char *target,
                  char **ret_uri, int64_t *ret_size, struct error *error)
{
    struct instant *instant;
    if (lock_in_state(instants, set, uuid, INSTANT_BEGUN, &instant, error) != 0)
        return -1;
    struct instant_disk *disk = find_disk(instant, target);
    int result = 0;
    if (!disk)
        result = error_set(error, ERROR_NOT_FOUND, "VM %s: disk %s is not in the set",
                           instant->name, target);
    else
        result = instant->running ? instant_running_get_size(instant, disk, error)
                                  : instant_stopped_open(instant, disk, error);
    if (result == 0) {
        *ret_uri = make_uri(disk->target, instant->running ? instant->socket : disk->socket);
        *ret_size = disk->size;
    }
    (void)pthread_mutex_unlock(&instant->lock);
    return result;
}

int instants_check(struct instants *instants, const char *set, const char *uuid,
                   struct error *error)
{
    struct instant *instant;
    if (lock_in_state(instants, set, uuid, INSTANT_BEGUN, &instant, error) != 0)
        return -1;
    int result = instant->running ? instant_running_check(instant, error)
                                  : instant_stopped_check(instant, error);
    (void)pthread_mutex_unlock(&instant->lock);
    return result;
}

static int end(struct instant *instant, struct error *error)
{
    (void)pthread_mutex_lock(&instant->lock);
    int result = 0;
    if (instant->state != INSTANT_ENDED) {
        instant_stopped_end(instant);
        result = undo_steps(instant, error);
        instant->state = INSTANT_ENDED;
    }
    (void)pthread_mutex_unlock(&instant->lock);
    return result;
}

int instants_end(struct instants *instants, const char *set, const char *uuid, struct error *error)
{
    struct instant *instant = find(instants, set, uuid);
    return instant ? end(instant, error) : 0;
}

void instants_free(struct instants *instants)
{
    if (!instants)
        return;
    for (size_t i = 0; i < instants->count; i++) {
        (void)end(instants->items[i], NULL);
        instant_free(instants->items[i]);
    }
    free(instants->items);
    lifecycle_free(instants->lifecycle);
    launcher_free(instants->launcher);
    (void)pthread_mutex_destroy(&instants->lock);
    free(instants->scratch);
    free(instants->base);
    free(instants);
}
