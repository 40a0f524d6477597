/* The kernel's calls behind the seam's table, and the twin that fails on purpose. */
#include "base/io.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

static int real_open_at(struct io *io, int directory, const char *path, int flags, mode_t mode)
{
    (void)io;
    return openat(directory, path, flags | O_CLOEXEC, mode);
}

static ssize_t real_pread(struct io *io, int file, void *buffer, size_t size, off_t offset)
{
    (void)io;
    return pread(file, buffer, size, offset);
}

static ssize_t real_pwrite(struct io *io, int file, const void *buffer, size_t size, off_t offset)
{
    (void)io;
    return pwrite(file, buffer, size, offset);
}

static int real_fsync(struct io *io, int file)
{
    (void)io;
    return fsync(file);
}

static int real_close(struct io *io, int file)
{
    (void)io;
    return close(file);
}

static int real_rename_at(struct io *io, int from_directory, const char *from, int to_directory,
                          const char *to, unsigned flags)
{
    (void)io;
    return renameat2(from_directory, from, to_directory, to, flags);
}

static int real_unlink_at(struct io *io, int directory, const char *path, int flags)
{
    (void)io;
    return unlinkat(directory, path, flags);
}

static int real_mkdir_at(struct io *io, int directory, const char *path, mode_t mode)
{
    (void)io;
    return mkdirat(directory, path, mode);
}

static int real_stat_at(struct io *io, int directory, const char *path, struct stat *stat,
                        int flags)
{
    (void)io;
    return fstatat(directory, path, stat, flags);
}

static struct io real_table = {
    .open_at = real_open_at,
    .pread = real_pread,
    .pwrite = real_pwrite,
    .fsync = real_fsync,
    .close = real_close,
    .rename_at = real_rename_at,
    .unlink_at = real_unlink_at,
    .mkdir_at = real_mkdir_at,
    .stat_at = real_stat_at,
};

struct io *io_real(void)
{
    return &real_table;
}

struct fault_io {
    struct io io; /* first: the table is the object */
    struct io_fault plan;
    atomic_uint_fast64_t calls;
    atomic_bool fired;
};

static bool fault_hits(struct io *io)
{
    struct fault_io *fault = (struct fault_io *)io;
    uint64_t call = atomic_fetch_add(&fault->calls, 1) + 1;
    if (!fault->plan.fail_at)
        return false;
    bool hit = fault->plan.sticky ? call >= fault->plan.fail_at : call == fault->plan.fail_at;
    if (hit) {
        atomic_store(&fault->fired, true);
        errno = fault->plan.number;
    }
    return hit;
}

static bool counts_reads(struct io *io)
{
    return ((struct fault_io *)io)->plan.reads;
}

static int fault_open_at(struct io *io, int directory, const char *path, int flags, mode_t mode)
{
    if (((flags & O_CREAT) || counts_reads(io)) && fault_hits(io))
        return -1;
    return real_open_at(io, directory, path, flags, mode);
}

static ssize_t fault_pread(struct io *io, int file, void *buffer, size_t size, off_t offset)
{
    if (counts_reads(io) && fault_hits(io))
        return -1;
    return real_pread(io, file, buffer, size, offset);
}

static ssize_t fault_pwrite(struct io *io, int file, const void *buffer, size_t size, off_t offset)
{
    if (fault_hits(io)) {
        int number = errno;
        (void)!real_pwrite(io, file, buffer, size / 2, offset);
        errno = number;
        return -1;
    }
    return real_pwrite(io, file, buffer, size, offset);
}

static int fault_fsync(struct io *io, int file)
{
    return fault_hits(io) ? -1 : real_fsync(io, file);
}

static int fault_rename_at(struct io *io, int from_directory, const char *from, int to_directory,
                           const char *to, unsigned flags)
{
    return fault_hits(io) ? -1 : real_rename_at(io, from_directory, from, to_directory, to, flags);
}

static int fault_unlink_at(struct io *io, int directory, const char *path, int flags)
{
    return fault_hits(io) ? -1 : real_unlink_at(io, directory, path, flags);
}

static int fault_mkdir_at(struct io *io, int directory, const char *path, mode_t mode)
{
    return fault_hits(io) ? -1 : real_mkdir_at(io, directory, path, mode);
}

struct io *io_fault_new(struct io_fault plan)
{
    struct fault_io *fault = NEW(struct fault_io);
    fault->io = real_table;
    fault->io.open_at = fault_open_at;
    fault->io.pread = fault_pread;
    fault->io.pwrite = fault_pwrite;
    fault->io.fsync = fault_fsync;
    fault->io.rename_at = fault_rename_at;
    fault->io.unlink_at = fault_unlink_at;
    fault->io.mkdir_at = fault_mkdir_at;
    fault->plan = plan;
    return &fault->io;
}

uint64_t io_fault_calls(struct io *io)
{
    return atomic_load(&((struct fault_io *)io)->calls);
}

bool io_fault_fired(struct io *io)
{
    return atomic_load(&((struct fault_io *)io)->fired);
}

void io_fault_free(struct io *io)
{
    free(io);
}

int io_read_all(struct io *io, int file, void *buffer, size_t size, off_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = io->pread(io, file, (char *)buffer + done, size - done, offset + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = EIO;
        if (got <= 0)
            return -1;
        done += (size_t)got;
    }
    return 0;
}

int io_write_all(struct io *io, int file, const void *buffer, size_t size, off_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t put =
            io->pwrite(io, file, (const char *)buffer + done, size - done, offset + (off_t)done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        done += (size_t)put;
    }
    return 0;
}
