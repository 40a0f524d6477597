/* The inside of the dispatcher, shared by its files: delivery.c (objects), enrolment.c (states),
 * dispatcher.c (the writers' threads), dispatcher-post.c (the session's side). dispatcher.h holds
 * the idea and says who may touch what when. */
#ifndef VSS_DISPATCHER_PRIVATE_H
#define VSS_DISPATCHER_PRIVATE_H

#include "vss/dispatcher.h"

#include <pthread.h>
#include <stdatomic.h>

struct dispatcher {
    atomic_uint references; /* one of the owner, one of each thread */
    /* Set at creation, never changed. */
    coordinator_observer *observer;
    void *observer_context;
    pthread_mutex_t observer_lock, lock;
    pthread_cond_t changed; /* anything below, or a phase; CLOCK_MONOTONIC */
    /* Guarded by observer_lock. */
    bool silent;
    /* Guarded by lock. */
    struct dispatcher_writer **writers;
    size_t writer_count;
    bool closing;
};

struct dispatcher_writer {
    /* Set at subscription, never changed. */
    struct dispatcher *dispatcher;
    struct writer_description description;
    char *name;
    struct id instance_id;
    pthread_t thread;
    /* Guarded by dispatcher->lock. */
    struct delivery *first, **last; /* the queue */
    struct delivery *running;       /* its callback has not returned */
    struct delivery *lease;         /* the Freeze whose Thaw or Abort has not ended */
    bool thaw_failed;               /* the lease ends now */
    bool abandoned, ended;
    const struct enrolment *shown_by; /* the newest; compared only, may be freed */
    struct coordinator_writer shown;
    struct error shown_failure;
};

struct enrolment {
    atomic_uint references;
    struct dispatcher_writer *writer;
    /* Guarded by the dispatcher's lock. */
    enum vss_writer_state state;
    vss_code code; /* why it is in a failed state */
    struct error failure;
    int64_t window; /* monotonic: Thaw must have ended; set when Freeze is sent */
};

enum delivery_phase {
    DELIVERY_QUEUED,
    DELIVERY_RUNNING,
    DELIVERY_SETTLED,
    DELIVERY_FINISHED,
};

struct delivery {
    atomic_uint references;
    /* Set at creation, never changed. */
    struct dispatcher_writer *writer;
    struct enrolment *enrolment; /* NULL: Identify */
    int64_t limit;               /* ns */
    vss_code overrun;            /* the code when the limit passes */
    bool detached;               /* nobody waits: the limit begins when the thread takes it */
    /* The writer's thread's while the callback runs. */
    struct writer_event event;
    char **volumes;
    struct component_set components;
    struct metadata *metadata;
    struct error words;
    /* Guarded by the dispatcher's lock. */
    struct delivery *next;
    enum delivery_phase phase;
    int64_t start, deadline;
    bool answered; /* the callback returned in time */
    vss_code code;
    struct error failure;
};

/* One reference; phase QUEUED. The component set is copied, and is read-only in the events where a
 * writer may not write (vss.md 1.5). Limit and deadline are those of this event; Freeze opens the
 * window. With the lock held. */
struct delivery *delivery_new(struct dispatcher_writer *writer, struct enrolment *enrolment,
                              const struct writer_event *event);
struct delivery *delivery_ref(struct delivery *delivery);

struct enrolment *enrolment_ref(struct enrolment *enrolment);
/* The only writer of a state. With the lock held. A failed state keeps its first cause. */
void enrolment_change_state(struct enrolment *enrolment, enum vss_writer_state to, vss_code code,
                            const struct error *failure);

/* The main function of a writer's thread. */
void *dispatcher_serve(void *writer);
/* Fix the outcome of a delivery, change the state, record. With the lock held, which is given up
 * while the observer runs. `words` may be NULL: the message then says that the writer did not
 * answer. */
void dispatcher_settle(struct delivery *delivery, vss_code code, const struct error *words);
/* Events that reach a writer even when nobody waits for them any more. */
bool dispatcher_must_be_heard(enum vss_event event);
/* Wait for `changed`. With the lock held. */
void dispatcher_sleep(struct dispatcher *dispatcher, int64_t deadline);
void dispatcher_unref(struct dispatcher *dispatcher);

#endif
