/* The diagram of the header as two tables. */
#include "vss/session-phase.h"

static const unsigned char after[VERB_COUNT_][PHASE_COUNT_] = {
    [VERB_INITIALIZE_FOR_BACKUP] = {[PHASE_NEW] = PHASE_BACKUP},
    [VERB_INITIALIZE_FOR_RESTORE] = {[PHASE_NEW] = PHASE_RESTORE},
    [VERB_SET_CONTEXT] = {[PHASE_BACKUP] = PHASE_CONTEXT},
    [VERB_SET_BACKUP_STATE] = {[PHASE_BACKUP] = PHASE_STATE,
                               [PHASE_CONTEXT] = PHASE_STATE,
                               [PHASE_STATE] = PHASE_STATE,
                               [PHASE_GATHERED] = PHASE_GATHERED},
    [VERB_GATHER_WRITER_METADATA] = {[PHASE_BACKUP] = PHASE_GATHERED,
                                     [PHASE_CONTEXT] = PHASE_GATHERED,
                                     [PHASE_STATE] = PHASE_GATHERED,
                                     [PHASE_RESTORE] = PHASE_RESTORE_GATHERED},
    [VERB_ADD_COMPONENT] = {[PHASE_GATHERED] = PHASE_GATHERED},
    [VERB_SET_BACKUP_OPTIONS] = {[PHASE_GATHERED] = PHASE_GATHERED, [PHASE_SET] = PHASE_SET},
    [VERB_START_SNAPSHOT_SET] = {[PHASE_GATHERED] = PHASE_SET},
    [VERB_ADD_TO_SNAPSHOT_SET] = {[PHASE_SET] = PHASE_SET},
    [VERB_PREPARE_FOR_BACKUP] =
        {[PHASE_GATHERED] = PHASE_PREPARED, [PHASE_SET] = PHASE_SET_PREPARED},
    [VERB_DO_SNAPSHOT_SET] = {[PHASE_SET_PREPARED] = PHASE_CREATED},
    [VERB_SNAPSHOT_SET_FAILED] = {[PHASE_SET_PREPARED] = PHASE_FAILED},
    [VERB_ABORT_BACKUP] = {[PHASE_PREPARED] = PHASE_ABORTED,
                           [PHASE_SET_PREPARED] = PHASE_ABORTED,
                           [PHASE_CREATED] = PHASE_ABORTED,
                           [PHASE_FAILED] = PHASE_ABORTED},
    [VERB_GATHER_WRITER_STATUS] = {[PHASE_GATHERED] = PHASE_GATHERED,
                                   [PHASE_SET] = PHASE_SET,
                                   [PHASE_PREPARED] = PHASE_PREPARED,
                                   [PHASE_SET_PREPARED] = PHASE_SET_PREPARED,
                                   [PHASE_CREATED] = PHASE_CREATED,
                                   [PHASE_FAILED] = PHASE_FAILED,
                                   [PHASE_COMPLETE] = PHASE_COMPLETE,
                                   [PHASE_ABORTED] = PHASE_ABORTED,
                                   [PHASE_RESTORE_GATHERED] = PHASE_RESTORE_GATHERED,
                                   [PHASE_PRE_RESTORED] = PHASE_PRE_RESTORED,
                                   [PHASE_POST_RESTORED] = PHASE_POST_RESTORED},
    [VERB_OPEN_SNAPSHOT] = {[PHASE_CREATED] = PHASE_CREATED, [PHASE_COMPLETE] = PHASE_COMPLETE},
    [VERB_SET_BACKUP_SUCCEEDED] =
        {[PHASE_PREPARED] = PHASE_PREPARED, [PHASE_CREATED] = PHASE_CREATED},
    [VERB_BACKUP_COMPLETE] = {[PHASE_PREPARED] = PHASE_COMPLETE, [PHASE_CREATED] = PHASE_COMPLETE},
    [VERB_SET_SELECTED_FOR_RESTORE] = {[PHASE_RESTORE_GATHERED] = PHASE_RESTORE_GATHERED},
    [VERB_ADD_NEW_TARGET] = {[PHASE_RESTORE_GATHERED] = PHASE_RESTORE_GATHERED},
    [VERB_PRE_RESTORE] = {[PHASE_RESTORE_GATHERED] = PHASE_PRE_RESTORED},
    [VERB_SET_FILE_RESTORE_STATUS] = {[PHASE_PRE_RESTORED] = PHASE_PRE_RESTORED},
    [VERB_POST_RESTORE] = {[PHASE_PRE_RESTORED] = PHASE_POST_RESTORED},
};

/* A context without writers has no metadata, components, preparation or completion. */
static const unsigned char after_without_writers[VERB_COUNT_][PHASE_COUNT_] = {
    [VERB_SET_BACKUP_STATE] = {[PHASE_CONTEXT] = PHASE_STATE, [PHASE_STATE] = PHASE_STATE},
    [VERB_START_SNAPSHOT_SET] = {[PHASE_CONTEXT] = PHASE_SET, [PHASE_STATE] = PHASE_SET},
    [VERB_ADD_TO_SNAPSHOT_SET] = {[PHASE_SET] = PHASE_SET},
    [VERB_DO_SNAPSHOT_SET] = {[PHASE_SET] = PHASE_CREATED},
    [VERB_SNAPSHOT_SET_FAILED] = {[PHASE_SET] = PHASE_FAILED},
    [VERB_OPEN_SNAPSHOT] = {[PHASE_CREATED] = PHASE_CREATED},
};

enum session_phase session_phase_after(enum session_phase phase, enum session_verb verb,
                                       bool with_writers)
{
    return (enum session_phase)(with_writers ? after : after_without_writers)[verb][phase];
}

const char *session_verb_name(enum session_verb verb)
{
    static const char *const names[VERB_COUNT_] = {
        [VERB_INITIALIZE_FOR_BACKUP] = "InitializeForBackup",
        [VERB_INITIALIZE_FOR_RESTORE] = "InitializeForRestore",
        [VERB_SET_CONTEXT] = "SetContext",
        [VERB_SET_BACKUP_STATE] = "SetBackupState",
        [VERB_GATHER_WRITER_METADATA] = "GatherWriterMetadata",
        [VERB_ADD_COMPONENT] = "AddComponent",
        [VERB_SET_BACKUP_OPTIONS] = "SetBackupOptions",
        [VERB_START_SNAPSHOT_SET] = "StartSnapshotSet",
        [VERB_ADD_TO_SNAPSHOT_SET] = "AddToSnapshotSet",
        [VERB_PREPARE_FOR_BACKUP] = "PrepareForBackup",
        [VERB_DO_SNAPSHOT_SET] = "DoSnapshotSet",
        [VERB_SNAPSHOT_SET_FAILED] = "DoSnapshotSet",
        [VERB_ABORT_BACKUP] = "AbortBackup",
        [VERB_GATHER_WRITER_STATUS] = "GatherWriterStatus",
        [VERB_OPEN_SNAPSHOT] = "opening a copy",
        [VERB_SET_BACKUP_SUCCEEDED] = "SetBackupSucceeded",
        [VERB_BACKUP_COMPLETE] = "BackupComplete",
        [VERB_SET_SELECTED_FOR_RESTORE] = "SetSelectedForRestore",
        [VERB_ADD_NEW_TARGET] = "AddNewTarget",
        [VERB_PRE_RESTORE] = "PreRestore",
        [VERB_SET_FILE_RESTORE_STATUS] = "SetFileRestoreStatus",
        [VERB_POST_RESTORE] = "PostRestore",
    };
    return names[verb];
}
