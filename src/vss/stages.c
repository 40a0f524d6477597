/* Provider calls: check the state, time the call, map the code, record. */
#include "vss/stages.h"

#include "base/clock.h"
#include "vss/failure.h"
#include "vss/snapshot-state.h"

#include <assert.h>
#include <stdio.h>

static const int64_t hold_limit = 10 * CLOCK_SECOND; /* as published */
static const int64_t stage_limit = 15 * 60 * CLOCK_SECOND;

/* The codes that a provider may return (vss.md 1.7). */
static vss_code published_code(vss_code code)
{
    switch (code) {
    case VSS_S_OK:
    case E_OUTOFMEMORY:
    case E_INVALIDARG:
    case E_ACCESSDENIED:
    case VSS_E_BAD_STATE:
    case VSS_E_OBJECT_NOT_FOUND:
    case VSS_E_INSUFFICIENT_STORAGE:
    case VSS_E_VOLUME_NOT_SUPPORTED:
    case VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER:
    case VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED:
    case VSS_E_PROVIDER_VETO:
        return code;
    default:
        return VSS_E_UNEXPECTED_PROVIDER_ERROR;
    }
}

/* The only writer of a snapshot's state. */
static void change_state(struct stages_snapshot *snapshot, enum vss_snapshot_state to)
{
    assert(snapshot->state == to || snapshot_state_may_follow(snapshot->state, to));
    snapshot->state = to;
    assert(to == VSS_SS_UNKNOWN || snapshot->provider);
}

/* One call, from its start to its record. */
struct stage_call {
    const struct stages_set *set;
    const struct stages_provider *provider;
    enum vss_stage stage;
    const char *volume; /* NULL = all of the set */
    int64_t start;
};

static int64_t limit_of(const struct stage_call *call)
{
    int64_t limit = call->provider->description.stage_limit;
    if (limit > 0)
        return limit;
    return call->stage == VSS_STAGE_COMMIT_SNAPSHOTS ? hold_limit : stage_limit;
}

/* The code as published, the words completed, the record written. */
static vss_code finish(const struct stage_call *call, vss_code returned, struct error *error)
{
    int64_t end = clock_monotonic();
    struct error failure = ERROR_INIT;
    if (error)
        failure = *error;
    vss_code code = published_code(returned);
    const char *stage = vss_stage_name(call->stage);
    if (code == VSS_S_OK && end - call->start > limit_of(call)) {
        code = call->stage == VSS_STAGE_COMMIT_SNAPSHOTS ? VSS_E_HOLD_WRITES_TIMEOUT
                                                         : VSS_E_UNEXPECTED_PROVIDER_ERROR;
        failure_set(&failure, code, "provider %s took longer than its limit in %s",
                    call->provider->name, stage);
    }
    if (code != VSS_S_OK)
        failure_complete(&failure, code, "provider %s failed in %s (%s)", call->provider->name,
                         stage, vss_code_name(returned));
    dispatcher_record(call->set->dispatcher,
                      &(struct coordinator_record){.kind = "stage",
                                                   .name = stage,
                                                   .party = call->provider->name,
                                                   .party_id = call->provider->description.id,
                                                   .session = call->set->session,
                                                   .snapshot_set = call->set->id,
                                                   .volume = call->volume,
                                                   .start = call->start,
                                                   .end = end,
                                                   .code = code,
                                                   .message = failure.message});
    if (error && code != VSS_S_OK)
        *error = failure;
    return code;
}

static struct stage_call begin_call(const struct stages_set *set,
                                    const struct stages_provider *provider, enum vss_stage stage)
{
    return (struct stage_call){
        .set = set, .provider = provider, .stage = stage, .start = clock_monotonic()};
}

/* ---- Stages -------------------------------------------------------------------------------- */

static vss_code begin_prepare(struct stages_set *set, struct error *error)
{
    for (size_t i = 0; i < set->count; i++) {
        struct stages_snapshot *snapshot = &set->snapshots[i];
        const struct provider_description *provider = &snapshot->provider->description;
        change_state(snapshot, VSS_SS_PREPARING);
        struct stage_call call =
            begin_call(set, snapshot->provider, VSS_STAGE_BEGIN_PREPARE_SNAPSHOT);
        call.volume = snapshot->volume;
        vss_code code = VSS_S_OK;
        if (provider->callbacks->begin_prepare)
            code = provider->callbacks->begin_prepare(provider->provider, &set->id, &snapshot->id,
                                                      snapshot->volume, set->context, error);
        code = finish(&call, code, error);
        if (code != VSS_S_OK)
            return code;
    }
    return VSS_S_OK;
}

typedef vss_code stage_callback(void *provider, const struct id *set, struct error *error);

static stage_callback *callback_of(const struct provider_callbacks *callbacks, enum vss_stage stage)
{
    switch (stage) {
    case VSS_STAGE_END_PREPARE_SNAPSHOTS:
        return callbacks->end_prepare;
    case VSS_STAGE_PRE_COMMIT_SNAPSHOTS:
        return callbacks->pre_commit;
    case VSS_STAGE_COMMIT_SNAPSHOTS:
        return callbacks->commit;
    case VSS_STAGE_POST_COMMIT_SNAPSHOTS:
        return callbacks->post_commit;
    case VSS_STAGE_PRE_FINAL_COMMIT_SNAPSHOTS:
        return callbacks->pre_final_commit;
    case VSS_STAGE_POST_FINAL_COMMIT_SNAPSHOTS:
        return callbacks->post_final_commit;
    default:
        return NULL;
    }
}

/* All snapshots of one provider change their state together. */
static void change_states(struct stages_set *set, const struct stages_provider *provider,
                          enum vss_snapshot_state to)
{
    int64_t now = clock_wall();
    for (size_t i = 0; i < set->count; i++) {
        struct stages_snapshot *snapshot = &set->snapshots[i];
        if (snapshot->provider != provider)
            continue;
        change_state(snapshot, to);
        if (to == VSS_SS_PROCESSING_COMMIT)
            snapshot->created = now;
    }
}

static vss_code run_on_provider(struct stages_set *set, struct stages_provider *provider,
                                enum vss_stage stage, struct error *error)
{
    const struct snapshot_state_step *step = snapshot_state_step(stage);
    stage_callback *callback = callback_of(provider->description.callbacks, stage);
    change_states(set, provider, step->processing);
    struct stage_call call = begin_call(set, provider, stage);
    vss_code code = VSS_S_OK;
    if (callback)
        code = callback(provider->description.provider, &set->id, error);
    code = finish(&call, code, error);
    if (code == VSS_S_OK)
        change_states(set, provider, step->done);
    return code;
}

/* Is this the first snapshot of its provider? So each provider is called once. */
static bool is_first_of_provider(const struct stages_set *set, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (set->snapshots[i].provider == set->snapshots[index].provider)
            return false;
    return true;
}

vss_code stages_run(struct stages_set *set, enum vss_stage stage, struct error *error)
{
    struct error failure = ERROR_INIT;
    vss_code code = VSS_S_OK;
    if (stage == VSS_STAGE_BEGIN_PREPARE_SNAPSHOT)
        code = begin_prepare(set, &failure);
    else
        for (size_t i = 0; i < set->count && code == VSS_S_OK; i++)
            if (is_first_of_provider(set, i))
                code = run_on_provider(set, set->snapshots[i].provider, stage, &failure);
    if (code != VSS_S_OK)
        error_move(error, &failure);
    return code;
}

static void delete_snapshot(struct stages_set *set, struct stages_snapshot *snapshot)
{
    const struct provider_description *provider = &snapshot->provider->description;
    struct stage_call call = begin_call(set, snapshot->provider, VSS_STAGE_DELETE_SNAPSHOTS);
    call.volume = snapshot->volume;
    struct error error = ERROR_INIT; /* told by the record; nobody can do anything about it */
    vss_code code = VSS_S_OK;
    if (provider->callbacks->delete_snapshot)
        code = provider->callbacks->delete_snapshot(provider->provider, &snapshot->id, &error);
    (void)finish(&call, code, &error);
    change_state(snapshot, VSS_SS_DELETED);
}

void stages_delete(struct stages_set *set, bool keep_created)
{
    for (size_t i = 0; i < set->count; i++) {
        enum vss_snapshot_state state = set->snapshots[i].state;
        if (state != VSS_SS_UNKNOWN && state != VSS_SS_DELETED &&
            !(keep_created && state == VSS_SS_CREATED))
            delete_snapshot(set, &set->snapshots[i]);
    }
}

void stages_abort(struct stages_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        struct stages_provider *provider = set->snapshots[i].provider;
        if (!snapshot_state_hears_abort(set->snapshots[i].state))
            continue;
        struct stage_call call = begin_call(set, provider, VSS_STAGE_ABORT_SNAPSHOTS);
        if (provider->description.callbacks->abort)
            provider->description.callbacks->abort(provider->description.provider, &set->id);
        (void)finish(&call, VSS_S_OK, NULL);
        change_states(set, provider, VSS_SS_ABORTED); /* so it is called once */
    }
    for (size_t i = 0; i < set->count; i++)
        if (set->snapshots[i].state == VSS_SS_CREATED)
            delete_snapshot(set, &set->snapshots[i]);
}

/* ---- Questions ----------------------------------------------------------------------------- */

static vss_code complete(const struct stages_provider *provider, vss_code returned,
                         const char *what, struct error *error)
{
    vss_code code = published_code(returned);
    if (code != VSS_S_OK)
        failure_complete(error, code, "provider %s: %s (%s)", provider->name, what,
                         vss_code_name(returned));
    return code;
}

vss_code stages_is_supported(struct stages_provider *provider, uint32_t context, const char *volume,
                             bool *ret_supported, struct error *error)
{
    *ret_supported = false;
    struct error failure = ERROR_INIT;
    vss_code code = provider->description.callbacks->is_volume_supported(
        provider->description.provider, context, volume, ret_supported, &failure);
    code = complete(provider, code, "cannot tell whether it supports the volume", &failure);
    if (code != VSS_S_OK)
        error_move(error, &failure);
    return code;
}

vss_code stages_open(const struct stages_snapshot *snapshot, struct provider_source *ret_source,
                     struct error *error)
{
    const struct provider_description *provider = &snapshot->provider->description;
    if (!provider->callbacks->open)
        return failure_set(error, VSS_E_NOT_SUPPORTED, "provider %s cannot open its copies",
                           snapshot->provider->name);
    struct provider_source source = {.nbd_uri = NULL};
    struct error failure = ERROR_INIT;
    vss_code code = provider->callbacks->open(provider->provider, &snapshot->id, &source, &failure);
    code = complete(snapshot->provider, code, "cannot open the copy", &failure);
    if (code == VSS_S_OK)
        *ret_source = source;
    else
        error_move(error, &failure);
    return code;
}
