/* vmshadow watchdog: the process that a run starts beside itself. Not for people. */
#include "base/log.h"
#include "cli/verb.h"

#include <limits.h>
#include <signal.h>

struct watchdog_options {
    struct options common;
    unsigned socket;
    const char *journal;
};

#define OFFSET(member) offsetof(struct watchdog_options, member)
static const struct option_rule rules[] = {
    {"socket", '\0', OPTION_COUNT, "N", OFFSET(socket), "descriptor that leads to the requester",
     NULL, 3, INT_MAX},
    {"journal", '\0', OPTION_TEXT, "PATH", OFFSET(journal), "journal of the run"},
    {NULL},
};

static int run(const struct options *common, json_t **ret_result, struct error *error)
{
    (void)ret_result;
    const struct watchdog_options *options = (const struct watchdog_options *)common;
    if (!options->socket || !options->journal)
        return error_set(error, ERROR_USAGE, "watchdog: is started by vmshadow itself");
    log_set_program("vmshadow watchdog");
    (void)signal(SIGPIPE, SIG_IGN);
    if (requester_watchdog(common->connect, (int)options->socket, options->journal) == 0)
        return 0;
    return error_set(error, ERROR_FAILED, "watchdog: not everything was undone");
}

const struct verb verb_watchdog = {
    .name = "watchdog",
    .operands = "",
    .summary = "undo the changes of a run that dies",
    .description = "Started by vmshadow itself for each run.",
    .options = rules,
    .size = sizeof(struct watchdog_options),
    .internal = true,
    .run = run,
};
