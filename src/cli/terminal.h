/* The terminal: questions to the person before it. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Can somebody be asked (standard input and standard error are a terminal)? */
bool terminal_is_there(void);

/* Ask on the controlling terminal and read a line of less than `size` bytes into `line`, without
 * its newline. `echo` false = what is typed is not shown; the terminal is set back in any case.
 * ERROR_USAGE: no terminal, or the line is too long; ERROR_INTERRUPTED: a signal, or end of
 * input. `line` is wiped on failure. */
int terminal_ask(const char *question, bool echo, char *line, size_t size, struct error *error);

/* Only the whole word "yes" is a yes: 1; anything else 0; -1 as above. */
int terminal_confirm(const char *question, struct error *error);

#endif
