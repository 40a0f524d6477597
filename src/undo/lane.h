/* Lane: a thread of the watchdog that runs the handlers of one lane (one VM), one at a time:
 * prepares steps as they come, looks at watched ones, undoes when told. A handler that blocks
 * keeps up its own lane only, never the watchdog's main loop.
 */
#ifndef UNDO_LANE_H
#define UNDO_LANE_H

#include "undo/steps.h"

struct lane;

/* What lanes tell the main loop; any lane's thread. */
struct lane_owner {
    const struct undo_table *table;
    struct steps *steps;
    /* A step was prepared (error not set) or cannot be; `request` as given to lane_prepare(). */
    void (*prepared)(void *context, struct step *step, int64_t request, const struct error *error);
    /* A watched limit is passed; the step may have been closed meanwhile. */
    void (*tripped)(void *context, struct step *step, const struct error *reason);
    /* A round of undo has ended; the error is not set when nothing of the lane is left. */
    void (*finished)(void *context, const struct error *error);
    void *context;
};

/* The owner must outlive it. NULL when no thread can be had. */
struct lane *lane_new(const struct lane_owner *owner, const char *name);
const char *lane_name(const struct lane *lane);
/* Prepare the step in the lane's thread, then answer. */
void lane_prepare(struct lane *lane, struct step *step, int64_t request);
/* Undo all open steps of the lane, persistent ones in rounds until it works; then `finished`. Steps
 * that wait to be prepared are dropped (they were never acted on). May be told again. */
void lane_undo(struct lane *lane);
/* End the thread and free; false when a handler does not return in time (it is then left). */
bool lane_free(struct lane *lane, int64_t limit);

#endif
