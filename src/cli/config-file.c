/* The whole file is read first, from the descriptor that was examined; libinih is handed one line
 * after the other, and what it would take in a way that people do not expect is refused before: a
 * line that is longer than its buffer, one that continues the line before, a comment within a
 * value. It tells no line numbers; the reader counts them. */
#include "cli/config-file.h"

#include "base/io.h"
#include "base/json.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_LIMIT = 1 << 20, LINE_LIMIT = 190 };

struct reading {
    struct config_file *file;
    const char *next, *end; /* of the text */
    unsigned line;
    config_tell *tell;
    struct error *error;
};

static int check_status(const char *path, const struct stat *status, struct error *error)
{
    if (!S_ISREG(status->st_mode))
        return error_set(error, ERROR_REFUSED, "%s is no regular file", path);
    if (status->st_mode & (S_IWGRP | S_IWOTH)) {
        (void)error_set(error, ERROR_REFUSED,
                        "%s: others than its owner can write it (mode %04o), so it is not read",
                        path, (unsigned)status->st_mode & 07777);
        return error_advise(error, "configuration-rights",
                            "look at what it says, then: chmod go-w %s", path);
    }
    if (status->st_uid != 0 && status->st_uid != geteuid()) {
        (void)error_set(error, ERROR_REFUSED,
                        "%s belongs to user %u, neither to root nor to you, so it is not read",
                        path, (unsigned)status->st_uid);
        return error_advise(error, "configuration-rights",
                            "look at what it says, then: chown root %s", path);
    }
    if (status->st_size > FILE_LIMIT)
        return error_set(error, ERROR_USAGE, "%s is larger than %d bytes", path, FILE_LIMIT);
    return 0;
}

static int read_text(const char *path, char **ret_text, size_t *ret_size, struct error *error)
{
    struct stat status;
    /* O_NONBLOCK: a pipe in its place must not block. */
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file < 0 || fstat(file, &status) != 0)
        return error_errno(error, errno, "cannot read %s", path);
    if (check_status(path, &status, error) < 0)
        return -1;
    size_t size = (size_t)status.st_size;
    CLEANUP_FREE char *text = memory_new(size + 1, 1);
    if (io_read_all(io_real(), file, text, size, 0) != 0)
        return error_errno(error, errno, "cannot read %s", path);
    *ret_text = TAKE_PTR(text);
    *ret_size = size;
    return 0;
}

static int refuse(struct reading *reading, const char *why)
{
    return error_set(reading->error, ERROR_USAGE, "%s:%u: %s", reading->file->path, reading->line,
                     why);
}

/* Is the line that was refused only told? */
static bool is_passed_over(struct reading *reading)
{
    if (!reading->tell)
        return false;
    reading->tell(reading->error);
    error_clear(reading->error);
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int check_line(struct reading *reading, const char *line, size_t length)
{
    size_t blanks = 0;
    if (length > LINE_LIMIT)
        return refuse(reading, "the line is longer than 190 bytes");
    if (memchr(line, '\0', length))
        return refuse(reading, "there is a zero byte in the line");
    while (blanks < length && is_blank(line[blanks]))
        blanks++;
    if (blanks == length || line[blanks] == '#' || line[blanks] == ';')
        return 0;
    if (blanks)
        return refuse(reading, "a line begins with its key, not with blanks");
    if (!json_holds(line, length))
        return refuse(reading, "the line is not UTF-8: save the file in that encoding");
    if (line[0] == '[')
        return refuse(reading, "there are no sections: write KEY = VALUE");
    for (size_t i = 1; i < length; i++)
        if (line[i] == ';' && is_blank(line[i - 1]))
            return refuse(reading, "a semicolon after a blank would begin a comment: put comments "
                                   "on lines of their own, and such commands into a script");
    return 0;
}

/* As fgets(3): NULL at the end, and after a line that is refused. */
static char *read_line(char *buffer, int size, void *stream)
{
    struct reading *reading = stream;
    if (reading->next >= reading->end || error_is_set(reading->error))
        return NULL;
    const char *newline = memchr(reading->next, '\n', (size_t)(reading->end - reading->next));
    const char *stop = newline ? newline : reading->end;
    size_t length = (size_t)(stop - reading->next);
    reading->line++;
    if (length && reading->next[length - 1] == '\r')
        length--;
    int result = check_line(reading, reading->next, length);
    if (result == 0 && length + 2 > (size_t)size)
        result = refuse(reading, "the line is too long for the library that parses it");
    if (result < 0 && !is_passed_over(reading))
        return NULL;
    if (result < 0)
        length = 0; /* an empty line, so that the library counts it */
    memcpy(buffer, reading->next, length);
    memcpy(buffer + length, "\n", 2);
    reading->next = newline ? newline + 1 : reading->end;
    return buffer;
}

static int take_line(void *context, const char *section, const char *key, const char *value)
{
    struct reading *reading = context;
    (void)section;
    if (error_is_set(reading->error))
        return 0;
    if (!*key) {
        (void)refuse(reading, "the key is missing: write KEY = VALUE");
        return is_passed_over(reading);
    }
    struct config_line line = {memory_copy_string(key), memory_copy_string(value), reading->line};
    ARRAY_APPEND(reading->file->lines, reading->file->count, line);
    return 1;
}

int config_file_read(const char *path, struct config_file *ret_file, config_tell *tell,
                     struct error *error)
{
    struct error fault = ERROR_INIT;
    CLEANUP_FREE char *text = NULL;
    size_t size = 0;
    *ret_file = (struct config_file){.path = memory_copy_string(path)};
    if (read_text(path, &text, &size, error) < 0)
        return -1;
    struct reading reading = {ret_file, text, text + size, 0, tell, &fault};
    int wrong = ini_parse_stream(read_line, &reading, take_line, &reading);
    if (wrong && !error_is_set(&fault)) {
        reading.line = (unsigned)wrong;
        (void)refuse(&reading, "this is no line of the form KEY = VALUE");
        (void)is_passed_over(&reading);
    }
    if (!error_is_set(&fault))
        return 0;
    error_move(error, &fault);
    return -1;
}

void config_file_clear(struct config_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        free(file->lines[i].key);
        free(file->lines[i].value);
    }
    free(file->lines);
    free(file->path);
    *file = (struct config_file){.path = NULL};
}
