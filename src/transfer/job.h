/* Job: what the disks of one transfer share: limits, memory, workers, and the first error, which
 * stops all of them. */
#ifndef TRANSFER_JOB_H
#define TRANSFER_JOB_H

#include "base/clock.h"
#include "base/workers.h"
#include "transfer/buffers.h"
#include "transfer/transfer.h"

#include <pthread.h>

#define JOB_TICK (50 * CLOCK_MILLISECOND)

struct job {
    /* Set at the beginning, never changed. */
    uint32_t chunk_size;
    unsigned requests;  /* NBD requests in flight per disk */
    int64_t time_limit; /* ns without a sign of life from a server that owes an answer */
    transfer_check *check;
    void *check_context;
    struct buffers *buffers; /* any thread */
    struct workers *workers; /* any thread */
    const void *zeroes;      /* chunk_size bytes of zero */
    /* Atomic. */
    atomic_bool stopped;
    /* Guarded by lock. */
    pthread_mutex_t lock;
    struct error error; /* the first one wins */
};

/* The transfer has failed with this error (unless it has already): tasks that wait are dropped, and
 * all disks stop within JOB_TICK. Any thread. */
void job_fail(struct job *job, const struct error *error);

/* A disk's thread asks at every turn, at least every JOB_TICK: -1 when the transfer was stopped by
 * another thread or the caller's check says so; the error is of no use then. `*asked` is when this
 * thread last called it. */
int job_check(struct job *job, int64_t now, int64_t *asked, struct error *error);

#endif
