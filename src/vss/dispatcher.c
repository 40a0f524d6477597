/* The writers' threads: they take deliveries, call the writer and keep the freeze lease.
 * dispatcher.h holds the idea. */
#include "vss/dispatcher-private.h"

#include "base/clock.h"
#include "vss/failure.h"
#include "vss/writer-state.h"

/* ---- Outcomes ------------------------------------------------------------------------------ */

void dispatcher_record(struct dispatcher *dispatcher, const struct coordinator_record *record)
{
    pthread_mutex_lock(&dispatcher->observer_lock);
    if (dispatcher->observer && !dispatcher->silent)
        dispatcher->observer(dispatcher->observer_context, record);
    pthread_mutex_unlock(&dispatcher->observer_lock);
}

static void record_delivery(const struct delivery *delivery, int64_t end)
{
    const struct dispatcher_writer *writer = delivery->writer;
    dispatcher_record(writer->dispatcher,
                      &(struct coordinator_record){.kind = "event",
                                                   .name = vss_event_name(delivery->event.event),
                                                   .party = writer->name,
                                                   .party_id = writer->instance_id,
                                                   .session = delivery->event.session,
                                                   .snapshot_set = delivery->event.snapshot_set,
                                                   .start = delivery->start,
                                                   .end = end,
                                                   .code = delivery->code,
                                                   .message = delivery->failure.message});
}

void dispatcher_settle(struct delivery *delivery, vss_code code, const struct error *words)
{
    struct dispatcher *dispatcher = delivery->writer->dispatcher;
    struct enrolment *enrolment = delivery->enrolment;
    const char *event = vss_event_name(delivery->event.event);
    delivery->phase = DELIVERY_SETTLED;
    delivery->code = code;
    if (code != VSS_S_OK) {
        if (words)
            delivery->failure = *words;
        failure_complete(&delivery->failure, code,
                         words ? "writer %s failed in %s" : "writer %s did not answer %s in time",
                         delivery->writer->name, event);
    }
    if (enrolment && writer_state_accepts(enrolment->state, delivery->event.event))
        enrolment_change_state(
            enrolment,
            writer_state_after(enrolment->state, delivery->event.event, code == VSS_S_OK), code,
            &delivery->failure);
    int64_t end = clock_monotonic();
    pthread_mutex_unlock(&dispatcher->lock);
    record_delivery(delivery, end);
    pthread_mutex_lock(&dispatcher->lock);
    delivery->phase = DELIVERY_FINISHED;
    pthread_cond_broadcast(&dispatcher->changed);
}

/* ---- The writer's thread ------------------------------------------------------------------- */

static bool is_writer_code(vss_code code)
{
    switch (code) {
    case VSS_E_WRITER_NOT_RESPONDING:
    case VSS_E_WRITERERROR_PARTIAL_FAILURE:
    case VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT:
    case VSS_E_WRITERERROR_OUTOFRESOURCES:
    case VSS_E_WRITERERROR_TIMEOUT:
    case VSS_E_WRITERERROR_RETRYABLE:
    case VSS_E_WRITERERROR_NONRETRYABLE:
    case VSS_E_WRITERERROR_RECOVERY_FAILED:
    case VSS_E_WRITERERROR_AUTORECOVERY_FAILED:
    case VSS_E_WRITERERROR_DYNAMIC_DISK:
        return true;
    default:
        return false;
    }
}

/* A recorded failure counts whatever is returned; one without a published code is
 * NONRETRYABLE (vss.md 1.6). */
static vss_code published_code(vss_code code, const struct error *words)
{
    if (code == VSS_S_OK && error_is_set(words))
        code = (vss_code)words->number;
    else if (code == VSS_S_OK)
        return VSS_S_OK;
    return is_writer_code(code) ? code : VSS_E_WRITERERROR_NONRETRYABLE;
}

typedef vss_code event_callback(void *writer, const struct writer_event *event,
                                struct error *error);

static event_callback *callback_of(const struct writer_callbacks *callbacks, enum vss_event event)
{
    switch (event) {
    case VSS_EVENT_PREPARE_FOR_BACKUP:
        return callbacks->prepare_backup;
    case VSS_EVENT_PREPARE_FOR_SNAPSHOT:
        return callbacks->prepare_snapshot;
    case VSS_EVENT_FREEZE:
        return callbacks->freeze;
    case VSS_EVENT_THAW:
        return callbacks->thaw;
    case VSS_EVENT_POST_SNAPSHOT:
        return callbacks->post_snapshot;
    case VSS_EVENT_BACKUP_COMPLETE:
        return callbacks->backup_complete;
    case VSS_EVENT_BACKUP_SHUTDOWN:
        return callbacks->backup_shutdown;
    case VSS_EVENT_PRE_RESTORE:
        return callbacks->pre_restore;
    case VSS_EVENT_POST_RESTORE:
        return callbacks->post_restore;
    default:
        return NULL;
    }
}

static vss_code identify(struct dispatcher_writer *writer, struct delivery *delivery)
{
    struct metadata *metadata = delivery->metadata;
    metadata->writer_id = writer->description.class_id;
    metadata->instance_id = writer->instance_id;
    memory_set_string(&metadata->name, writer->name);
    return writer->description.callbacks->identify(writer->description.writer, &delivery->event,
                                                   metadata, &delivery->words);
}

static vss_code call(struct dispatcher_writer *writer, struct delivery *delivery)
{
    const struct writer_callbacks *callbacks = writer->description.callbacks;
    void *object = writer->description.writer;
    enum vss_event event = delivery->event.event;
    if (event == VSS_EVENT_IDENTIFY)
        return published_code(identify(writer, delivery), &delivery->words);
    if (event == VSS_EVENT_ABORT) {
        if (callbacks->abort)
            callbacks->abort(object, &delivery->event);
        return VSS_S_OK;
    }
    event_callback *callback = callback_of(callbacks, event);
    if (!callback)
        return VSS_S_OK;
    return published_code(callback(object, &delivery->event, &delivery->words), &delivery->words);
}

static void end_lease(struct dispatcher_writer *writer)
{
    delivery_unref(writer->lease);
    writer->lease = NULL;
    writer->thaw_failed = false;
}

/* What a finished callback means for the lease. With the lock held. */
static void update_lease(struct dispatcher_writer *writer, const struct delivery *delivery,
                         bool succeeded)
{
    enum vss_event event = delivery->event.event;
    if (!writer->lease || writer->lease->enrolment != delivery->enrolment)
        return;
    if (event == VSS_EVENT_ABORT || (event == VSS_EVENT_THAW && succeeded))
        end_lease(writer);
    else if (event == VSS_EVENT_THAW)
        writer->thaw_failed = true;
}

/* Run one callback. With the lock held, which is given up meanwhile. */
static void run(struct dispatcher_writer *writer, struct delivery *delivery)
{
    struct dispatcher *dispatcher = writer->dispatcher;
    if (delivery->phase == DELIVERY_QUEUED) {
        delivery->phase = DELIVERY_RUNNING;
        delivery->start = clock_monotonic();
    }
    if (delivery->detached)
        delivery->event.deadline = delivery->deadline = delivery->start + delivery->limit;
    writer->running = delivery;
    if (delivery->event.event == VSS_EVENT_FREEZE) {
        end_lease(writer);
        writer->lease = delivery_ref(delivery);
    }
    pthread_mutex_unlock(&dispatcher->lock);
    vss_code code = call(writer, delivery);
    pthread_mutex_lock(&dispatcher->lock);
    writer->running = NULL;
    bool in_time = delivery->phase == DELIVERY_RUNNING && clock_monotonic() <= delivery->deadline;
    update_lease(writer, delivery, in_time && code == VSS_S_OK);
    if (in_time) {
        delivery->answered = true;
        dispatcher_settle(delivery, code, &delivery->words);
    } else if (delivery->phase == DELIVERY_RUNNING) {
        dispatcher_settle(delivery, delivery->overrun, NULL);
    }
}

static bool lease_is_over(const struct dispatcher_writer *writer)
{
    return writer->lease && (writer->thaw_failed || writer->dispatcher->closing ||
                             clock_monotonic() >= writer->lease->enrolment->window);
}

/* The writer is thawed by its own Abort. */
static struct delivery *abort_for_lease(struct dispatcher_writer *writer)
{
    struct enrolment *enrolment = writer->lease->enrolment;
    if (enrolment->state == VSS_WS_WAITING_FOR_THAW) {
        struct error failure = ERROR_INIT;
        (void)failure_set(&failure, VSS_E_WRITERERROR_TIMEOUT,
                          "writer %s was frozen for longer than its window", writer->name);
        enrolment_change_state(enrolment, VSS_WS_FAILED_AT_FREEZE, VSS_E_WRITERERROR_TIMEOUT,
                               &failure);
    }
    struct writer_event event = writer->lease->event;
    event.event = VSS_EVENT_ABORT;
    struct delivery *delivery = delivery_new(writer, enrolment, &event);
    delivery->detached = true;
    end_lease(writer);
    return delivery;
}

bool dispatcher_must_be_heard(enum vss_event event)
{
    return event == VSS_EVENT_ABORT || event == VSS_EVENT_BACKUP_SHUTDOWN;
}

/* Take the first of the queue; NULL when it is not to be run (given up by who waited, or the state
 * has changed since it was sent). */
static struct delivery *take_queued(struct dispatcher_writer *writer)
{
    struct delivery *delivery = writer->first;
    writer->first = delivery->next;
    if (!writer->first)
        writer->last = &writer->first;
    struct enrolment *enrolment = delivery->enrolment;
    bool wanted =
        delivery->phase == DELIVERY_QUEUED || dispatcher_must_be_heard(delivery->event.event);
    bool accepted = !enrolment || writer_state_accepts(enrolment->state, delivery->event.event);
    if (wanted && accepted)
        return delivery;
    if (delivery->phase == DELIVERY_QUEUED) {
        delivery->code = enrolment->code != VSS_S_OK ? enrolment->code : VSS_E_BAD_STATE;
        delivery->failure = enrolment->failure;
        delivery->phase = DELIVERY_FINISHED;
        pthread_cond_broadcast(&writer->dispatcher->changed);
    }
    delivery_unref(delivery);
    return NULL;
}

void dispatcher_sleep(struct dispatcher *dispatcher, int64_t deadline)
{
    struct timespec time = clock_timespec(deadline);
    (void)pthread_cond_timedwait(&dispatcher->changed, &dispatcher->lock, &time);
}

/* What the thread does next; NULL = end. */
static struct delivery *next_delivery(struct dispatcher_writer *writer)
{
    struct dispatcher *dispatcher = writer->dispatcher;
    while (!writer->abandoned) {
        if (lease_is_over(writer))
            return abort_for_lease(writer);
        if (writer->first) {
            struct delivery *delivery = take_queued(writer);
            if (delivery)
                return delivery;
        } else if (dispatcher->closing) {
            break;
        } else if (writer->lease) {
            dispatcher_sleep(dispatcher, writer->lease->enrolment->window);
        } else {
            pthread_cond_wait(&dispatcher->changed, &dispatcher->lock);
        }
    }
    return NULL;
}

void *dispatcher_serve(void *argument)
{
    struct dispatcher_writer *writer = argument;
    struct dispatcher *dispatcher = writer->dispatcher;
    struct delivery *delivery;
    pthread_mutex_lock(&dispatcher->lock);
    while ((delivery = next_delivery(writer)) != NULL) {
        run(writer, delivery);
        delivery_unref(delivery);
    }
    writer->ended = true;
    pthread_cond_broadcast(&dispatcher->changed);
    pthread_mutex_unlock(&dispatcher->lock);
    dispatcher_unref(dispatcher);
    return NULL;
}
