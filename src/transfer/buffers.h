/* Buffers: the bounded memory of a transfer, shared by its disks.
 *
 * A buffer holds one chunk on its way between NBD and the repository. There are `total` of them
 * for all disks together; each running disk joins with a share and may hold total / shares of them
 * (at least one: no more disks run at once than there are buffers). The limit moves while disks
 * come and go, so the last running disk has all of them.
 *
 * Why this cannot deadlock or starve:
 *  1. A chunk needs exactly one buffer, so nobody holds a buffer while waiting for another one.
 *  2. Whoever holds a buffer has something under way for it (an NBD request, which is answered or
 *     ends by the time limit; a task in a queue that has room for every buffer, so that handing
 *     over never blocks; or a place in `handed`, from which the disk's thread takes it at its next
 *     turn). Each of these ends in buffers_return() without needing a buffer.
 *  3. The limits of all shares add up to at most `total`. So a share below its limit finds a free
 *     buffer unless another is above its limit, which happens only just after a disk has joined;
 *     that one takes no more until it is below, by 2 after a bounded time. A disk whose server
 *     hangs keeps at most its own part from the others.
 */
#ifndef TRANSFER_BUFFERS_H
#define TRANSFER_BUFFERS_H

#include "repository/repository.h"

struct buffers;

struct buffer {
    /* Set when made, never changed. */
    uint8_t *data; /* chunk size bytes, aligned to a page */
    struct buffer *next_made;
    /* Owned by whoever holds the buffer: the disk's thread, a worker, or the pool (its lock). */
    struct share *share;
    struct buffer *next;
    void *disk;      /* what the disk's thread tells the worker */
    uint64_t offset; /* of the chunk on the disk */
    uint32_t size;   /* bytes of the disk in it: the last chunk may be shorter */
    struct object_id id;
};

/* A disk's part in the buffers, owned by its thread. */
struct share {
    /* Set by buffers_join(), never changed. */
    struct buffers *buffers;
    int wake; /* eventfd: readable when buffers were returned or handed back */
    /* Guarded by the lock of the buffers. */
    struct share *next;
    unsigned held;
    bool waiting;                         /* buffers_take() said no */
    struct buffer *handed, **handed_tail; /* from workers to the disk's thread, oldest first */
};

struct buffers *buffers_new(unsigned total, uint32_t chunk_size);
/* All shares have left. */
void buffers_free(struct buffers *buffers);
/* The most that were in use at once, since the beginning. Any thread. */
unsigned buffers_peak(struct buffers *buffers);

/* Before the first and after the last use by a disk; on leaving it must hold none. */
int buffers_join(struct buffers *buffers, struct share *share, struct error *error);
void buffers_leave(struct share *share);

/* One more buffer, or NULL when the share is at its limit or none is free; then `wake` becomes
 * readable when it is worth asking again. NULL with the error set: no memory. Never blocks. */
struct buffer *buffers_take(struct share *share, struct error *error);
/* Give back; the last touch of buffer and share by the caller. Any thread. */
void buffers_return(struct buffer *buffer);
/* A worker is done with it and the disk's thread goes on; buffers_collect() hands all of these
 * out, oldest first, linked by `next`. */
void buffers_hand_back(struct buffer *buffer);
struct buffer *buffers_collect(struct share *share);
/* How many the disk holds, wherever they are. */
unsigned buffers_held(struct share *share);
/* The lowest `offset` of the buffers that the disk holds, `otherwise` when it holds none. Only for
 * the disk's own thread, which sets the offsets. */
uint64_t buffers_lowest_offset(struct share *share, uint64_t otherwise);
/* Return what workers hand back until the disk holds none. Blocks as long as the workers do. */
void buffers_settle(struct share *share);

#endif
