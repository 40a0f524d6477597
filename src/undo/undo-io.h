/* Undo with another I/O table and another patience: for tests. */
#ifndef UNDO_UNDO_IO_H
#define UNDO_UNDO_IO_H

#include "base/io.h"
#include "undo/undo.h"

/* undo_begin() with another I/O table for the journal and the locks (it must outlive the run), and
 * another time (ns; 0 = 12 stalls) after which the requester leaves persistent steps to the
 * watchdog. */
int undo_begin_on(struct io *io, int64_t patience, const struct undo_settings *settings,
                  const struct undo_table *table, struct undo **ret_undo, struct error *error);

#endif
