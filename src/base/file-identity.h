/* Which file is at a path.
 *
 * A plan says what it found, and whoever acts on the plan later has to find the same: a path is no
 * identity, since files are replaced under it, and an inode alone is none either, since a file
 * system gives the number of a removed file to the next one. The time of birth tells those two
 * apart. A rename keeps all of it.
 */
#ifndef BASE_FILE_IDENTITY_H
#define BASE_FILE_IDENTITY_H

#include "base/error.h"

#include <stdint.h>

struct file_identity {
    bool exists; /* false: all else is 0 */
    uint64_t device, inode;
    int64_t born;    /* ns of the epoch; 0 = the file system does not tell */
    int64_t size;    /* bytes */
    int64_t written; /* time of the last write of content, ns of the epoch */
};

/* What is at `path`; a symbolic link is not followed. Nothing there is an answer, not an error. -1
 * with ERROR_FAILED when it cannot be examined (a directory that may not be searched). */
int file_identity_get(const char *path, struct file_identity *ret_identity, struct error *error);

/* One file, whatever was written to it; or nothing in both. */
bool file_identity_is_same(const struct file_identity *one, const struct file_identity *other);

/* One file with the content it had: of the same size and not written to. */
bool file_identity_is_unchanged(const struct file_identity *one, const struct file_identity *other);

#endif
