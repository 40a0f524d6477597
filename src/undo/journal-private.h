/* What the writer of journals and their reader share. */
#ifndef UNDO_JOURNAL_PRIVATE_H
#define UNDO_JOURNAL_PRIVATE_H

#include "undo/journal.h"

#define FORMAT_NAME "vmshadow journal"
enum { FORMAT_VERSION = 1, CHECKSUM_SIZE = 8 };

/* CRC-32 of zlib and IEEE 802.3, reflected; bit by bit, since lines are rare. */
uint32_t journal_checksum(const char *bytes, size_t size);
/* Does the name still lead to this file? */
bool journal_is_in_place(struct io *io, int file, const char *path);

#endif
