/* vmshadow run: back up the VMs of a job. */
#include "cli/job.h"
#include "cli/verb.h"

static const struct option_rule rules[] = {
    {"ended", '\0', OPTION_TEXT, "RESULT", offsetof(struct job_options, ended),
     "back up nothing, but tell of a run that systemd killed, of which it says RESULT: "
     "signal, core-dump, oom-kill, watchdog or timeout; with another word do nothing"},
    {"job", .kind = OPTION_TABLE, .table = job_rules},
    {"backup", .kind = OPTION_TABLE, .table = backup_rules},
    {NULL},
};

static int run(const struct options *common, json_t **ret_result, struct error *error)
{
    const struct job_options *options = (const struct job_options *)common;
    return options->ended ? job_ended(options, ret_result) : job_run(options, ret_result, error);
}

static void refused(struct options *common, const struct error *error)
{
    job_refused((struct job_options *)common, error);
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    job_print(result, stdout);
}

const struct verb verb_run = {
    .name = "run",
    .operands = "JOB",
    .summary = "back up the VMs of a job",
    .description =
        "Backs up the VMs that the file jobs.d/JOB.conf names, with its options. Each key of the "
        "file is an option here, too: what is given here counts more, and what may be given "
        "several times adds up.",
    .minimum = 1,
    .maximum = 1,
    .options = rules,
    .job = true,
    .size = sizeof(struct job_options),
    .run = run,
    .refused = refused,
    .print = print,
};
