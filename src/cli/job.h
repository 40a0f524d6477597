/* A job: a named set of VMs with its options, and one run of it (`vmshadow run JOB`).
 *
 *   set(s) of VMs ─► a backup each ─► report
 *
 * The report is one JSON object (docs/json.md, "run"); text is drawn from it.
 */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include "cli/backup-options.h"

#include <stdio.h>

struct job_options {
    struct backup_options backup; /* operand: the job's name */
    struct option_list vms, tags;
    bool separate;
    struct retention_policy retention;
    int64_t wait_limit; /* ns; 0 = the default */
    const char *on_success, *on_failure, *report_format, *metrics_directory; /* NULL = none */
    const char *ended; /* --ended: how systemd says that the run ended; NULL = this is the run */
};

/* As OPTION_TABLE: the keys that only jobs have. */
extern const struct option_rule job_rules[];

/* Back up the sets of the job, one after the other, remove older backups, and tell of it
 * (job-ending.h). The report is there in any case; -1 with the first failure when anything failed.
 */
int job_run(const struct job_options *options, json_t **ret_report, struct error *error);

/* The configuration of the job is wrong, and it is not run: journal and, where a job of this name
 * is there, figures tell of it, but no command, since nobody knows which one was
 * meant. What vmshadow.conf says is added to the options for that. With `ended` as job_ended(). */
void job_refused(struct job_options *options, const struct error *error);

/* After the end of its service, which `options` have in `ended`: tell of a run that was killed as
 * of one that failed, by all that job_run() does; `begin` of the report is now. 0 in any case, and
 * without a report (NULL) when the run has told of itself. */
int job_ended(const struct job_options *options, json_t **ret_report);

/* Do the values of the job whose name is the operand say which VMs it means, and say it once?
 * `options` of any verb that reads the job's file. ERROR_USAGE names the lines. */
int job_check_selection(const struct options *options, struct error *error);

/* What there is to say of a run. */
struct job_outcome {
    const char *job, *host;
    int64_t wall, begin; /* when it began: wall and monotonic clock */
    bool good;
    size_t failed;                      /* sets */
    json_t *sets, *notices, *retention; /* borrowed; NULL = none */
};
/* The report, without the member "error"; new reference. */
json_t *job_report(const struct job_outcome *outcome);
/* The report as text; with the member "error" where the run failed. */
void job_print(const json_t *report, FILE *file);

#endif
