/* The report of a job, and the same as text: for the terminal, and for the commands that send it
 * somewhere. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/job.h"
#include "cli/output.h"
#include "cli/values.h"

#include <string.h>

/* ---- The object ---------------------------------------------------------------------------- */

static int64_t sum(const json_t *sets, const char *member)
{
    int64_t total = 0;
    size_t index;
    json_t *set;
    json_array_foreach(sets, index, set)
    {
        total += json_integer_or(json_object_get(set, "details"), member, 0);
    }
    return total;
}

json_t *job_report(const struct job_outcome *outcome)
{
    char time[clock_text_size];
    clock_format(outcome->wall, time);
    json_t *report = json_object();
    json_set_string(report, "job", outcome->job);
    json_set_string(report, "host", outcome->host);
    json_set_string(report, "result", outcome->good ? "success" : "failure");
    json_set_string(report, "begin", time);
    json_set(report, "seconds",
             json_real((double)(clock_monotonic() - outcome->begin) / (double)CLOCK_SECOND));
    json_set(report, "sets", outcome->sets ? json_incref(outcome->sets) : json_array());
    json_set_integer(report, "failed", (int64_t)outcome->failed);
    json_set(report, "notices", outcome->notices ? json_incref(outcome->notices) : json_array());
    json_set(report, "retention",
             outcome->retention ? json_incref(outcome->retention) : json_null());
    json_set_integer(report, "bytes_read", sum(outcome->sets, "bytes_read"));
    json_set_integer(report, "bytes_stored", sum(outcome->sets, "bytes_stored"));
    return report;
}

/* ---- Text ---------------------------------------------------------------------------------- */

static char *join(const json_t *names)
{
    char *text = memory_format("%s", "");
    size_t index;
    json_t *name;
    json_array_foreach(names, index, name)
    {
        CLEANUP_FREE char *before = text;
        text = memory_format("%s%s%s", before, index ? ", " : "", json_string_value(name));
    }
    return text;
}

static void print_left_out(const json_t *details, FILE *file)
{
    size_t index, inner;
    json_t *vm, *disk;
    json_array_foreach(json_object_get(details, "vms"), index, vm)
    {
        json_array_foreach(json_object_get(vm, "left_out"), inner, disk)
        {
            output_line(file, "   VM %s, disk %s is left out: %s", json_string_or(vm, "name", ""),
                        json_string_or(disk, "target", ""), json_string_or(disk, "reason", ""));
        }
    }
}

static void print_set(const json_t *set, FILE *file)
{
    const json_t *details = json_object_get(set, "details"), *error = json_object_get(set, "error");
    CLEANUP_FREE char *names = join(json_object_get(set, "vms"));
    if (json_is_object(error)) {
        output_line(file, "FAILED %s: %s", names, json_string_or(error, "message", ""));
        const char *hint = json_string_or(error, "hint", "");
        if (*hint)
            output_line(file, "   hint: %s", hint);
    }
    if (!json_is_object(details))
        return;
    char read[values_text_size], stored[values_text_size];
    output_line(file, "Backup %s of %s: %s", json_string_or(set, "backup", ""),
                json_string_or(details, "time", ""), names);
    output_line(file, "   %s read, %s stored in %.1f seconds",
                values_format_size((uint64_t)json_integer_or(details, "bytes_read", 0), read),
                values_format_size((uint64_t)json_integer_or(details, "bytes_stored", 0), stored),
                json_number_value(json_object_get(details, "seconds")));
    print_left_out(details, file);
}

static void print_notices(const json_t *notices, FILE *file)
{
    size_t index;
    json_t *notice;
    json_array_foreach(notices, index, notice)
    {
        output_line(file, "NOTICE: %s", json_string_value(notice));
    }
}

static void print_retention(const json_t *retention, FILE *file)
{
    const char *stopped = json_string_or(retention, "stopped", NULL);
    size_t index;
    json_t *backup;
    json_array_foreach(json_object_get(retention, "removed"), index, backup)
    {
        output_line(file, "Removed from the list: backup %s of %s",
                    json_string_or(backup, "id", ""), json_string_or(backup, "time", ""));
    }
    if (stopped)
        output_line(file, "NO OLDER BACKUP WAS REMOVED: %s", stopped);
    output_line(file, "The job has %d backups.", (int)json_integer_or(retention, "kept", 0));
}

void job_print(const json_t *report, FILE *file)
{
    size_t index;
    json_t *set;
    output_line(file, "Job %s on %s: %s", json_string_or(report, "job", ""),
                json_string_or(report, "host", ""), json_string_or(report, "result", ""));
    json_array_foreach(json_object_get(report, "sets"), index, set)
    {
        print_set(set, file);
    }
    print_notices(json_object_get(report, "notices"), file);
    const json_t *error = json_object_get(report, "error");
    if (json_is_object(error) && !json_integer_or(report, "failed", 0))
        output_line(file, "FAILED: %s", json_string_or(error, "message", ""));
    if (json_is_object(json_object_get(report, "retention")))
        print_retention(json_object_get(report, "retention"), file);
    output_line(file, "Begun %s, %.1f seconds.", json_string_or(report, "begin", ""),
                json_number_value(json_object_get(report, "seconds")));
}
