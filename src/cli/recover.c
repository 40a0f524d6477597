/* vmshadow recover: undo what runs left behind that ended before their time. */
#include "base/memory.h"
#include "cli/observer.h"
#include "cli/output.h"
#include "cli/verb.h"

static int run(const struct options *options, json_t **ret_result, struct error *error)
{
    struct observer *observer = NULL;
    if (observer_open(options, NULL, &observer, error) < 0)
        return -1;
    struct requester_host host = observer_host(observer);
    int result = requester_recover(&host, ret_result, error);
    return observer_close(observer, error) < 0 ? -1 : result;
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    size_t index;
    json_t *item;
    const json_t *runs = json_object_get(result, "runs");
    json_array_foreach(runs, index, item)
    {
        const char *message = json_string_or(item, "message", "");
        output_line(stdout, "%s: steps undone: %d, left: %d%s%s",
                    json_string_or(item, "description", ""),
                    (int)json_integer_or(item, "undone", 0), (int)json_integer_or(item, "left", 0),
                    *message ? ": " : "", message);
    }
    if (!json_array_size(runs))
        output_line(stdout, "There was nothing to undo.");
}

const struct verb verb_recover = {
    .name = "recover",
    .operands = "",
    .summary = "undo what an interrupted run left behind",
    .description =
        "Reads the journals of runs that have ended without undoing what they did (after a crash "
        "of the host, for example), and undoes it: jobs are aborted, VMs resumed, guests thawed, "
        "VMs that a restore had set aside put back, scratch files removed. Runs that are still at "
        "work are left alone. It may be run at any time and any number of times.",
    .size = sizeof(struct options),
    .rescues = true, /* a guest may be waiting */
    .run = run,
    .print = print,
};
