/* vmshadow forget: take a backup off the list. */
#include "cli/output.h"
#include "cli/repository-option.h"
#include "cli/verb.h"

struct forget_options {
    struct options common;
    bool newest;
};

static const struct option_rule rules[] = {
    {"newest", '\0', OPTION_FLAG, NULL, offsetof(struct forget_options, newest),
     "also when it is the newest backup of a VM or of a disk, or, named by its whole id, when it "
     "cannot be read"},
    {NULL},
};

static int run(const struct options *common, json_t **ret_result, struct error *error)
{
    const struct forget_options *options = (const struct forget_options *)common;
    CLEANUP(repository_freep) struct repository *repository = NULL;
    if (repository_option_open(common, &repository, error) < 0)
        return -1;
    return requester_forget(repository, common->operands[0], options->newest, ret_result, error);
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    const char *id = json_string_or(result, "backup", "");
    const char *time = json_string_or(result, "time", NULL);
    if (time)
        output_line(stdout, "Backup %s of %s is off the list. Its data stays in the repository.",
                    id, time);
    else
        output_line(stdout, "Backup %s, which could not be read, is off the list.", id);
}

const struct verb verb_forget = {
    .name = "forget",
    .operands = "BACKUP",
    .summary = "take a backup off the list",
    .description =
        "Takes one backup off the list: it cannot be shown or restored any more. Its data stays in "
        "the repository. The newest backup of a VM, or of a disk, is refused.\n"
        "BACKUP is an id, the beginning of one (at least 4 characters), or latest.",
    .minimum = 1,
    .maximum = 1,
    .options = rules,
    .size = sizeof(struct forget_options),
    .run = run,
    .print = print,
};
