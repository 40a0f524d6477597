/* A backup's calls but the shadow copy set: components, preparation, completion, abort. */
#include "vss/session-private.h"

#include "vss/failure.h"

vss_code session_initialize_for_backup(struct session *session, struct error *error)
{
    vss_code code = session_check(session, VERB_INITIALIZE_FOR_BACKUP, error);
    if (code == VSS_S_OK)
        session_advance(session, VERB_INITIALIZE_FOR_BACKUP);
    return code;
}

static bool is_supported_context(uint32_t context)
{
    static const uint32_t contexts[] = {
        VSS_CTX_BACKUP,       VSS_CTX_FILE_SHARE_BACKUP, VSS_CTX_APP_ROLLBACK,
        VSS_CTX_NAS_ROLLBACK, VSS_CTX_CLIENT_ACCESSIBLE, VSS_CTX_CLIENT_ACCESSIBLE_WRITERS,
    };
    for (size_t i = 0; i < ARRAY_SIZE(contexts); i++)
        if ((context & ~(uint32_t)VSS_VOLSNAP_ATTR_NO_AUTORECOVERY) == contexts[i])
            return true;
    return false;
}

vss_code session_set_context(struct session *session, uint32_t context, struct error *error)
{
    vss_code code = session_check(session, VERB_SET_CONTEXT, error);
    if (code != VSS_S_OK)
        return code;
    if (!is_supported_context(context))
        return failure_set(error, VSS_E_UNSUPPORTED_CONTEXT, "context 0x%x is not supported",
                           (unsigned)context);
    session_advance(session, VERB_SET_CONTEXT);
    session->components->context = context;
    return VSS_S_OK;
}

vss_code session_set_backup_state(struct session *session, bool select_components,
                                  bool bootable_system_state, enum vss_backup_type type,
                                  bool partial_file_support, struct error *error)
{
    vss_code code = session_check(session, VERB_SET_BACKUP_STATE, error);
    if (code != VSS_S_OK)
        return code;
    if (type <= VSS_BT_UNDEFINED || type > VSS_BT_OTHER)
        return failure_set(error, E_INVALIDARG, "backup type %d is unknown", (int)type);
    session->components->select_components = select_components;
    session->components->bootable_system_state = bootable_system_state;
    session->components->backup_type = type;
    session->components->partial_file_support = partial_file_support;
    session_advance(session, VERB_SET_BACKUP_STATE);
    return VSS_S_OK;
}

static struct session_member *find_member(const struct session *session, const struct id *instance)
{
    for (size_t i = 0; i < session->member_count; i++)
        if (id_equal(dispatcher_writer_instance(session->members[i].writer), instance))
            return &session->members[i];
    return NULL;
}

static struct component_set *set_of(struct components *components, const struct metadata *metadata)
{
    struct component_set *set = NULL;
    for (size_t i = 0; i < components->set_count; i++)
        if (id_equal(&components->sets[i].instance_id, &metadata->instance_id))
            set = &components->sets[i];
    if (!set) {
        set = components_add_set(components, &metadata->writer_id, &metadata->instance_id);
        set->backup_schema = metadata->backup_schema;
    }
    return set;
}

vss_code session_add_component(struct session *session, const struct id *writer_instance,
                               enum vss_component_type type, const char *logical_path,
                               const char *name, struct error *error)
{
    vss_code code = session_check(session, VERB_ADD_COMPONENT, error);
    if (code != VSS_S_OK)
        return code;
    const struct session_member *member = find_member(session, writer_instance);
    if (!member)
        return failure_set(error, VSS_E_OBJECT_NOT_FOUND, "writer instance %s is not there",
                           writer_instance->text);
    const struct metadata_component *found =
        metadata_find_component(member->metadata, logical_path, name);
    if (!found || found->type != type)
        return failure_set(error, VSS_E_OBJECT_NOT_FOUND, "writer %s has no component %s",
                           member->metadata->name, name);
    struct component_set *set = set_of(session->components, member->metadata);
    if (!component_set_add(set, type, logical_path, name, error))
        return VSS_E_OBJECT_ALREADY_EXISTS;
    return VSS_S_OK;
}

vss_code session_set_backup_options(struct session *session, const struct id *writer,
                                    const char *logical_path, const char *name, const char *options,
                                    struct error *error)
{
    struct component *component;
    vss_code code = session_check(session, VERB_SET_BACKUP_OPTIONS, error);
    if (code == VSS_S_OK)
        code = session_find_component(session, writer, logical_path, name, &component, error);
    if (code == VSS_S_OK)
        memory_set_string(&component->backup_options, options);
    return code;
}

vss_code session_prepare_for_backup(struct session *session, struct error *error)
{
    vss_code code = session_check(session, VERB_PREPARE_FOR_BACKUP, error);
    if (code != VSS_S_OK)
        return code;
    if (session->components->backup_type == VSS_BT_UNDEFINED)
        return failure_set(error, VSS_E_BAD_STATE, "PrepareForBackup before SetBackupState");
    session_enrol(session);
    session_broadcast(session, VSS_EVENT_PREPARE_FOR_BACKUP, NULL, 0);
    session_advance(session, VERB_PREPARE_FOR_BACKUP);
    return VSS_S_OK;
}

vss_code session_abort_backup(struct session *session, struct error *error)
{
    vss_code code = session_check(session, VERB_ABORT_BACKUP, error);
    if (code != VSS_S_OK)
        return code;
    session_broadcast(session, VSS_EVENT_ABORT, NULL, 0);
    session_release_set_lock(session);
    session_advance(session, VERB_ABORT_BACKUP);
    return VSS_S_OK;
}

vss_code session_set_backup_succeeded(struct session *session, const struct id *writer,
                                      const char *logical_path, const char *name, bool succeeded,
                                      struct error *error)
{
    struct component *component;
    vss_code code = session_check(session, VERB_SET_BACKUP_SUCCEEDED, error);
    if (code == VSS_S_OK)
        code = session_find_component(session, writer, logical_path, name, &component, error);
    if (code == VSS_S_OK)
        component->backup_succeeded = succeeded;
    return code;
}

vss_code session_backup_complete(struct session *session, struct error *error)
{
    vss_code code = session_check(session, VERB_BACKUP_COMPLETE, error);
    if (code != VSS_S_OK)
        return code;
    session_broadcast(session, VSS_EVENT_BACKUP_COMPLETE, NULL, 0);
    session_advance(session, VERB_BACKUP_COMPLETE);
    return VSS_S_OK;
}
