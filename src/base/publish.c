/* Temporary name, write, fsync, rename, fsync of the directory: in this order, in this file only.
 */
#include "base/publish.h"

#include "base/id.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#define TEMPORARY_PREFIX ".vmshadow-"
#define TEMPORARY_SUFFIX ".tmp"

/* The directory part of `name` ("." when there is none), to be freed. */
static char *directory_of(const char *name)
{
    const char *slash = strrchr(name, '/');
    if (!slash)
        return memory_copy_string(".");
    return slash == name ? memory_copy_string("/")
                         : memory_format("%.*s", (int)(slash - name), name);
}

static int sync_path(struct io *io, int directory, const char *path, int flags, struct error *error)
{
    int file = io->open_at(io, directory, path, flags, 0);
    if (file < 0)
        return error_errno(error, errno, "cannot open %s to sync it", path);
    int result = io->fsync(io, file);
    int number = errno;
    (void)io->close(io, file);
    return result == 0 ? 0 : error_errno(error, number, "cannot sync %s to disk", path);
}

static int sync_parent(struct io *io, int directory, const char *name, struct error *error)
{
    CLEANUP_FREE char *parent = directory_of(name);
    return sync_path(io, directory, parent, O_RDONLY | O_DIRECTORY, error);
}

static int write_pieces(struct io *io, int file, const struct iovec *pieces, int count)
{
    off_t offset = 0;
    for (int i = 0; i < count; i++) {
        if (io_write_all(io, file, pieces[i].iov_base, pieces[i].iov_len, offset) != 0)
            return -1;
        offset += (off_t)pieces[i].iov_len;
    }
    return io->fsync(io, file);
}

/* Where the file system has no RENAME_NOREPLACE (NFS says EINVAL), looking first is the best there
 * is: names that two writers could both choose are random ids but for one, which init makes. */
static int rename_new(struct io *io, int directory, const char *temporary, const char *name)
{
    struct stat stat;
    if (io->rename_at(io, directory, temporary, directory, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL)
        return -1;
    if (io->stat_at(io, directory, name, &stat, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return errno == ENOENT ? io->rename_at(io, directory, temporary, directory, name, 0) : -1;
}

static int rename_into_place(struct io *io, int directory, const char *temporary, const char *name,
                             enum publish_flags flags, struct error *error)
{
    int result = flags & PUBLISH_NEW_ONLY
                     ? rename_new(io, directory, temporary, name)
                     : io->rename_at(io, directory, temporary, directory, name, 0);
    if (result != 0)
        return error_errno(error, errno, "cannot give %s its name", name);
    return sync_parent(io, directory, name, error);
}

int publish_file(struct io *io, int directory, const char *name, const struct iovec *pieces,
                 int count, enum publish_flags flags, struct error *error)
{
    CLEANUP_FREE char *parent = directory_of(name);
    struct id id = id_new();
    CLEANUP_FREE char *temporary =
        memory_format("%s/" TEMPORARY_PREFIX "%s" TEMPORARY_SUFFIX, parent, id.text);
    int file = io->open_at(io, directory, temporary, O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (file < 0)
        return error_errno(error, errno, "cannot create a file in %s", parent);
    (void)flock(file, LOCK_EX | LOCK_NB); /* tells publish_sweep() that it is being written */
    if (flags & PUBLISH_READABLE)
        (void)fchmod(file, 0644);
    int result = write_pieces(io, file, pieces, count);
    if (result != 0)
        (void)error_errno(error, errno, "cannot write %s", name);
    else
        result = rename_into_place(io, directory, temporary, name, flags, error);
    (void)io->close(io, file);
    if (result != 0)
        (void)io->unlink_at(io, directory, temporary, 0);
    return result;
}

int publish_remove(struct io *io, int directory, const char *name, struct error *error)
{
    if (io->unlink_at(io, directory, name, 0) != 0) {
        if (errno == ENOENT)
            return 0;
        return error_errno(error, errno, "cannot remove %s", name);
    }
    return sync_parent(io, directory, name, error);
}

int publish_directory(struct io *io, int directory, const char *name, struct error *error)
{
    /* Another process may have made it a moment ago and not have synced it yet: sync in any case.
     */
    if (io->mkdir_at(io, directory, name, 0700) != 0 && errno != EEXIST)
        return error_errno(error, errno, "cannot make directory %s", name);
    return sync_parent(io, directory, name, error);
}

int publish_rename(struct io *io, int directory, const char *temporary, const char *name,
                   enum publish_flags flags, struct error *error)
{
    if (sync_path(io, directory, temporary, O_RDONLY, error) != 0)
        return -1;
    return rename_into_place(io, directory, temporary, name, flags, error);
}

static bool is_temporary(const char *name)
{
    size_t length = strlen(name), prefix = strlen(TEMPORARY_PREFIX),
           suffix = strlen(TEMPORARY_SUFFIX);
    return length > prefix + suffix && strncmp(name, TEMPORARY_PREFIX, prefix) == 0 &&
           strcmp(name + length - suffix, TEMPORARY_SUFFIX) == 0;
}

static void sweep_one(struct io *io, int directory, const char *name)
{
    /* O_NONBLOCK: a pipe of such a name is none of ours, and must not block. */
    int file = io->open_at(io, directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    struct stat status;
    if (file < 0)
        return;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && flock(file, LOCK_EX | LOCK_NB) == 0)
        (void)io->unlink_at(io, directory, name, 0);
    (void)io->close(io, file);
}

int publish_sweep(struct io *io, int directory, struct error *error)
{
    int copy = io->open_at(io, directory, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
    if (!stream) {
        int number = errno;
        if (copy >= 0)
            (void)io->close(io, copy);
        return error_errno(error, number, "cannot list a directory");
    }
    for (struct dirent *entry; (entry = readdir(stream));)
        if (is_temporary(entry->d_name))
            sweep_one(io, directory, entry->d_name);
    (void)closedir(stream);
    return 0;
}

void publish_settle(const char *directory)
{
    CLEANUP_CLOSE int file = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file >= 0)
        (void)syncfs(file);
}
