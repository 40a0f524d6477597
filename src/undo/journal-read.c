/* Reading is strict: the only fault that is tolerated is a torn last line. */
#include "undo/journal-private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>

int journal_take(struct io *io, const char *path, int *ret_file, struct error *error)
{
    int file = io->open_at(io, AT_FDCWD, path, O_RDWR | O_NOFOLLOW, 0);
    if (file < 0)
        return errno == ENOENT ? 1 : error_errno(error, errno, "cannot open the journal %s", path);
    if (flock(file, LOCK_EX | LOCK_NB) != 0 || !journal_is_in_place(io, file, path)) {
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

/* What a line without its LF holds; NULL and how it is damaged. */
static json_t *parse_line(const char *line, size_t size, const char **ret_how)
{
    *ret_how = "it is not a line of a journal";
    if (size <= CHECKSUM_SIZE + 1 || size >= JOURNAL_LINE_LIMIT || line[CHECKSUM_SIZE] != ' ')
        return NULL;
    const char *text = line + CHECKSUM_SIZE + 1;
    size_t text_size = size - CHECKSUM_SIZE - 1;
    char expected[CHECKSUM_SIZE + 1];
    (void)snprintf(expected, sizeof expected, "%08" PRIx32, journal_checksum(text, text_size));
    *ret_how = "its checksum is wrong";
    if (memcmp(line, expected, CHECKSUM_SIZE) != 0)
        return NULL;
    json_t *object = json_parse(text, text_size, "a line", NULL);
    *ret_how = "it is not a JSON object";
    if (json_is_object(object))
        return object;
    json_decref(object);
    return NULL;
}

static int read_line(struct reading *reading, const char *line, size_t size, struct error *error)
{
    const char *how;
    CLEANUP_JSON json_t *object = parse_line(line, size, &how);
    return object ? read_object(reading, object, error) : damaged(reading, how, error);
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
    if (status.st_size > JOURNAL_FILE_LIMIT)
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

int journal_read_arguments(struct io *io, int file, const char *path, uint64_t step,
                           const struct journal_place *place, json_t **ret_arguments,
                           struct error *error)
{
    const char *how = "its size is wrong";
    CLEANUP_JSON json_t *object = NULL;
    if (place->offset >= 0 && place->size > 0 && place->size <= JOURNAL_LINE_LIMIT) {
        CLEANUP_FREE char *line = memory_new(place->size, 1);
        if (io_read_all(io, file, line, place->size, place->offset) != 0)
            return error_errno(error, errno, "cannot read the journal %s", path);
        object = parse_line(line, place->size - 1, &how);
    }
    json_t *arguments = object ? json_object_get(object, "arguments") : NULL;
    if (!json_is_object(arguments) || json_integer_or(object, "sequence", 0) != (int64_t)step)
        return error_set(error, ERROR_DAMAGED, "the journal %s: step %" PRIu64 ": %s", path, step,
                         object ? "another line is in its place" : how);
    *ret_arguments = json_incref(arguments);
    return 0;
}
