/* The order of a session's calls as a table (vss.md 1.1, 2.1). Private to vss/.
 *
 *   NEW ─initialize_for_backup─► BACKUP ─set_context─► CONTEXT ─set_backup_state─► STATE
 *    │                             │                      │                          │
 *    │                             └──────── gather_writer_metadata ─────────────────┴─► GATHERED
 *    │                                                                                    │
 *    │          GATHERED ─start_snapshot_set─► SET ─prepare_for_backup─► SET_PREPARED     │
 *    │          SET_PREPARED ─do_snapshot_set─► CREATED, or FAILED                        │
 *    │          GATHERED ─prepare_for_backup─► PREPARED (a backup that needs no snapshot)◄┘
 *    │          PREPARED, CREATED ─backup_complete─► COMPLETE
 *    │          PREPARED, SET_PREPARED, CREATED, FAILED ─abort_backup─► ABORTED
 *    │   with a context without writers:
 *    │          BACKUP.. ─start_snapshot_set─► SET ─do_snapshot_set─► CREATED, or FAILED
 *    │
 *    └─initialize_for_restore─► RESTORE ─gather─► RESTORE_GATHERED ─pre_restore─► PRE_RESTORED
 *                               PRE_RESTORED ─post_restore─► POST_RESTORED
 *
 * A call that the table does not have for a phase is refused with VSS_E_BAD_STATE and does nothing.
 */
#ifndef VSS_SESSION_PHASE_H
#define VSS_SESSION_PHASE_H

#include <stdbool.h>

enum session_phase {
    PHASE_NONE, /* not allowed */
    PHASE_NEW,
    PHASE_BACKUP,
    PHASE_CONTEXT,
    PHASE_STATE,
    PHASE_GATHERED,
    PHASE_SET,
    PHASE_PREPARED,
    PHASE_SET_PREPARED,
    PHASE_CREATED,
    PHASE_FAILED,
    PHASE_COMPLETE,
    PHASE_ABORTED,
    PHASE_RESTORE,
    PHASE_RESTORE_GATHERED,
    PHASE_PRE_RESTORED,
    PHASE_POST_RESTORED,
    PHASE_COUNT_,
};

enum session_verb {
    VERB_INITIALIZE_FOR_BACKUP,
    VERB_INITIALIZE_FOR_RESTORE,
    VERB_SET_CONTEXT,
    VERB_SET_BACKUP_STATE,
    VERB_GATHER_WRITER_METADATA,
    VERB_ADD_COMPONENT,
    VERB_SET_BACKUP_OPTIONS,
    VERB_START_SNAPSHOT_SET,
    VERB_ADD_TO_SNAPSHOT_SET,
    VERB_PREPARE_FOR_BACKUP,
    VERB_DO_SNAPSHOT_SET,
    VERB_SNAPSHOT_SET_FAILED, /* DoSnapshotSet came back with a failure */
    VERB_ABORT_BACKUP,
    VERB_GATHER_WRITER_STATUS,
    VERB_OPEN_SNAPSHOT,
    VERB_SET_BACKUP_SUCCEEDED,
    VERB_BACKUP_COMPLETE,
    VERB_SET_SELECTED_FOR_RESTORE,
    VERB_ADD_NEW_TARGET,
    VERB_PRE_RESTORE,
    VERB_SET_FILE_RESTORE_STATUS,
    VERB_POST_RESTORE,
    VERB_COUNT_,
};

/* The phase after the call; PHASE_NONE when it is not allowed. */
enum session_phase session_phase_after(enum session_phase phase, enum session_verb verb,
                                       bool with_writers);
/* "DoSnapshotSet" */
const char *session_verb_name(enum session_verb verb);

#endif
