/* Steps: the open steps of a run in memory, and the one loop that undoes them.
 *
 * Requester, watchdog and recover each keep such a list. A step is never freed before the list is,
 * only closed, so a pointer to it stays valid without a lock; what may change has `lock` beside it.
 */
#ifndef UNDO_STEPS_H
#define UNDO_STEPS_H

#include "undo/undo.h"

#include <pthread.h>

struct step {
    /* Set by steps_add(), never changed. */
    uint64_t id;
    char *lane;
    char *kind_name;
    const struct undo_kind *kind; /* NULL: this program has no such kind */
    json_t *arguments;
    /* Requester: its line in the journal; set before the step is told to anybody. */
    off_t line_offset;
    size_t line_size;
    /* Guarded by steps.lock. */
    bool open;
    int64_t deadline; /* of the lease, monotonic; 0 = none */
    char *what;       /* the lease's reason */
};

struct steps {
    pthread_mutex_t lock;
    struct step **items; /* guarded by lock */
    size_t count;        /* guarded by lock */
};

void steps_init(struct steps *steps);
/* Also without steps_init() when all is zero. */
void steps_deinit(struct steps *steps);

const struct undo_kind *steps_kind(const struct undo_table *table, const char *name);

/* A new open step; takes over `arguments`. */
struct step *steps_add(struct steps *steps, const struct undo_table *table, uint64_t id,
                       const char *lane, const char *kind, json_t *arguments);
/* NULL when there is no such open step. */
struct step *steps_find(struct steps *steps, uint64_t id);
/* false when it was closed before. */
bool steps_close(struct steps *steps, struct step *step);
size_t steps_count_open(struct steps *steps);
/* The open steps in the order of their ids; the array is to be freed. */
struct step **steps_open(struct steps *steps, size_t *ret_count);

struct steps_undoing {
    struct steps *steps;
    const struct undo_table *table;
    int64_t give_up; /* monotonic: persistent kinds are repeated until then, each once at least */
    /* OPTIONAL. Asked before each attempt: true = leave the rest as it is. Any thread. */
    bool (*stop)(void *context);
    /* OPTIONAL. A step was undone: make that known; -1 leaves it open. Default: it is closed. */
    int (*done)(void *context, struct step *step, struct error *error);
    void *context;
};

/* Has it to wait, because a later step of its lane is open that is persistent and it is not? */
bool steps_is_kept(struct steps *steps, const struct step *step);
/* One attempt at one step. */
int steps_undo_one(const struct steps_undoing *undoing, struct step *step, struct error *error);
/* All open steps of a lane in rounds, last first: persistent ones are repeated in each round,
 * others tried once, as soon as none is kept back (steps_is_kept()). -1 when one is left, with a
 * reason. */
int steps_undo_lane(const struct steps_undoing *undoing, const char *lane, struct error *error);
/* All lanes, each in its own thread. -1 when a step is left. */
int steps_undo_all(const struct steps_undoing *undoing, struct error *error);

#endif
