/* One configuration file: its lines, read safely and parsed by libinih. Nothing here knows what a
 * key means. */
#ifndef CLI_CONFIG_FILE_H
#define CLI_CONFIG_FILE_H

#include "base/error.h"

#include <stddef.h>

struct config_line {
    char *key, *value;
    unsigned number; /* from 1 on */
};

struct config_file {
    char *path;
    struct config_line *lines;
    size_t count;
};

/* Told of a line that is passed over. */
typedef void config_tell(const struct error *error);

/* ERROR_NOT_FOUND: it is not there; ERROR_REFUSED: others can write it, or it is no regular file;
 * ERROR_USAGE: what is wrong, with FILE:LINE. With `tell` (NULL = none) lines that are wrong are
 * handed to it and passed over. The file has to be cleared in any case. */
int config_file_read(const char *path, struct config_file *ret_file, config_tell *tell,
                     struct error *error);
void config_file_clear(struct config_file *file);

#endif
