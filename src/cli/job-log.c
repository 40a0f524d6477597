/* One entry a run, with fields that `journalctl VMSHADOW_JOB=nightly` finds. */
#include "cli/job-ending.h"

#include "base/memory.h"

#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Never changed: people search by them (vmshadow.conf(5)). */
#define ID_SUCCESS "5f0a7d0f6c3b4a53a9c4b0f2f6d3a7e1"
#define ID_FAILURE "c1f4b8de27a94e07b6f1d95d0e8c4b32"

/* The journal drops an entry with more than 1024 fields; what it adds itself counts, too. */
enum { FIELDS_LIMIT = 900 };

struct fields {
    struct iovec *items;
    size_t count;
};

static void add(struct fields *fields, const char *name, const char *value)
{
    if (fields->count == FIELDS_LIMIT)
        return;
    char *text = memory_format("%s=%s", name, value);
    struct iovec item = {text, strlen(text)};
    ARRAY_APPEND(fields->items, fields->count, item);
}

static size_t count_vms(const json_t *report)
{
    size_t index, count = 0;
    json_t *set;
    json_array_foreach(json_object_get(report, "sets"), index, set)
    {
        count += json_array_size(json_object_get(set, "vms"));
    }
    return count;
}

static void add_sets(struct fields *fields, const json_t *report)
{
    size_t index, inner;
    json_t *set, *name;
    json_array_foreach(json_object_get(report, "sets"), index, set)
    {
        const char *backup = json_string_or(set, "backup", NULL);
        if (backup)
            add(fields, "VMSHADOW_BACKUP", backup);
        json_array_foreach(json_object_get(set, "vms"), inner, name)
        {
            add(fields, "VMSHADOW_VM", json_string_value(name));
        }
    }
}

static void add_notices(struct fields *fields, const json_t *notices)
{
    size_t index;
    json_t *notice;
    json_array_foreach(notices, index, notice)
    {
        add(fields, "VMSHADOW_NOTICE", json_string_value(notice));
    }
}

static void add_number(struct fields *fields, const char *name, double value)
{
    CLEANUP_FREE char *text = memory_format("%.15g", value);
    add(fields, name, text);
}

static char *message_of(const json_t *report)
{
    const json_t *error = json_object_get(report, "error");
    const char *job = json_string_or(report, "job", "");
    if (json_is_object(error))
        return memory_format("%s [%s]", json_string_or(error, "message", ""),
                             json_string_or(error, "id", ""));
    const json_t *notices = json_object_get(report, "notices");
    const char *first = json_string_value(json_array_get(notices, 0));
    CLEANUP_FREE char *made = memory_format("job %s: %zu backups made", job,
                                            json_array_size(json_object_get(report, "sets")));
    if (!first)
        return TAKE_PTR(made);
    return memory_format("%s, %zu notices: %s", made, json_array_size(notices), first);
}

static int priority_of(const json_t *report, bool good)
{
    bool noticed = json_array_size(json_object_get(report, "notices")) > 0;
    return !good ? LOG_ERR : noticed ? LOG_NOTICE : LOG_INFO;
}

static void send(const json_t *report, const char *message, bool good)
{
    struct fields fields = {NULL, 0};
    const json_t *error = json_object_get(report, "error");
    add(&fields, "MESSAGE", message);
    add(&fields, "MESSAGE_ID", good ? ID_SUCCESS : ID_FAILURE);
    add_number(&fields, "PRIORITY", priority_of(report, good));
    add(&fields, "SYSLOG_IDENTIFIER", "vmshadow");
    add(&fields, "VMSHADOW_JOB", json_string_or(report, "job", ""));
    add(&fields, "VMSHADOW_RESULT", json_string_or(report, "result", ""));
    add_number(&fields, "VMSHADOW_SECONDS", json_number_value(json_object_get(report, "seconds")));
    add_number(&fields, "VMSHADOW_READ_BYTES", (double)json_integer_or(report, "bytes_read", 0));
    add_number(&fields, "VMSHADOW_STORED_BYTES",
               (double)json_integer_or(report, "bytes_stored", 0));
    add_number(&fields, "VMSHADOW_VMS", (double)count_vms(report));
    if (json_is_object(error))
        add(&fields, "VMSHADOW_ERROR_ID", json_string_or(error, "id", ""));
    add_notices(&fields, json_object_get(report, "notices"));
    add_sets(&fields, report);
    if (sd_journal_sendv(fields.items, (int)fields.count) < 0)
        syslog(priority_of(report, good), "%s", message);
    for (size_t i = 0; i < fields.count; i++)
        free(fields.items[i].iov_base);
    free(fields.items);
}

void job_log(const json_t *report)
{
    bool good = strcmp(json_string_or(report, "result", ""), "success") == 0;
    CLEANUP_FREE char *message = message_of(report);
    /* Without a journal libsystemd drops the entry and says that all is well. */
    if (access(JOURNAL_SOCKET, F_OK) == 0) {
        send(report, message, good);
        return;
    }
    openlog("vmshadow", LOG_PID, LOG_DAEMON);
    syslog(priority_of(report, good), "%s", message);
}
