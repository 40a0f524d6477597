/* A table of what the requester may ask. Every request is answered, steps by their lane once they
 * are prepared; when the run is being undone all are refused with the reason. */
#include "undo/watchdog-private.h"

#include <inttypes.h>
#include <string.h>

void watchdog_answer(struct watchdog *watchdog, int64_t request, const struct error *error)
{
    json_t *message = channel_message("answer");
    json_set_integer(message, "request", request);
    if (error_is_set(error))
        channel_put_error(message, error);
    (void)channel_send(watchdog->channel, message, -1);
}

static int take_hello(struct watchdog *watchdog, const json_t *message, int *file,
                      struct error *error)
{
    if (*file < 0 || watchdog->header.run)
        return error_set(error, ERROR_USAGE, "hello is said once, with a journal");
    struct steps none;
    steps_init(&none);
    int result = journal_read(io_real(), *file, watchdog->journal, watchdog->table,
                              &watchdog->header, &none, error);
    steps_deinit(&none);
    if (result != 0)
        return -1;
    watchdog->stall = json_integer_or(message, "stall", watchdog->stall);
    ARRAY_APPEND(watchdog->held, watchdog->held_count, TAKE_FD(*file));
    return 0;
}

static int take_lock(struct watchdog *watchdog, const json_t *message, int *file,
                     struct error *error)
{
    (void)message;
    if (*file < 0)
        return error_set(error, ERROR_USAGE, "a lock comes with a descriptor");
    ARRAY_APPEND(watchdog->held, watchdog->held_count, TAKE_FD(*file));
    return 0;
}

static struct lane *lane_named(struct watchdog *watchdog, const char *name)
{
    for (size_t i = 0; i < watchdog->lane_count; i++)
        if (strcmp(lane_name(watchdog->lanes[i]), name) == 0)
            return watchdog->lanes[i];
    struct lane *lane = lane_new(&watchdog->owner, name);
    if (lane)
        ARRAY_APPEND(watchdog->lanes, watchdog->lane_count, lane);
    return lane;
}

/* In the message, or in the journal; to be given back. NULL on failure. */
static json_t *arguments_of(struct watchdog *watchdog, const json_t *message, struct error *error)
{
    json_t *arguments = json_object_get(message, "arguments");
    if (arguments || watchdog->held_count == 0)
        return json_incref(arguments);
    struct journal_place place = {.offset = json_integer_or(message, "offset", -1),
                                  .size = (size_t)json_integer_or(message, "size", 0)};
    uint64_t step = (uint64_t)json_integer_or(message, "step", 0);
    if (journal_read_arguments(io_real(), watchdog->held[0], watchdog->journal, step, &place,
                               &arguments, error) != 0)
        return NULL;
    return arguments;
}

/* 1 = the lane will answer. */
static int take_step(struct watchdog *watchdog, const json_t *message, int *file,
                     struct error *error)
{
    (void)file;
    const char *name = json_string_or(message, "lane", "");
    const char *kind = json_string_or(message, "kind", "");
    CLEANUP_JSON json_t *arguments = arguments_of(watchdog, message, error);
    if (!steps_kind(watchdog->table, kind) || !json_is_object(arguments))
        return error_set(error, ERROR_USAGE, "the watchdog knows no kind of step \"%s\"", kind);
    struct lane *lane = lane_named(watchdog, name);
    if (!lane)
        return error_set(error, ERROR_FAILED, "the watchdog cannot start a thread");
    struct step *step =
        steps_add(&watchdog->steps, watchdog->table, (uint64_t)json_integer_or(message, "step", 0),
                  name, kind, json_incref(arguments));
    lane_prepare(lane, step, json_integer_or(message, "request", 0));
    return 1;
}

static struct step *step_of(struct watchdog *watchdog, const json_t *message, struct error *error)
{
    int64_t id = json_integer_or(message, "step", 0);
    struct step *step = steps_find(&watchdog->steps, (uint64_t)id);
    if (!step)
        (void)error_set(error, ERROR_USAGE, "the watchdog knows no open step %" PRId64, id);
    return step;
}

static int take_strike(struct watchdog *watchdog, const json_t *message, int *file,
                       struct error *error)
{
    (void)file;
    struct step *step = step_of(watchdog, message, error);
    if (!step)
        return -1;
    (void)steps_close(&watchdog->steps, step);
    return 0;
}

/* All or none: the lock keeps a lane from taking one of them up in between. */
static int take_strike_all(struct watchdog *watchdog, const json_t *message, int *file,
                           struct error *error)
{
    (void)message;
    (void)file;
    (void)error;
    struct steps *steps = &watchdog->steps;
    pthread_mutex_lock(&steps->lock);
    for (size_t i = 0; i < steps->count; i++)
        steps->items[i]->open = false;
    pthread_mutex_unlock(&steps->lock);
    return 0;
}

static int take_replacing(struct watchdog *watchdog, const json_t *message, int *file,
                          struct error *error)
{
    (void)message;
    (void)file;
    (void)error;
    watchdog->replacing = true;
    return 0;
}

static int take_kept(struct watchdog *watchdog, const json_t *message, int *file,
                     struct error *error)
{
    (void)message;
    (void)file;
    (void)error;
    watchdog->replacing = false;
    return 0;
}

static int take_replaced(struct watchdog *watchdog, const json_t *message, int *file,
                         struct error *error)
{
    (void)take_strike_all(watchdog, message, file, error);
    int result = take_step(watchdog, message, file, error);
    watchdog->replacing = result < 0; /* then the journal still decides */
    return result;
}

/* The requester died while it replaced its steps: what is in the journal counts. */
void watchdog_read_again(struct watchdog *watchdog)
{
    struct journal_header header = {0};
    struct steps *steps = &watchdog->steps, now;
    size_t count;
    steps_init(&now);
    if (journal_read(io_real(), watchdog->held[0], watchdog->journal, watchdog->table, &header,
                     &now, NULL) == 0) {
        CLEANUP_FREE struct step **known = steps_open(steps, &count);
        for (size_t i = 0; i < count; i++)
            if (!steps_find(&now, known[i]->id))
                (void)steps_close(steps, known[i]);
        CLEANUP_FREE struct step **open = steps_open(&now, &count);
        for (size_t i = 0; i < count; i++)
            if (!steps_find(steps, open[i]->id)) {
                (void)steps_add(steps, watchdog->table, open[i]->id, open[i]->lane,
                                open[i]->kind_name, json_incref(open[i]->arguments));
                (void)lane_named(watchdog, open[i]->lane);
            }
    }
    journal_header_clear(&header);
    steps_deinit(&now);
    watchdog->replacing = false;
}

static int take_lease(struct watchdog *watchdog, const json_t *message, int *file,
                      struct error *error)
{
    (void)file;
    struct step *step = step_of(watchdog, message, error);
    if (!step)
        return -1;
    pthread_mutex_lock(&watchdog->steps.lock);
    step->deadline = json_integer_or(message, "deadline", 0);
    memory_set_string(&step->what, json_string_or(message, "what", "a time limit is exceeded"));
    pthread_mutex_unlock(&watchdog->steps.lock);
    return 0;
}

static const struct {
    const char *type;
    int (*take)(struct watchdog *watchdog, const json_t *message, int *file, struct error *error);
} requests[] = {
    {"hello", take_hello},
    {"lock", take_lock},
    {"step", take_step},
    {"strike", take_strike},
    {"strike-all", take_strike_all},
    {"replacing", take_replacing},
    {"kept", take_kept},
    {"replaced", take_replaced},
    {"lease", take_lease},
};

void watchdog_take(struct watchdog *watchdog, const json_t *message, int *file)
{
    const char *type = json_string_or(message, "type", "");
    struct error error = ERROR_INIT;
    int result = -1;
    if (strcmp(type, "heartbeat") == 0) {
        /* One answer in the queue is enough: a requester that does not read is not flooded. */
        if (!channel_is_waiting(watchdog->channel))
            (void)channel_send(watchdog->channel, channel_message("heartbeat"), -1);
        return;
    }
    if (strcmp(type, "end") == 0) {
        watchdog->told_to_end = true;
        return;
    }
    if (watchdog->state != WATCHING)
        error = watchdog->reason;
    else
        for (unsigned i = 0; i < ARRAY_SIZE(requests); i++)
            if (strcmp(type, requests[i].type) == 0)
                result = requests[i].take(watchdog, message, file, &error);
    if (result < 0)
        (void)error_set(&error, ERROR_FAILED, "the watchdog does not know \"%s\"", type);
    if (result <= 0)
        watchdog_answer(watchdog, json_integer_or(message, "request", 0), &error);
}
