/* The one way a file becomes visible: whole, durable, or not at all.
 *
 * publish_file() writes a temporary name in the target's directory, fsyncs it, renames it over the
 * final name and fsyncs the directory; only then does it return 0. A reader sees the old file or
 * the new one, never a part. After a failure or a crash it is one of the two, still whole (the new
 * one only when the rename was done and the last fsync was not); a temporary name
 * (".vmshadow-*.tmp") may be left and is swept by publish_sweep(). fsync is called in no other file
 * of the project but the journal's (append-only, see undo/journal.h); a check reads the sources.
 */
#ifndef BASE_PUBLISH_H
#define BASE_PUBLISH_H

#include "base/error.h"
#include "base/io.h"

#include <sys/uio.h>

enum publish_flags {
    /* ERROR_EXISTS when the name exists already. Atomic but on file systems without
     * RENAME_NOREPLACE (NFS), where it is looked at first. */
    PUBLISH_NEW_ONLY = 1 << 0,
    /* Mode 0644 instead of 0600: others are meant to read it. publish_file() only. */
    PUBLISH_READABLE = 1 << 1,
};

/* Publish `count` pieces as `name` (may hold slashes) below `directory`, mode 0600 (see flags). The
 * directory of `name` must exist. Blocks for the fsyncs. Any thread. */
int publish_file(struct io *io, int directory, const char *name, const struct iovec *pieces,
                 int count, enum publish_flags flags, struct error *error);

/* Remove `name` durably (unlink, fsync of its directory). A missing name is not an error. */
int publish_remove(struct io *io, int directory, const char *name, struct error *error);

/* Make a directory (mode 0700) durably; an existing one is not an error, and is durable, too. */
int publish_directory(struct io *io, int directory, const char *name, struct error *error);

/* Make a file that is written in place so far durable under another name: fsync(file), rename
 * `temporary` to `name`, fsync the directory. For disk images, which are too large to be pieces. */
int publish_rename(struct io *io, int directory, const char *temporary, const char *name,
                   enum publish_flags flags, struct error *error);

/* Write out what waits to be written to the file system of `directory`, so that what is written
 * there next does not wait behind it. Blocks for as long as that takes; a directory that cannot be
 * opened is left alone. */
void publish_settle(const char *directory);

/* Remove temporary names that no process is writing any more (their lock is free) below
 * `directory` itself, not deeper. */
int publish_sweep(struct io *io, int directory, struct error *error);

#endif
