/* The watchdog process. Its main loop never blocks: handlers run in the lanes' threads, the socket
 * is non-blocking, the disk is touched only when the requester is gone or done.
 *
 *               lease or watched limit            all lanes done
 *   WATCHING ───────────────────────────► VOIDED ───────────────► TOLD
 *      │ requester dead, stalled (killed)    │                     │
 *      │ or done                             ▼                     │
 *      ├──────────────────────────────────► ALONE ◄────────────────┘
 *      │ signal, nothing open                │ all lanes done, journal settled
 *      └─────────────────────────────────► DONE
 *
 * In VOIDED and TOLD the requester is alive and has been told why; no request is accepted any more.
 * A requester that is dead or stalled is killed first (a stopped one would else wake up into a set
 * that is void). Before it is called stalled, the watchdog makes sure that it was itself running
 * all the time: after a gap in its own loop it waits for one more whole period.
 */
#include "undo/watchdog-private.h"

#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static const int64_t first_stall = 10 * CLOCK_SECOND; /* until the requester has said hello */
static const int64_t lane_end_limit = 5 * CLOCK_SECOND;
static const int kill_limit = 5000; /* ms for a killed requester to be gone */

static const uint8_t next_states[STATES_] = {
    [WATCHING] = 1 << VOIDED | 1 << ALONE | 1 << DONE,
    [VOIDED] = 1 << TOLD | 1 << ALONE,
    [TOLD] = 1 << ALONE,
    [ALONE] = 1 << DONE,
};

/* Under the lock. */
static void set_state(struct watchdog *watchdog, enum state state)
{
    assert(next_states[watchdog->state] >> state & 1);
    watchdog->state = state;
}

/* ---- What lanes tell ----------------------------------------------------------------------- */

static void on_prepared(void *context, struct step *step, int64_t request,
                        const struct error *error)
{
    struct watchdog *watchdog = context;
    (void)step;
    pthread_mutex_lock(&watchdog->lock);
    watchdog_answer(watchdog, request, watchdog->state == WATCHING ? error : &watchdog->reason);
    pthread_mutex_unlock(&watchdog->lock);
    (void)eventfd_write(watchdog->wake, 1);
}

static void on_tripped(void *context, struct step *step, const struct error *reason)
{
    struct watchdog *watchdog = context;
    pthread_mutex_lock(&watchdog->lock);
    if (watchdog->state == WATCHING && !watchdog->tripped) {
        watchdog->tripped = step;
        watchdog->reason = *reason;
    }
    pthread_mutex_unlock(&watchdog->lock);
    (void)eventfd_write(watchdog->wake, 1);
}

static void on_finished(void *context, const struct error *error)
{
    struct watchdog *watchdog = context;
    struct error fault = *error;
    pthread_mutex_lock(&watchdog->lock);
    watchdog->unfinished--;
    error_move(&watchdog->fault, &fault);
    pthread_mutex_unlock(&watchdog->lock);
    (void)eventfd_write(watchdog->wake, 1);
}

/* Under the lock. */
static void receive_all(struct watchdog *watchdog)
{
    int got = 0;
    while (!watchdog->socket_closed && !watchdog->told_to_end) {
        json_t *message;
        CLEANUP_CLOSE int file = -1;
        got = channel_receive(watchdog->channel, &message, &file);
        if (got != 1)
            break;
        watchdog_take(watchdog, message, &file);
        json_decref(message);
        watchdog->last_heard = clock_monotonic();
    }
    if (got < 0)
        watchdog->socket_closed = true;
}

/* ---- Judging ------------------------------------------------------------------------------- */

/* Under the lock. */
static void undo_everything(struct watchdog *watchdog)
{
    error_clear(&watchdog->fault);
    watchdog->unfinished += (unsigned)watchdog->lane_count;
    for (size_t i = 0; i < watchdog->lane_count; i++)
        lane_undo(watchdog->lanes[i]);
}

/* The requester must not act any more. Its death is awaited, since until then one of its threads
 * may be inside a call. */
static void kill_requester(struct watchdog *watchdog)
{
    (void)syscall(SYS_pidfd_send_signal, watchdog->requester, SIGKILL, NULL, 0);
    struct pollfd ended = {.fd = watchdog->requester, .events = POLLIN};
    (void)poll(&ended, 1, kill_limit);
}

/* NULL while the requester is alive and well. */
static const char *requester_fault(struct watchdog *watchdog, bool dead)
{
    int64_t now = clock_monotonic();
    if (now - watchdog->last_look > watchdog->stall / 2)
        watchdog->last_heard = now; /* we were not running: give it one more whole period */
    watchdog->last_look = now;
    if (dead || watchdog->socket_closed)
        return "is gone"; /* one comes just before the other */
    if (now - watchdog->last_heard > watchdog->stall)
        return "did not answer and was killed";
    return NULL;
}

/* Under the lock. Is the requester still there? */
static void judge_requester(struct watchdog *watchdog, bool dead)
{
    if (watchdog->state == ALONE || watchdog->state == DONE)
        return;
    const char *fault = requester_fault(watchdog, dead);
    if (!watchdog->told_to_end && !fault)
        return;
    if (!watchdog->told_to_end) {
        watchdog->cause = fault;
        kill_requester(watchdog);
    }
    if (!error_is_set(&watchdog->reason))
        (void)error_set(&watchdog->reason, ERROR_FAILED, "the run has ended");
    set_state(watchdog, ALONE);
    if (watchdog->replacing)
        watchdog_read_again(watchdog);
    undo_everything(watchdog);
}

/* Under the lock. Has a watched step tripped, and was it not closed before that came to light? */
static bool has_tripped(struct watchdog *watchdog)
{
    if (!watchdog->tripped)
        return false;
    if (steps_find(&watchdog->steps, watchdog->tripped->id) == watchdog->tripped)
        return true;
    watchdog->tripped = NULL;
    error_clear(&watchdog->reason);
    return false;
}

/* Under the lock. Is the time of a step over? */
static bool is_overrun(struct watchdog *watchdog)
{
    size_t count;
    CLEANUP_FREE struct step **open = steps_open(&watchdog->steps, &count);
    int64_t now = clock_monotonic();
    for (size_t i = 0; i < count; i++)
        if (open[i]->deadline && now >= open[i]->deadline) {
            (void)error_set(&watchdog->reason, ERROR_TIMEOUT, "%s", open[i]->what);
            (void)error_advise(&watchdog->reason, "limit-passed",
                               "is the host, its disk or the guest overloaded? larger limits: "
                               "--freeze-limit, --hold-limit, --max-pause");
            return true;
        }
    return false;
}

/* Under the lock. Watched limits and leases. */
static void judge_limits(struct watchdog *watchdog)
{
    if (watchdog->state != WATCHING || (!has_tripped(watchdog) && !is_overrun(watchdog)))
        return;
    set_state(watchdog, VOIDED);
    json_t *message = channel_message("void");
    channel_put_error(message, &watchdog->reason);
    (void)channel_send(watchdog->channel, message, -1);
    undo_everything(watchdog);
}

/* Under the lock. */
static void judge_signals(struct watchdog *watchdog)
{
    struct signalfd_siginfo information;
    while (read(watchdog->signals, &information, sizeof information) > 0)
        if (watchdog->state == WATCHING && steps_count_open(&watchdog->steps) == 0) {
            watchdog->result = 1;
            set_state(watchdog, DONE);
        }
}

/* ---- Ending -------------------------------------------------------------------------------- */

/* Under the lock. */
static void tell_finished(struct watchdog *watchdog)
{
    size_t count;
    CLEANUP_FREE struct step **open = steps_open(&watchdog->steps, &count);
    json_t *message = channel_message("finished"), *left = json_array();
    for (size_t i = 0; i < count; i++)
        json_append(left, json_integer((json_int_t)open[i]->id));
    json_set(message, "left", left);
    if (error_is_set(&watchdog->fault))
        channel_put_error(message, &watchdog->fault);
    (void)channel_send(watchdog->channel, message, -1);
    set_state(watchdog, TOLD);
}

/* Under the lock. Standard error may block when nobody reads it, so this comes last. */
static void report(struct watchdog *watchdog)
{
    size_t left = steps_count_open(&watchdog->steps);
    if (watchdog->cause && watchdog->steps.count > 0)
        log_notice("%s: the requester %s; what it had open was undone",
                   watchdog->header.description, watchdog->cause);
    if (left > 0)
        log_error("%s: %zu steps could not be undone: %s", watchdog->header.description, left,
                  watchdog->fault.message);
}

/* Under the lock: nothing is left to do but the journal. */
static void settle(struct watchdog *watchdog)
{
    struct error error = ERROR_INIT;
    set_state(watchdog, DONE);
    if (!watchdog->header.run)
        return;
    if (journal_settle(io_real(), watchdog->journal, &watchdog->header, &watchdog->steps, &error) !=
        0) {
        watchdog->result = 1;
        error_move(&watchdog->fault, &error);
    } else if (watchdog->told_to_end) {
        (void)channel_send(watchdog->channel, channel_message("settled"), -1);
    }
}

/* Under the lock. */
static void judge_progress(struct watchdog *watchdog)
{
    if (watchdog->unfinished > 0)
        return;
    if (watchdog->state == VOIDED)
        tell_finished(watchdog);
    else if (watchdog->state == ALONE)
        settle(watchdog);
}

/* ---- Life ---------------------------------------------------------------------------------- */

/* The requester made the socket and started this process. Its pidfd, or -1 when it is dead. */
static int open_requester(int socket)
{
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0 ||
        credentials.pid <= 1 || getppid() != credentials.pid)
        return -1;
    int handle = (int)syscall(SYS_pidfd_open, credentials.pid, 0);
    if (handle >= 0 && getppid() != credentials.pid) { /* died, and the number may be reused */
        (void)close(handle);
        return -1;
    }
    return handle;
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void watchdog_init(struct watchdog *watchdog, int socket, const char *journal,
                          const struct undo_table *table)
{
    *watchdog = (struct watchdog){
        .table = table,
        .journal = journal,
        .stall = first_stall,
        .requester = open_requester(socket),
        .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .signals = open_signals(),
        .channel = channel_new(socket),
        .last_heard = clock_monotonic(),
        .last_look = clock_monotonic(),
    };
    watchdog->owner = (struct lane_owner){.table = table,
                                          .steps = &watchdog->steps,
                                          .prepared = on_prepared,
                                          .tripped = on_tripped,
                                          .finished = on_finished,
                                          .context = watchdog};
    steps_init(&watchdog->steps);
    pthread_mutex_init(&watchdog->lock, NULL);
}

/* Under the lock, which is not held while waiting. Returns whether the requester is dead; what it
 * sent before is then in the socket. */
static bool wait_for_something(struct watchdog *watchdog)
{
    int64_t tick = watchdog->stall / 10;
    if (tick > 100 * CLOCK_MILLISECOND)
        tick = 100 * CLOCK_MILLISECOND;
    bool alone = watchdog->state == ALONE; /* then the requester's descriptors stay ready */
    struct pollfd files[] = {
        {.fd = watchdog->wake, .events = POLLIN},
        {.fd = watchdog->signals, .events = POLLIN},
        {.fd = alone ? -1 : watchdog->requester, .events = POLLIN},
        {.fd = alone ? -1 : channel_socket(watchdog->channel),
         .events = (short)(POLLIN | (channel_is_waiting(watchdog->channel) ? POLLOUT : 0))},
    };
    pthread_mutex_unlock(&watchdog->lock);
    (void)poll(files, ARRAY_SIZE(files), (int)(tick / CLOCK_MILLISECOND) + 1);
    eventfd_t count;
    if (files[0].revents & POLLIN)
        (void)eventfd_read(watchdog->wake, &count);
    pthread_mutex_lock(&watchdog->lock);
    return files[2].revents & POLLIN;
}

static void main_loop(struct watchdog *watchdog)
{
    pthread_mutex_lock(&watchdog->lock);
    while (watchdog->state != DONE) {
        bool dead = wait_for_something(watchdog);
        receive_all(watchdog);
        judge_limits(watchdog);
        judge_requester(watchdog, dead);
        judge_signals(watchdog);
        judge_progress(watchdog);
        (void)channel_flush(watchdog->channel);
    }
    report(watchdog);
    pthread_mutex_unlock(&watchdog->lock);
}

/* false when a handler still runs: then what it uses is left to the end of the process. */
static bool watchdog_deinit(struct watchdog *watchdog)
{
    for (size_t i = 0; i < watchdog->lane_count; i++)
        if (!lane_free(watchdog->lanes[i], lane_end_limit))
            return false;
    for (size_t i = 0; i < watchdog->held_count; i++)
        (void)close(watchdog->held[i]);
    channel_free(watchdog->channel);
    (void)close(watchdog->requester);
    (void)close(watchdog->wake);
    (void)close(watchdog->signals);
    free(watchdog->held);
    free(watchdog->lanes);
    journal_header_clear(&watchdog->header);
    steps_deinit(&watchdog->steps);
    pthread_mutex_destroy(&watchdog->lock);
    return true;
}

int undo_watchdog(int socket, const char *journal, const struct undo_table *table)
{
    struct watchdog *watchdog = NEW(struct watchdog); /* a handler may outlive this function */
    watchdog_init(watchdog, socket, journal, table);
    int result = 1;
    /* Without these nothing can be watched: the requester sees the socket close. A requester that
     * is dead by now has no step yet; its journal is left to a recovery. */
    if (watchdog->requester >= 0 && watchdog->wake >= 0 && watchdog->signals >= 0 &&
        chdir("/") == 0) {
        main_loop(watchdog);
        result = watchdog->result;
    }
    if (watchdog_deinit(watchdog))
        free(watchdog);
    return result;
}
