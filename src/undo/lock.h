/* Lock: one run per VM at a time, by flock(2) on a file that names the holder.
 *
 * The lock belongs to the open file description: passed to the watchdog it is held until both
 * processes have closed it. Never unlocked explicitly, never removed (docs/format/journal.md).
 */
#ifndef UNDO_LOCK_H
#define UNDO_LOCK_H

#include "base/io.h"
#include "undo/journal.h"

/* Take the lock of a VM for the run of `holder`. ERROR_BUSY (number EAGAIN) names the run that has
 * it, ERROR_USAGE: not a UUID. `name` is what people call the VM. The descriptor is close-on-exec.
 */
int lock_take(struct io *io, const char *directory, const char *uuid, const char *name,
              const struct journal_header *holder, int *ret_file, struct error *error);

#endif
