/* The writer contract: a struct of callbacks, one per event (vss.md 1.5).
 *
 * Each subscribed writer has one thread of its own; all its callbacks run there, one at a time, in
 * the order of the sequence. Writers at the same freeze level run at the same time; no order among
 * them. Only the dispatcher (vss/dispatcher.c) calls these pointers: it checks the state, arms the
 * time limit, records the event with its times, sets the writer's state and keeps the failure.
 *
 *   1 STABLE ─PrepareForSnapshot─► 2 WAITING_FOR_FREEZE ─Freeze─► 3 WAITING_FOR_THAW ─Thaw─►
 *   4 WAITING_FOR_POST_SNAPSHOT ─PostSnapshot─► 5 WAITING_FOR_BACKUP_COMPLETE ─BackupComplete─► 1
 *   A failure at X ─► FAILED_AT_X, which stays until the next sequence begins. Abort ─► 1.
 *
 * A callback returns VSS_S_OK or the code of its veto (VSS_E_WRITERERROR_*), with `error` saying in
 * words which VM and what to do; the words are stored and shown. A NULL callback = VSS_S_OK. A
 * filled error counts as a failure whatever is returned; a code that is no writer's code becomes
 * VSS_E_WRITERERROR_NONRETRYABLE (vss.md 1.6).
 *
 * After a failure a writer hears only Abort and BackupShutdown in that session (in a restore:
 * nothing). A callback that overruns its limit counts as failed with VSS_E_WRITER_NOT_RESPONDING,
 * in Freeze and Thaw beyond the freeze window with VSS_E_WRITERERROR_TIMEOUT; what it does and
 * returns later is ignored, and Abort comes when it has returned. When the freeze window passes
 * between Freeze and Thaw, or Thaw fails, Abort comes by itself.
 */
#ifndef VSS_WRITER_H
#define VSS_WRITER_H

#include "base/error.h"
#include "base/id.h"
#include "vss/codes.h"
#include "vss/components.h"
#include "vss/metadata.h"

/* What every event carries. Valid during the callback only. */
struct writer_event {
    enum vss_event event;
    struct id session;      /* one per requester object */
    struct id snapshot_set; /* empty before StartSnapshotSet */
    enum vss_backup_type backup_type;
    uint32_t context; /* VSS_CTX_* with VSS_VOLSNAP_ATTR_* */
    bool components_selected, bootable_system_state, partial_file_support;
    const char *const *volumes; /* of the set, NULL-terminated */
    struct component_set
        *components;  /* the writer's part; NULL in Identify and where it has none */
    int64_t deadline; /* monotonic ns; the time limit of this event */
};

/* Does a path or volume belong to the set? As IsPathAffected. */
bool writer_event_has_volume(const struct writer_event *event, const char *volume);

struct writer_callbacks {
    /* REQUIRED. Build the metadata. May come at any time, also in the middle of another session's
     * backup: it must change no state. Failure: the writer is absent from metadata and status. */
    vss_code (*identify)(void *writer, const struct writer_event *event, struct metadata *metadata,
                         struct error *error);
    /* Learn what is wanted; look up, open; nothing visible outside changes. May veto. */
    vss_code (*prepare_backup)(void *writer, const struct writer_event *event, struct error *error);
    /* The heavy work. May veto; a veto sends no Abort by itself: the requester does. On failure the
     * writer has undone what it did for all its components before it returns. */
    vss_code (*prepare_snapshot)(void *writer, const struct writer_event *event,
                                 struct error *error);
    /* Short. The last veto. Failure: Abort to all. */
    vss_code (*freeze)(void *writer, const struct writer_event *event, struct error *error);
    /* Normal work goes on. */
    vss_code (*thaw)(void *writer, const struct writer_event *event, struct error *error);
    /* The copy is writable now and never again: auto-recovery; last edits of the components. */
    vss_code (*post_snapshot)(void *writer, const struct writer_event *event, struct error *error);
    /* components is read-only. The only place to truncate logs. */
    vss_code (*backup_complete)(void *writer, const struct writer_event *event,
                                struct error *error);
    /* Every released session, also a failed one: release what the session held. */
    vss_code (*backup_shutdown)(void *writer, const struct writer_event *event,
                                struct error *error);
    /* Back to running, whatever the state; idempotent, several times, cannot fail. */
    void (*abort)(void *writer, const struct writer_event *event);
    /* Before the first file is restored: stop, remove or set aside what will be replaced. */
    vss_code (*pre_restore)(void *writer, const struct writer_event *event, struct error *error);
    /* After the last file: look at every component's file_restore_status, then register. */
    vss_code (*post_restore)(void *writer, const struct writer_event *event, struct error *error);
};

/* Time limits in ns, 0 = default. Defaults: freeze window (start of Freeze to end of Thaw) 60 s as
 * published; the others have no published number: Identify 2 min, PrepareForBackup and
 * PrepareForSnapshot and PostSnapshot and BackupComplete and Shutdown 15 min, PreRestore and
 * PostRestore 1 h. */
struct writer_limits {
    int64_t freeze_window;
    int64_t event[VSS_EVENT_COUNT_];
};

struct writer_description {
    struct id class_id;
    const char *name;
    enum vss_freeze_level level; /* VSS_APP_UNKNOWN = VSS_APP_FRONT_END, the default */
    struct writer_limits limits;
    const struct writer_callbacks *callbacks;
    void *writer; /* handed to each callback */
};

#endif
