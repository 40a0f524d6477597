/* The passphrase: from --passphrase-file or VMSHADOW_PASSPHRASE_FILE, else asked for on the
 * terminal. Never from the command line, where every process of the machine could read it.
 *
 * A file's whole content counts, without one newline at its end. It may be a pipe. A file that
 * group or others may read gives a warning. At most passphrase_limit bytes; neither empty nor
 * with a zero byte.
 */
#ifndef CLI_PASSPHRASE_H
#define CLI_PASSPHRASE_H

#include "base/error.h"

#include <stdbool.h>

enum { passphrase_limit = 1024 };

/* `file` NULL = ask, twice when `repeat`. ERROR_USAGE: no terminal, the two differ, empty, too
 * long; ERROR_NOT_FOUND and ERROR_FAILED: the file. Free with passphrase_free(), which wipes. */
int passphrase_get(const char *file, bool repeat, char **ret_passphrase, struct error *error);
void passphrase_free(char *passphrase);
static inline void passphrase_freep(char **passphrase)
{
    passphrase_free(*passphrase);
}

#endif
