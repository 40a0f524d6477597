/* The requester's side of a run: each change of the list of open steps goes to the journal and to
 * the watchdog, in the order that leaves nothing undone whatever dies in between:
 *
 *   add     journal, watchdog, then the caller acts   a step too many in the journal does no harm
 *   strike  watchdog, then journal                    the watchdog decides whether it was in time
 */
#include "undo/undo-io.h"

#include "base/clock.h"
#include "base/point.h"
#include "base/publish.h"
#include "undo/channel.h"
#include "undo/link.h"
#include "undo/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

static const int64_t default_stall = 5 * CLOCK_SECOND;
static const int64_t prepare_limit = 30 * CLOCK_SECOND;
static const int64_t answer_limit = 10 * CLOCK_SECOND;
/* How long the requester itself tries persistent steps before it leaves them to the watchdog. */
enum { PATIENCE_IN_STALLS = 3 };

struct undo {
    /* Set by undo_begin_on(), never changed. */
    struct io *io;
    const struct undo_table *table;
    int64_t stall, patience;
    char *lock_directory;
    struct journal *journal;
    struct link *link;
    struct steps steps;
    /* The driving thread's own. */
    bool gave_up; /* undo_all() has left something to the watchdog: not waited for once more */
    int *locks;   /* of VMs */
    size_t lock_count;
};

static void undo_free(struct undo *undo)
{
    if (!undo)
        return;
    link_free(undo->link);
    for (size_t i = 0; i < undo->lock_count; i++)
        (void)close(undo->locks[i]);
    free(undo->locks);
    journal_free(undo->journal);
    steps_deinit(&undo->steps);
    free(undo->lock_directory);
    free(undo);
}

static inline void undo_freep(struct undo **undo)
{
    undo_free(*undo);
}

/* ---- Begin --------------------------------------------------------------------------------- */

static int make_directories(struct undo *undo, const char *state, char **ret_runs,
                            struct error *error)
{
    if (publish_directory(undo->io, AT_FDCWD, state, error) != 0)
        return -1;
    /* Absolute, for the watchdog's sake. */
    CLEANUP_FREE char *absolute = realpath(state, NULL);
    if (!absolute)
        return error_errno(error, errno, "cannot find the state directory %s", state);
    CLEANUP_FREE char *runs = memory_format("%s/runs", absolute);
    undo->lock_directory = memory_format("%s/locks", absolute);
    if (publish_directory(undo->io, AT_FDCWD, runs, error) != 0 ||
        publish_directory(undo->io, AT_FDCWD, undo->lock_directory, error) != 0)
        return -1;
    *ret_runs = TAKE_PTR(runs);
    return 0;
}

int undo_begin_on(struct io *io, int64_t patience, const struct undo_settings *settings,
                  const struct undo_table *table, struct undo **ret_undo, struct error *error)
{
    CLEANUP(undo_freep) struct undo *undo = NEW(struct undo);
    CLEANUP_FREE char *runs = NULL;
    undo->io = io;
    undo->table = table;
    undo->stall = settings->stall ? settings->stall : default_stall;
    undo->patience = patience ? patience : PATIENCE_IN_STALLS * undo->stall;
    steps_init(&undo->steps);
    if (make_directories(undo, settings->state_directory, &runs, error) != 0 ||
        journal_create(io, runs, settings->description, &undo->journal, error) != 0)
        return -1;
    if (link_open(settings, undo->journal, undo->stall, &undo->link, error) != 0) {
        (void)publish_remove(io, AT_FDCWD, journal_path(undo->journal), NULL);
        return -1;
    }
    *ret_undo = TAKE_PTR(undo);
    return 0;
}

int undo_begin(const struct undo_settings *settings, const struct undo_table *table,
               struct undo **ret_undo, struct error *error)
{
    return undo_begin_on(io_real(), 0, settings, table, ret_undo, error);
}

int undo_lock_vm(struct undo *undo, const char *uuid, const char *name, struct error *error)
{
    int file;
    if (link_check(undo->link, error) != 0 ||
        lock_take(undo->io, undo->lock_directory, uuid, name, journal_header(undo->journal), &file,
                  error) != 0)
        return -1;
    /* Kept until the end even when the watchdog does not take it. */
    ARRAY_APPEND(undo->locks, undo->lock_count, file);
    return link_request(undo->link, channel_message("lock"), file, answer_limit, error);
}

/* ---- Steps --------------------------------------------------------------------------------- */

static json_t *step_message(const char *type, uint64_t step)
{
    json_t *message = channel_message(type);
    json_set_integer(message, "step", (int64_t)step);
    return message;
}

static struct step *find(struct undo *undo, uint64_t id, struct error *error)
{
    struct step *step = steps_find(&undo->steps, id);
    if (!step)
        (void)error_set(error, ERROR_USAGE, "there is no open step %" PRIu64, id);
    return step;
}

static int check_step(struct undo *undo, const char *kind, const json_t *arguments,
                      struct error *error)
{
    if (!steps_kind(undo->table, kind))
        return error_set(error, ERROR_USAGE, "there is no kind of step \"%s\"", kind);
    if (!json_is_object(arguments))
        return error_set(error, ERROR_USAGE, "the arguments of a step \"%s\" are no object", kind);
    CLEANUP_FREE char *text = json_text(arguments);
    if (strlen(text) > UNDO_ARGUMENT_LIMIT)
        return error_set(error, ERROR_USAGE, "the arguments of a step \"%s\" are too long", kind);
    return link_check(undo->link, error);
}

static struct step *open_step(struct undo *undo, uint64_t id, const char *lane, const char *kind,
                              json_t *arguments, const struct journal_place *place)
{
    struct step *step =
        steps_add(&undo->steps, undo->table, id, lane, kind, json_incref(arguments));
    step->line_offset = place->offset;
    step->line_size = place->size;
    return step;
}

/* Make it known to the watchdog, as a "step" or as one that has "replaced" all others, and wait
 * until it is prepared. What is too large for a message it reads in the journal. */
static int tell_step(struct undo *undo, const char *type, const struct step *step,
                     struct error *error)
{
    json_t *message = step_message(type, step->id);
    json_set_string(message, "lane", step->lane);
    json_set_string(message, "kind", step->kind_name);
    if (step->line_size <= CHANNEL_STEP_LIMIT) {
        json_set(message, "arguments", json_incref(step->arguments));
    } else {
        json_set_integer(message, "offset", step->line_offset);
        json_set_integer(message, "size", (int64_t)step->line_size);
    }
    return link_request(undo->link, message, -1, prepare_limit, error);
}

/* The watchdog did not take it, so nothing may be done and nothing is to be undone. */
static void withdraw(struct undo *undo, struct step *step)
{
    if (link_state(undo->link) == LINK_LIVE)
        (void)link_request(undo->link, step_message("strike", step->id), -1, answer_limit, NULL);
    (void)steps_close(&undo->steps, step);
    (void)journal_strike(undo->journal, &step->id, 1, NULL);
}

int undo_add(struct undo *undo, const char *lane, const char *kind, json_t *arguments,
             uint64_t *ret_step, struct error *error)
{
    CLEANUP_JSON json_t *owned = arguments;
    struct journal_place place;
    uint64_t id;
    if (check_step(undo, kind, arguments, error) != 0 ||
        journal_add(undo->journal, lane, kind, arguments, &id, &place, error) != 0)
        return -1;
    struct step *step = open_step(undo, id, lane, kind, arguments, &place);
    if (tell_step(undo, "step", step, error) != 0) {
        withdraw(undo, step);
        return -1;
    }
    point_reached(kind);
    *ret_step = id;
    return 0;
}

/* The watchdog shall not undo it any more. A dead one cannot. */
static int forget(void *context, struct step *step, struct error *error)
{
    struct undo *undo = context;
    struct error fault = ERROR_INIT;
    if (link_state(undo->link) != LINK_GONE &&
        link_request(undo->link, step_message("strike", step->id), -1, answer_limit, &fault) != 0 &&
        link_state(undo->link) != LINK_GONE) {
        error_move(error, &fault); /* too late: the watchdog is undoing the run */
        return -1;
    }
    (void)steps_close(&undo->steps, step);
    return 0;
}

/* The step was undone: should the journal not take that, a recovery undoes it once more. */
static int forget_undone(void *context, struct step *step, struct error *error)
{
    struct undo *undo = context;
    if (forget(undo, step, error) != 0)
        return -1;
    (void)journal_strike(undo->journal, &step->id, 1, NULL);
    return 0;
}

int undo_strike(struct undo *undo, uint64_t id, struct error *error)
{
    struct step *step = find(undo, id, error);
    if (!step || forget(undo, step, error) != 0)
        return -1;
    point_reached("struck, not yet in the journal");
    return journal_strike(undo->journal, &step->id, 1, error);
}

int undo_strike_all(struct undo *undo, struct error *error)
{
    size_t count;
    CLEANUP_FREE struct step **open = steps_open(&undo->steps, &count);
    CLEANUP_FREE uint64_t *numbers = NEW_ARRAY(uint64_t, count + 1);
    for (size_t i = 0; i < count; i++)
        numbers[i] = open[i]->id;
    /* The watchdog decides whether it is in time. Should the requester die before the record is in
     * the journal, all of it stays; should both die, all of it is undone. */
    if (link_check(undo->link, error) != 0 ||
        link_request(undo->link, channel_message("strike-all"), -1, answer_limit, error) != 0)
        return -1;
    if (count > 0 && journal_strike(undo->journal, numbers, count, error) != 0) {
        /* Not final, then: the watchdog shall know it all again. */
        for (size_t i = 0; i < count; i++)
            (void)tell_step(undo, "step", open[i], NULL);
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        (void)steps_close(&undo->steps, open[i]);
    return 0;
}

int undo_replace_all(struct undo *undo, const char *lane, const char *kind, json_t *arguments,
                     uint64_t *ret_step, struct error *error)
{
    CLEANUP_JSON json_t *owned = arguments;
    size_t count;
    CLEANUP_FREE struct step **open = steps_open(&undo->steps, &count);
    CLEANUP_FREE uint64_t *numbers = NEW_ARRAY(uint64_t, count + 1);
    struct journal_place place;
    uint64_t id;
    for (size_t i = 0; i < count; i++)
        numbers[i] = open[i]->id;
    if (check_step(undo, kind, arguments, error) != 0 ||
        link_request(undo->link, channel_message("replacing"), -1, answer_limit, error) != 0)
        return -1;
    if (journal_replace(undo->journal, numbers, count, lane, kind, arguments, &id, &place, error) !=
        0) {
        (void)link_request(undo->link, channel_message("kept"), -1, answer_limit, NULL);
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        (void)steps_close(&undo->steps, open[i]);
    struct step *step = open_step(undo, id, lane, kind, arguments, &place);
    /* It is durable: should the watchdog not hear of it, it reads the journal. */
    (void)tell_step(undo, "replaced", step, NULL);
    *ret_step = id;
    return 0;
}

static bool is_void(void *context)
{
    struct undo *undo = context;
    enum link_state state = link_state(undo->link);
    return state == LINK_VOID || state == LINK_FINISHED;
}

static struct steps_undoing undoing_here(struct undo *undo)
{
    return (struct steps_undoing){
        .steps = &undo->steps,
        .table = undo->table,
        .give_up = clock_monotonic() + undo->patience,
        .stop = is_void,
        .done = forget_undone,
        .context = undo,
    };
}

int undo_run(struct undo *undo, uint64_t id, struct error *error)
{
    if (is_void(undo))
        return link_check(undo->link, error);
    struct step *step = find(undo, id, error);
    if (!step)
        return -1;
    if (steps_is_kept(&undo->steps, step))
        return error_set(error, ERROR_BUSY, "the step \"%s\" waits for a later one of its VM",
                         step->kind_name);
    struct steps_undoing here = undoing_here(undo);
    return steps_undo_one(&here, step, error);
}

int undo_lease(struct undo *undo, uint64_t id, int64_t deadline, const char *what,
               struct error *error)
{
    if (!find(undo, id, error))
        return -1;
    json_t *message = step_message("lease", id);
    json_set_integer(message, "deadline", deadline);
    json_set_string(message, "what", what);
    return link_request(undo->link, message, -1, answer_limit, error);
}

int undo_check(struct undo *undo, struct error *error)
{
    return link_check(undo->link, error);
}

int undo_event(struct undo *undo)
{
    return link_event(undo->link);
}

/* ---- End ----------------------------------------------------------------------------------- */

static bool contains(const json_t *numbers, uint64_t number)
{
    size_t index;
    json_t *item;
    json_array_foreach(numbers, index,
                       item) if ((uint64_t)json_integer_value(item) == number) return true;
    return false;
}

/* The watchdog has undone the run: close here what it does not name as left. */
static int take_over_result(struct undo *undo, const json_t *left, struct error *fault,
                            struct error *error)
{
    size_t count, struck = 0;
    CLEANUP_FREE struct step **open = steps_open(&undo->steps, &count);
    CLEANUP_FREE uint64_t *numbers = NEW_ARRAY(uint64_t, count + 1);
    for (size_t i = 0; i < count; i++)
        if (!contains(left, open[i]->id) && steps_close(&undo->steps, open[i]))
            numbers[struck++] = open[i]->id;
    /* The journal is settled at the end of the run anyway; this shortens a recovery. */
    if (struck > 0)
        (void)journal_strike(undo->journal, numbers, struck, NULL);
    if (struck == count)
        return 0;
    (void)error_set(fault, ERROR_FAILED, "the watchdog could not undo all of it");
    error_move(error, fault);
    return -1;
}

/* 1 = the watchdog died in the middle of it. */
static int undo_by_watchdog(struct undo *undo, struct error *error)
{
    CLEANUP_JSON json_t *left = NULL;
    struct error fault = ERROR_INIT;
    int64_t deadline = clock_monotonic() + undo->patience;
    int result = link_wait_finished(undo->link, deadline, &left, &fault);
    if (result < 0) {
        (void)error_set(error, ERROR_TIMEOUT, "the watchdog is still undoing; it goes on");
        return error_advise(
            error, "still-undoing",
            "the system log tells when it has; vmshadow recover tells what is left");
    }
    return result == 0 ? take_over_result(undo, left, &fault, error) : 1;
}

static int undo_whole(struct undo *undo, struct error *error)
{
    if (!is_void(undo)) {
        struct steps_undoing here = undoing_here(undo);
        struct error fault = ERROR_INIT;
        int result = steps_undo_all(&here, &fault);
        if (!is_void(undo)) {
            error_move(error, &fault);
            return result;
        }
    }
    int result = undo_by_watchdog(undo, error);
    if (result != 1)
        return result;
    struct steps_undoing here = undoing_here(undo);
    return steps_undo_all(&here, error);
}

int undo_all(struct undo *undo, struct error *error)
{
    int result = undo_whole(undo, error);
    undo->gave_up = result != 0;
    return result;
}

void undo_end(struct undo *undo)
{
    if (!undo)
        return;
    bool done = !undo->gave_up && undo_all(undo, NULL) == 0;
    int64_t limit = done || undo->patience < undo->stall ? undo->patience : undo->stall;
    if (link_end(undo->link, clock_monotonic() + limit) == LINK_DIED) {
        if (!done || steps_count_open(&undo->steps) > 0)
            (void)undo_all(undo, NULL);
        (void)journal_settle(undo->io, journal_path(undo->journal), journal_header(undo->journal),
                             &undo->steps, NULL);
    }
    undo_free(undo);
}
