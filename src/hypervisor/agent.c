/* libvirt's agent calls block until the guest answers, or for the time set with
 * virDomainAgentSetResponseTimeout() before them. That setting belongs to the domain, cannot be
 * read back and cannot be given back safely (a call of the watchdog may just rely on it), so it
 * stays as the last call here set it.
 *
 * The counts and texts of an answer come from the guest: both are bounded.
 */
#include "hypervisor/agent.h"

#include "base/json.h"
#include "hypervisor/call.h"
#include "hypervisor/domain-private.h"

#include <libvirt/libvirt-qemu.h>
#include <string.h>

enum { VOLUMES_LIMIT = 4096, DEVICES_LIMIT = 256, TEXT_LIMIT = 4096 };
#define THAW_LIMIT (5 * CLOCK_SECOND)
#define THAW_PAUSE (200 * CLOCK_MILLISECOND)

static int whole_seconds(int64_t limit)
{
    int64_t seconds = (limit + CLOCK_SECOND - 1) / CLOCK_SECOND;
    return seconds < 1 ? 1 : seconds > 3600 ? 3600 : (int)seconds;
}

/* A ticket for a call to the guest, with libvirt's time-out set. */
static int begin(struct hypervisor *hypervisor, const char *uuid, int64_t limit,
                 struct call *ret_call, struct error *error)
{
    struct call call = CALL_NONE;
    if (call_begin_domain(hypervisor, CALL_AGENT, uuid, &call, error) != 0)
        return -1;
    if (VIR(virDomainAgentSetResponseTimeout(call.domain, whole_seconds(limit), 0)) != 0) {
        (void)call_error(error, "VM %s: cannot set the time limit of its guest agent", call.name);
        call_end(&call);
        return -1;
    }
    *ret_call = call;
    return 0;
}

static int fail(struct error *error, const struct call *call, const char *what)
{
    return call_error(error, "VM %s: %s", call->name, what);
}

/* Send one command that has no arguments; the "return" member is handed back. */
static int ask(const struct call *call, const char *command, int64_t limit, json_t **ret_answer,
               struct error *error)
{
    CLEANUP_FREE char *text = memory_format("{\"execute\":\"%s\"}", command);
    CLEANUP_FREE char *answer =
        VIR(virDomainQemuAgentCommand(call->domain, text, whole_seconds(limit), 0));
    if (!answer)
        return fail(error, call, "the guest agent does not answer");
    CLEANUP_JSON json_t *value =
        json_parse(answer, strnlen(answer, TEXT_LIMIT), "the guest agent's answer", error);
    if (!value)
        return -1;
    *ret_answer = json_incref(json_object_get(value, "return"));
    return 0;
}

int agent_ping(struct hypervisor *hypervisor, const char *uuid, int64_t limit, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    CLEANUP_JSON json_t *answer = NULL;
    if (begin(hypervisor, uuid, limit, &call, error) != 0 ||
        ask(&call, "guest-ping", limit, &answer, error) != 0) {
        if (error && error->kind == ERROR_FAILED)
            error->kind = ERROR_CONNECTION;
        return error_advise(error, "guest-agent-silent",
                            "the guest needs a channel org.qemu.guest_agent.0 and the "
                            "program qemu-ga running");
    }
    return 0;
}

/* ---- Volumes ---- */

void agent_volumes_free(struct agent_volumes *volumes)
{
    for (size_t i = 0; i < volumes->count; i++) {
        struct agent_volume *volume = &volumes->items[i];
        for (size_t k = 0; k < volume->target_count; k++)
            free(volume->targets[k]);
        free(volume->targets);
        free(volume->mountpoint);
        free(volume->device);
        free(volume->file_system);
    }
    free(volumes->items);
    *volumes = (struct agent_volumes){.count = 0};
}

static char *guest_text(const char *text)
{
    return text ? strndup(text, TEXT_LIMIT) : NULL;
}

static const char *parameter_text(virTypedParameterPtr parameters, int count, const char *name)
{
    const char *value = NULL;
    return virTypedParamsGetString(parameters, count, name, &value) == 1 ? value : NULL;
}

/* A guest may list a disk several times (two partitions under one volume). */
static void add_target(struct agent_volume *volume, const char *target)
{
    for (size_t i = 0; i < volume->target_count; i++)
        if (strcmp(volume->targets[i], target) == 0)
            return;
    ARRAY_APPEND(volume->targets, volume->target_count, guest_text(target));
}

static void read_volume(virTypedParameterPtr parameters, int count, unsigned index,
                        struct agent_volume *volume)
{
    char name[VIR_TYPED_PARAM_FIELD_LENGTH];
    static const char *const fields[] = {"mountpoint", "name", "fstype"};
    char **const texts[] = {&volume->mountpoint, &volume->device, &volume->file_system};
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        (void)snprintf(name, sizeof name, "fs.%u.%s", index, fields[i]);
        *texts[i] = guest_text(parameter_text(parameters, count, name));
    }
    unsigned devices = 0;
    (void)snprintf(name, sizeof name, "fs.%u.disk.count", index);
    (void)virTypedParamsGetUInt(parameters, count, name, &devices);
    for (unsigned i = 0; i < devices && i < DEVICES_LIMIT; i++) {
        (void)snprintf(name, sizeof name, "fs.%u.disk.%u.alias", index, i);
        const char *target = parameter_text(parameters, count, name);
        if (target)
            add_target(volume, target);
        else
            volume->unmapped++;
    }
    if (devices > DEVICES_LIMIT)
        volume->unmapped += devices - DEVICES_LIMIT;
    if (devices == 0) /* a loop device, say: it lies somewhere */
        volume->unmapped = 1;
}

static int read_volumes(virTypedParameterPtr parameters, int count,
                        struct agent_volumes *ret_volumes, struct error *error)
{
    unsigned found = 0;
    (void)virTypedParamsGetUInt(parameters, count, "fs.count", &found);
    if (found > VOLUMES_LIMIT)
        return error_set(error, ERROR_FAILED, "its guest agent lists %u file systems", found);
    struct agent_volumes volumes = {.items = NEW_ARRAY(struct agent_volume, found + 1),
                                    .count = found};
    for (unsigned i = 0; i < found; i++)
        read_volume(parameters, count, i, &volumes.items[i]);
    *ret_volumes = volumes;
    return 0;
}

int agent_get_volumes(struct hypervisor *hypervisor, const char *uuid, int64_t limit,
                      struct agent_volumes *ret_volumes, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    virTypedParameterPtr parameters = NULL;
    int count = 0;
    if (begin(hypervisor, uuid, limit, &call, error) != 0)
        return -1;
    if (VIR(virDomainGetGuestInfo(call.domain, VIR_DOMAIN_GUEST_INFO_FILESYSTEM, &parameters,
                                  &count, 0)) != 0)
        return fail(error, &call, "its guest agent tells no file systems");
    int result = read_volumes(parameters, count, ret_volumes, error);
    virTypedParamsFree(parameters, count);
    return result == 0 ? 0 : error_prefix(error, "VM %s: ", call.name);
}

/* ---- Freeze and thaw ---- */

int agent_freeze(struct hypervisor *hypervisor, const char *uuid, int64_t limit, int *ret_frozen,
                 struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (begin(hypervisor, uuid, limit, &call, error) != 0)
        return -1;
    int frozen = VIR(virDomainFSFreeze(call.domain, NULL, 0, 0));
    if (frozen < 0)
        return fail(error, &call, "the guest's file systems cannot be frozen");
    *ret_frozen = frozen;
    return 0;
}

int agent_thaw(struct hypervisor *hypervisor, const char *uuid, int64_t limit, int *ret_thawed,
               struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (begin(hypervisor, uuid, limit, &call, error) != 0)
        return -1;
    int thawed = VIR(virDomainFSThaw(call.domain, NULL, 0, 0));
    if (thawed < 0)
        return fail(error, &call, "the guest's file systems cannot be thawed");
    *ret_thawed = thawed;
    return 0;
}

int agent_is_frozen(struct hypervisor *hypervisor, const char *uuid, int64_t limit,
                    bool *ret_frozen, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    CLEANUP_JSON json_t *answer = NULL;
    if (begin(hypervisor, uuid, limit, &call, error) != 0 ||
        ask(&call, "guest-fsfreeze-status", limit, &answer, error) != 0)
        return -1;
    const char *status = json_string_value(answer);
    if (!status || (strcmp(status, "frozen") != 0 && strcmp(status, "thawed") != 0))
        return error_set(error, ERROR_FAILED, "VM %s: the guest agent tells no freeze status",
                         call.name);
    *ret_frozen = strcmp(status, "frozen") == 0;
    return 0;
}

/* One round: 0 = thawed, or there is no guest any more; -1 = ask again. */
static int thaw_once(struct hypervisor *hypervisor, const char *uuid, struct error *error)
{
    enum domain_state state;
    bool frozen = true;
    int thawed;
    if (domain_get_state(hypervisor, uuid, &state, error) != 0)
        return error_is_set(error) && error->kind == ERROR_NOT_FOUND ? 0 : -1;
    if (state == DOMAIN_OFF || state == DOMAIN_SAVED || state == DOMAIN_CRASHED)
        return 0;
    if (state != DOMAIN_RUNNING)
        return error_set(error, ERROR_BUSY,
                         "VM %s is %s: its guest can be thawed only when it "
                         "runs again",
                         uuid, domain_state_name(state));
    /* The status first: a thaw of a guest that is not frozen would be reported as a fault by some
     * agents, and where the status cannot be had a thaw cannot either. */
    if (agent_is_frozen(hypervisor, uuid, THAW_LIMIT, &frozen, error) != 0)
        return -1;
    if (!frozen)
        return 0;
    if (agent_thaw(hypervisor, uuid, THAW_LIMIT, &thawed, error) != 0 ||
        agent_is_frozen(hypervisor, uuid, THAW_LIMIT, &frozen, error) != 0)
        return -1;
    return frozen ? error_set(error, ERROR_FAILED, "VM %s is still frozen", uuid) : 0;
}

int agent_thaw_until(struct hypervisor *hypervisor, const char *uuid, int64_t deadline,
                     struct error *error)
{
    for (;;) {
        struct error fault = ERROR_INIT;
        if (thaw_once(hypervisor, uuid, &fault) == 0)
            return 0;
        if (clock_monotonic() >= deadline) {
            error_move(error, &fault);
            return error_prefix(error, "the guest may still be frozen: ");
        }
        clock_sleep(THAW_PAUSE);
    }
}
