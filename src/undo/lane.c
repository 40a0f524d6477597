/* A loop over: steps to prepare (or to drop), rounds of undo, watched steps. */
#include "undo/lane.h"

#include "base/clock.h"
#include "base/memory.h"

#include <string.h>

static const int64_t watch_period = 100 * CLOCK_MILLISECOND;

struct job {
    struct step *step;
    int64_t request;
};

struct lane {
    /* Set by lane_new(), never changed. */
    const struct lane_owner *owner;
    char *name;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Guarded by lock. */
    struct job *jobs; /* from `taken` on they wait to be prepared */
    size_t count, taken;
    unsigned rounds_wanted, rounds_done;
    bool quit, ended;
    /* The thread's own. */
    struct step **watched; /* prepared steps whose kind has a limit */
    size_t watched_count;
};

static void prepare(struct lane *lane, struct job job)
{
    const struct lane_owner *owner = lane->owner;
    const struct undo_kind *kind = job.step->kind;
    struct error error = ERROR_INIT;
    if (kind->prepare && kind->prepare(owner->table->context, job.step->arguments, &error) != 0) {
        (void)error_set(&error, ERROR_FAILED, "the watchdog cannot prepare the step \"%s\"",
                        kind->name);
        (void)steps_close(owner->steps, job.step);
    } else {
        error_clear(&error); /* a handler that succeeds may have filled it on the way */
        if (kind->watch)
            ARRAY_APPEND(lane->watched, lane->watched_count, job.step);
    }
    owner->prepared(owner->context, job.step, job.request, &error);
}

static void watch(struct lane *lane)
{
    const struct lane_owner *owner = lane->owner;
    for (size_t i = 0; i < lane->watched_count; i++) {
        struct step *step = lane->watched[i];
        struct error reason = ERROR_INIT;
        if (steps_find(owner->steps, step->id) != step)
            continue;
        if (step->kind->watch(owner->table->context, step->arguments, &reason) != 1)
            continue;
        (void)error_set(&reason, ERROR_FAILED, "a limit of the step \"%s\" is passed",
                        step->kind->name);
        owner->tripped(owner->context, step, &reason);
    }
}

static void undo_round(struct lane *lane)
{
    const struct lane_owner *owner = lane->owner;
    struct error error = ERROR_INIT;
    struct steps_undoing undoing = {
        .steps = owner->steps, .table = owner->table, .give_up = INT64_MAX};
    (void)steps_undo_lane(&undoing, lane->name, &error);
    owner->finished(owner->context, &error);
}

/* Under the lock: wait for work, or for the next look at watched steps. */
static void wait_for_work(struct lane *lane, int64_t next_watch)
{
    struct timespec until = clock_timespec(next_watch);
    if (lane->watched_count == 0)
        (void)pthread_cond_wait(&lane->changed, &lane->lock);
    else
        (void)pthread_cond_timedwait(&lane->changed, &lane->lock, &until);
}

/* The run is being undone: a step that was not answered yet was never acted on. */
static void drop(struct lane *lane, struct job job)
{
    struct error error = ERROR_INIT;
    (void)error_set(&error, ERROR_FAILED, "the run is being undone");
    (void)steps_close(lane->owner->steps, job.step);
    lane->owner->prepared(lane->owner->context, job.step, job.request, &error);
}

/* Under the lock, which is not held while a handler runs. false: nothing to do now. */
static bool work(struct lane *lane, int64_t *next_watch)
{
    void (*task)(struct lane *) = NULL;
    struct job job = {0};
    bool undoing = lane->rounds_wanted > 0;
    if (lane->taken < lane->count) {
        job = lane->jobs[lane->taken++];
    } else if (lane->rounds_done < lane->rounds_wanted) {
        lane->rounds_done++;
        task = undo_round;
    } else if (!undoing && lane->watched_count > 0 && clock_monotonic() >= *next_watch) {
        *next_watch = clock_monotonic() + watch_period;
        task = watch;
    } else {
        return false;
    }
    pthread_mutex_unlock(&lane->lock);
    if (task)
        task(lane);
    else
        (undoing ? drop : prepare)(lane, job);
    pthread_mutex_lock(&lane->lock);
    return true;
}

static void *lane_main(void *context)
{
    struct lane *lane = context;
    int64_t next_watch = 0;
    pthread_mutex_lock(&lane->lock);
    while (!lane->quit) {
        if (!work(lane, &next_watch) && !lane->quit)
            wait_for_work(lane,
                          lane->rounds_wanted ? clock_monotonic() + CLOCK_SECOND : next_watch);
    }
    lane->ended = true;
    pthread_cond_broadcast(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
    return NULL;
}

struct lane *lane_new(const struct lane_owner *owner, const char *name)
{
    struct lane *lane = NEW(struct lane);
    lane->owner = owner;
    lane->name = memory_copy_string(name);
    pthread_mutex_init(&lane->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&lane->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&lane->thread, NULL, lane_main, lane) == 0)
        return lane;
    pthread_cond_destroy(&lane->changed);
    pthread_mutex_destroy(&lane->lock);
    free(lane->name);
    free(lane);
    return NULL;
}

const char *lane_name(const struct lane *lane)
{
    return lane->name;
}

void lane_prepare(struct lane *lane, struct step *step, int64_t request)
{
    pthread_mutex_lock(&lane->lock);
    struct job job = {.step = step, .request = request};
    ARRAY_APPEND(lane->jobs, lane->count, job);
    pthread_cond_broadcast(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
}

void lane_undo(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    lane->rounds_wanted++;
    pthread_cond_broadcast(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
}

bool lane_free(struct lane *lane, int64_t limit)
{
    struct timespec until = clock_timespec(clock_monotonic() + limit);
    pthread_mutex_lock(&lane->lock);
    lane->quit = true;
    pthread_cond_broadcast(&lane->changed);
    while (!lane->ended && pthread_cond_timedwait(&lane->changed, &lane->lock, &until) == 0)
        ;
    bool ended = lane->ended;
    pthread_mutex_unlock(&lane->lock);
    if (!ended)
        return false;
    pthread_join(lane->thread, NULL);
    pthread_cond_destroy(&lane->changed);
    pthread_mutex_destroy(&lane->lock);
    free(lane->watched);
    free(lane->jobs);
    free(lane->name);
    free(lane);
    return true;
}
