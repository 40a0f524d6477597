/* A session: the requester's object, one per operation (IVssBackupComponents; vss.md 1.1, 2.1).
 *
 * Calls block until done. Order is checked (session-phase.h draws it): a wrong one returns
 * VSS_E_BAD_STATE and does nothing. A session is used by one thread.
 *
 *   backup                                 restore
 *   session_new                            session_new
 *   session_initialize_for_backup          session_initialize_for_restore
 *   [session_set_context]                  session_gather_writer_metadata
 *   session_set_backup_state               session_set_selected_for_restore*
 *   session_gather_writer_metadata         [session_add_new_target*]
 *   session_add_component*                 session_pre_restore
 *   session_start_snapshot_set             session_gather_writer_status
 *   session_add_to_snapshot_set*           (copy)
 *   session_prepare_for_backup             session_set_file_restore_status*
 *   session_gather_writer_status           session_post_restore
 *   session_do_snapshot_set                session_gather_writer_status
 *   session_gather_writer_status           session_release
 *   session_snapshot_properties*
 *   session_open_snapshot* (copy)
 *   session_set_backup_succeeded*
 *   session_backup_complete
 *   session_gather_writer_status
 *   session_release
 */
#ifndef VSS_SESSION_H
#define VSS_SESSION_H

#include "vss/coordinator.h"

struct session;

/* Each call returns VSS_S_OK or a VSS_E_* code and then fills `error` (number = the code). */
struct session *session_new(struct coordinator *coordinator);
vss_code session_initialize_for_backup(struct session *session, struct error *error);
/* Takes over `components` (as loaded from the saved document), also on failure. */
vss_code session_initialize_for_restore(struct session *session, struct components *components,
                                        struct error *error);
/* At most once, before anything else. Unknown combinations: VSS_E_UNSUPPORTED_CONTEXT. */
vss_code session_set_context(struct session *session, uint32_t context, struct error *error);
vss_code session_set_backup_state(struct session *session, bool select_components,
                                  bool bootable_system_state, enum vss_backup_type type,
                                  bool partial_file_support, struct error *error);

/* How many volumes a set may have: 64 as published, unless said otherwise before the first is
 * added. A set of VMs easily has more disks than a machine has volumes. */
void session_set_volume_limit(struct session *session, size_t limit);

/* Identify to all writers. A writer whose Identify fails is absent. */
vss_code session_gather_writer_metadata(struct session *session, struct error *error);
size_t session_writer_metadata_count(const struct session *session);
const struct metadata *session_writer_metadata(const struct session *session, size_t index);

/* Explicit component; must be in the gathered metadata (else VSS_E_OBJECT_NOT_FOUND), must not be
 * there yet (VSS_E_OBJECT_ALREADY_EXISTS), before PrepareForBackup. */
vss_code session_add_component(struct session *session, const struct id *writer_instance,
                               enum vss_component_type type, const char *logical_path,
                               const char *name, struct error *error);
vss_code session_set_backup_options(struct session *session, const struct id *writer,
                                    const char *logical_path, const char *name, const char *options,
                                    struct error *error);

/* VSS_E_SNAPSHOT_SET_IN_PROGRESS while another set is being made on this machine. */
vss_code session_start_snapshot_set(struct session *session, struct id *ret_set,
                                    struct error *error);
/* `provider` NULL = the first that supports it: hardware, then software, then system.
 * VSS_E_VOLUME_NOT_SUPPORTED / _BY_PROVIDER, VSS_E_OBJECT_ALREADY_EXISTS, VSS_E_OBJECT_NOT_FOUND
 * (no such volume), VSS_E_PROVIDER_NOT_REGISTERED, VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED (the
 * 65th). */
vss_code session_add_to_snapshot_set(struct session *session, const char *volume,
                                     const struct id *provider, struct id *ret_snapshot,
                                     struct error *error);
vss_code session_prepare_for_backup(struct session *session, struct error *error);
/* The whole of step 14: stages and events between them. Fails when a provider fails in any stage,
 * and when a writer fails in Freeze or does not stay frozen: then Abort has gone to all writers of
 * the session and AbortSnapshots to the providers, and no copy is left. A writer that failed in
 * PrepareForBackup, PrepareForSnapshot, Thaw or PostSnapshot does not fail the set: gather the
 * status. */
vss_code session_do_snapshot_set(struct session *session, struct error *error);
/* Only after PrepareForBackup; sends Abort to the session's writers. After it: release only. */
vss_code session_abort_backup(struct session *session, struct error *error);

struct session_writer_status {
    struct id class_id, instance_id;
    char name[128];
    enum vss_writer_state state;
    vss_code failure;
    char message[1024]; /* the writer's words */
};
vss_code session_gather_writer_status(struct session *session, struct error *error);
size_t session_writer_status_count(const struct session *session);
const struct session_writer_status *session_writer_status(const struct session *session,
                                                          size_t index);
/* The first failed writer of the last gather as an error (-1), or 0. */
int session_check_writers(const struct session *session, struct error *error);

/* VSS_E_OBJECT_NOT_FOUND while the copy is still being made. */
vss_code session_snapshot_properties(struct session *session, const struct id *snapshot,
                                     const struct component_snapshot **ret_properties,
                                     struct error *error);
vss_code session_open_snapshot(struct session *session, const struct id *snapshot,
                               struct provider_source *ret_source, struct error *error);
vss_code session_set_backup_succeeded(struct session *session, const struct id *writer,
                                      const char *logical_path, const char *name, bool succeeded,
                                      struct error *error);
/* Refused (VSS_E_BAD_STATE) when DoSnapshotSet failed or after AbortBackup. */
vss_code session_backup_complete(struct session *session, struct error *error);
/* The document's content as of now; owned by the session. */
const struct components *session_components(const struct session *session);

/* Restore. VSS_E_OBJECT_NOT_FOUND when the component is not in the document or its writer is not
 * there. */
vss_code session_set_selected_for_restore(struct session *session, const struct id *writer,
                                          const char *logical_path, const char *name,
                                          const char *restore_options, struct error *error);
/* PreRestore to the writers with a selected component (one instance of each class); returns when
 * all have answered. A writer that fails hears no PostRestore. */
vss_code session_pre_restore(struct session *session, struct error *error);
vss_code session_set_file_restore_status(struct session *session, const struct id *writer,
                                         const char *logical_path, const char *name,
                                         enum vss_file_restore_status status, struct error *error);
/* Before PreRestore. VSS_E_NOT_SUPPORTED unless the writer's backup schema says that it can. */
vss_code session_add_new_target(struct session *session, const struct id *writer,
                                const char *logical_path, const char *name, const char *path,
                                const char *filespec, bool recursive, const char *new_path,
                                struct error *error);
vss_code session_post_restore(struct session *session, struct error *error);

/* Ends the session in any state: BackupShutdown to its writers (backup sessions that had a
 * PrepareForBackup or StartSnapshotSet), snapshots that are not persistent are deleted, the
 * machine-wide lock is released. NULL allowed. */
void session_release(struct session *session);

#endif
