/* What follows the run of a job: who is told of it, and how. Each part by itself; none of them
 * changes the result of the run. `report` is the object of docs/json.md, "run". */
#ifndef CLI_JOB_ENDING_H
#define CLI_JOB_ENDING_H

#include "cli/job.h"

/* All of them, in this order. What fails is a warning. */
void job_end(const struct job_options *options, const json_t *report);

/* The file vmshadow_JOB.prom of --metrics-directory for node_exporter's textfile collector: whole,
 * durable, readable by all, never through a symbolic link. The time of the last success is kept
 * when this run is none. */
int job_write_metrics(const char *directory, const json_t *report, struct error *error);
/* One entry in the journal with fields of its own, or in the system's log where there is no
 * journal. */
void job_log(const json_t *report);
/* Run `command` by /bin/sh with `input` on its standard input and VMSHADOW_JOB and VMSHADOW_RESULT
 * in its environment, in a process group of its own. After `limit` ns, or when the user interrupts
 * it, the group gets SIGTERM, then SIGKILL; what is left of it at its end, too. ERROR_TIMEOUT;
 * ERROR_FAILED: it did not end with status 0. */
int job_call(const char *command, const json_t *report, const char *input, int64_t limit,
             struct error *error);

#endif
