/* Lines are built in memory and appended by one write each, at an offset the writer keeps itself.
 * Reading is strict: the only fault that is tolerated is a torn last line. */
#include "undo/journal.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>

#define FORMAT_NAME "vmshadow journal"
enum { FORMAT_VERSION = 1, CHECKSUM_SIZE = 8, FILE_LIMIT = 64 << 20 };

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

/* CRC-32 of zlib and IEEE 802.3, reflected; bit by bit, since lines are short and rare. */
static uint32_t checksum(const char *bytes, size_t size)
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
    return memory_format("%08" PRIx32 " %s\n", checksum(text, strlen(text)), text);
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

/* Does the name still lead to this file? */
static bool is_in_place(struct io *io, int file, const char *path)
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
        !is_in_place(journal->io, journal->file, journal->path)) {
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
static int append(struct journal *journal, const char *line, struct error *error)
{
    size_t size = strlen(line);
    if (journal->failed)
        return error_set(error, ERROR_FAILED,
                         "the journal %s takes nothing more: an earlier write failed",
                         journal->path);
    if (size > JOURNAL_LINE_LIMIT || journal->end + (off_t)size > FILE_LIMIT)
        return error_set(error, ERROR_FAILED, "the journal %s has no room for a line of %zu bytes",
                         journal->path, size);
    if (io_write_all(journal->io, journal->file, line, size, journal->end) != 0 ||
        journal->io->fsync(journal->io, journal->file) != 0) {
        journal->failed = true;
        return error_errno(error, errno, "cannot write the journal %s", journal->path);
    }
    journal->end += (off_t)size;
    journal->sequence++;
    return 0;
}

int journal_add(struct journal *journal, const char *lane, const char *kind, json_t *arguments,
                uint64_t *ret_step, struct error *error)
{
    pthread_mutex_lock(&journal->lock);
    uint64_t step = journal->sequence;
    CLEANUP_FREE char *line = step_line(step, lane, kind, arguments);
    int result = append(journal, line, error);
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
    int result = append(journal, line, error);
    pthread_mutex_unlock(&journal->lock);
    return result;
}

int journal_replace(struct journal *journal, const uint64_t *steps, size_t count, const char *lane,
                    const char *kind, json_t *arguments, uint64_t *ret_step, struct error *error)
{
    pthread_mutex_lock(&journal->lock);
    uint64_t step = journal->sequence;
    json_t *object = numbered(step);
    set_strike(object, steps, count);
    set_step(object, lane, kind, arguments);
    CLEANUP_FREE char *line = line_text(object);
    int result = append(journal, line, error);
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

/* ---- Reading ------------------------------------------------------------------------------- */

int journal_take(struct io *io, const char *path, int *ret_file, struct error *error)
{
    int file = io->open_at(io, AT_FDCWD, path, O_RDWR | O_NOFOLLOW, 0);
    if (file < 0)
        return errno == ENOENT ? 1 : error_errno(error, errno, "cannot open the journal %s", path);
    if (flock(file, LOCK_EX | LOCK_NB) != 0 || !is_in_place(io, file, path)) {
        (void)io->close(io, file);
        return 1;
    }
    *ret_file = file;
    return 0;
}

struct reading {
    const char *path;
    const struct undo_table *table;
    struct journal_header *header;
    struct steps *steps;
    uint64_t sequence; /* expected of the next line */
};

static int damaged(const struct reading *reading, const char *how, struct error *error)
{
    (void)error_set(error, ERROR_DAMAGED, "the journal %s is damaged in line %" PRIu64 ": %s",
                    reading->path, reading->sequence + 1, how);
    return error_advise(error, "journal-damaged",
                        "nothing of it was undone; see docs/format/journal.md, undo by hand "
                        "what it lists, then remove the file");
}

static int read_header(struct reading *reading, const json_t *object, struct error *error)
{
    if (strcmp(json_string_or(object, "format", ""), FORMAT_NAME) != 0)
        return damaged(reading, "it is not a journal", error);
    int64_t version = json_integer_or(object, "version", 0);
    if (version != FORMAT_VERSION)
        return error_set(error, ERROR_REFUSED, "the journal %s has version %" PRId64 ", not %d",
                         reading->path, version, FORMAT_VERSION);
    const char *run = json_get_string(object, "run", reading->path, error);
    const char *description =
        run ? json_get_string(object, "description", reading->path, error) : NULL;
    if (!description)
        return -1;
    reading->header->run = memory_copy_string(run);
    reading->header->description = memory_copy_string(description);
    reading->header->time = memory_copy_string(json_string_or(object, "time", ""));
    reading->header->process = json_integer_or(object, "process", 0);
    return 0;
}

static int read_strike(struct reading *reading, const json_t *numbers, struct error *error)
{
    size_t index;
    json_t *number;
    json_array_foreach(numbers, index, number)
    {
        json_int_t id = json_integer_value(number);
        struct step *step = id > 0 ? steps_find(reading->steps, (uint64_t)id) : NULL;
        if (!step)
            return damaged(reading, "it strikes a step that is not open", error);
        (void)steps_close(reading->steps, step);
    }
    return 0;
}

static int read_object(struct reading *reading, const json_t *object, struct error *error)
{
    if (json_integer_or(object, "sequence", -1) != (int64_t)reading->sequence)
        return damaged(reading, "it is out of sequence", error);
    if (reading->sequence == 0)
        return read_header(reading, object, error);
    const json_t *strike = json_object_get(object, "strike");
    if (json_is_array(strike) && read_strike(reading, strike, error) != 0)
        return -1;
    if (json_is_array(strike) && !json_object_get(object, "kind"))
        return 0;
    const char *lane = json_string_or(object, "lane", NULL);
    const char *kind = json_string_or(object, "kind", NULL);
    json_t *arguments = json_object_get(object, "arguments");
    if (!lane || !kind || !json_is_object(arguments))
        return damaged(reading, "it is neither a step nor a strike", error);
    (void)steps_add(reading->steps, reading->table, reading->sequence, lane, kind,
                    json_incref(arguments));
    return 0;
}

/* A line without its LF. */
static int read_line(struct reading *reading, const char *line, size_t size, struct error *error)
{
    if (size <= CHECKSUM_SIZE + 1 || size >= JOURNAL_LINE_LIMIT || line[CHECKSUM_SIZE] != ' ')
        return damaged(reading, "it is not a line of a journal", error);
    const char *text = line + CHECKSUM_SIZE + 1;
    size_t text_size = size - CHECKSUM_SIZE - 1;
    char expected[CHECKSUM_SIZE + 1];
    (void)snprintf(expected, sizeof expected, "%08" PRIx32, checksum(text, text_size));
    if (memcmp(line, expected, CHECKSUM_SIZE) != 0)
        return damaged(reading, "its checksum is wrong", error);
    CLEANUP_JSON json_t *object = json_parse(text, text_size, reading->path, NULL);
    if (!json_is_object(object))
        return damaged(reading, "it is not a JSON object", error);
    return read_object(reading, object, error);
}

static int read_lines(struct reading *reading, const char *text, size_t size, struct error *error)
{
    for (size_t start = 0; start < size; reading->sequence++) {
        const char *line = text + start;
        const char *end = memchr(line, '\n', size - start);
        size_t length = end ? (size_t)(end - line) : size - start;
        bool is_last = start + length + 1 >= size;
        if (is_last && (!end || memchr(line, '\0', length)))
            break; /* torn */
        if (read_line(reading, line, length, error) != 0)
            return -1;
        start += length + 1;
    }
    /* The first line is published as a whole, so it cannot be torn. */
    return reading->header->run ? 0 : damaged(reading, "the first line is missing", error);
}

int journal_read(struct io *io, int file, const char *path, const struct undo_table *table,
                 struct journal_header *ret_header, struct steps *steps, struct error *error)
{
    struct stat status;
    if (fstat(file, &status) != 0)
        return error_errno(error, errno, "cannot read the journal %s", path);
    if (status.st_size > FILE_LIMIT)
        return error_set(error, ERROR_DAMAGED, "the journal %s is too large", path);
    size_t size = (size_t)status.st_size;
    CLEANUP_FREE char *text = memory_new(size + 1, 1);
    if (io_read_all(io, file, text, size, 0) != 0)
        return error_errno(error, errno, "cannot read the journal %s", path);
    struct journal_header header = {0};
    struct reading reading = {.path = path, .table = table, .header = &header, .steps = steps};
    if (read_lines(&reading, text, size, error) != 0) {
        journal_header_clear(&header);
        steps_deinit(steps);
        steps_init(steps);
        return -1;
    }
    *ret_header = header;
    return 0;
}
