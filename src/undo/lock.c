/* The file is kept between runs: removing a lock file races with whoever has just opened it. */
#include "undo/lock.h"

#include "base/id.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

enum { CONTENT_LIMIT = 4096 };

static int busy(struct io *io, int file, const char *name, struct error *error)
{
    char text[CONTENT_LIMIT];
    ssize_t size = io->pread(io, file, text, sizeof text, 0);
    const char *end = size > 0 ? memchr(text, '\n', (size_t)size) : NULL;
    CLEANUP_JSON json_t *content =
        end ? json_parse(text, (size_t)(end - text), "lock", NULL) : NULL;
    (void)error_set(error, ERROR_BUSY, "VM %s is held by another run: %s (process %lld)", name,
                    json_string_or(content, "description", "of unknown purpose"),
                    (long long)json_integer_or(content, "process", 0));
    if (error)
        error->number = EAGAIN; /* it will end: worth waiting for */
    return error_advise(error, "vm-locked",
                        "wait until it has ended or has been undone, then try again");
}

/* For messages only: neither synced nor read by machines. The rest of a longer, older line stays
 * behind the LF and is not read. */
static int write_holder(struct io *io, int file, const struct journal_header *holder)
{
    CLEANUP_JSON json_t *content = json_object();
    json_set_string(content, "run", holder->run);
    json_set_string(content, "description", holder->description);
    json_set_integer(content, "process", holder->process);
    CLEANUP_FREE char *text = json_text(content);
    CLEANUP_FREE char *line = memory_format("%s\n", text);
    return io_write_all(io, file, line, strlen(line), 0);
}

int lock_take(struct io *io, const char *directory, const char *uuid, const char *name,
              const struct journal_header *holder, int *ret_file, struct error *error)
{
    struct id id;
    if (id_parse(uuid, &id) != 0)
        return error_set(error, ERROR_USAGE, "\"%s\" is not the UUID of a VM", uuid);
    CLEANUP_FREE char *path = memory_format("%s/%s", directory, id.text);
    int file = io->open_at(io, AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (file < 0)
        return error_errno(error, errno, "VM %s: cannot open its lock %s", name, path);
    int result = 0;
    if (flock(file, LOCK_EX | LOCK_NB) != 0)
        result = errno == EWOULDBLOCK
                     ? busy(io, file, name, error)
                     : error_errno(error, errno, "VM %s: cannot lock %s", name, path);
    else if (write_holder(io, file, holder) != 0)
        result = error_errno(error, errno, "VM %s: cannot write its lock %s", name, path);
    if (result != 0) {
        (void)io->close(io, file);
        return -1;
    }
    *ret_file = file;
    return 0;
}
