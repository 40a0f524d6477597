/* Names of the published numbers. Tables only: what a number means is said in codes.h. */
#include "vss/codes.h"

#include "base/memory.h"

#include <stddef.h>
#include <stdio.h>

#define NAMED(code)                                                                                \
    {                                                                                              \
        code, #code                                                                                \
    }

static const struct {
    vss_code code;
    const char *name;
} names[] = {
    NAMED(VSS_S_OK),
    NAMED(VSS_E_BAD_STATE),
    NAMED(VSS_E_UNEXPECTED),
    NAMED(VSS_E_PROVIDER_ALREADY_REGISTERED),
    NAMED(VSS_E_PROVIDER_NOT_REGISTERED),
    NAMED(VSS_E_PROVIDER_VETO),
    NAMED(VSS_E_OBJECT_NOT_FOUND),
    NAMED(VSS_E_VOLUME_NOT_SUPPORTED),
    NAMED(VSS_E_OBJECT_ALREADY_EXISTS),
    NAMED(VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER),
    NAMED(VSS_E_UNEXPECTED_PROVIDER_ERROR),
    NAMED(VSS_E_CORRUPT_XML_DOCUMENT),
    NAMED(VSS_E_INVALID_XML_DOCUMENT),
    NAMED(VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED),
    NAMED(VSS_E_FLUSH_WRITES_TIMEOUT),
    NAMED(VSS_E_HOLD_WRITES_TIMEOUT),
    NAMED(VSS_E_UNEXPECTED_WRITER_ERROR),
    NAMED(VSS_E_SNAPSHOT_SET_IN_PROGRESS),
    NAMED(VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED),
    NAMED(VSS_E_WRITER_NOT_RESPONDING),
    NAMED(VSS_E_UNSUPPORTED_CONTEXT),
    NAMED(VSS_E_INSUFFICIENT_STORAGE),
    NAMED(VSS_E_NOT_SUPPORTED),
    NAMED(VSS_E_WRITERERROR_PARTIAL_FAILURE),
    NAMED(VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT),
    NAMED(VSS_E_WRITERERROR_OUTOFRESOURCES),
    NAMED(VSS_E_WRITERERROR_TIMEOUT),
    NAMED(VSS_E_WRITERERROR_RETRYABLE),
    NAMED(VSS_E_WRITERERROR_NONRETRYABLE),
    NAMED(VSS_E_WRITERERROR_RECOVERY_FAILED),
    NAMED(VSS_E_WRITERERROR_AUTORECOVERY_FAILED),
    NAMED(VSS_E_WRITERERROR_DYNAMIC_DISK),
    NAMED(VSS_E_WRITER_STATUS_NOT_AVAILABLE),
    NAMED(E_OUTOFMEMORY),
    NAMED(E_INVALIDARG),
    NAMED(E_ACCESSDENIED),
};

const char *vss_code_name(vss_code code)
{
    static _Thread_local char number[sizeof "0x80042301"];
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].code == code)
            return names[i].name;
    (void)snprintf(number, sizeof number, "0x%08x", (unsigned)code);
    return number;
}

static const struct {
    const char *name, *word;
} writer_states[VSS_WS_COUNT] = {
    [VSS_WS_UNKNOWN] = {"VSS_WS_UNKNOWN", "Unknown"},
    [VSS_WS_STABLE] = {"VSS_WS_STABLE", "Stable"},
    [VSS_WS_WAITING_FOR_FREEZE] = {"VSS_WS_WAITING_FOR_FREEZE", "Waiting for freeze"},
    [VSS_WS_WAITING_FOR_THAW] = {"VSS_WS_WAITING_FOR_THAW", "Frozen"},
    [VSS_WS_WAITING_FOR_POST_SNAPSHOT] = {"VSS_WS_WAITING_FOR_POST_SNAPSHOT",
                                          "Waiting for completion"},
    [VSS_WS_WAITING_FOR_BACKUP_COMPLETE] = {"VSS_WS_WAITING_FOR_BACKUP_COMPLETE",
                                            "Waiting for completion"},
    [VSS_WS_FAILED_AT_IDENTIFY] = {"VSS_WS_FAILED_AT_IDENTIFY", "Failed"},
    [VSS_WS_FAILED_AT_PREPARE_BACKUP] = {"VSS_WS_FAILED_AT_PREPARE_BACKUP", "Failed"},
    [VSS_WS_FAILED_AT_PREPARE_SNAPSHOT] = {"VSS_WS_FAILED_AT_PREPARE_SNAPSHOT", "Failed"},
    [VSS_WS_FAILED_AT_FREEZE] = {"VSS_WS_FAILED_AT_FREEZE", "Failed"},
    [VSS_WS_FAILED_AT_THAW] = {"VSS_WS_FAILED_AT_THAW", "Failed"},
    [VSS_WS_FAILED_AT_POST_SNAPSHOT] = {"VSS_WS_FAILED_AT_POST_SNAPSHOT", "Failed"},
    [VSS_WS_FAILED_AT_BACKUP_COMPLETE] = {"VSS_WS_FAILED_AT_BACKUP_COMPLETE", "Failed"},
    [VSS_WS_FAILED_AT_PRE_RESTORE] = {"VSS_WS_FAILED_AT_PRE_RESTORE", "Failed"},
    [VSS_WS_FAILED_AT_POST_RESTORE] = {"VSS_WS_FAILED_AT_POST_RESTORE", "Failed"},
    [VSS_WS_FAILED_AT_BACKUPSHUTDOWN] = {"VSS_WS_FAILED_AT_BACKUPSHUTDOWN", "Failed"},
};

const char *vss_writer_state_name(enum vss_writer_state state)
{
    return writer_states[(unsigned)state < VSS_WS_COUNT ? state : VSS_WS_UNKNOWN].name;
}

const char *vss_writer_state_word(enum vss_writer_state state)
{
    return writer_states[(unsigned)state < VSS_WS_COUNT ? state : VSS_WS_UNKNOWN].word;
}

const char *vss_event_name(enum vss_event event)
{
    static const char *const event_names[VSS_EVENT_COUNT_] = {
        [VSS_EVENT_IDENTIFY] = "Identify",
        [VSS_EVENT_PREPARE_FOR_BACKUP] = "PrepareForBackup",
        [VSS_EVENT_PREPARE_FOR_SNAPSHOT] = "PrepareForSnapshot",
        [VSS_EVENT_FREEZE] = "Freeze",
        [VSS_EVENT_THAW] = "Thaw",
        [VSS_EVENT_POST_SNAPSHOT] = "PostSnapshot",
        [VSS_EVENT_BACKUP_COMPLETE] = "BackupComplete",
        [VSS_EVENT_BACKUP_SHUTDOWN] = "BackupShutdown",
        [VSS_EVENT_ABORT] = "Abort",
        [VSS_EVENT_PRE_RESTORE] = "PreRestore",
        [VSS_EVENT_POST_RESTORE] = "PostRestore",
    };
    return (unsigned)event < VSS_EVENT_COUNT_ ? event_names[event] : "?";
}

const char *vss_stage_name(enum vss_stage stage)
{
    static const char *const stage_names[VSS_STAGE_COUNT_] = {
        [VSS_STAGE_BEGIN_PREPARE_SNAPSHOT] = "BeginPrepareSnapshot",
        [VSS_STAGE_END_PREPARE_SNAPSHOTS] = "EndPrepareSnapshots",
        [VSS_STAGE_PRE_COMMIT_SNAPSHOTS] = "PreCommitSnapshots",
        [VSS_STAGE_COMMIT_SNAPSHOTS] = "CommitSnapshots",
        [VSS_STAGE_POST_COMMIT_SNAPSHOTS] = "PostCommitSnapshots",
        [VSS_STAGE_PRE_FINAL_COMMIT_SNAPSHOTS] = "PreFinalCommitSnapshots",
        [VSS_STAGE_POST_FINAL_COMMIT_SNAPSHOTS] = "PostFinalCommitSnapshots",
        [VSS_STAGE_ABORT_SNAPSHOTS] = "AbortSnapshots",
        [VSS_STAGE_DELETE_SNAPSHOTS] = "DeleteSnapshots",
    };
    return (unsigned)stage < VSS_STAGE_COUNT_ ? stage_names[stage] : "?";
}
