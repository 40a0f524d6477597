/* Workers: a fixed set of threads that run tasks from one bounded queue.
 *
 * The first error ends the set: later tasks are not run (their `discard` is called), and
 * workers_finish() hands that error back. Submitting blocks while the queue is full, which is what
 * bounds the memory of a pipeline.
 */
#ifndef BASE_WORKERS_H
#define BASE_WORKERS_H

#include "base/error.h"

#include <stdbool.h>

struct workers;

struct workers_task {
    int (*run)(void *context, void *task, struct error *error); /* 0 or -1; owns task */
    void (*discard)(void *context, void *task);                 /* instead of run */
    void *context;
};

/* `threads` 0 = one per processor the process may use. `queue` = tasks that may wait. */
struct workers *workers_new(unsigned threads, unsigned queue, struct workers_task kind);
/* Hand over a task. -1 (with the first error) when the set has failed: then the task was
 * discarded. Any thread but a worker. */
int workers_submit(struct workers *workers, void *task, struct error *error);
/* Fail the set from outside (the reader saw an error): waiting and later tasks are discarded. */
void workers_fail(struct workers *workers, const struct error *error);
bool workers_has_failed(struct workers *workers);
/* Wait for all tasks, end the threads, free. -1 with the first error. */
int workers_finish(struct workers *workers, struct error *error);

/* Run function(context, index) for index 0..count-1 in at most `threads` threads at once and wait
 * for all; every index runs. Returns the number that returned non-zero. */
unsigned workers_each(unsigned count, unsigned threads,
                      int (*function)(void *context, unsigned index), void *context);

#endif
