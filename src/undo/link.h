/* Link: the requester's end of its watchdog: starting it, heartbeats, requests and their answers.
 *
 * A thread of its own sends heartbeats and receives, so the requester's other threads may block for
 * as long as they like. It watches in the other direction, too: a watchdog that is silent for
 * `stall` is killed before the run is called off, so that it cannot wake up later, take the
 * requester for stalled and kill it in the middle of its own undo.
 */
#ifndef UNDO_LINK_H
#define UNDO_LINK_H

#include "undo/journal.h"

enum link_state {
    LINK_LIVE,     /* all is well */
    LINK_VOID,     /* the watchdog has voided the run and is undoing it */
    LINK_FINISHED, /* ... has done so; see link_wait_finished() */
    LINK_GONE,     /* the watchdog is dead */
};

struct link;

/* Start the watchdog, hand it the journal and wait for its answer (10 s). */
int link_open(const struct undo_settings *settings, const struct journal *journal, int64_t stall,
              struct link **ret_link, struct error *error);
/* NULL allowed. A watchdog that was not told to end (link_end()) is killed. */
void link_free(struct link *link);
DEFINE_CLEANUP(link)

enum link_state link_state(struct link *link);
/* 0 while LINK_LIVE, else -1 with the reason. */
int link_check(struct link *link, struct error *error);
/* Readable when link_check() fails. */
int link_event(const struct link *link);

/* Send a request (taken over; with a descriptor, or -1) and wait for the answer; -1 also when the
 * watchdog refuses. Any thread. */
int link_request(struct link *link, json_t *message, int file, int64_t limit, struct error *error);

/* Wait until the state is LINK_FINISHED (0; the numbers of the steps that are left, a new
 * reference, and their fault, if any) or LINK_GONE (1); -1 at the deadline. */
int link_wait_finished(struct link *link, int64_t deadline, json_t **ret_left, struct error *fault);

enum link_end {
    LINK_SETTLED, /* the watchdog has undone what was open, settled the journal and ended */
    LINK_DIED,    /* it died without */
    LINK_WORKING, /* it is still undoing; it goes on by itself */
};
enum link_end link_end(struct link *link, int64_t deadline);

#endif
