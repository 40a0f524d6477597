/* `recover` and the watchdog process: the undo of runs that cannot do it themselves. */
#include "requester/rights.h"
#include "requester/run.h"

#include "base/log.h"

#include <fcntl.h>

#include <stdlib.h>
#include <sys/prctl.h>

struct recovery {
    json_t *runs;
};

static void add_run(void *context, const struct undo_report *report)
{
    struct recovery *recovery = context;
    json_t *run = json_object();
    json_set_string(run, "description", report->description);
    json_set_integer(run, "undone", report->undone);
    json_set_integer(run, "left", report->left);
    json_set_string(run, "message", report->error.message);
    json_append(recovery->runs, run);
}

int requester_recover(const struct requester_host *host, json_t **ret_result, struct error *error)
{
    if (rights_check(host, run_state_directory(host), error) != 0)
        return -1;
    struct recovery recovery = {json_array()};
    struct undo_pool *pool = undo_pool_new(host->uri);
    struct undo_table table = run_undo_table(pool);
    int count = undo_recover(run_state_directory(host), &table, add_run, &recovery, error);
    undo_pool_free(pool);
    json_t *result = json_object();
    json_set(result, "runs", recovery.runs);
    *ret_result = result;
    return count < 0 ? -1 : 0;
}

/* Whoever reads the requester's output must not wait for the watchdog's end, too. */
static void leave_terminal(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int file = 0; null >= 0 && file <= 2; file++)
        (void)dup2(null, file);
    if (null > 2)
        (void)close(null);
    log_to_system();
}

int requester_watchdog(const char *uri, int socket, const char *journal)
{
    leave_terminal();
    (void)prctl(PR_SET_NAME, "vmshadow"); /* not "exe": administrators look for processes by name */
    (void)unsetenv("VMSHADOW_TEST_POINT"); /* meant for the requester */
    struct undo_pool *pool = undo_pool_new(uri);
    struct undo_table table = run_undo_table(pool);
    int code = undo_watchdog(socket, journal, &table);
    undo_pool_free(pool);
    return code;
}
