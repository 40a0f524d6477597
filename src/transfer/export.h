/* Export: one connection to an NBD server and the requests in flight on it.
 *
 * Belongs to one thread (libnbd's handles are not for several). Nothing blocks but export_wait(),
 * which returns at least every JOB_TICK, notices that the server has gone, and enforces the job's
 * time limit: when the server owes an answer and gives no sign of life for that long, it fails.
 */
#ifndef TRANSFER_EXPORT_H
#define TRANSFER_EXPORT_H

#include "transfer/allocation.h"
#include "transfer/job.h"

enum export_operation { EXPORT_READ, EXPORT_WRITE, EXPORT_ZERO, EXPORT_STATUS, EXPORT_FLUSH };

/* One request of ours. A server that takes less at once gets it as several commands; it counts as
 * one in flight and is answered once. */
struct export_request {
    enum export_operation operation;
    uint64_t offset, size;
    struct buffer *buffer; /* READ, WRITE; NULL: zeroes are written */
    int number;            /* errno that the server answered, 0 = it is done */
    /* Private. */
    struct export *export;
    struct export_request *next; /* free or answered */
    unsigned commands;           /* not answered yet */
    bool busy;                   /* from begin() until the answer was taken */
};

/* Owned by the disk's thread. */
struct export
{
    /* Set by export_open(), never changed. */
    struct job *job;
    struct nbd_handle *handle; /* opaque to the users of this header */
    int wake;                  /* makes export_wait() return; drained there */
    uint32_t minimum, maximum; /* sizes of requests that the server wants */
    bool can_status, can_zero;
    /* Changed by the calls below. */
    struct export_request *requests, *free, *answered, **answered_tail;
    unsigned in_flight;
    bool flushing;                 /* the time limit is longer */
    struct allocation *allocation; /* where the block status in flight goes */
    const uint64_t *reading;
    int64_t alive; /* when the server last gave a sign of life, or owed nothing */
    int64_t asked; /* for job_check() */
};

/* Connect and negotiate. The export must have `size` bytes; `writable`: must take writes and
 * flushes. ERROR_CONNECTION: no server, or it is not one of NBD; ERROR_REFUSED: wrong size,
 * read-only; ERROR_TIMEOUT; what job_check() says. Needs export_close() only after success. */
int export_open(struct export *export, struct job *job, const char *uri, uint64_t size,
                bool writable, int wake, struct error *error);
/* Close at once. `forgotten` gets each request that was sent and whose answer was not taken; the
 * server will not touch its buffer any more. */
void export_close(struct export *export, void (*forgotten)(const struct export_request *request));
/* After the last answer: say goodbye (bounded; servers note in their logs when a client just goes)
 * and close. */
void export_end(struct export *export);

/* May one more request be sent? */
bool export_has_room(const struct export *export);
/* Send a request; export_has_room() must hold. The buffer belongs to the request, also on failure
 * (then the export has to be closed), until its answer is taken. READ and WRITE move the buffer's
 * bytes from offset - buffer->offset on; `size` is at most a chunk. */
int export_send(struct export *export, enum export_operation operation, struct buffer *buffer,
                uint64_t offset, uint64_t size, struct error *error);
/* Ask for block status and put the answer into `allocation`. `reading` as in allocation.h. Both
 * must stay until the answer. At most one at a time. */
int export_send_status(struct export *export, struct allocation *allocation,
                       const uint64_t *reading, uint64_t offset, uint64_t length,
                       struct error *error);

/* Wait for an answer, `wake`, or JOB_TICK. -1: the server is gone or silent, or job_check(). */
int export_wait(struct export *export, struct error *error);
/* Take the oldest answer; false when there is none. */
bool export_answered(struct export *export, struct export_request *ret_request);
/* "cannot read 4096 bytes at offset 0: Input/output error"; or that the server is gone. */
int export_fault(const struct export_request *request, struct error *error);

#endif
