/* A restore's calls (vss.md 2.1). No event is sent while files are copied, and there is no Abort.
 */
#include "vss/session-private.h"

#include "vss/failure.h"

vss_code session_initialize_for_restore(struct session *session, struct components *components,
                                        struct error *error)
{
    vss_code code = session_check(session, VERB_INITIALIZE_FOR_RESTORE, error);
    if (code != VSS_S_OK) {
        components_free(components);
        return code;
    }
    components_free(session->components);
    session->components = components;
    session->restore = true;
    /* What an earlier restore wrote into the document does not count for this one. */
    for (size_t i = 0; i < components->set_count; i++)
        for (size_t j = 0; j < components->sets[i].count; j++) {
            struct component *component = &components->sets[i].components[j];
            component->selected_for_restore = false;
            component->file_restore_status = VSS_RS_UNDEFINED;
        }
    session_advance(session, VERB_INITIALIZE_FOR_RESTORE);
    return VSS_S_OK;
}

static bool is_running(const struct session *session, const struct id *writer)
{
    for (size_t i = 0; i < session->member_count; i++)
        if (id_equal(dispatcher_writer_class(session->members[i].writer), writer))
            return true;
    return false;
}

vss_code session_set_selected_for_restore(struct session *session, const struct id *writer,
                                          const char *logical_path, const char *name,
                                          const char *restore_options, struct error *error)
{
    struct component *component;
    vss_code code = session_check(session, VERB_SET_SELECTED_FOR_RESTORE, error);
    if (code != VSS_S_OK)
        return code;
    if (!is_running(session, writer))
        return failure_set(error, VSS_E_OBJECT_NOT_FOUND,
                           "the writer %s of component %s is not there", writer->text, name);
    code = session_find_component(session, writer, logical_path, name, &component, error);
    if (code != VSS_S_OK)
        return code;
    component->selected_for_restore = true;
    memory_set_string(&component->restore_options, restore_options);
    return VSS_S_OK;
}

vss_code session_add_new_target(struct session *session, const struct id *writer,
                                const char *logical_path, const char *name, const char *path,
                                const char *filespec, bool recursive, const char *new_path,
                                struct error *error)
{
    struct component *component;
    vss_code code = session_check(session, VERB_ADD_NEW_TARGET, error);
    if (code == VSS_S_OK)
        code = session_find_component(session, writer, logical_path, name, &component, error);
    if (code != VSS_S_OK)
        return code;
    if (!(components_find_set(session->components, writer)->backup_schema &
          VSS_BS_WRITER_SUPPORTS_NEW_TARGET))
        return failure_set(error, VSS_E_NOT_SUPPORTED,
                           "the writer of component %s cannot restore it to a new place", name);
    __typeof__(*component->new_targets) target = {.path = memory_copy_string(path),
                                                  .filespec = memory_copy_string(filespec),
                                                  .new_path = memory_copy_string(new_path),
                                                  .recursive = recursive};
    ARRAY_APPEND(component->new_targets, component->new_target_count, target);
    return VSS_S_OK;
}

vss_code session_pre_restore(struct session *session, struct error *error)
{
    vss_code code = session_check(session, VERB_PRE_RESTORE, error);
    if (code != VSS_S_OK)
        return code;
    session_enrol(session);
    session_broadcast(session, VSS_EVENT_PRE_RESTORE, NULL, 0);
    session_advance(session, VERB_PRE_RESTORE);
    return VSS_S_OK;
}

vss_code session_set_file_restore_status(struct session *session, const struct id *writer,
                                         const char *logical_path, const char *name,
                                         enum vss_file_restore_status status, struct error *error)
{
    struct component *component;
    vss_code code = session_check(session, VERB_SET_FILE_RESTORE_STATUS, error);
    if (code == VSS_S_OK)
        code = session_find_component(session, writer, logical_path, name, &component, error);
    if (code == VSS_S_OK)
        component->file_restore_status = status;
    return code;
}

vss_code session_post_restore(struct session *session, struct error *error)
{
    vss_code code = session_check(session, VERB_POST_RESTORE, error);
    if (code != VSS_S_OK)
        return code;
    session_broadcast(session, VSS_EVENT_POST_RESTORE, NULL, 0);
    session_advance(session, VERB_POST_RESTORE);
    return VSS_S_OK;
}
