/* Lines are built in memory and appended by one write each, at an offset the writer keeps itself.
 */
#include "undo/journal-private.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>

struct journal {
    /* Set by journal_create(), never changed. */
    struct io *io;
    char *path;
    int file;
    struct journal_header header;
    pthread_mutex_t lock;
    /* Guarded by lock. */
    uint64_t sequence; /* of the next line */
    off_t end;
    bool failed; /* a write failed: what is at `end` is unknown */
};

void journal_header_clear(struct journal_header *header)
{
    free(header->run);
    free(header->description);
    free(header->time);
    *header = (struct journal_header){0};
}

uint32_t journal_checksum(const char *bytes, size_t size)
{
    uint32_t value = ~0u;
    for (size_t i = 0; i < size; i++) {
        value ^= (uint8_t)bytes[i];
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
    }
    return ~value;
}

/* Takes over the object. */
static char *line_text(json_t *object)
{
    CLEANUP_FREE char *text = json_text(object);
    json_decref(object);
    return memory_format("%08" PRIx32 " %s\n", journal_checksum(text, strlen(text)), text);
}

static json_t *numbered(uint64_t sequence)
{
    json_t *object = json_object();
    json_set_integer(object, "sequence", (int64_t)sequence);
    return object;
}

static char *header_line(const struct journal_header *header)
{
    json_t *object = numbered(0);
    json_set_string(object, "format", FORMAT_NAME);
    json_set_integer(object, "version", FORMAT_VERSION);
    json_set_string(object, "run", header->run);
    json_set_string(object, "description", header->description);
    json_set_integer(object, "process", header->process);
    json_set_string(object, "time", header->time);
    return line_text(object);
}

static void set_step(json_t *object, const char *lane, const char *kind, json_t *arguments)
{
    json_set_string(object, "lane", lane);
    json_set_string(object, "kind", kind);
    json_set(object, "arguments", json_incref(arguments));
}

static char *step_line(uint64_t sequence, const char *lane, const char *kind, json_t *arguments)
{
    json_t *object = numbered(sequence);
    set_step(object, lane, kind, arguments);
    return line_text(object);
}

static void set_strike(json_t *object, const uint64_t *steps, size_t count)
{
    json_t *numbers = json_array();
    for (size_t i = 0; i < count; i++)
        json_append(numbers, json_integer((json_int_t)steps[i]));
    json_set(object, "strike", numbers);
}

/* ---- Writing ------------------------------------------------------------------------------- */

bool journal_is_in_place(struct io *io, int file, const char *path)
{
    struct stat here, there;
    return fstat(file, &here) == 0 && io->stat_at(io, AT_FDCWD, path, &there, 0) == 0 &&
           here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

static int publish_new(struct journal *journal, struct error *error)
{
    CLEANUP_FREE char *line = header_line(&journal->header);
    struct iovec piece = {line, strlen(line)};
    if (publish_file(journal->io, AT_FDCWD, journal->path, &piece, 1, PUBLISH_NEW_ONLY, error) != 0)
        return -1;
    journal->end = (off_t)piece.iov_len;
    journal->sequence = 1;
    journal->file = journal->io->open_at(journal->io, AT_FDCWD, journal->path, O_RDWR, 0);
    if (journal->file < 0)
        return error_errno(error, errno, "cannot open the journal %s", journal->path);
    /* Between its birth and this lock a recovery may have taken it for a dead run's. */
    if (flock(journal->file, LOCK_EX | LOCK_NB) != 0 ||
        !journal_is_in_place(journal->io, journal->file, journal->path)) {
        (void)error_set(error, ERROR_BUSY, "the new journal %s was taken by a recovery",
                        journal->path);
        return error_advise(error, "journal-taken", "try again");
    }
    return 0;
}

int journal_create(struct io *io, const char *directory, const char *description,
                   struct journal **ret_journal, struct error *error)
{
    CLEANUP(journal_freep) struct journal *journal = NEW(struct journal);
    struct id run = id_new();
    char time[clock_text_size];
    clock_format(clock_wall(), time);
    journal->io = io;
    journal->file = -1;
    journal->path = memory_format("%s/%s.journal", directory, run.text);
    journal->header = (struct journal_header){.run = memory_copy_string(run.text),
                                              .description = memory_copy_string(description),
                                              .time = memory_copy_string(time),
                                              .process = getpid()};
    pthread_mutex_init(&journal->lock, NULL);
    if (publish_new(journal, error) != 0) {
        (void)io->unlink_at(io, AT_FDCWD, journal->path, 0);
        return -1;
    }
    *ret_journal = TAKE_PTR(journal);
    return 0;
}

void journal_free(struct journal *journal)
{
    if (!journal)
        return;
    if (journal->file >= 0)
        (void)journal->io->close(journal->io, journal->file);
    journal_header_clear(&journal->header);
    pthread_mutex_destroy(&journal->lock);
    free(journal->path);
    free(journal);
}

const char *journal_path(const struct journal *journal)
{
    return journal->path;
}

int journal_file(const struct journal *journal)
{
    return journal->file;
}

const struct journal_header *journal_header(const struct journal *journal)
{
    return &journal->header;
}

/* Under the lock. */
static int append(struct journal *journal, const char *line, struct journal_place *ret_place,
                  struct error *error)
{
    size_t size = strlen(line);
    if (journal->failed)
        return error_set(error, ERROR_FAILED,
                         "the journal %s takes nothing more: an earlier write failed",
                         journal->path);
    if (size > JOURNAL_LINE_LIMIT || journal->end + (off_t)size > JOURNAL_FILE_LIMIT)
        return error_set(error, ERROR_FAILED, "the journal %s has no room for a line of %zu bytes",
                         journal->path, size);
    if (io_write_all(journal->io, journal->file, line, size, journal->end) != 0 ||
        journal->io->fsync(journal->io, journal->file) != 0) {
        journal->failed = true;
        return error_errno(error, errno, "cannot write the journal %s", journal->path);
    }
    if (ret_place)
        *ret_place = (struct journal_place){.offset = journal->end, .size = size};
    journal->end += (off_t)size;
    journal->sequence++;
    return 0;
}

int journal_add(struct journal *journal, const char *lane, const char *kind, json_t *arguments,
                uint64_t *ret_step, struct journal_place *ret_place, struct error *error)
{
    pthread_mutex_lock(&journal->lock);
    uint64_t step = journal->sequence;
    CLEANUP_FREE char *line = step_line(step, lane, kind, arguments);
    int result = append(journal, line, ret_place, error);
    pthread_mutex_unlock(&journal->lock);
    if (result == 0)
        *ret_step = step;
    return result;
}

int journal_strike(struct journal *journal, const uint64_t *steps, size_t count,
                   struct error *error)
{
    pthread_mutex_lock(&journal->lock);
    json_t *object = numbered(journal->sequence);
    set_strike(object, steps, count);
    CLEANUP_FREE char *line = line_text(object);
    int result = append(journal, line, NULL, error);
    pthread_mutex_unlock(&journal->lock);
    return result;
}

int journal_replace(struct journal *journal, const uint64_t *steps, size_t count, const char *lane,
                    const char *kind, json_t *arguments, uint64_t *ret_step,
                    struct journal_place *ret_place, struct error *error)
{
    pthread_mutex_lock(&journal->lock);
    uint64_t step = journal->sequence;
    json_t *object = numbered(step);
    set_strike(object, steps, count);
    set_step(object, lane, kind, arguments);
    CLEANUP_FREE char *line = line_text(object);
    int result = append(journal, line, ret_place, error);
    pthread_mutex_unlock(&journal->lock);
    if (result == 0)
        *ret_step = step;
    return result;
}

int journal_settle(struct io *io, const char *path, const struct journal_header *header,
                   struct steps *steps, struct error *error)
{
    size_t count;
    CLEANUP_FREE struct step **open = steps_open(steps, &count);
    if (count == 0)
        return publish_remove(io, AT_FDCWD, path, error);
    struct iovec *pieces = NEW_ARRAY(struct iovec, count + 1);
    char *line = header_line(header);
    pieces[0] = (struct iovec){line, strlen(line)};
    for (size_t i = 0; i < count; i++) {
        line = step_line(i + 1, open[i]->lane, open[i]->kind_name, open[i]->arguments);
        pieces[i + 1] = (struct iovec){line, strlen(line)};
    }
    int result = publish_file(io, AT_FDCWD, path, pieces, (int)count + 1, 0, error);
    for (size_t i = 0; i <= count; i++)
        free(pieces[i].iov_base);
    free(pieces);
    return result;
}
