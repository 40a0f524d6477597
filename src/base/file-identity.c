/* statx(2) is the one call that tells the time of birth. */
#include "base/file-identity.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static int64_t nanoseconds(const struct statx_timestamp *time)
{
    return time->tv_sec * INT64_C(1000000000) + time->tv_nsec;
}

int file_identity_get(const char *path, struct file_identity *ret_identity, struct error *error)
{
    struct statx facts;
    *ret_identity = (struct file_identity){.exists = false};
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &facts) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : error_errno(error, errno, "cannot examine %s", path);
    *ret_identity = (struct file_identity){
        .exists = true,
        .device = makedev(facts.stx_dev_major, facts.stx_dev_minor),
        .inode = facts.stx_ino,
        .born = facts.stx_mask & STATX_BTIME ? nanoseconds(&facts.stx_btime) : 0,
        .size = (int64_t)facts.stx_size,
        .written = nanoseconds(&facts.stx_mtime),
    };
    return 0;
}

bool file_identity_is_same(const struct file_identity *one, const struct file_identity *other)
{
    return one->exists == other->exists && one->device == other->device &&
           one->inode == other->inode && one->born == other->born;
}

bool file_identity_is_unchanged(const struct file_identity *one, const struct file_identity *other)
{
    return file_identity_is_same(one, other) && one->size == other->size &&
           one->written == other->written;
}
