#include "cli/events.h"

#include "base/clock.h"
#include "base/memory.h"
#include "requester/requester.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

enum { LINES_LIMIT = 65536, CLOSE_SECONDS = 10 };

struct events {
    /* Set by events_open(), never changed. */
    int file;
    char *path;
    pthread_t thread;
    /* Guarded by lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char **lines;
    size_t count, lost;
    bool ending;
    int fault; /* errno of the first failed write */
};

static int write_line(int file, const char *line)
{
    for (size_t left = strlen(line); left;) {
        ssize_t written = write(file, line, left);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        line += written;
        left -= (size_t)written;
    }
    return 0;
}

static int write_lines(int file, char **lines, size_t count)
{
    int fault = 0;
    for (size_t i = 0; i < count; i++) {
        if (!fault)
            fault = write_line(file, lines[i]);
        free(lines[i]);
    }
    free(lines);
    return fault;
}

/* Takes all lines there are, writes them without the lock, until the end is asked for. */
static void *write_events(void *context)
{
    struct events *events = context;
    pthread_mutex_lock(&events->lock);
    for (;;) {
        while (!events->count && !events->ending)
            pthread_cond_wait(&events->changed, &events->lock);
        if (!events->count)
            break;
        char **lines = TAKE_PTR(events->lines);
        size_t count = events->count;
        events->count = 0;
        pthread_mutex_unlock(&events->lock);
        int fault = write_lines(events->file, lines, count);
        pthread_mutex_lock(&events->lock);
        if (!events->fault)
            events->fault = fault;
    }
    pthread_mutex_unlock(&events->lock);
    return NULL;
}

static void free_events(struct events *events)
{
    memory_closep(&events->file);
    pthread_cond_destroy(&events->changed);
    pthread_mutex_destroy(&events->lock);
    free(events->path);
    free(events);
}

int events_open(const char *path, struct events **ret_events, struct error *error)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
    if (file < 0)
        return error_errno(error, errno, "events file %s", path);
    struct events *events = NEW(struct events);
    events->file = file;
    events->path = memory_copy_string(path);
    pthread_mutex_init(&events->lock, NULL);
    pthread_cond_init(&events->changed, NULL);
    int number = pthread_create(&events->thread, NULL, write_events, events);
    if (number) {
        free_events(events);
        return error_errno(error, number, "events file: no thread");
    }
    *ret_events = events;
    return 0;
}

void events_add(struct events *events, const struct coordinator_record *record, const char *vm,
                const char *disk)
{
    CLEANUP_JSON json_t *object = requester_record_json(record, vm, disk);
    CLEANUP_FREE char *text = json_text(object);
    char *line = memory_format("%s\n", text);
    pthread_mutex_lock(&events->lock);
    if (events->count < LINES_LIMIT) {
        ARRAY_APPEND(events->lines, events->count, line);
    } else {
        events->lost++;
        free(line);
    }
    pthread_cond_signal(&events->changed);
    pthread_mutex_unlock(&events->lock);
}

int events_close(struct events *events, struct error *error)
{
    if (!events)
        return 0;
    pthread_mutex_lock(&events->lock);
    events->ending = true;
    pthread_cond_signal(&events->changed);
    pthread_mutex_unlock(&events->lock);
    struct timespec limit = clock_timespec(clock_monotonic() + CLOSE_SECONDS * CLOCK_SECOND);
    if (pthread_clockjoin_np(events->thread, NULL, CLOCK_MONOTONIC, &limit) != 0) {
        /* The thread hangs in write(2) and keeps its memory; the process is about to end. */
        return error_set(error, ERROR_TIMEOUT, "events file %s does not take what is written",
                         events->path);
    }
    int result = 0;
    if (events->fault)
        result = error_errno(error, events->fault, "events file %s", events->path);
    else if (events->lost)
        result = error_set(error, ERROR_FAILED, "events file %s: %zu lines were lost", events->path,
                           events->lost);
    free_events(events);
    return result;
}
