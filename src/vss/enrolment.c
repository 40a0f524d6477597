/* A writer's state within one session, and what is shown of it as the writer's state of now. */
#include "vss/dispatcher-private.h"
#include "vss/writer-state.h"

#include <assert.h>
#include <string.h>

struct enrolment *enrolment_ref(struct enrolment *enrolment)
{
    atomic_fetch_add(&enrolment->references, 1);
    return enrolment;
}

void enrolment_unref(struct enrolment *enrolment)
{
    if (enrolment && atomic_fetch_sub(&enrolment->references, 1) == 1)
        free(enrolment);
}

static void assert_enrolment(const struct enrolment *enrolment)
{
    const struct delivery *lease = enrolment->writer->lease;
    assert(writer_state_is_failed(enrolment->state) == (enrolment->code != VSS_S_OK));
    assert(enrolment->state != VSS_WS_WAITING_FOR_THAW || (lease && lease->enrolment == enrolment));
    (void)lease;
}

void enrolment_change_state(struct enrolment *enrolment, enum vss_writer_state to, vss_code code,
                            const struct error *failure)
{
    struct dispatcher_writer *writer = enrolment->writer;
    if (writer_state_is_failed(to) && enrolment->code == VSS_S_OK) {
        enrolment->code = code;
        enrolment->failure = *failure;
    }
    enrolment->state = to;
    assert_enrolment(enrolment);
    if (writer->shown_by != enrolment)
        return;
    writer->shown.state = to;
    writer->shown.failure = enrolment->code;
    writer->shown_failure = enrolment->failure;
}

struct enrolment *enrolment_begin(struct dispatcher_writer *writer)
{
    struct enrolment *enrolment = NEW(struct enrolment);
    atomic_init(&enrolment->references, 1);
    enrolment->writer = writer;
    pthread_mutex_lock(&writer->dispatcher->lock);
    writer->shown_by = enrolment;
    enrolment_change_state(enrolment, VSS_WS_STABLE, VSS_S_OK, NULL);
    pthread_mutex_unlock(&writer->dispatcher->lock);
    return enrolment;
}

void dispatcher_state(struct dispatcher_writer *writer, struct enrolment *enrolment,
                      struct coordinator_writer *ret_state, struct error *ret_failure)
{
    pthread_mutex_lock(&writer->dispatcher->lock);
    *ret_state = writer->shown;
    const struct error *failure = &writer->shown_failure;
    if (enrolment) {
        ret_state->state = enrolment->state;
        ret_state->failure = enrolment->code;
        failure = &enrolment->failure;
    }
    memcpy(ret_state->message, failure->message, sizeof ret_state->message);
    if (ret_failure)
        *ret_failure = *failure;
    pthread_mutex_unlock(&writer->dispatcher->lock);
}
