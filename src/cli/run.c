/* vmshadow run: back up the VMs of a job. */
#include "cli/job.h"
#include "cli/verb.h"

static const struct option_rule rules[] = {
    {"job", .kind = OPTION_TABLE, .table = job_rules},
    {"backup", .kind = OPTION_TABLE, .table = backup_rules},
    {NULL},
};

static int run(const struct options *common, json_t **ret_result, struct error *error)
{
    return job_run((const struct job_options *)common, ret_result, error);
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
