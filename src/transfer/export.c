/* libnbd keeps the protocol's state; we own the loop: poll its socket and our eventfd together, so
 * that a silent server, a stop from outside and work handed back by others are all noticed.
 *
 * Callbacks run inside of nbd_aio_*() and may not call libnbd; they only note the answer in its
 * request and put that into the list of answered ones. */
#include "transfer/export.h"

#include "base/clock.h"

#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

enum {
    REQUEST_LIMIT = 32 << 20, /* servers may hang up on more (NBD protocol, "Block size") */
    BLOCK_LIMIT = 64 << 10,   /* no minimum block size is larger (the same) */
    SMALLEST_REQUEST = 4096,  /* fewer would make thousands of commands of a chunk */
    GOODBYE_LIMIT = 1,        /* seconds */
    /* A flush waits for the storage, which may have to write all that its cache holds. */
    FLUSH_FACTOR = 10,
};

/* What libnbd says about the call that has just failed in this thread. */
static int library_error(const struct export *export, const char *what, struct error *error)
{
    bool gone = nbd_aio_is_dead(export->handle) == 1 || nbd_aio_is_closed(export->handle) == 1;
    const char *text = nbd_get_error();
    (void)error_set(error, gone ? ERROR_CONNECTION : ERROR_FAILED, "%s: %s", what,
                    text ? text : "unknown fault");
    if (error_is_set(error))
        error->number = nbd_get_errno();
    return -1;
}

static int connection_lost(struct error *error)
{
    (void)error_set(error, ERROR_CONNECTION, "the NBD server has ended the connection");
    return error_advise(error, "disk-server-gone",
                        "see why the server (QEMU, qemu-nbd) has gone: its log, a backup job "
                        "that was ended, memory");
}

/* ---- The loop ---------------------------------------------------------------------------------
 */

static void drain(int wake)
{
    eventfd_t count;
    (void)eventfd_read(wake, &count); /* not readable: nobody woke us */
}

/* One poll and what follows from it; *ret_active: the server gave a sign of life. */
static int turn(struct export *export, int64_t limit, bool *ret_active, struct error *error)
{
    struct pollfd files[2] = {{.fd = export->wake, .events = POLLIN}, {.fd = -1}};
    unsigned direction = nbd_aio_get_direction(export->handle);
    if (direction) {
        files[1].fd = nbd_aio_get_fd(export->handle);
        files[1].events = (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                                  (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
    }
    if (poll(files, 2, (int)(limit / CLOCK_MILLISECOND)) < 0)
        return errno == EINTR ? 0 : error_errno(error, errno, "cannot wait for the NBD server");
    if (files[0].revents)
        drain(export->wake);
    int events = files[1].revents, result = 0;
    /* Reading first: an answer is about an older request than what waits to be sent. */
    if ((direction & LIBNBD_AIO_DIRECTION_READ) && (events & (POLLIN | POLLHUP | POLLERR)))
        result = nbd_aio_notify_read(export->handle);
    else if (events)
        result = nbd_aio_notify_write(export->handle);
    *ret_active = *ret_active || events;
    if (result != 0)
        return library_error(export, "the NBD server has failed", error);
    return 0;
}

int export_wait(struct export *export, struct error *error)
{
    bool active = false;
    if (turn(export, JOB_TICK, &active, error) != 0)
        return -1;
    int64_t now = clock_monotonic();
    if (job_check(export->job, now, &export->asked, error) != 0)
        return -1;
    if (nbd_aio_is_dead(export->handle) == 1 || nbd_aio_is_closed(export->handle) == 1)
        return connection_lost(error);
    bool owes = export->in_flight || nbd_aio_is_connecting(export->handle) == 1;
    if (active || !owes)
        export->alive = now;
    int64_t limit = export->job->time_limit * (export->flushing ? FLUSH_FACTOR : 1);
    if (now - export->alive > limit)
        return error_set(error, ERROR_TIMEOUT, "the NBD server has not answered for %.1f s",
                         (double)(now - export->alive) / CLOCK_SECOND);
    return 0;
}

/* ---- Connecting -------------------------------------------------------------------------------
 */

static int connect_to(struct export *export, const char *uri, struct error *error)
{
    struct nbd_handle *handle = export->handle;
    if (nbd_add_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
        nbd_set_pread_initialize(handle, false) != 0)
        return library_error(export, "cannot prepare", error);
    int result = nbd_aio_connect_uri(handle, uri);
    while (result == 0 && nbd_aio_is_connecting(handle) == 1)
        if (export_wait(export, error) != 0)
            return error_prefix(error, "cannot connect to %s: ", uri);
    if (result == 0 && nbd_aio_is_ready(handle) == 1)
        return 0;
    const char *text = nbd_get_error();
    return error_set(error, ERROR_CONNECTION, "cannot connect to %s: %s", uri,
                     text ? text : "the server has ended the connection");
}

static int learn(struct export *export, uint64_t size, bool writable, struct error *error)
{
    struct nbd_handle *handle = export->handle;
    int64_t actual = nbd_get_size(handle);
    if (actual < 0 || (uint64_t)actual != size)
        return error_set(error, ERROR_REFUSED, "the export has %lld bytes, %llu were expected",
                         (long long)actual, (unsigned long long)size);
    if (writable && nbd_is_read_only(handle) != 0)
        return error_set(error, ERROR_REFUSED, "the export is read-only");
    if (writable && nbd_can_flush(handle) != 1)
        return error_set(error, ERROR_REFUSED,
                         "the server cannot flush, so nothing written to it would be safe");
    int64_t minimum = nbd_get_block_size(handle, LIBNBD_SIZE_MINIMUM);
    int64_t maximum = nbd_get_block_size(handle, LIBNBD_SIZE_MAXIMUM);
    export->minimum = minimum > 0 ? (uint32_t)minimum : 1;
    if (minimum > BLOCK_LIMIT || (export->minimum & (export->minimum - 1)))
        return error_set(error, ERROR_REFUSED, "the server wants blocks of %lld bytes",
                         (long long)minimum);
    if (maximum <= 0 || maximum > REQUEST_LIMIT)
        maximum = REQUEST_LIMIT;
    export->maximum = (uint32_t)maximum & ~(export->minimum - 1);
    if (export->maximum < SMALLEST_REQUEST)
        return error_set(error, ERROR_REFUSED, "the server takes at most %lld bytes at once",
                         (long long)maximum);
    export->can_status = nbd_can_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    export->can_zero = nbd_can_zero(handle) == 1;
    return 0;
}

int export_open(struct export *export, struct job *job, const char *uri, uint64_t size,
                bool writable, int wake, struct error *error)
{
    *export = (struct export){.job = job, .wake = wake, .alive = clock_monotonic()};
    export->answered_tail = &export->answered;
    export->handle = nbd_create();
    if (!export->handle)
        return error_set(error, ERROR_FAILED, "cannot use libnbd: %s", nbd_get_error());
    if (connect_to(export, uri, error) != 0 || learn(export, size, writable, error) != 0) {
        nbd_close(export->handle);
        export->handle = NULL;
        return -1;
    }
    export->requests = NEW_ARRAY(struct export_request, job->requests);
    for (unsigned i = 0; i < job->requests; i++) {
        export->requests[i] = (struct export_request){.export = export, .next = export->free};
        export->free = &export->requests[i];
    }
    return 0;
}

void export_close(struct export *export, void (*forgotten)(const struct export_request *request))
{
    nbd_close(export->handle);
    export->handle = NULL;
    for (unsigned i = 0; i < export->job->requests; i++)
        if (export->requests[i].busy)
            forgotten(&export->requests[i]);
    free(TAKE_PTR(export->requests));
}

void export_end(struct export *export)
{
    int64_t deadline = clock_monotonic() + GOODBYE_LIMIT * CLOCK_SECOND;
    bool active = false, open = nbd_aio_disconnect(export->handle, 0) == 0;
    while (open && nbd_aio_is_closed(export->handle) == 0 && nbd_aio_is_dead(export->handle) == 0 &&
           clock_monotonic() < deadline)
        open = turn(export, JOB_TICK, &active, NULL) == 0;
    nbd_close(export->handle);
    export->handle = NULL;
    free(TAKE_PTR(export->requests));
}

/* ---- Requests ---------------------------------------------------------------------------------
 */

bool export_has_room(const struct export *export)
{
    return export->free != NULL;
}

static int note_answer(void *context, int *number)
{
    struct export_request *request = context;
    struct export *export = request->export;
    if (!request->number)
        request->number = *number;
    if (--request->commands == 0) {
        if (request->operation == EXPORT_FLUSH)
            export->flushing = false;
        request->next = NULL;
        *export->answered_tail = request;
        export->answered_tail = &request->next;
        export->in_flight--;
    }
    return 1; /* retire the command */
}

static int note_status(void *context, const char *name, uint64_t offset, uint32_t *entries,
                       size_t count, int *number)
{
    struct export *export = context;
    struct allocation *allocation = export->allocation;
    (void)number;
    /* What was not asked changes nothing; an answer without progress is noticed by the reader. */
    if (strcmp(name, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 || offset != allocation->known)
        return 0;
    for (size_t i = 0; i + 1 < count; i += 2)
        allocation_add(allocation, *export->reading, entries[i],
                       entries[i + 1] & LIBNBD_STATE_ZERO);
    return 0;
}

/* Take a free request for `commands` commands that follow. */
static struct export_request *begin(struct export *export, enum export_operation operation,
                                    uint64_t offset, uint64_t size, unsigned commands)
{
    struct export_request *request = export->free;
    export->free = request->next;
    *request = (struct export_request){.operation = operation,
                                       .offset = offset,
                                       .size = size,
                                       .export = export,
                                       .commands = commands,
                                       .busy = true};
    if (export->in_flight++ == 0)
        export->alive = clock_monotonic();
    return request;
}

/* One command; -1 as libnbd. */
static int64_t command(struct export_request *request, uint64_t offset, uint64_t size)
{
    struct export *export = request->export;
    struct nbd_handle *handle = export->handle;
    nbd_completion_callback done = {.callback = note_answer, .user_data = request};
    uint8_t *data =
        request->buffer ? request->buffer->data + (offset - request->buffer->offset) : NULL;
    switch (request->operation) {
    case EXPORT_READ:
        return nbd_aio_pread(handle, data, size, offset, done, 0);
    case EXPORT_WRITE:
        return nbd_aio_pwrite(handle, data ? data : export->job->zeroes, size, offset, done, 0);
    case EXPORT_ZERO:
        return nbd_aio_zero(handle, size, offset, done, 0);
    case EXPORT_STATUS:
        return nbd_aio_block_status(
            handle, size, offset,
            (nbd_extent_callback){.callback = note_status, .user_data = export}, done, 0);
    case EXPORT_FLUSH:
        return nbd_aio_flush(handle, done, 0);
    }
    return -1;
}

int export_send(struct export *export, enum export_operation operation, struct buffer *buffer,
                uint64_t offset, uint64_t size, struct error *error)
{
    bool whole = operation != EXPORT_READ && operation != EXPORT_WRITE;
    uint64_t most = whole || size < export->maximum ? size : export->maximum;
    unsigned commands = whole ? 1 : (unsigned)((size + most - 1) / most);
    struct export_request *request = begin(export, operation, offset, size, commands);
    request->buffer = buffer;
    if (operation == EXPORT_FLUSH)
        export->flushing = true;
    uint64_t end = offset + size;
    do {
        uint64_t piece = end - offset < most ? end - offset : most;
        if (command(request, offset, piece) < 0)
            return library_error(export, "cannot send a request to the NBD server", error);
        offset += piece;
    } while (offset < end);
    return 0;
}

int export_send_status(struct export *export, struct allocation *allocation,
                       const uint64_t *reading, uint64_t offset, uint64_t length,
                       struct error *error)
{
    export->allocation = allocation;
    export->reading = reading;
    return export_send(export, EXPORT_STATUS, NULL, offset, length, error);
}

bool export_answered(struct export *export, struct export_request *ret_request)
{
    struct export_request *request = export->answered;
    if (!request)
        return false;
    export->answered = request->next;
    if (!export->answered)
        export->answered_tail = &export->answered;
    request->busy = false;
    *ret_request = *request;
    request->next = export->free;
    export->free = request;
    return true;
}

int export_fault(const struct export_request *request, struct error *error)
{
    static const char *const verbs[] = {
        [EXPORT_READ] = "read",   [EXPORT_WRITE] = "write", [EXPORT_ZERO] = "zero",
        [EXPORT_STATUS] = "know", [EXPORT_FLUSH] = "flush",
    };
    const struct export *export = request->export;
    if (nbd_aio_is_dead(export->handle) == 1 || nbd_aio_is_closed(export->handle) == 1)
        return connection_lost(error);
    if (request->operation == EXPORT_FLUSH)
        return error_errno(error, request->number, "cannot flush");
    return error_errno(error, request->number, "cannot %s %llu bytes at offset %llu",
                       verbs[request->operation], (unsigned long long)request->size,
                       (unsigned long long)request->offset);
}
