#include "cli/observer.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/events.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <pthread.h>
#include <string.h>

enum { NOTICES_LIMIT = 100, NOTICE_LIMIT = 511 };

struct observer {
    const struct options *options;
    struct progress *progress;
    struct events *events; /* NULL without --events */
    int64_t started;
    pthread_mutex_t lock;
    json_t *told;    /* a member for each notice; guarded by lock */
    size_t too_many; /* those that are not in it; guarded by lock */
};

static void on_record(void *context, const struct coordinator_record *record, const char *vm,
                      const char *disk)
{
    struct observer *observer = context;
    if (observer->events)
        events_add(observer->events, record, vm, disk);
    if (!observer->options->verbose)
        return;
    CLEANUP_FREE char *text = memory_format(
        "%s %s%s%s%s%s (%s): %s in %.1f ms%s%s", record->kind, record->name, vm ? ", VM " : "",
        vm ? vm : "", disk ? ", disk " : "", disk ? disk : "", record->party,
        vss_code_name(record->code), (double)(record->end - record->start) / CLOCK_MILLISECOND,
        record->message && *record->message ? ": " : "", record->message ? record->message : "");
    CLEANUP_FREE char *safe = output_safe(text);
    progress_hide(observer->progress);
    log_notice("%s", safe);
}

static void on_progress(void *context, const char *vm, const char *disk, uint64_t done,
                        uint64_t total, uint64_t rate)
{
    struct observer *observer = context;
    struct progress_sample sample = {.vm = vm,
                                     .disk = disk ? disk : "",
                                     .done = done,
                                     .total = total,
                                     .rate = rate,
                                     .now = clock_monotonic()};
    progress_update(observer->progress, &sample);
}

/* A job selects and plans anew for each set, and each time it tries one that waits. */
static bool is_told(struct observer *observer, const char *safe)
{
    pthread_mutex_lock(&observer->lock);
    bool told = json_object_get(observer->told, safe) != NULL;
    if (!told && json_object_size(observer->told) < NOTICES_LIMIT)
        json_set_boolean(observer->told, safe, true);
    else if (!told)
        observer->too_many++;
    pthread_mutex_unlock(&observer->lock);
    return told;
}

/* Its beginning, whole characters. */
static void append_notice(json_t *notices, const char *safe)
{
    size_t length = strlen(safe);
    if (length > NOTICE_LIMIT) {
        length = NOTICE_LIMIT - strlen("...");
        while (((unsigned char)safe[length] & 0xc0) == 0x80)
            length--;
        CLEANUP_FREE char *beginning = memory_format("%.*s...", (int)length, safe);
        json_append_string(notices, beginning);
    } else {
        json_append_string(notices, safe);
    }
}

json_t *observer_notices(struct observer *observer)
{
    json_t *notices = json_array(), *value;
    const char *safe;
    pthread_mutex_lock(&observer->lock);
    json_object_foreach(observer->told, safe, value)
    {
        bool last = json_array_size(notices) + 1 == NOTICES_LIMIT;
        if (last && observer->too_many)
            break;
        append_notice(notices, safe);
    }
    if (observer->too_many) {
        CLEANUP_FREE char *more =
            memory_format("%zu more notices are left out", observer->too_many + 1);
        json_append_string(notices, more);
    }
    pthread_mutex_unlock(&observer->lock);
    return notices;
}

static void on_notice(void *context, const char *text)
{
    struct observer *observer = context;
    CLEANUP_FREE char *safe = output_safe(text);
    if (is_told(observer, safe))
        return;
    progress_hide(observer->progress);
    log_notice("%s", safe);
}

int observer_open(const struct options *options, const char *events, struct observer **ret_observer,
                  struct error *error)
{
    struct events *file = NULL;
    if (events && events_open(events, &file, error) < 0)
        return -1;
    struct observer *observer = NEW(struct observer);
    enum progress_kind kind = options->quiet          ? PROGRESS_NONE
                              : isatty(STDERR_FILENO) ? PROGRESS_TERMINAL
                                                      : PROGRESS_PLAIN;
    *observer = (struct observer){
        .options = options,
        .events = file,
        .progress = progress_new(STDERR_FILENO, kind),
        .started = clock_monotonic(),
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .told = json_object(),
    };
    *ret_observer = observer;
    return 0;
}

struct requester_host observer_host(struct observer *observer)
{
    return (struct requester_host){
        .uri = observer->options->connect,
        .default_location = observer->options->default_location,
        .observer = {.context = observer,
                     .record = on_record,
                     .progress = on_progress,
                     .notice = on_notice},
        .interrupted = signals_interrupted(),
    };
}

void observer_progress(struct observer *observer, const char *what, uint64_t done, uint64_t total)
{
    double seconds = (double)(clock_monotonic() - observer->started) / CLOCK_SECOND;
    on_progress(observer, what, "", done, total,
                seconds > 0 ? (uint64_t)((double)done / seconds) : 0);
}

int observer_close(struct observer *observer, struct error *error)
{
    if (!observer)
        return 0;
    progress_free(observer->progress);
    struct error fault = ERROR_INIT;
    int result = events_close(observer->events, &fault);
    error_move(error, &fault);
    json_decref(observer->told);
    free(observer);
    return result;
}
