/* Configuration: `vmshadow.conf` and the job files `jobs.d/JOB.conf`, below /etc/vmshadow or the
 * directory that VMSHADOW_CONFIG_DIR names.
 *
 * A line is `KEY = VALUE`; a key is the long name of an option (cli/options.h). Lines that are
 * empty or begin with # or ; say nothing. A key that may be given once stands once in a file. Files
 * of others are not trusted: each must be a regular file that only its owner can write, and the
 * owner root or the user. At most 1 MiB, 190 bytes a line, no zero bytes, UTF-8 but in comments.
 *
 * Every line is checked, whether the command uses it or not: a wrong one is ERROR_USAGE with
 * FILE:LINE. The syntax is libinih's.
 */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include "base/json.h"
#include "cli/config-file.h"
#include "cli/options.h"

/* Take what the files say into the options of a verb, whose table is `rules`: first the file of
 * `job` (NULL = none), which has to be there (ERROR_NOT_FOUND), then vmshadow.conf, which need not.
 * Other errors: ERROR_USAGE as above; ERROR_REFUSED, a file that others can write. */
int config_apply(struct options *options, const struct option_rule *rules, const char *job,
                 struct error *error);

/* The same from vmshadow.conf for a command that must not be kept from its work: each line that is
 * wrong, and a file that is not read, is handed to `tell` and passed over. */
void config_rescue(struct options *options, const struct option_rule *rules, config_tell *tell);

/* The directory; owned by the environment or static. */
const char *config_directory(void);
/* May a job have this name? Letters, digits and "_.@-", not beginning with one of ".@-", at
 * most 100 bytes: it is part of names of files and units. ERROR_USAGE. */
int config_check_job(const char *job, struct error *error);
/* Names of the job files that are there, sorted. New reference. */
json_t *config_jobs(void);

#endif
