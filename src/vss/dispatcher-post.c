/* The session's side of the dispatcher: subscribe, send, wait, end. */
#include "vss/dispatcher-private.h"

#include "base/clock.h"
#include "vss/writer-state.h"

#include <signal.h>
#include <string.h>

struct dispatcher *dispatcher_new(coordinator_observer *observer, void *context)
{
    struct dispatcher *dispatcher = NEW(struct dispatcher);
    atomic_init(&dispatcher->references, 1);
    dispatcher->observer = observer;
    dispatcher->observer_context = context;
    pthread_mutex_init(&dispatcher->lock, NULL);
    pthread_mutex_init(&dispatcher->observer_lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&dispatcher->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return dispatcher;
}

static void free_writer(struct dispatcher_writer *writer)
{
    while (writer->first) {
        struct delivery *delivery = writer->first;
        writer->first = delivery->next;
        delivery_unref(delivery);
    }
    delivery_unref(writer->lease);
    free(writer->name);
    free(writer);
}

void dispatcher_unref(struct dispatcher *dispatcher)
{
    if (atomic_fetch_sub(&dispatcher->references, 1) != 1)
        return;
    for (size_t i = 0; i < dispatcher->writer_count; i++)
        free_writer(dispatcher->writers[i]);
    free(dispatcher->writers);
    pthread_cond_destroy(&dispatcher->changed);
    pthread_mutex_destroy(&dispatcher->observer_lock);
    pthread_mutex_destroy(&dispatcher->lock);
    free(dispatcher);
}

/* Wait for a thread's end, but not for a callback that has overrun its limit. With the lock held;
 * true = ended. */
static bool wait_for_end(struct dispatcher_writer *writer)
{
    struct dispatcher *dispatcher = writer->dispatcher;
    while (!writer->ended) {
        int64_t now = clock_monotonic();
        if (writer->running && now >= writer->running->deadline) {
            writer->abandoned = true;
            return false;
        }
        dispatcher_sleep(dispatcher,
                         writer->running ? writer->running->deadline : now + CLOCK_SECOND);
    }
    return true;
}

int dispatcher_free(struct dispatcher *dispatcher)
{
    int result = 0;
    pthread_mutex_lock(&dispatcher->lock);
    dispatcher->closing = true;
    pthread_cond_broadcast(&dispatcher->changed);
    size_t count = dispatcher->writer_count;
    for (size_t i = 0; i < count; i++) {
        struct dispatcher_writer *writer = dispatcher->writers[i];
        bool ended = wait_for_end(writer);
        pthread_mutex_unlock(&dispatcher->lock);
        (void)(ended ? pthread_join(writer->thread, NULL) : pthread_detach(writer->thread));
        pthread_mutex_lock(&dispatcher->lock);
        if (!ended)
            result = -1;
    }
    pthread_mutex_unlock(&dispatcher->lock);
    pthread_mutex_lock(&dispatcher->observer_lock);
    dispatcher->silent = true;
    pthread_mutex_unlock(&dispatcher->observer_lock);
    dispatcher_unref(dispatcher);
    return result;
}

/* Signals are the program's main thread's. */
static int start_thread(struct dispatcher_writer *writer)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(&writer->thread, NULL, dispatcher_serve, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return number;
}

static struct dispatcher_writer *new_writer(struct dispatcher *dispatcher,
                                            const struct writer_description *description)
{
    struct dispatcher_writer *writer = NEW(struct dispatcher_writer);
    writer->dispatcher = dispatcher;
    writer->description = *description;
    writer->description.name = writer->name = memory_copy_string(description->name);
    if (writer->description.level == VSS_APP_UNKNOWN)
        writer->description.level = VSS_APP_FRONT_END;
    writer->instance_id = id_new();
    writer->last = &writer->first;
    writer->shown.class_id = description->class_id;
    writer->shown.instance_id = writer->instance_id;
    size_t length = strnlen(writer->name, sizeof writer->shown.name - 1);
    memcpy(writer->shown.name, writer->name, length);
    writer->shown.state = VSS_WS_STABLE;
    return writer;
}

struct dispatcher_writer *dispatcher_subscribe(struct dispatcher *dispatcher,
                                               const struct writer_description *description)
{
    struct dispatcher_writer *writer = new_writer(dispatcher, description);
    pthread_mutex_lock(&dispatcher->lock);
    atomic_fetch_add(&dispatcher->references, 1);
    if (start_thread(writer) == 0) {
        ARRAY_APPEND(dispatcher->writers, dispatcher->writer_count, writer);
    } else {
        atomic_fetch_sub(&dispatcher->references, 1);
        free_writer(writer);
        writer = NULL;
    }
    pthread_mutex_unlock(&dispatcher->lock);
    return writer;
}

size_t dispatcher_writers(struct dispatcher *dispatcher, struct dispatcher_writer ***ret_writers)
{
    pthread_mutex_lock(&dispatcher->lock);
    size_t count = dispatcher->writer_count;
    *ret_writers = memory_copy(dispatcher->writers, count * sizeof(struct dispatcher_writer *));
    pthread_mutex_unlock(&dispatcher->lock);
    return count;
}

const struct id *dispatcher_writer_class(const struct dispatcher_writer *writer)
{
    return &writer->description.class_id;
}

const struct id *dispatcher_writer_instance(const struct dispatcher_writer *writer)
{
    return &writer->instance_id;
}

enum vss_freeze_level dispatcher_writer_level(const struct dispatcher_writer *writer)
{
    return writer->description.level;
}

/* ---- Sending ------------------------------------------------------------------------------- */

static void push(struct dispatcher_writer *writer, struct delivery *delivery)
{
    *writer->last = delivery_ref(delivery);
    writer->last = &delivery->next;
    pthread_cond_broadcast(&writer->dispatcher->changed);
}

/* The callback that runs now was given up. */
static bool is_blocked(const struct dispatcher_writer *writer)
{
    return writer->running && writer->running->phase != DELIVERY_RUNNING;
}

/* With the lock held. */
static struct delivery *post(struct dispatcher_writer *writer, struct enrolment *enrolment,
                             const struct writer_event *event)
{
    if (enrolment && !writer_state_accepts(enrolment->state, event->event))
        return NULL;
    struct delivery *delivery = delivery_new(writer, enrolment, event);
    if (!is_blocked(writer)) {
        push(writer, delivery);
        return delivery;
    }
    if (!dispatcher_must_be_heard(event->event)) {
        dispatcher_settle(delivery, VSS_E_WRITER_NOT_RESPONDING, NULL);
        return delivery;
    }
    delivery->detached = true;
    push(writer, delivery);
    delivery_unref(delivery);
    return NULL;
}

struct delivery *dispatcher_post(struct dispatcher_writer *writer, struct enrolment *enrolment,
                                 const struct writer_event *event)
{
    pthread_mutex_lock(&writer->dispatcher->lock);
    struct delivery *delivery = post(writer, enrolment, event);
    pthread_mutex_unlock(&writer->dispatcher->lock);
    return delivery;
}

/* Settle what has overrun. Returns how many are not finished, and the next deadline among them. */
static size_t expire(struct delivery *const *deliveries, size_t count, int64_t *ret_deadline)
{
    size_t pending = 0;
    *ret_deadline = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        struct delivery *delivery = deliveries[i];
        if (!delivery || delivery->phase == DELIVERY_FINISHED)
            continue;
        pending++;
        if (delivery->phase == DELIVERY_SETTLED)
            continue; /* the observer runs */
        if (clock_monotonic() > delivery->deadline) {
            dispatcher_settle(delivery, delivery->overrun, NULL);
            *ret_deadline = 0; /* the lock was given up: look again */
        } else if (delivery->deadline < *ret_deadline) {
            *ret_deadline = delivery->deadline;
        }
    }
    return pending;
}

void dispatcher_wait(struct dispatcher *dispatcher, struct delivery *const *deliveries,
                     size_t count)
{
    int64_t deadline;
    pthread_mutex_lock(&dispatcher->lock);
    while (expire(deliveries, count, &deadline) > 0) {
        if (deadline == INT64_MAX)
            (void)pthread_cond_wait(&dispatcher->changed, &dispatcher->lock);
        else if (deadline > 0)
            dispatcher_sleep(dispatcher, deadline);
    }
    pthread_mutex_unlock(&dispatcher->lock);
}
