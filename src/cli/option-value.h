/* One value of an option: from text to what the verb's structure holds. */
#ifndef CLI_OPTION_VALUE_H
#define CLI_OPTION_VALUE_H

#include "cli/options.h"

/* Check `text` by the rule and, unless `options` is NULL, put it into the verb's structure, which
 * then points to `text`. `what` begins the message: "--workers", or "FILE:LINE: workers". In a file
 * (`from_file`) a path has to be absolute, and a flag is "yes" or "no"; on the command line a flag
 * has no text and is set. ERROR_USAGE. */
int option_value_put(struct options *options, const struct option_rule *rule, const char *text,
                     bool from_file, const char *what, struct error *error);

#endif
