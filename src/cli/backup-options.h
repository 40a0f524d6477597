/* The options of a backup: those of `vmshadow backup`, and of `vmshadow run`, which backs up the
 * set of a job. */
#ifndef CLI_BACKUP_OPTIONS_H
#define CLI_BACKUP_OPTIONS_H

#include "cli/options.h"

struct backup_options {
    struct options common;
    struct requester_backup_options backup; /* its selection is filled in by the verb */
    const char *events, *type;
};

/* For a table of rules as OPTION_TABLE; backup_rules has backup_pausing_rules in it: whether VMs
 * may be paused, how long, and the directories that decide it. */
extern const struct option_rule backup_pausing_rules[];
extern const struct option_rule backup_rules[];

/* What the options say beside the selection; texts are theirs. */
struct requester_backup_options backup_options_get(const struct backup_options *options);
/* Draw what requester_backup() said of one backup. */
void backup_print(const json_t *result);

#endif
