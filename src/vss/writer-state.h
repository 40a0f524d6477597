/* The state table of a writer within one session (vss.md 1.8). Private to vss/.
 *
 *                      PrepareForBackup ┐            ┌─────────────── BackupComplete ───────────┐
 *                                       ▼            ▼                                          │
 *      PreRestore, PostRestore ──► 1 STABLE ◄── Abort (from 1 to 5)                             │
 *                                    │                                                          │
 *                 PrepareForSnapshot ▼                                                          │
 *                           2 WAITING_FOR_FREEZE ─Freeze─► 3 WAITING_FOR_THAW ─Thaw─►           │
 *                           4 WAITING_FOR_POST_SNAPSHOT ─PostSnapshot─►                         │
 *                           5 WAITING_FOR_BACKUP_COMPLETE ──────────────────────────────────────┘
 *
 *   A failure at X, or its time limit: FAILED_AT_X. The freeze window passing in 3:
 *   FAILED_AT_FREEZE. A failed state stays; only Abort and BackupShutdown are delivered in it and
 *   change nothing. An Abort that does not end in its time limit: 0 UNKNOWN.
 *   BackupComplete is also accepted in 1: a backup that needs no snapshot has none.
 *   Identify belongs to no session and changes no state.
 */
#ifndef VSS_WRITER_STATE_H
#define VSS_WRITER_STATE_H

#include "vss/codes.h"

#include <stdbool.h>

/* May the event be delivered? */
bool writer_state_accepts(enum vss_writer_state state, enum vss_event event);
/* The state after a delivered event. */
enum vss_writer_state writer_state_after(enum vss_writer_state state, enum vss_event event,
                                         bool succeeded);
bool writer_state_is_failed(enum vss_writer_state state);

#endif
