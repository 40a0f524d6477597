/* Runs that cannot tell of themselves: one that is not begun, since the configuration is wrong, and
 * one that was killed. What is told of them is the report of a failed run without sets. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/config.h"
#include "cli/job-ending.h"
#include "cli/output.h"
#include "cli/verb.h"

#include <string.h>

/* Of systemd's words for the end of a service (SERVICE_RESULT in systemd.exec(5)) those of one that
 * had no say in it. A run that ended by itself, also by a signal that it heeds, has told of it. */
static const char *const silent_ends[] = {"signal", "core-dump", "oom-kill", "watchdog", "timeout"};

static bool is_silent(const char *ended)
{
    for (size_t i = 0; i < ARRAY_SIZE(silent_ends); i++)
        if (strcmp(ended, silent_ends[i]) == 0)
            return true;
    return false;
}

static json_t *failed_report(const char *job, const struct error *error)
{
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    struct job_outcome outcome = {
        .job = job, .host = host, .wall = clock_wall(), .begin = clock_monotonic()};
    return output_add_error(job_report(&outcome), error);
}

int job_ended(const struct job_options *options, json_t **ret_report)
{
    const char *job = options->backup.common.operands[0];
    struct error error = ERROR_INIT;
    if (!is_silent(options->ended))
        return 0;
    (void)error_set(&error, ERROR_FAILED,
                    "job %s: the run was ended before it could tell of itself: %s", job,
                    options->ended);
    (void)error_advise(&error, "run-killed",
                       "see what ended it: journalctl -u vmshadow@%s; its watchdog puts the VMs "
                       "right, and vmshadow recover tells what is left",
                       job);
    *ret_report = failed_report(job, &error);
    job_end(options, *ret_report);
    return 0;
}

static void ignore(const struct error *error)
{
    (void)error;
}

void job_refused(struct job_options *options, const struct error *error)
{
    const char *job = options->backup.common.operands[0];
    struct error fault = *error;
    if (config_check_job(job, NULL) != 0 || (options->ended && !is_silent(options->ended)))
        return;
    (void)error_prefix(&fault, "job %s: ", job);
    /* A wrong line of the job keeps the other file from being read, which may have it. */
    config_rescue(&options->backup.common, verb_run.options, ignore);
    struct job_options quiet = *options;
    quiet.on_success = quiet.on_failure = NULL;
    if (error->kind == ERROR_NOT_FOUND)
        quiet.metrics_directory = NULL;
    CLEANUP_JSON json_t *report = failed_report(job, &fault);
    job_end(&quiet, report);
}
