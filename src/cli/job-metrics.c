/* Figures in Prometheus' text format. A value is that of the last run, but for the time of the last
 * success, which a failed run takes over from the file that it replaces. */
#include "cli/job-ending.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/memory.h"
#include "base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum { OLD_FILE_LIMIT = 4 << 20 };

#define LAST_SUCCESS "vmshadow_job_last_success_timestamp_seconds"

/* ---- Text ---------------------------------------------------------------------------------- */

static void head(FILE *file, const char *name, const char *help)
{
    (void)fprintf(file, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

/* A label's value: backslash, quote and newline have their own writing. */
static void label(FILE *file, const char *name, const char *value)
{
    (void)fprintf(file, "%s=\"", name);
    for (; *value; value++)
        switch (*value) {
        case '\\':
        case '"':
            (void)fprintf(file, "\\%c", *value);
            break;
        case '\n':
            (void)fputs("\\n", file);
            break;
        default:
            (void)fputc(*value, file);
        }
    (void)fputc('"', file);
}

static void job_value(FILE *file, const json_t *report, const char *name, const char *help,
                      double value)
{
    head(file, name, help);
    (void)fprintf(file, "%s{", name);
    label(file, "job", json_string_or(report, "job", ""));
    (void)fprintf(file, "} %.15g\n", value);
}

/* A line for each VM of each set that was backed up. */
static void vm_values(FILE *file, const json_t *report, const char *name, const char *help,
                      const char *member, double unit)
{
    size_t index, inner;
    json_t *set, *vm;
    head(file, name, help);
    json_array_foreach(json_object_get(report, "sets"), index, set)
    {
        const json_t *vms = json_object_get(json_object_get(set, "details"), "vms");
        json_array_foreach(vms, inner, vm)
        {
            (void)fprintf(file, "%s{", name);
            label(file, "job", json_string_or(report, "job", ""));
            (void)fputc(',', file);
            label(file, "vm", json_string_or(vm, "name", ""));
            (void)fprintf(file, "} %.15g\n", json_number_value(json_object_get(vm, member)) / unit);
        }
    }
}

static void write_retention(FILE *file, const json_t *report)
{
    const json_t *retention = json_object_get(report, "retention");
    if (!json_is_object(retention))
        return;
    job_value(file, report, "vmshadow_job_backups", "Backups of the job that are listed.",
              (double)json_integer_or(retention, "kept", 0));
    job_value(file, report, "vmshadow_job_retention_stopped",
              "1: older backups were not removed, since something is in doubt.",
              json_string_or(retention, "stopped", NULL) != NULL);
}

static char *make_text(const json_t *report, int64_t last_success)
{
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        abort();
    size_t sets = json_array_size(json_object_get(report, "sets"));
    int64_t failed = json_integer_or(report, "failed", 0), begin = 0;
    bool good = strcmp(json_string_or(report, "result", ""), "success") == 0;
    (void)clock_parse(json_string_or(report, "begin", ""), &begin);
    job_value(file, report, "vmshadow_job_success", "1: the last run did all it had to.", good);
    job_value(file, report, "vmshadow_job_last_run_timestamp_seconds", "When the last run began.",
              (double)(begin / CLOCK_SECOND));
    if (last_success)
        job_value(file, report, LAST_SUCCESS, "When the last run that did all began.",
                  (double)last_success);
    job_value(file, report, "vmshadow_job_duration_seconds", "How long the last run took.",
              json_number_value(json_object_get(report, "seconds")));
    job_value(file, report, "vmshadow_job_sets", "Sets of VMs in the last run.", (double)sets);
    job_value(file, report, "vmshadow_job_failed_sets", "Those of them that failed.",
              (double)failed);
    job_value(file, report, "vmshadow_job_read_bytes", "Read from disks in the last run.",
              (double)json_integer_or(report, "bytes_read", 0));
    job_value(file, report, "vmshadow_job_stored_bytes", "Added to the repository in the last run.",
              (double)json_integer_or(report, "bytes_stored", 0));
    job_value(file, report, "vmshadow_job_notices",
              "What the report of the last run has to tell beside failures.",
              (double)json_array_size(json_object_get(report, "notices")));
    write_retention(file, report);
    vm_values(file, report, "vmshadow_vm_frozen_seconds",
              "How long the guest's file systems were frozen.", "frozen_ms", 1000);
    vm_values(file, report, "vmshadow_vm_paused_seconds", "How long the VM did not run.",
              "paused_ms", 1000);
    (void)fclose(file);
    return text;
}

/* ---- The file ------------------------------------------------------------------------------ */

/* What the file of an earlier run says; 0 = nothing. */
static int64_t read_last_success(int directory, const char *name)
{
    struct stat status;
    CLEANUP_CLOSE int file =
        openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0 || fstat(file, &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_size > OLD_FILE_LIMIT)
        return 0;
    CLEANUP_FREE char *text = memory_new((size_t)status.st_size + 1, 1);
    if (io_read_all(io_real(), file, text, (size_t)status.st_size, 0) != 0)
        return 0;
    const char *line = strstr(text, "\n" LAST_SUCCESS "{");
    const char *value = line ? strchr(line, '}') : NULL; /* the name of a job holds none */
    return value ? (int64_t)strtod(value + 1, NULL) : 0;
}

int job_write_metrics(const char *directory, const json_t *report, struct error *error)
{
    CLEANUP_CLOSE int folder = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return error_errno(error, errno, "metrics directory %s", directory);
    CLEANUP_FREE char *name = memory_format("vmshadow_%s.prom", json_string_or(report, "job", ""));
    int64_t begin = 0;
    (void)clock_parse(json_string_or(report, "begin", ""), &begin);
    bool good = strcmp(json_string_or(report, "result", ""), "success") == 0;
    CLEANUP_FREE char *text =
        make_text(report, good ? begin / CLOCK_SECOND : read_last_success(folder, name));
    struct iovec piece = {text, strlen(text)};
    (void)publish_sweep(io_real(), folder, NULL);
    if (publish_file(io_real(), folder, name, &piece, 1, PUBLISH_READABLE, error) != 0)
        return error_prefix(error, "metrics directory %s: ", directory);
    return 0;
}
