/* Undo with another I/O table: for tests that let the journal's I/O fail. */
#ifndef UNDO_UNDO_IO_H
#define UNDO_UNDO_IO_H

#include "base/io.h"
#include "undo/undo.h"

/* undo_begin() with another I/O table for the journal and the locks; it must outlive the run. */
int undo_begin_on(struct io *io, const struct undo_settings *settings,
                  const struct undo_table *table, struct undo **ret_undo, struct error *error);

#endif
