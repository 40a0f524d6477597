/* Undoing goes in rounds, last first in a lane, all lanes at once. The next step is looked up
 * afresh after each attempt, so a step closed by somebody else meanwhile is not undone again. */
#include "undo/steps.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/workers.h"

#include <string.h>

static const int64_t first_pause = 10 * CLOCK_MILLISECOND;
static const int64_t longest_pause = CLOCK_SECOND;

void steps_init(struct steps *steps)
{
    *steps = (struct steps){0};
    pthread_mutex_init(&steps->lock, NULL);
}

void steps_deinit(struct steps *steps)
{
    for (size_t i = 0; i < steps->count; i++) {
        struct step *step = steps->items[i];
        free(step->lane);
        free(step->kind_name);
        free(step->what);
        json_decref(step->arguments);
        free(step);
    }
    free(steps->items);
    pthread_mutex_destroy(&steps->lock);
    *steps = (struct steps){0};
}

const struct undo_kind *steps_kind(const struct undo_table *table, const char *name)
{
    for (const struct undo_kind *kind = table->kinds; kind->name; kind++)
        if (strcmp(kind->name, name) == 0)
            return kind;
    return NULL;
}

struct step *steps_add(struct steps *steps, const struct undo_table *table, uint64_t id,
                       const char *lane, const char *kind, json_t *arguments)
{
    struct step *step = NEW(struct step);
    step->id = id;
    step->lane = memory_copy_string(lane);
    step->kind_name = memory_copy_string(kind);
    step->kind = steps_kind(table, kind);
    step->arguments = arguments;
    step->open = true;
    pthread_mutex_lock(&steps->lock);
    ARRAY_APPEND(steps->items, steps->count, step);
    /* Threads may hand in their steps out of order. */
    for (size_t i = steps->count - 1; i > 0 && steps->items[i - 1]->id > id; i--) {
        steps->items[i] = steps->items[i - 1];
        steps->items[i - 1] = step;
    }
    pthread_mutex_unlock(&steps->lock);
    return step;
}

struct step *steps_find(struct steps *steps, uint64_t id)
{
    struct step *found = NULL;
    pthread_mutex_lock(&steps->lock);
    for (size_t i = steps->count; i-- > 0 && !found;)
        if (steps->items[i]->id == id && steps->items[i]->open)
            found = steps->items[i];
    pthread_mutex_unlock(&steps->lock);
    return found;
}

bool steps_close(struct steps *steps, struct step *step)
{
    pthread_mutex_lock(&steps->lock);
    bool was_open = step->open;
    step->open = false;
    pthread_mutex_unlock(&steps->lock);
    return was_open;
}

struct step **steps_open(struct steps *steps, size_t *ret_count)
{
    struct step **open = NULL;
    size_t count = 0;
    pthread_mutex_lock(&steps->lock);
    for (size_t i = 0; i < steps->count; i++)
        if (steps->items[i]->open)
            ARRAY_APPEND(open, count, steps->items[i]);
    pthread_mutex_unlock(&steps->lock);
    *ret_count = count;
    return open;
}

size_t steps_count_open(struct steps *steps)
{
    size_t count;
    free(steps_open(steps, &count));
    return count;
}

/* The last open step of the lane that comes before `before`. */
static struct step *last_open(struct steps *steps, const char *lane, uint64_t before)
{
    struct step *found = NULL;
    pthread_mutex_lock(&steps->lock);
    for (size_t i = steps->count; i-- > 0 && !found;) {
        struct step *step = steps->items[i];
        if (step->open && step->id < before && strcmp(step->lane, lane) == 0)
            found = step;
    }
    pthread_mutex_unlock(&steps->lock);
    return found;
}

int steps_undo_one(const struct steps_undoing *undoing, struct step *step, struct error *error)
{
    if (!step->kind) {
        (void)error_set(error, ERROR_FAILED, "a step of the unknown kind \"%s\" cannot be undone",
                        step->kind_name);
        return error_advise(error, "unknown-undo-step",
                            "use the version of the program that began the run");
    }
    struct error fault = ERROR_INIT;
    if (step->kind->undo(undoing->table->context, step->arguments, &fault) != 0) {
        (void)error_set(&fault, ERROR_FAILED, "undoing the step \"%s\" failed", step->kind_name);
        error_move(error, &fault);
        return -1;
    }
    if (undoing->done)
        return undoing->done(undoing->context, step, error);
    (void)steps_close(undoing->steps, step);
    return 0;
}

static bool has_stopped(const struct steps_undoing *undoing)
{
    return undoing->stop && undoing->stop(undoing->context);
}

static bool is_persistent(const struct step *step)
{
    return step->kind && step->kind->persistent;
}

bool steps_is_kept(struct steps *steps, const struct step *step)
{
    bool kept = false;
    if (is_persistent(step))
        return false;
    pthread_mutex_lock(&steps->lock);
    for (size_t i = steps->count; i-- > 0 && !kept && steps->items[i]->id > step->id;) {
        const struct step *later = steps->items[i];
        kept = later->open && is_persistent(later) && strcmp(later->lane, step->lane) == 0;
    }
    pthread_mutex_unlock(&steps->lock);
    return kept;
}

/* What the rounds over a lane have come to. */
struct progress {
    uint64_t untried;        /* of the steps that are tried once, those before this one are left */
    struct error failure;    /* of those that were tried */
    bool again;              /* a persistent step is left, to be repeated */
    struct error last_fault; /* why, in the last round */
};

/* What waits for a person is worth repeating only where there is no limit. */
static bool is_to_be_repeated(const struct steps_undoing *undoing, const struct error *fault)
{
    return fault->kind != ERROR_REFUSED || undoing->give_up == INT64_MAX;
}

/* Each step once, last first. false when it was stopped. */
static bool undo_round(const struct steps_undoing *undoing, const char *lane,
                       struct progress *progress)
{
    struct step *step;
    progress->again = false;
    error_clear(&progress->last_fault);
    for (uint64_t before = UINT64_MAX; (step = last_open(undoing->steps, lane, before));
         before = step->id) {
        if (has_stopped(undoing))
            return false;
        if (is_persistent(step)) {
            struct error fault = ERROR_INIT;
            if (steps_undo_one(undoing, step, &fault) != 0 && is_to_be_repeated(undoing, &fault))
                progress->again = true;
            error_move(&progress->last_fault, &fault);
        } else if (step->id < progress->untried && !steps_is_kept(undoing->steps, step)) {
            progress->untried = step->id;
            (void)steps_undo_one(undoing, step, &progress->failure);
        }
    }
    return true;
}

/* Rounds with growing pauses, as long as a persistent step is left and the caller waits. A step
 * that does not work thus keeps up the others for one attempt only: a guest is thawed while its
 * backup job cannot be ended. */
int steps_undo_lane(const struct steps_undoing *undoing, const char *lane, struct error *error)
{
    struct progress progress = {.untried = UINT64_MAX};
    for (int64_t pause = first_pause;;
         pause = pause * 2 < longest_pause ? pause * 2 : longest_pause) {
        if (!undo_round(undoing, lane, &progress)) {
            (void)error_set(&progress.failure, ERROR_FAILED, "the undo was stopped");
            break;
        }
        if (!progress.again || has_stopped(undoing) ||
            clock_monotonic() + pause >= undoing->give_up)
            break;
        clock_sleep(pause);
    }
    error_move(&progress.failure, &progress.last_fault);
    if (!error_is_set(&progress.failure))
        return 0;
    error_move(error, &progress.failure);
    return -1;
}

struct all_lanes {
    const struct steps_undoing *undoing;
    const char **lanes;
    struct error *errors;
};

static int undo_indexed_lane(void *context, unsigned index)
{
    struct all_lanes *all = context;
    return steps_undo_lane(all->undoing, all->lanes[index], &all->errors[index]);
}

int steps_undo_all(const struct steps_undoing *undoing, struct error *error)
{
    size_t open_count, count = 0;
    CLEANUP_FREE struct step **open = steps_open(undoing->steps, &open_count);
    CLEANUP_FREE const char **lanes = NEW_ARRAY(const char *, open_count + 1);
    for (size_t i = 0; i < open_count; i++) {
        size_t known = 0;
        while (known < count && strcmp(lanes[known], open[i]->lane) != 0)
            known++;
        if (known == count)
            lanes[count++] = open[i]->lane;
    }
    CLEANUP_FREE struct error *errors = NEW_ARRAY(struct error, count + 1);
    struct all_lanes all = {.undoing = undoing, .lanes = lanes, .errors = errors};
    if (workers_each((unsigned)count, (unsigned)count, undo_indexed_lane, &all) == 0)
        return 0;
    for (size_t i = 0; i < count; i++)
        error_move(error, &errors[i]);
    return -1;
}
