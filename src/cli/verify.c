/* vmshadow verify: read and check everything that is stored. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/observer.h"
#include "cli/output.h"
#include "cli/repository-option.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <inttypes.h>

struct verification {
    struct observer *observer;
    json_t *faults;
};

static void on_fault(void *context, const char *object, const char *message)
{
    struct verification *verification = context;
    json_t *fault = json_object();
    json_set_string(fault, "object", object);
    json_set_string(fault, "message", message);
    json_append(verification->faults, fault);
}

static void on_progress(void *context, uint64_t done, uint64_t total)
{
    struct verification *verification = context;
    observer_progress(verification->observer, "repository", done, total);
}

static int run(const struct options *options, json_t **ret_result, struct error *error)
{
    CLEANUP(repository_freep) struct repository *repository = NULL;
    struct verification verification = {0};
    if (repository_option_open(options, &repository, error) < 0 ||
        observer_open(options, NULL, &verification.observer, error) < 0)
        return -1;
    verification.faults = json_array();
    struct repository_verify_counts counts = {0};
    int64_t started = clock_monotonic();
    int code = repository_verify(repository, on_fault, on_progress, &verification, &counts, error);
    json_t *result = json_object();
    json_set_integer(result, "backups", (int64_t)counts.backups);
    json_set_integer(result, "objects", (int64_t)counts.objects);
    json_set_integer(result, "bytes", (int64_t)counts.bytes);
    json_set(result, "faults", verification.faults);
    json_set(result, "seconds", json_real((double)(clock_monotonic() - started) / CLOCK_SECOND));
    *ret_result = result;
    return observer_close(verification.observer, error) < 0 ? -1 : code;
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    size_t index;
    json_t *fault;
    char bytes[values_text_size];
    const json_t *faults = json_object_get(result, "faults");
    json_array_foreach(faults, index, fault)
    {
        output_line(stdout, "FAULT %s: %s", json_string_or(fault, "object", ""),
                    json_string_or(fault, "message", ""));
    }
    output_line(stdout,
                "%" PRId64 " backups, %" PRId64 " objects, %s read in %.1f seconds: %zu faults.",
                json_integer_or(result, "backups", 0), json_integer_or(result, "objects", 0),
                values_format_size((uint64_t)json_integer_or(result, "bytes", 0), bytes),
                json_number_value(json_object_get(result, "seconds")), json_array_size(faults));
}

const struct verb verb_verify = {
    .name = "verify",
    .operands = "",
    .summary = "read and check all data of a repository",
    .description = "Reads everything that is stored: each backup, every chunk it refers to, each "
                   "pack and index, and checks that it is what was written. Each fault is named "
                   "with the backup, VM and disk that it touches. Nothing is changed.",
    .size = sizeof(struct options),
    .run = run,
    .print = print,
};
