/* The watchdog's own header: its state, shared by its main loop and its requests. */
#ifndef UNDO_WATCHDOG_PRIVATE_H
#define UNDO_WATCHDOG_PRIVATE_H

#include "undo/channel.h"
#include "undo/journal.h"
#include "undo/lane.h"

enum state { WATCHING, VOIDED, TOLD, ALONE, DONE, STATES_ };

struct watchdog {
    /* Set at the start, never changed. */
    const struct undo_table *table;
    const char *journal;
    struct lane_owner owner;
    int requester; /* pidfd */
    int wake;      /* eventfd: a lane has news */
    int signals;   /* signalfd */
    struct steps steps;
    pthread_mutex_t lock; /* after it only the locks of steps and lanes are taken */
    /* Guarded by lock: what lanes touch, too. */
    struct channel *channel;
    enum state state;
    unsigned unfinished;  /* rounds of undo that lanes are still at */
    struct step *tripped; /* its limit is passed; counts when it is still open */
    struct error reason;  /* why requests are refused; of the trip before that */
    struct error fault;   /* why something is left */
    /* The main thread's own. */
    struct lane **lanes;
    size_t lane_count;
    int *held; /* descriptors that keep the journal and the VMs locked */
    size_t held_count;
    struct journal_header header; /* run NULL: no hello yet */
    int64_t stall, last_heard, last_look;
    bool socket_closed, told_to_end;
    bool replacing;    /* the journal decides which steps are open, see undo_replace_all() */
    const char *cause; /* of ALONE, when the requester did not say end */
    int result;
};

/* All under watchdog.lock. */

/* Answer a request; a full or dead socket shows up as silence. */
void watchdog_answer(struct watchdog *watchdog, int64_t request, const struct error *error);
/* Treat a message of the requester; *file (or -1) came with it and is taken over where kept. */
void watchdog_take(struct watchdog *watchdog, const json_t *message, int *file);
/* The requester is dead: when it was replacing its steps, take what the journal says. */
void watchdog_read_again(struct watchdog *watchdog);

#endif
