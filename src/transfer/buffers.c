/* One lock, a free list, and a list of the shares. Memory is made when it is first needed and
 * reused last-in first-out, so that a transfer that needs few buffers touches few. */
#include "transfer/buffers.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

enum { PAGE = 4096 };

struct buffers {
    /* Set by buffers_new(), never changed. */
    unsigned total;
    uint32_t chunk_size;
    pthread_mutex_t lock;
    /* Guarded by lock. */
    unsigned used, peak;
    unsigned share_count;
    struct share *shares;
    struct buffer *free; /* made and not in use */
    struct buffer *made; /* all of them, by next_made */
};

struct buffers *buffers_new(unsigned total, uint32_t chunk_size)
{
    struct buffers *buffers = NEW(struct buffers);
    buffers->total = total;
    buffers->chunk_size = chunk_size;
    pthread_mutex_init(&buffers->lock, NULL);
    return buffers;
}

void buffers_free(struct buffers *buffers)
{
    if (!buffers)
        return;
    assert(!buffers->shares && !buffers->used);
    struct buffer *next;
    for (struct buffer *buffer = buffers->made; buffer; buffer = next) {
        next = buffer->next_made;
        free(buffer->data);
        free(buffer);
    }
    pthread_mutex_destroy(&buffers->lock);
    free(buffers);
}

unsigned buffers_peak(struct buffers *buffers)
{
    pthread_mutex_lock(&buffers->lock);
    unsigned peak = buffers->peak;
    pthread_mutex_unlock(&buffers->lock);
    return peak;
}

static unsigned limit(const struct buffers *buffers)
{
    unsigned part = buffers->total / buffers->share_count;
    return part ? part : 1;
}

static void wake(const struct share *share)
{
    /* Fails only when the counter is full: then it is readable anyway. */
    (void)eventfd_write(share->wake, 1);
}

/* A buffer became free or the limits moved. */
static void wake_waiting(struct buffers *buffers)
{
    for (struct share *share = buffers->shares; share; share = share->next)
        if (share->waiting && share->held < limit(buffers)) {
            share->waiting = false;
            wake(share);
        }
}

int buffers_join(struct buffers *buffers, struct share *share, struct error *error)
{
    *share = (struct share){.buffers = buffers};
    share->handed_tail = &share->handed;
    share->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (share->wake < 0)
        return error_errno(error, errno, "cannot make an eventfd");
    pthread_mutex_lock(&buffers->lock);
    assert(buffers->share_count < buffers->total);
    share->next = buffers->shares;
    buffers->shares = share;
    buffers->share_count++;
    pthread_mutex_unlock(&buffers->lock);
    return 0;
}

void buffers_leave(struct share *share)
{
    struct buffers *buffers = share->buffers;
    pthread_mutex_lock(&buffers->lock);
    assert(share->held == 0);
    struct share **link = &buffers->shares;
    while (*link != share)
        link = &(*link)->next;
    *link = share->next;
    if (--buffers->share_count)
        wake_waiting(buffers);
    pthread_mutex_unlock(&buffers->lock);
    (void)close(share->wake);
    share->wake = -1;
}

/* With the lock held. NULL when there is no memory. */
static struct buffer *make(struct buffers *buffers)
{
    void *data;
    if (posix_memalign(&data, PAGE, buffers->chunk_size) != 0)
        return NULL;
    struct buffer *buffer = NEW(struct buffer);
    buffer->data = data;
    buffer->next_made = buffers->made;
    buffers->made = buffer;
    return buffer;
}

struct buffer *buffers_take(struct share *share, struct error *error)
{
    struct buffers *buffers = share->buffers;
    struct buffer *buffer = NULL;
    pthread_mutex_lock(&buffers->lock);
    share->waiting = share->held >= limit(buffers) || buffers->used == buffers->total;
    if (!share->waiting) {
        buffer = buffers->free;
        if (buffer)
            buffers->free = buffer->next;
        else if (!(buffer = make(buffers)))
            (void)error_errno(error, ENOMEM, "cannot make a buffer");
    }
    if (buffer) {
        buffer->share = share;
        buffer->next = NULL;
        share->held++;
        if (++buffers->used > buffers->peak)
            buffers->peak = buffers->used;
    }
    pthread_mutex_unlock(&buffers->lock);
    return buffer;
}

void buffers_return(struct buffer *buffer)
{
    struct share *share = buffer->share;
    struct buffers *buffers = share->buffers;
    pthread_mutex_lock(&buffers->lock);
    buffer->share = NULL;
    buffer->next = buffers->free;
    buffers->free = buffer;
    buffers->used--;
    /* Its own thread may be waiting for the last of them to come home. All under the lock: as soon
     * as it is free, the share may be gone. */
    if (--share->held == 0)
        wake(share);
    wake_waiting(buffers);
    pthread_mutex_unlock(&buffers->lock);
}

void buffers_hand_back(struct buffer *buffer)
{
    struct share *share = buffer->share;
    struct buffers *buffers = share->buffers;
    pthread_mutex_lock(&buffers->lock);
    buffer->next = NULL;
    *share->handed_tail = buffer;
    share->handed_tail = &buffer->next;
    wake(share);
    pthread_mutex_unlock(&buffers->lock);
}

struct buffer *buffers_collect(struct share *share)
{
    pthread_mutex_lock(&share->buffers->lock);
    struct buffer *first = share->handed;
    share->handed = NULL;
    share->handed_tail = &share->handed;
    pthread_mutex_unlock(&share->buffers->lock);
    return first;
}

unsigned buffers_held(struct share *share)
{
    pthread_mutex_lock(&share->buffers->lock);
    unsigned held = share->held;
    pthread_mutex_unlock(&share->buffers->lock);
    return held;
}

uint64_t buffers_lowest_offset(struct share *share, uint64_t otherwise)
{
    struct buffers *buffers = share->buffers;
    uint64_t lowest = otherwise;
    pthread_mutex_lock(&buffers->lock);
    for (struct buffer *buffer = buffers->made; buffer; buffer = buffer->next_made)
        if (buffer->share == share && buffer->offset < lowest)
            lowest = buffer->offset;
    pthread_mutex_unlock(&buffers->lock);
    return lowest;
}

void buffers_settle(struct share *share)
{
    for (;;) {
        struct buffer *buffer = buffers_collect(share);
        if (!buffer && !buffers_held(share))
            return;
        if (!buffer) {
            struct pollfd file = {.fd = share->wake, .events = POLLIN};
            (void)poll(&file, 1, -1);
            eventfd_t count;
            (void)eventfd_read(share->wake, &count);
        }
        for (struct buffer *next; buffer; buffer = next) {
            next = buffer->next;
            buffers_return(buffer);
        }
    }
}
