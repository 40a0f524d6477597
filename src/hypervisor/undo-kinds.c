/* The handlers, and the pool of connections that they use.
 *
 * A requester may be killed while libvirtd still works on its virDomainBackupBegin(), or has not
 * even begun to: the job would appear after the undo has looked. So "end-backup-job" first renames
 * the directory that holds the job's socket (it is the job's alone): a call that comes late cannot
 * make its socket there and fails by itself. For the same reason "thaw-guest" asks once more after
 * a pause: a freeze may have waited in libvirtd.
 */
#include "hypervisor/undo-kinds.h"

#include "hypervisor/agent.h"
#include "hypervisor/backup-job.h"
#include "hypervisor/directory.h"
#include "hypervisor/domain-private.h"
#include "hypervisor/hypervisor-private.h"

#include <string.h>

#define ATTEMPT_LIMIT (10 * CLOCK_SECOND)
#define LATE_FREEZE (1 * CLOCK_SECOND)
#define RETRY_PAUSE (100 * CLOCK_MILLISECOND)

struct undo_pool {
    char *uri; /* or NULL */
    pthread_mutex_t lock;
    /* Guarded by lock. */
    struct hypervisor *hypervisor; /* until it is set */
    bool has_waited;
};

struct undo_pool *undo_pool_new(const char *uri)
{
    struct undo_pool *pool = NEW(struct undo_pool);
    pool->uri = memory_copy_string(uri);
    (void)pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

void undo_pool_free(struct undo_pool *pool)
{
    if (!pool)
        return;
    hypervisor_close(pool->hypervisor);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool->uri);
    free(pool);
}

/* Under the lock. That libvirtd ended is often why there is something to undo, and it may be just
 * starting again: it is waited for, but once, not for each step anew. */
static int open_pool(struct undo_pool *pool, struct error *error)
{
    int64_t deadline = pool->has_waited ? 0 : clock_monotonic() + CALL_PATIENCE;
    struct error fault = ERROR_INIT;
    while (hypervisor_open_limited(pool->uri, CALL_AGENT_LIMIT_WATCHDOG, &pool->hypervisor,
                                   &fault) != 0) {
        if (fault.kind != ERROR_CONNECTION || clock_monotonic() >= deadline) {
            pool->has_waited = true;
            error_move(error, &fault);
            return -1;
        }
        error_clear(&fault);
        clock_sleep(RETRY_PAUSE);
    }
    return 0;
}

struct hypervisor *undo_pool_hypervisor(struct undo_pool *pool, struct error *error)
{
    (void)pthread_mutex_lock(&pool->lock);
    if (!pool->hypervisor)
        (void)open_pool(pool, error);
    struct hypervisor *hypervisor = pool->hypervisor;
    (void)pthread_mutex_unlock(&pool->lock);
    return hypervisor;
}

/* ---- Arguments ---- */

json_t *hypervisor_guest_arguments(const char *uuid, const char *name)
{
    json_t *arguments = json_object();
    json_set_string(arguments, "uuid", uuid);
    json_set_string(arguments, "name", name);
    return arguments;
}

json_t *hypervisor_job_arguments(const char *uuid, const char *name, const char *socket)
{
    json_t *arguments = hypervisor_guest_arguments(uuid, name);
    json_set_string(arguments, "socket", socket);
    return arguments;
}

json_t *hypervisor_scratch_arguments(const char *directory, uint64_t reserve, const char *name)
{
    json_t *arguments = json_object();
    json_set_string(arguments, "directory", directory);
    json_set_integer(arguments, "reserve", reserve > INT64_MAX ? INT64_MAX : (int64_t)reserve);
    json_set_string(arguments, "name", name);
    return arguments;
}

static int get(void *context, const json_t *arguments, struct hypervisor **ret_hypervisor,
               const char **ret_uuid, const char **ret_name, struct error *error)
{
    *ret_uuid = json_get_string(arguments, "uuid", "an undo step", error);
    if (!*ret_uuid)
        return -1;
    *ret_name = json_string_or(arguments, "name", *ret_uuid);
    *ret_hypervisor = undo_pool_hypervisor(context, error);
    return *ret_hypervisor ? 0 : -1;
}

static int prepare_vm(void *context, const json_t *arguments, struct error *error)
{
    struct hypervisor *hypervisor;
    const char *uuid, *name;
    if (get(context, arguments, &hypervisor, &uuid, &name, error) != 0 ||
        call_warm(hypervisor, uuid, error) != 0)
        return error_prefix(error, "the watchdog cannot reach the VM: ");
    return 0;
}

/* ---- thaw-guest ---- */

static int thaw_guest(void *context, const json_t *arguments, struct error *error)
{
    struct hypervisor *hypervisor;
    const char *uuid, *name;
    if (get(context, arguments, &hypervisor, &uuid, &name, error) != 0)
        return -1;
    for (int look = 0; look < 2; look++) {
        if (look > 0)
            clock_sleep(LATE_FREEZE);
        if (agent_thaw_until(hypervisor, uuid, clock_monotonic() + ATTEMPT_LIMIT, error) != 0)
            return error_prefix(error, "VM %s: ", name);
    }
    return 0;
}

/* ---- end-backup-job ---- */

static int end_backup_job(void *context, const json_t *arguments, struct error *error)
{
    struct hypervisor *hypervisor;
    const char *uuid, *name;
    const char *socket = json_get_string(arguments, "socket", "an undo step", error);
    if (!socket || get(context, arguments, &hypervisor, &uuid, &name, error) != 0)
        return -1;
    CLEANUP_FREE char *directory = directory_of(socket);
    bool resume = !json_boolean_or(arguments, "was_paused", false);
    struct error fault = ERROR_INIT;
    /* A directory that cannot be renamed (a file system that has become read-only) is no reason to
     * let the job run; only the step stays open, as a late call could still make its socket. */
    bool renamed = directory_set_aside(directory, &fault) == 0;
    if (backup_job_end(hypervisor, uuid, socket, resume, clock_monotonic() + ATTEMPT_LIMIT,
                       error) != 0)
        return error_prefix(error, "VM %s: ", name);
    if (!renamed) {
        error_move(error, &fault);
        return error_prefix(error, "VM %s: ", name);
    }
    /* What stands in the way is told by the step "remove-directory": no reason to go on for ever.
     */
    (void)directory_remove_aside(directory, NULL);
    return 0;
}

/* ---- watch-scratch ---- */

static int nothing(void *context, const json_t *arguments, struct error *error)
{
    (void)context;
    (void)arguments;
    (void)error;
    return 0;
}

static int watch_scratch(void *context, const json_t *arguments, struct error *reason)
{
    (void)context;
    const char *directory = json_string_or(arguments, "directory", NULL);
    int64_t reserve = json_integer_or(arguments, "reserve", 0);
    uint64_t room;
    if (!directory)
        return 0;
    if (directory_get_room(directory, &room, reason) != 0)
        return 1;
    if (reserve <= 0 || room >= (uint64_t)reserve)
        return 0;
    (void)error_set(reason, ERROR_SPACE,
                    "scratch space in %s ran short (%llu MiB left, %lld MiB are kept in reserve): "
                    "the backup of VM %s was ended so that the VM can go on",
                    directory, (unsigned long long)(room >> 20), (long long)(reserve >> 20),
                    json_string_or(arguments, "name", "?"));
    (void)error_advise(reason, "scratch-ran-short",
                       "make room there or choose another place for scratch space");
    return 1;
}

const struct undo_kind hypervisor_thaw_guest = {
    .name = "thaw-guest", .prepare = prepare_vm, .undo = thaw_guest, .persistent = true};

const struct undo_kind hypervisor_end_backup_job = {
    .name = "end-backup-job", .prepare = prepare_vm, .undo = end_backup_job, .persistent = true};

const struct undo_kind hypervisor_watch_scratch = {
    .name = "watch-scratch", .undo = nothing, .watch = watch_scratch};
