/* The shadow copy set of a session: step 14 of vss.md 1.1 is the table below. */
#include "vss/session-private.h"

#include "vss/components-private.h"
#include "vss/failure.h"

#include <string.h>

enum { volume_limit = 64 }; /* as published */

vss_code session_start_snapshot_set(struct session *session, struct id *ret_set,
                                    struct error *error)
{
    vss_code code = session_check(session, VERB_START_SNAPSHOT_SET, error);
    if (code != VSS_S_OK)
        return code;
    code = set_lock_take(coordinator_lock_path(session->coordinator), &session->set_lock, error);
    if (code != VSS_S_OK)
        return code;
    session->set.id = id_new();
    session->set.context = session->components->context;
    session_advance(session, VERB_START_SNAPSHOT_SET);
    if (ret_set)
        *ret_set = session->set.id;
    return VSS_S_OK;
}

/* ---- Volumes and their providers ----------------------------------------------------------- */

static vss_code named_provider(struct session *session, const char *volume, const struct id *id,
                               struct stages_provider **ret_provider, struct error *error)
{
    CLEANUP_FREE struct stages_provider **providers = NULL;
    size_t count = coordinator_providers(session->coordinator, &providers);
    for (size_t i = 0; i < count; i++) {
        if (!id_equal(&providers[i]->description.id, id))
            continue;
        bool supported;
        vss_code code =
            stages_is_supported(providers[i], session->set.context, volume, &supported, error);
        if (code == VSS_S_OK && !supported)
            return failure_set(error, VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER,
                               "provider %s cannot copy %s", providers[i]->name, volume);
        *ret_provider = providers[i];
        return code;
    }
    return failure_set(error, VSS_E_PROVIDER_NOT_REGISTERED, "provider %s is not there", id->text);
}

/* The first that supports it. A provider that fails to answer does not decide for the others; its
 * failure is told when none supports the volume. */
static vss_code any_provider(struct session *session, const char *volume,
                             struct stages_provider **ret_provider, struct error *error)
{
    CLEANUP_FREE struct stages_provider **providers = NULL;
    size_t count = coordinator_providers(session->coordinator, &providers);
    vss_code first_failure = VSS_S_OK;
    struct error failure = ERROR_INIT;
    for (size_t i = 0; i < count; i++) {
        bool supported;
        vss_code code =
            stages_is_supported(providers[i], session->set.context, volume, &supported, &failure);
        if (code == VSS_S_OK && supported) {
            *ret_provider = providers[i];
            return VSS_S_OK;
        }
        if (first_failure == VSS_S_OK)
            first_failure = code;
    }
    if (first_failure != VSS_S_OK) {
        error_move(error, &failure);
        return first_failure;
    }
    return failure_set(error, VSS_E_VOLUME_NOT_SUPPORTED, "no provider can copy %s", volume);
}

void session_set_volume_limit(struct session *session, size_t limit)
{
    session->volume_limit = limit;
}

static vss_code check_volume(const struct session *session, const char *volume, struct error *error)
{
    for (size_t i = 0; i < session->set.count; i++)
        if (strcmp(session->set.snapshots[i].volume, volume) == 0)
            return failure_set(error, VSS_E_OBJECT_ALREADY_EXISTS, "%s is in the set already",
                               volume);
    size_t limit = session->volume_limit ? session->volume_limit : volume_limit;
    if (session->set.count < limit)
        return VSS_S_OK;
    failure_set(error, VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED,
                "%s does not fit: a set has at most %zu disks", volume, limit);
    (void)error_advise(error, "too-many-disks", "back the VMs up in two sets");
    return VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED;
}

vss_code session_add_to_snapshot_set(struct session *session, const char *volume,
                                     const struct id *provider, struct id *ret_snapshot,
                                     struct error *error)
{
    struct stages_provider *chosen = NULL;
    vss_code code = session_check(session, VERB_ADD_TO_SNAPSHOT_SET, error);
    if (code == VSS_S_OK)
        code = check_volume(session, volume, error);
    if (code == VSS_S_OK)
        code = provider ? named_provider(session, volume, provider, &chosen, error)
                        : any_provider(session, volume, &chosen, error);
    if (code != VSS_S_OK)
        return code;
    struct stages_snapshot snapshot = {.id = id_new(),
                                       .volume = memory_copy_string(volume),
                                       .provider = chosen,
                                       .state = VSS_SS_UNKNOWN};
    ARRAY_APPEND(session->set.snapshots, session->set.count, snapshot);
    if (ret_snapshot)
        *ret_snapshot = snapshot.id;
    return VSS_S_OK;
}

/* ---- DoSnapshotSet ------------------------------------------------------------------------- */

static const struct step {
    bool is_event;
    int number;
} steps[] = {
    {false, VSS_STAGE_BEGIN_PREPARE_SNAPSHOT},      /* a */
    {true, VSS_EVENT_PREPARE_FOR_SNAPSHOT},         /* b */
    {false, VSS_STAGE_END_PREPARE_SNAPSHOTS},       /* c */
    {true, VSS_EVENT_FREEZE},                       /* d: by level */
    {false, VSS_STAGE_PRE_COMMIT_SNAPSHOTS},        /* e */
    {false, VSS_STAGE_COMMIT_SNAPSHOTS},            /* g: THE INSTANT */
    {false, VSS_STAGE_POST_COMMIT_SNAPSHOTS},       /* i */
    {true, VSS_EVENT_THAW},                         /* j */
    {false, VSS_STAGE_PRE_FINAL_COMMIT_SNAPSHOTS},  /* k1: writable */
    {true, VSS_EVENT_POST_SNAPSHOT},                /* k2 */
    {false, VSS_STAGE_POST_FINAL_COMMIT_SNAPSHOTS}, /* k3: read-only for ever */
};

/* A writer that could not be frozen, or did not stay frozen, voids the set; a failure in any other
 * event is for the requester to judge (vss.md 1.6). */
static vss_code check_frozen(const struct session *session, struct error *error)
{
    for (size_t i = 0; i < session->member_count; i++) {
        const struct session_member *member = &session->members[i];
        struct error failure = ERROR_INIT;
        if (!member->enrolment || session_member_state(member, &failure) != VSS_WS_FAILED_AT_FREEZE)
            continue;
        vss_code code = (vss_code)failure.number;
        error_move(error, &failure);
        (void)error_prefix(error, "writer %s: ", member->metadata->name);
        return code;
    }
    return VSS_S_OK;
}

static bool has_level(const struct session_member *member, int level)
{
    return (int)dispatcher_writer_level(member->writer) == level;
}

/* Front-end applications first, so that they stop feeding the back ends. */
static vss_code freeze(struct session *session, struct error *error)
{
    static const enum vss_freeze_level levels[] = {VSS_APP_FRONT_END, VSS_APP_BACK_END,
                                                   VSS_APP_SYSTEM, VSS_APP_SYSTEM_RM};
    vss_code code = VSS_S_OK;
    for (size_t i = 0; i < ARRAY_SIZE(levels) && code == VSS_S_OK; i++) {
        session_broadcast(session, VSS_EVENT_FREEZE, has_level, (int)levels[i]);
        code = check_frozen(session, error);
    }
    return code;
}

static vss_code run_step(struct session *session, const struct step *step, struct error *error)
{
    if (!step->is_event) {
        vss_code code = stages_run(&session->set, (enum vss_stage)step->number, error);
        return code != VSS_S_OK ? code : check_frozen(session, error);
    }
    if (step->number == VSS_EVENT_FREEZE)
        return freeze(session, error);
    session_broadcast(session, (enum vss_event)step->number, NULL, 0);
    return check_frozen(session, error);
}

/* What is frozen runs again before anything else is tidied up. */
static void undo_set(struct session *session)
{
    session_broadcast(session, VSS_EVENT_ABORT, NULL, 0);
    stages_abort(&session->set);
}

/* The system reports AUTORECOVER when an included component asks for recovery (vss.md 3.2). */
static bool wants_recovery(const struct session *session, const struct session_member *member)
{
    const struct component_set *set =
        components_find_instance(session->components, dispatcher_writer_instance(member->writer));
    bool all = !session->components->select_components;
    const struct metadata *metadata = member->metadata;
    for (size_t i = 0; member->enrolment && i < metadata->component_count; i++) {
        const struct metadata_component *component = &metadata->components[i];
        bool included =
            all || (set && component_set_find(set, component->logical_path, component->name));
        if (included && component->flags & VSS_CF_BACKUP_RECOVERY)
            return true;
    }
    return false;
}

static void describe_snapshots(struct session *session)
{
    struct components *components = session->components;
    uint32_t attributes = components->context;
    for (size_t i = 0; i < session->member_count; i++)
        if (!(attributes & VSS_VOLSNAP_ATTR_NO_AUTORECOVERY) &&
            wants_recovery(session, &session->members[i]))
            attributes |= VSS_VOLSNAP_ATTR_AUTORECOVER;
    components->snapshot_set = session->set.id;
    for (size_t i = 0; i < session->set.count; i++) {
        const struct stages_snapshot *made = &session->set.snapshots[i];
        struct component_snapshot snapshot = {.id = made->id,
                                              .original = memory_copy_string(made->volume),
                                              .provider = made->provider->description.id,
                                              .created = made->created,
                                              .attributes = attributes};
        ARRAY_APPEND(components->snapshots, components->snapshot_count, snapshot);
    }
}

vss_code session_do_snapshot_set(struct session *session, struct error *error)
{
    vss_code code = session_check(session, VERB_DO_SNAPSHOT_SET, error);
    if (code != VSS_S_OK)
        return code;
    for (size_t i = 0; i < ARRAY_SIZE(steps) && code == VSS_S_OK; i++)
        code = run_step(session, &steps[i], error);
    if (code == VSS_S_OK)
        describe_snapshots(session);
    else
        undo_set(session);
    session_release_set_lock(session);
    session_advance(session, code == VSS_S_OK ? VERB_DO_SNAPSHOT_SET : VERB_SNAPSHOT_SET_FAILED);
    return code;
}

/* ---- The copies ---------------------------------------------------------------------------- */

vss_code session_snapshot_properties(struct session *session, const struct id *snapshot,
                                     const struct component_snapshot **ret_properties,
                                     struct error *error)
{
    const struct components *components = session->components;
    for (size_t i = 0; i < components->snapshot_count; i++) {
        if (session->restore || !id_equal(&components->snapshots[i].id, snapshot))
            continue;
        *ret_properties = &components->snapshots[i];
        return VSS_S_OK;
    }
    return failure_set(error, VSS_E_OBJECT_NOT_FOUND, "there is no copy %s", snapshot->text);
}

vss_code session_open_snapshot(struct session *session, const struct id *snapshot,
                               struct provider_source *ret_source, struct error *error)
{
    vss_code code = session_check(session, VERB_OPEN_SNAPSHOT, error);
    if (code != VSS_S_OK)
        return code;
    for (size_t i = 0; i < session->set.count; i++)
        if (id_equal(&session->set.snapshots[i].id, snapshot))
            return stages_open(&session->set.snapshots[i], ret_source, error);
    return failure_set(error, VSS_E_OBJECT_NOT_FOUND, "there is no copy %s", snapshot->text);
}
