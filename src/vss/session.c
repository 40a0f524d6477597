/* Life, order of calls, broadcasts and status of a session. */
#include "vss/session-private.h"

#include "vss/components-private.h"
#include "vss/failure.h"

#include <assert.h>
#include <string.h>

struct session *session_new(struct coordinator *coordinator)
{
    struct session *session = NEW(struct session);
    session->coordinator = coordinator;
    session->dispatcher = coordinator_dispatcher(coordinator);
    session->id = id_new();
    session->phase = PHASE_NEW;
    session->components = components_new();
    session->set.dispatcher = session->dispatcher;
    session->set.session = session->id;
    return session;
}

static void clear_set(struct stages_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->snapshots[i].volume);
    free(set->snapshots);
}

/* BackupShutdown goes to the writers of the session, also where it ended before PrepareForBackup
 * told them of it. */
static void shut_down(struct session *session)
{
    bool set_started = !id_is_empty(&session->set.id);
    bool with_writers = !(session->components->context & VSS_VOLSNAP_ATTR_NO_WRITERS);
    if (set_started && with_writers)
        session_enrol(session);
    session_broadcast(session, VSS_EVENT_BACKUP_SHUTDOWN, NULL, 0);
}

void session_release(struct session *session)
{
    if (!session)
        return;
    if (!session->restore)
        shut_down(session);
    stages_delete(&session->set, session->components->context & VSS_VOLSNAP_ATTR_NO_AUTO_RELEASE);
    session_release_set_lock(session);
    for (size_t i = 0; i < session->member_count; i++) {
        metadata_free(session->members[i].metadata);
        enrolment_unref(session->members[i].enrolment);
    }
    free(session->members);
    clear_set(&session->set);
    components_free(session->components);
    free(session->statuses);
    free(session->failures);
    free(session);
}

/* ---- Order --------------------------------------------------------------------------------- */

static bool has_writers(const struct session *session)
{
    return !(session->components->context & VSS_VOLSNAP_ATTR_NO_WRITERS);
}

vss_code session_check(const struct session *session, enum session_verb verb, struct error *error)
{
    if (session_phase_after(session->phase, verb, session->restore || has_writers(session)) !=
        PHASE_NONE)
        return VSS_S_OK;
    return failure_set(error, VSS_E_BAD_STATE, "%s is out of order", session_verb_name(verb));
}

static void assert_phase(const struct session *session)
{
    enum session_phase phase = session->phase;
    assert(session->restore == (phase >= PHASE_RESTORE));
    assert((session->set_lock != NULL) == (phase == PHASE_SET || phase == PHASE_SET_PREPARED));
    (void)phase;
}

void session_advance(struct session *session, enum session_verb verb)
{
    session->phase =
        session_phase_after(session->phase, verb, session->restore || has_writers(session));
    assert(session->phase != PHASE_NONE);
    assert_phase(session);
}

void session_release_set_lock(struct session *session)
{
    set_lock_release(TAKE_PTR(session->set_lock));
}

/* ---- Broadcasts ---------------------------------------------------------------------------- */

/* The volumes of the set as events carry them; to be freed. */
static const char **volumes_of(const struct session *session)
{
    const char **volumes = NEW_ARRAY(const char *, session->set.count + 1);
    for (size_t i = 0; i < session->set.count; i++)
        volumes[i] = session->set.snapshots[i].volume;
    return volumes;
}

static struct writer_event event_template(const struct session *session, enum vss_event event)
{
    const struct components *components = session->components;
    return (struct writer_event){
        .event = event,
        .session = session->id,
        .snapshot_set = session->set.id,
        .backup_type = components->backup_type,
        .context = components->context,
        .components_selected = components->select_components,
        .bootable_system_state = components->bootable_system_state,
        .partial_file_support = components->partial_file_support,
    };
}

/* In a restore the document names the instance that wrote the backup: the class decides. */
static struct component_set *part_of(const struct session *session,
                                     const struct session_member *member)
{
    return session->restore
               ? components_find_set(session->components, dispatcher_writer_class(member->writer))
               : components_find_instance(session->components,
                                          dispatcher_writer_instance(member->writer));
}

void session_broadcast(struct session *session, enum vss_event event, session_filter *wanted,
                       int argument)
{
    CLEANUP_FREE struct delivery **deliveries = NEW_ARRAY(struct delivery *, session->member_count);
    CLEANUP_FREE const char **volumes = volumes_of(session);
    struct writer_event template = event_template(session, event);
    template.volumes = volumes;
    for (size_t i = 0; i < session->member_count; i++) {
        struct session_member *member = &session->members[i];
        if (!member->enrolment || (wanted && !wanted(member, argument)))
            continue;
        template.components = part_of(session, member);
        deliveries[i] = dispatcher_post(member->writer, member->enrolment, &template);
    }
    dispatcher_wait(session->dispatcher, deliveries, session->member_count);
    for (size_t i = 0; i < session->member_count; i++) {
        struct component_set *edited = deliveries[i] ? delivery_components(deliveries[i]) : NULL;
        if (edited)
            component_set_merge(part_of(session, &session->members[i]), edited);
        delivery_unref(deliveries[i]);
    }
}

vss_code session_gather_writer_metadata(struct session *session, struct error *error)
{
    vss_code code = session_check(session, VERB_GATHER_WRITER_METADATA, error);
    if (code != VSS_S_OK)
        return code;
    CLEANUP_FREE struct dispatcher_writer **writers = NULL;
    size_t count = dispatcher_writers(session->dispatcher, &writers);
    CLEANUP_FREE struct delivery **deliveries = NEW_ARRAY(struct delivery *, count);
    struct writer_event template = event_template(session, VSS_EVENT_IDENTIFY);
    for (size_t i = 0; i < count; i++)
        deliveries[i] = dispatcher_post(writers[i], NULL, &template);
    dispatcher_wait(session->dispatcher, deliveries, count);
    for (size_t i = 0; i < count; i++) {
        struct metadata *metadata = delivery_result(deliveries[i], NULL) == VSS_S_OK
                                        ? delivery_take_metadata(deliveries[i])
                                        : NULL;
        struct session_member member = {.writer = writers[i], .metadata = metadata};
        if (metadata)
            ARRAY_APPEND(session->members, session->member_count, member);
        delivery_unref(deliveries[i]);
    }
    session_advance(session, VERB_GATHER_WRITER_METADATA);
    return VSS_S_OK;
}

size_t session_writer_metadata_count(const struct session *session)
{
    return session->member_count;
}

const struct metadata *session_writer_metadata(const struct session *session, size_t index)
{
    return index < session->member_count ? session->members[index].metadata : NULL;
}

const struct components *session_components(const struct session *session)
{
    return session->components;
}

vss_code session_find_component(const struct session *session, const struct id *writer,
                                const char *logical_path, const char *name,
                                struct component **ret_component, struct error *error)
{
    const struct components *components = session->components;
    for (size_t i = 0; i < components->set_count; i++) {
        if (!id_equal(&components->sets[i].writer_id, writer))
            continue;
        struct component *component = component_set_find(&components->sets[i], logical_path, name);
        if (component) {
            *ret_component = component;
            return VSS_S_OK;
        }
    }
    return failure_set(error, VSS_E_OBJECT_NOT_FOUND, "component %s of writer %s is not selected",
                       name, writer->text);
}

/* ---- Enrolment ----------------------------------------------------------------------------- */

/* Does `path` name the volume, something below it, or something that the volume belongs to? */
static bool are_related(const char *volume, const char *path)
{
    size_t a = strlen(volume), b = strlen(path), common = a < b ? a : b;
    const char *longer = a < b ? path : volume;
    return common > 0 && strncmp(volume, path, common) == 0 &&
           (longer[common] == '\0' || longer[common] == '/');
}

/* Volumes are named "component/disk" or by the path where they are mounted. */
static bool has_data_on(const struct metadata *metadata, const char *volume)
{
    for (size_t i = 0; i < metadata->component_count; i++) {
        const struct metadata_component *component = &metadata->components[i];
        if (are_related(volume, component->name))
            return true;
        for (size_t j = 0; j < component->file_count; j++)
            if (are_related(volume, component->files[j].path))
                return true;
    }
    return false;
}

static bool takes_part(const struct session *session, const struct session_member *member)
{
    if (session->components->select_components)
        return part_of(session, member) != NULL;
    for (size_t i = 0; i < session->set.count; i++)
        if (has_data_on(member->metadata, session->set.snapshots[i].volume))
            return true;
    return false;
}

static bool has_selected(const struct component_set *set)
{
    for (size_t i = 0; set && i < set->count; i++)
        if (set->components[i].selected_for_restore)
            return true;
    return false;
}

static bool class_is_enrolled(const struct session *session, const struct id *class_id)
{
    for (size_t i = 0; i < session->member_count; i++)
        if (session->members[i].enrolment &&
            id_equal(dispatcher_writer_class(session->members[i].writer), class_id))
            return true;
    return false;
}

void session_enrol(struct session *session)
{
    for (size_t i = 0; i < session->member_count; i++) {
        struct session_member *member = &session->members[i];
        if (member->enrolment)
            continue;
        bool part = session->restore
                        ? has_selected(part_of(session, member)) &&
                              !class_is_enrolled(session, dispatcher_writer_class(member->writer))
                        : takes_part(session, member);
        if (part)
            member->enrolment = enrolment_begin(member->writer);
    }
}

/* ---- Status -------------------------------------------------------------------------------- */

enum vss_writer_state session_member_state(const struct session_member *member,
                                           struct error *ret_failure)
{
    struct coordinator_writer state;
    dispatcher_state(member->writer, member->enrolment, &state, ret_failure);
    return state.state;
}

vss_code session_gather_writer_status(struct session *session, struct error *error)
{
    vss_code code = session_check(session, VERB_GATHER_WRITER_STATUS, error);
    if (code != VSS_S_OK)
        return code;
    free(session->statuses);
    free(session->failures);
    session->status_count = session->member_count;
    session->statuses = NEW_ARRAY(struct session_writer_status, session->member_count);
    session->failures = NEW_ARRAY(struct error, session->member_count);
    for (size_t i = 0; i < session->member_count; i++) {
        struct coordinator_writer state;
        struct session_writer_status *status = &session->statuses[i];
        dispatcher_state(session->members[i].writer, session->members[i].enrolment, &state,
                         &session->failures[i]);
        status->class_id = state.class_id;
        status->instance_id = state.instance_id;
        memcpy(status->name, state.name, sizeof status->name);
        status->state = state.state;
        status->failure = state.failure;
        memcpy(status->message, state.message, sizeof status->message);
    }
    return VSS_S_OK;
}

size_t session_writer_status_count(const struct session *session)
{
    return session->status_count;
}

const struct session_writer_status *session_writer_status(const struct session *session,
                                                          size_t index)
{
    return index < session->status_count ? &session->statuses[index] : NULL;
}

int session_check_writers(const struct session *session, struct error *error)
{
    for (size_t i = 0; i < session->status_count; i++) {
        const struct session_writer_status *status = &session->statuses[i];
        if (status->failure == VSS_S_OK || !session->members[i].enrolment)
            continue;
        if (error && !error_is_set(error)) {
            *error = session->failures[i];
            (void)error_prefix(error, "%s (%s, %s): ", status->name,
                               vss_writer_state_name(status->state),
                               vss_code_name(status->failure));
        }
        return -1;
    }
    return 0;
}
