/*            void               finished
 *   LIVE ──────────► VOID ──────────────► FINISHED
 *     └───────────────┴──────────────────────┴──────► GONE    silent, dead, or speaks nonsense
 */
#include "undo/link.h"

#include "base/clock.h"
#include "undo/channel.h"
#include "undo/watchdog-start.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const int64_t start_limit = 10 * CLOCK_SECOND;
static const int kill_limit = 5000; /* ms for a killed watchdog to be gone */

struct request {
    int64_t number;
    bool answered;
    struct error error;
    struct request *next;
};

struct link {
    /* Set by link_open(), never changed. */
    int64_t stall, beat;
    int handle; /* pidfd of the watchdog */
    int wake;   /* eventfd: the thread shall look at the queue */
    int event;  /* eventfd: the state is not LINK_LIVE */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* state, answers, settled, exited */
    /* Guarded by lock. */
    struct channel *channel;
    enum link_state state;
    struct error reason;      /* why it is not LINK_LIVE */
    struct request *requests; /* waiting for their answers */
    int64_t last_request;     /* number */
    json_t *left;             /* of LINK_FINISHED */
    struct error fault;       /* ... */
    bool broken;              /* nothing more comes or goes: it is ending, or not itself */
    bool ending;              /* told to end */
    bool settled;             /* it says so */
    bool exited;              /* it is no more */
    bool quit;                /* the thread shall end */
    /* The thread's own. */
    int64_t last_heard, last_beat, last_look;
};

/* ---- State --------------------------------------------------------------------------------- */

/* Under the lock. */
static void set_state(struct link *link, enum link_state state, const struct error *reason)
{
    if (link->state == LINK_LIVE && state != LINK_LIVE) {
        link->reason = *reason;
        (void)eventfd_write(link->event, 1);
    }
    link->state = state;
    pthread_cond_broadcast(&link->changed);
}

/* Under the lock. A watchdog that was told to end may go. */
static void set_gone(struct link *link, const char *how)
{
    struct error reason = ERROR_INIT;
    if (link->state == LINK_GONE)
        return;
    (void)error_set(&reason, ERROR_FAILED, "the watchdog process %s", how);
    (void)error_advise(&reason, "watchdog-lost",
                       "nothing is changed without a watchdog; see what ended it and try "
                       "again");
    set_state(link, LINK_GONE, &reason);
}

enum link_state link_state(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    enum link_state state = link->state;
    pthread_mutex_unlock(&link->lock);
    return state;
}

int link_check(struct link *link, struct error *error)
{
    int result = 0;
    pthread_mutex_lock(&link->lock);
    if (link->state != LINK_LIVE) {
        struct error reason = link->reason;
        error_move(error, &reason);
        result = -1;
    }
    pthread_mutex_unlock(&link->lock);
    return result;
}

int link_event(const struct link *link)
{
    return link->event;
}

/* ---- The thread ---------------------------------------------------------------------------- */

static void take_answer(struct link *link, const json_t *message)
{
    int64_t number = json_integer_or(message, "request", 0);
    for (struct request *request = link->requests; request; request = request->next)
        if (request->number == number) {
            (void)channel_get_error(message, &request->error);
            request->answered = true;
            pthread_cond_broadcast(&link->changed);
        }
}

static void take_message(struct link *link, const json_t *message)
{
    const char *type = json_string_or(message, "type", "");
    struct error reason = ERROR_INIT;
    if (strcmp(type, "answer") == 0) {
        take_answer(link, message);
    } else if (strcmp(type, "void") == 0 && link->state == LINK_LIVE) {
        (void)channel_get_error(message, &reason);
        set_state(link, LINK_VOID, &reason);
    } else if (strcmp(type, "finished") == 0 && link->state == LINK_VOID) {
        json_t *left = json_object_get(message, "left");
        link->left = json_is_array(left) ? json_incref(left) : json_array();
        (void)channel_get_error(message, &link->fault);
        set_state(link, LINK_FINISHED, NULL);
    } else if (strcmp(type, "settled") == 0) {
        link->settled = true;
    }
}

/* Under the lock. */
static void receive_all(struct link *link)
{
    json_t *message;
    int file, got;
    while ((got = channel_receive(link->channel, &message, &file)) == 1) {
        if (file >= 0)
            (void)close(file);
        take_message(link, message);
        json_decref(message);
        if (!link->broken)
            link->last_heard = clock_monotonic();
    }
    link->broken = link->broken || got < 0;
}

/* Under the lock. A queue that is not empty is no reason to add to it. */
static void send_beat(struct link *link, int64_t now)
{
    if (now - link->last_beat >= link->beat && !channel_is_waiting(link->channel)) {
        link->last_beat = now;
        (void)channel_send(link->channel, channel_message("heartbeat"), -1);
    }
    (void)channel_flush(link->channel); /* a closed socket shows when receiving */
}

/* Silent for too long, and not because this thread itself was not running? */
static bool is_silent(struct link *link, int64_t now)
{
    if (now - link->last_look > link->stall / 2 && link->last_heard < now)
        link->last_heard = now; /* look again for a whole period */
    link->last_look = now;
    return link->state != LINK_GONE && !link->ending && now - link->last_heard > link->stall;
}

static void kill_watchdog(int handle)
{
    (void)syscall(SYS_pidfd_send_signal, handle, SIGKILL, NULL, 0);
    struct pollfd ended = {.fd = handle, .events = POLLIN};
    (void)poll(&ended, 1, kill_limit);
}

/* Under the lock. */
static void note_exit(struct link *link)
{
    siginfo_t information = {0};
    (void)waitid(P_PIDFD, (id_t)link->handle, &information, WEXITED | WNOHANG);
    link->exited = true;
    if (!link->settled)
        set_gone(link, "has died");
    pthread_cond_broadcast(&link->changed);
}

static void wait_for_something(struct link *link, bool wants_out, bool broken, bool exited)
{
    struct pollfd files[] = {
        {.fd = link->wake, .events = POLLIN},
        {.fd = exited ? -1 : link->handle, .events = POLLIN},
        {.fd = broken ? -1 : channel_socket(link->channel),
         .events = (short)(POLLIN | (wants_out ? POLLOUT : 0))},
    };
    int64_t left = link->last_beat + link->beat - clock_monotonic();
    if (left <= 0) /* the last beat could not be sent */
        left = link->beat;
    (void)poll(files, ARRAY_SIZE(files), (int)(left / CLOCK_MILLISECOND) + 1);
    eventfd_t count;
    if (files[0].revents & POLLIN)
        (void)eventfd_read(link->wake, &count);
}

static bool has_ended(int handle)
{
    struct pollfd ended = {.fd = handle, .events = POLLIN};
    return poll(&ended, 1, 0) > 0;
}

static void *link_main(void *context)
{
    struct link *link = context;
    pthread_mutex_lock(&link->lock);
    while (!link->quit) {
        int64_t now = clock_monotonic();
        bool ended = !link->exited && has_ended(link->handle);
        if (!link->exited) {
            receive_all(link);
            send_beat(link, now);
        }
        if (ended)
            note_exit(link);
        if (is_silent(link, now)) {
            kill_watchdog(link->handle);
            set_gone(link, "did not answer and was killed");
        }
        bool wants_out = channel_is_waiting(link->channel);
        bool broken = link->broken, exited = link->exited;
        pthread_mutex_unlock(&link->lock);
        wait_for_something(link, wants_out, broken, exited);
        pthread_mutex_lock(&link->lock);
    }
    pthread_mutex_unlock(&link->lock);
    return NULL;
}

/* ---- Requests ------------------------------------------------------------------------------ */

/* Under the lock. false at the deadline. */
static bool wait_changed(struct link *link, int64_t deadline)
{
    struct timespec until = clock_timespec(deadline);
    return pthread_cond_timedwait(&link->changed, &link->lock, &until) == 0;
}

static void forget_request(struct link *link, struct request *request)
{
    struct request **place = &link->requests;
    while (*place != request)
        place = &(*place)->next;
    *place = request->next;
}

int link_request(struct link *link, json_t *message, int file, int64_t limit, struct error *error)
{
    struct request request = {.error = ERROR_INIT};
    int64_t deadline = clock_monotonic() + limit;
    pthread_mutex_lock(&link->lock);
    request.number = ++link->last_request;
    json_set_integer(message, "request", request.number);
    request.next = link->requests;
    link->requests = &request;
    if (link->state == LINK_GONE)
        json_decref(message);
    else if (channel_send(link->channel, message, file) != 0)
        link->broken = true;
    (void)eventfd_write(link->wake, 1);
    while (!request.answered && link->state != LINK_GONE && wait_changed(link, deadline))
        ;
    forget_request(link, &request);
    if (!request.answered && link->state == LINK_GONE)
        request.error = link->reason;
    else if (!request.answered) {
        (void)error_set(&request.error, ERROR_TIMEOUT, "the watchdog did not answer in %lld s",
                        (long long)(limit / CLOCK_SECOND));
        (void)error_advise(&request.error, "watchdog-lost", "is the host overloaded? try again");
    }
    pthread_mutex_unlock(&link->lock);
    if (!error_is_set(&request.error))
        return 0;
    error_move(error, &request.error);
    return -1;
}

int link_wait_finished(struct link *link, int64_t deadline, json_t **ret_left, struct error *fault)
{
    int result;
    pthread_mutex_lock(&link->lock);
    while (link->state == LINK_VOID && wait_changed(link, deadline))
        ;
    if (link->state == LINK_FINISHED) {
        *ret_left = json_deep_copy(link->left);
        *fault = link->fault;
        result = 0;
    } else {
        result = link->state == LINK_GONE ? 1 : -1;
    }
    pthread_mutex_unlock(&link->lock);
    return result;
}

enum link_end link_end(struct link *link, int64_t deadline)
{
    enum link_end result = LINK_DIED;
    pthread_mutex_lock(&link->lock);
    if (link->state != LINK_GONE) {
        link->ending = true;
        if (channel_send(link->channel, channel_message("end"), -1) != 0)
            link->broken = true;
        (void)eventfd_write(link->wake, 1);
        while (!link->exited && wait_changed(link, deadline))
            ;
        result = !link->exited ? LINK_WORKING : link->settled ? LINK_SETTLED : LINK_DIED;
    }
    pthread_mutex_unlock(&link->lock);
    return result;
}

/* ---- Life ---------------------------------------------------------------------------------- */

static struct link *link_new(int64_t stall)
{
    struct link *link = NEW(struct link);
    link->stall = stall;
    link->beat = stall / 5 < CLOCK_SECOND / 2 ? stall / 5 : CLOCK_SECOND / 2;
    link->handle = -1;
    link->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    link->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* The start has a limit of its own. */
    link->last_heard = link->last_look = clock_monotonic();
    pthread_mutex_init(&link->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&link->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return link;
}

/* Signals are for the program's own threads. */
static int start_thread(struct link *link)
{
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&link->thread, NULL, link_main, link);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static int greet(struct link *link, const struct journal *journal, struct error *error)
{
    json_t *hello = channel_message("hello");
    json_set_integer(hello, "stall", link->stall);
    return link_request(link, hello, journal_file(journal), start_limit, error);
}

int link_open(const struct undo_settings *settings, const struct journal *journal, int64_t stall,
              struct link **ret_link, struct error *error)
{
    CLEANUP(link_freep) struct link *link = link_new(stall);
    if (link->wake < 0 || link->event < 0)
        return error_errno(error, errno, "cannot make an event for the watchdog");
    int socket;
    if (watchdog_start(settings, journal_path(journal), &socket, &link->handle, error) != 0)
        return -1;
    link->channel = channel_new(socket);
    link->last_heard = clock_monotonic() + start_limit;
    if (start_thread(link) != 0)
        return error_set(error, ERROR_FAILED, "cannot start a thread for the watchdog");
    link->has_thread = true;
    if (greet(link, journal, error) != 0)
        return error_prefix(error, "the watchdog %s did not start: ", settings->program);
    *ret_link = TAKE_PTR(link);
    return 0;
}

/* A watchdog that was not told to end would take the closed socket for the requester's death. */
static void end_process(struct link *link)
{
    siginfo_t information = {0};
    if (link->handle < 0)
        return;
    if (!link->ending && !link->exited)
        kill_watchdog(link->handle);
    if (!link->exited)
        (void)waitid(P_PIDFD, (id_t)link->handle, &information, WEXITED | WNOHANG);
    (void)close(link->handle);
}

void link_free(struct link *link)
{
    if (!link)
        return;
    if (link->has_thread) {
        pthread_mutex_lock(&link->lock);
        link->quit = true;
        pthread_mutex_unlock(&link->lock);
        (void)eventfd_write(link->wake, 1);
        pthread_join(link->thread, NULL);
    }
    end_process(link);
    channel_free(link->channel);
    json_decref(link->left);
    if (link->wake >= 0)
        (void)close(link->wake);
    if (link->event >= 0)
        (void)close(link->event);
    pthread_cond_destroy(&link->changed);
    pthread_mutex_destroy(&link->lock);
    free(link);
}
