#include "cli/job-ending.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/output.h"

#include <string.h>

#define CALL_LIMIT (5 * 60 * CLOCK_SECOND)

static void warn(const json_t *report, struct error *error)
{
    CLEANUP_FREE char *safe = output_safe(error->message);
    log_warning("job %s: %s", json_string_or(report, "job", ""), safe);
}

/* Text or JSON, to be freed. */
static char *make_input(const struct job_options *options, const json_t *report)
{
    char *text = NULL;
    size_t size;
    if (options->report_format && strcmp(options->report_format, "json") == 0) {
        CLEANUP_FREE char *line = json_text(report);
        return memory_format("%s\n", line);
    }
    FILE *file = open_memstream(&text, &size);
    if (!file)
        abort();
    job_print(report, file);
    (void)fclose(file);
    return text;
}

void job_end(const struct job_options *options, const json_t *report)
{
    struct error metrics = ERROR_INIT, call = ERROR_INIT;
    bool good = strcmp(json_string_or(report, "result", ""), "success") == 0;
    const char *command = good ? options->on_success : options->on_failure;
    job_log(report);
    if (options->metrics_directory &&
        job_write_metrics(options->metrics_directory, report, &metrics) < 0)
        warn(report, &metrics);
    if (!command)
        return;
    CLEANUP_FREE char *input = make_input(options, report);
    if (job_call(command, report, input, CALL_LIMIT, &call) < 0)
        warn(report, &call);
}
