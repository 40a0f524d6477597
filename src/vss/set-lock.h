/* The machine-wide lock from StartSnapshotSet to the end of DoSnapshotSet. Private to vss/. */
#ifndef VSS_SET_LOCK_H
#define VSS_SET_LOCK_H

#include "base/error.h"
#include "vss/codes.h"

struct set_lock;

/* Never waits. VSS_E_SNAPSHOT_SET_IN_PROGRESS when another session of this process or, with a path,
 * of this machine has it. The file is made (0600) and stays. The kernel drops the lock with the
 * process. */
vss_code set_lock_take(const char *path, struct set_lock **ret_lock, struct error *error);
void set_lock_release(struct set_lock *lock); /* NULL allowed */

#endif
