/* The I/O seam: every file operation whose durability or failure matters goes through it.
 *
 * `struct io` is a table of the system calls that the repository and the journal need, each with
 * the semantics of its namesake in POSIX (return -1 and set errno). io_real() is the kernel.
 * io_fault_new() counts the calls that change something and lets the n-th one fail, once or from
 * then on, so that a test can loop over n until a run passes without a fault and so visit every
 * error path (method: SQLite's do_ioerr_test). Nothing else in the repository and undo rooms calls
 * open, write, fsync, rename or unlink (a check in the test suite reads the sources).
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct io {
    /* openat(2); O_CLOEXEC is added. */
    int (*open_at)(struct io *io, int directory, const char *path, int flags, mode_t mode);
    ssize_t (*pread)(struct io *io, int file, void *buffer, size_t size, off_t offset);
    ssize_t (*pwrite)(struct io *io, int file, const void *buffer, size_t size, off_t offset);
    int (*fsync)(struct io *io, int file);
    int (*close)(struct io *io, int file);
    /* renameat2(2): flags 0 or RENAME_NOREPLACE. */
    int (*rename_at)(struct io *io, int from_directory, const char *from, int to_directory,
                     const char *to, unsigned flags);
    int (*unlink_at)(struct io *io, int directory, const char *path, int flags);
    int (*mkdir_at)(struct io *io, int directory, const char *path, mode_t mode);
    int (*stat_at)(struct io *io, int directory, const char *path, struct stat *stat, int flags);
};

/* The kernel's calls. Static, never freed, any thread. */
struct io *io_real(void);

/* A twin that fails on purpose. Counted: open_at with O_CREAT, pwrite, fsync, rename_at, unlink_at,
 * mkdir_at; with `reads` also pread and every open. A failing pwrite first writes half of the bytes
 * (a torn write). Any thread. */
struct io_fault {
    uint64_t fail_at; /* the n-th counted call fails (1 = first); 0 = never */
    int number;       /* with this errno */
    bool sticky;      /* and all later ones, too */
    bool reads;       /* count reading calls, too */
};
struct io *io_fault_new(struct io_fault plan);
/* How many counted calls there were, and whether one was made to fail. */
uint64_t io_fault_calls(struct io *io);
bool io_fault_fired(struct io *io);
void io_fault_free(struct io *io);

/* Loops until all is read or written; EINTR is repeated. Returns 0, or -1 with errno set.
 * io_read_all(): a file that is too short gives EIO. */
int io_read_all(struct io *io, int file, void *buffer, size_t size, off_t offset);
int io_write_all(struct io *io, int file, const void *buffer, size_t size, off_t offset);

#endif
