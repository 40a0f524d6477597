/* The one place that calls writers (vss/writer.h). Private to vss/.
 *
 * Each subscribed writer has a thread that takes deliveries (one event for one writer) from its
 * queue. A delivery holds copies of everything the callback sees, so a writer that overruns its
 * time limit can go on using them while the session goes on without it:
 *
 *   QUEUED ─thread takes it─► RUNNING ─callback returned in time─► SETTLED ─recorded─► FINISHED
 *      └────────┬────────────────┘                                    ▲
 *               └─ the time limit passed: settled by who waits ───────┘
 *
 * What returns later is ignored. As long as the callback has not returned the writer is *blocked*:
 * Abort and BackupShutdown are queued behind and not waited for, every other event fails at once
 * with VSS_E_WRITER_NOT_RESPONDING.
 *
 * The freeze window is a lease. It runs from the sending of Freeze until Thaw or Abort has ended;
 * the thread itself runs Abort when it passes, when Thaw failed, and when the coordinator ends.
 *
 * Locks: `lock` guards the queues, the phases and all writer states; the observer's lock is taken
 * alone (never with `lock` held); callbacks and observer run without `lock`.
 */
#ifndef VSS_DISPATCHER_H
#define VSS_DISPATCHER_H

#include "vss/coordinator.h"

struct dispatcher;
struct dispatcher_writer; /* a subscribed writer; lives as long as the dispatcher */
struct enrolment;         /* a writer's part in one session: its state there */
struct delivery;

struct dispatcher *dispatcher_new(coordinator_observer *observer, void *context);
/* -1 when a blocked thread was left behind; it frees the rest when its callback returns and calls
 * no writer again. */
int dispatcher_free(struct dispatcher *dispatcher);

/* NULL when no thread could be made. */
struct dispatcher_writer *dispatcher_subscribe(struct dispatcher *dispatcher,
                                               const struct writer_description *description);
/* All writers of now: the array is to be freed, its elements are not. */
size_t dispatcher_writers(struct dispatcher *dispatcher, struct dispatcher_writer ***ret_writers);
const struct id *dispatcher_writer_class(const struct dispatcher_writer *writer);
const struct id *dispatcher_writer_instance(const struct dispatcher_writer *writer);
enum vss_freeze_level dispatcher_writer_level(const struct dispatcher_writer *writer);

/* The state of a writer as of now, and the whole error of its failure (may be NULL): within an
 * enrolment, or, where that is NULL, as it was shown last. */
void dispatcher_state(struct dispatcher_writer *writer, struct enrolment *enrolment,
                      struct coordinator_writer *ret_state, struct error *ret_failure);

/* A new sequence of the writer begins: STABLE, and an older failure is no longer shown. */
struct enrolment *enrolment_begin(struct dispatcher_writer *writer);
void enrolment_unref(struct enrolment *enrolment); /* NULL allowed */

/* Queue an event. `event` is copied, with its component set; enrolment NULL for Identify only. NULL
 * when there is nothing to wait for: the writer's state does not accept the event, or it is blocked
 * and gets it later. */
struct delivery *dispatcher_post(struct dispatcher_writer *writer, struct enrolment *enrolment,
                                 const struct writer_event *event);
/* Wait until all are finished, each in its time limit. Elements may be NULL. */
void dispatcher_wait(struct dispatcher *dispatcher, struct delivery *const *deliveries,
                     size_t count);
/* After the wait. VSS_S_OK or the failure; `error` filled then. */
vss_code delivery_result(const struct delivery *delivery, struct error *error);
/* What the writer wrote; NULL when it did not answer in time. Owned by the delivery, but
 * delivery_take_metadata() hands it over. */
struct component_set *delivery_components(struct delivery *delivery);
struct metadata *delivery_take_metadata(struct delivery *delivery);
void delivery_unref(struct delivery *delivery); /* NULL allowed */

/* To the observer, one at a time. */
void dispatcher_record(struct dispatcher *dispatcher, const struct coordinator_record *record);

#endif
