/* Data volumes of the test guest: see volume.h.
 *
 * Per volume there is one worker for the jobs, and as needed one overwriter and one prober. A
 * thread that a frozen file system holds back does so without the lock.
 */
#include "volume.h"

#include "record.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define REPORT_EVERY_MS 200

enum prober_state { PROBER_NONE, PROBER_TRYING, PROBER_DONE };

struct volume {
    /* Never changed after volume_new. */
    const char *name;
    const char *directory;
    char records[128];
    char ballast[128];
    char probe[128];

    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */

    /* Guarded by lock. */
    bool busy;   /* the worker has a job */
    bool answer; /* the job has ended and `text` is its answer */
    enum volume_job job;
    uint64_t number;
    char text[VOLUME_ANSWER_MAX];
    bool halt;
    uint64_t last;
    enum prober_state prober;
    pid_t prober_thread;
    bool overwriting;
    bool overwrite_stop;
    uint64_t overwrite_mib;
    uint64_t overwrite_rate;
    uint64_t overwrite_done_mib;
    uint64_t overwrite_errors;

    /* The worker's own. */
    int fd;
    uint64_t size;
};

static const char *const job_names[] = {
    [VOLUME_SCAN] = "scan", [VOLUME_COMMIT] = "commit", [VOLUME_MARK] = "mark",
    [VOLUME_FILL] = "fill", [VOLUME_RUN] = "run",
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits for a change, at most until the monotonic time AT. False: AT has come. */
static bool wait_until(struct volume *volume, uint64_t at)
{
    struct timespec limit = {.tv_sec = (time_t)(at / 1000), .tv_nsec = (long)(at % 1000) * 1000000};
    return pthread_cond_timedwait(&volume->changed, &volume->lock, &limit) == 0;
}

/* --- the worker's jobs: each returns its answer in ANSWER --- */

static int open_records(struct volume *volume, char *answer)
{
    if (volume->fd >= 0)
        return 0;
    volume->fd = open(volume->records, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (volume->fd >= 0)
        return 0;
    snprintf(answer, VOLUME_ANSWER_MAX, "error cannot open %s: %s", volume->records,
             strerror(errno));
    return -1;
}

static void do_scan(struct volume *volume, char *answer)
{
    struct record_scan scan;

    if (open_records(volume, answer) < 0)
        return;
    if (record_read_all(volume->fd, NULL, NULL, &scan) < 0) {
        snprintf(answer, VOLUME_ANSWER_MAX, "error cannot read: %s", strerror(errno));
        return;
    }
    volume->size = scan.good_size;
    pthread_mutex_lock(&volume->lock);
    volume->last = scan.last;
    pthread_mutex_unlock(&volume->lock);
    if (scan.damaged)
        snprintf(answer, VOLUME_ANSWER_MAX, "damaged %s", scan.reason);
    else
        snprintf(answer, VOLUME_ANSWER_MAX, "%s %" PRIu64, scan.torn ? "torn" : "good", scan.last);
}

/* Appends a slot and makes it durable. A slot torn by an earlier power failure is written over. */
static int append(struct volume *volume, enum record_kind kind, uint64_t number, const char *text,
                  char *answer)
{
    uint8_t slot[RECORD_SIZE];

    if (open_records(volume, answer) < 0)
        return -1;
    record_encode(slot, kind, number, text);
    ssize_t n = pwrite(volume->fd, slot, sizeof(slot), (off_t)volume->size);
    if (n == (ssize_t)sizeof(slot) && fsync(volume->fd) == 0) {
        volume->size += sizeof(slot);
        return 0;
    }
    snprintf(answer, VOLUME_ANSWER_MAX, "error record %" PRIu64 " was not written: %s", number,
             n >= 0 && n < (ssize_t)sizeof(slot) ? "no room" : strerror(errno));
    return -1;
}

static int append_record(struct volume *volume, uint64_t number, char *answer)
{
    if (append(volume, RECORD_NUMBERED, number, NULL, answer) < 0)
        return -1;
    pthread_mutex_lock(&volume->lock);
    volume->last = number;
    pthread_mutex_unlock(&volume->lock);
    return 0;
}

static void do_commit(struct volume *volume, uint64_t number, char *answer)
{
    uint64_t next = volume_last(volume) + 1;
    if (number != 0 && number != next) {
        snprintf(answer, VOLUME_ANSWER_MAX, "error the next record is %" PRIu64, next);
        return;
    }
    if (append_record(volume, next, answer) < 0)
        return;
    snprintf(answer, VOLUME_ANSWER_MAX, "committed %" PRIu64, next);
    printf("recorder: %s committed %" PRIu64 "\n", volume->name, next);
}

static void do_mark(struct volume *volume, const char *text, char *answer)
{
    uint64_t number = volume_last(volume);
    if (append(volume, RECORD_MARK, number, text, answer) < 0)
        return;
    printf("recorder: %s marked %" PRIu64 " %s\n", volume->name, number, text);
    snprintf(answer, VOLUME_ANSWER_MAX, "marked %" PRIu64, number);
}

/* Random bytes without a zero among them; different in each call. */
static void fill_random(uint8_t *data, size_t size)
{
    static _Thread_local uint64_t state;
    if (state == 0)
        state = now_ms() * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (size_t i = 0; i < size; i += 8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        uint64_t word = state | UINT64_C(0x0101010101010101);
        memcpy(data + i, &word, 8);
    }
}

static void do_fill(struct volume *volume, uint64_t mib, char *answer)
{
    uint8_t *data = malloc(MIB);
    uint64_t done = 0;
    int fd = open(volume->ballast, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    while (data != NULL && fd >= 0 && done < mib) {
        fill_random(data, MIB);
        if (write(fd, data, MIB) != (ssize_t)MIB)
            break;
        done++;
    }
    if (fd >= 0 && fsync(fd) == 0 && done == mib)
        snprintf(answer, VOLUME_ANSWER_MAX, "filled %" PRIu64, mib);
    else
        snprintf(answer, VOLUME_ANSWER_MAX, "error only %" PRIu64 " MiB written", done);
    if (fd >= 0)
        close(fd);
    free(data);
}

static void do_run(struct volume *volume, uint64_t pause_ms, char *answer)
{
    uint64_t reported_at = 0;
    bool halted = false;

    while (!halted) {
        uint64_t number = volume_last(volume) + 1;
        if (append_record(volume, number, answer) < 0)
            return;
        if (now_ms() >= reported_at + REPORT_EVERY_MS) {
            printf("recorder: %s committed %" PRIu64 "\n", volume->name, number);
            reported_at = now_ms();
        }
        pthread_mutex_lock(&volume->lock);
        uint64_t until = now_ms() + pause_ms;
        while (!volume->halt && now_ms() < until)
            (void)wait_until(volume, until);
        halted = volume->halt;
        pthread_mutex_unlock(&volume->lock);
    }
    snprintf(answer, VOLUME_ANSWER_MAX, "halted %" PRIu64, volume_last(volume));
}

static void do_job(struct volume *volume, enum volume_job job, uint64_t number, const char *text,
                   char *answer)
{
    switch (job) {
    case VOLUME_SCAN:
        do_scan(volume, answer);
        return;
    case VOLUME_COMMIT:
        do_commit(volume, number, answer);
        return;
    case VOLUME_MARK:
        do_mark(volume, text, answer);
        return;
    case VOLUME_FILL:
        do_fill(volume, number, answer);
        return;
    case VOLUME_RUN:
        do_run(volume, number, answer);
        return;
    }
}

static void *worker(void *opaque)
{
    struct volume *volume = opaque;
    char text[VOLUME_ANSWER_MAX];
    char answer[VOLUME_ANSWER_MAX];

    pthread_mutex_lock(&volume->lock);
    for (;;) {
        while (!volume->busy || volume->answer)
            pthread_cond_wait(&volume->changed, &volume->lock);
        enum volume_job job = volume->job;
        uint64_t number = volume->number;
        memcpy(text, volume->text, sizeof(text));
        pthread_mutex_unlock(&volume->lock);
        do_job(volume, job, number, text, answer);
        pthread_mutex_lock(&volume->lock);
        memcpy(volume->text, answer, sizeof(answer));
        volume->answer = true;
        pthread_cond_broadcast(&volume->changed);
    }
    return NULL;
}

/* --- the host's side --- */

static void start_thread(void *(*function)(void *), struct volume *volume)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, volume) != 0)
        errx(1, "cannot start a thread");
    pthread_detach(thread);
}

struct volume *volume_new(const char *name, const char *directory)
{
    pthread_condattr_t monotonic;
    struct volume *volume = calloc(1, sizeof(*volume));
    if (volume == NULL)
        errx(1, "no memory");
    volume->name = name;
    volume->directory = directory;
    volume->fd = -1;
    snprintf(volume->records, sizeof(volume->records), "%s/records", directory);
    snprintf(volume->ballast, sizeof(volume->ballast), "%s/ballast", directory);
    snprintf(volume->probe, sizeof(volume->probe), "%s/probe", directory);
    pthread_mutex_init(&volume->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&volume->changed, &monotonic);
    volume->busy = true;
    volume->job = VOLUME_SCAN;
    start_thread(worker, volume);
    return volume;
}

const char *volume_name(const struct volume *volume)
{
    return volume->name;
}

bool volume_submit(struct volume *volume, enum volume_job job, uint64_t number, const char *text)
{
    pthread_mutex_lock(&volume->lock);
    bool taken = !volume->busy || volume->answer;
    if (taken) {
        volume->answer = false;
        volume->busy = true;
        volume->halt = false;
        volume->job = job;
        volume->number = number;
        snprintf(volume->text, sizeof(volume->text), "%s", text);
        pthread_cond_broadcast(&volume->changed);
    }
    pthread_mutex_unlock(&volume->lock);
    return taken;
}

bool volume_wait(struct volume *volume, unsigned limit_ms, char *answer)
{
    uint64_t until = now_ms() + limit_ms;

    pthread_mutex_lock(&volume->lock);
    while (volume->busy && !volume->answer && wait_until(volume, until))
        ;
    bool ended = !volume->busy || volume->answer;
    if (!volume->busy)
        snprintf(answer, VOLUME_ANSWER_MAX, "idle");
    else if (volume->answer)
        snprintf(answer, VOLUME_ANSWER_MAX, "%s", volume->text);
    else
        snprintf(answer, VOLUME_ANSWER_MAX, "blocked %s", job_names[volume->job]);
    if (ended)
        volume->busy = volume->answer = false;
    pthread_mutex_unlock(&volume->lock);
    return ended;
}

void volume_halt(struct volume *volume)
{
    pthread_mutex_lock(&volume->lock);
    volume->halt = true;
    pthread_cond_broadcast(&volume->changed);
    pthread_mutex_unlock(&volume->lock);
}

uint64_t volume_last(struct volume *volume)
{
    pthread_mutex_lock(&volume->lock);
    uint64_t last = volume->last;
    pthread_mutex_unlock(&volume->lock);
    return last;
}

/* --- is it frozen? --- */

static void *prober(void *opaque)
{
    struct volume *volume = opaque;

    pthread_mutex_lock(&volume->lock);
    volume->prober_thread = (pid_t)syscall(SYS_gettid);
    pthread_mutex_unlock(&volume->lock);
    /* Asks for write access to the file system, which is what a freeze withholds, and writes no
     * data. */
    int fd = open(volume->probe, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0) {
        (void)futimens(fd, NULL);
        close(fd);
    }
    pthread_mutex_lock(&volume->lock);
    volume->prober = PROBER_DONE;
    pthread_cond_broadcast(&volume->changed);
    pthread_mutex_unlock(&volume->lock);
    return NULL;
}

/* Where in the kernel the thread waits; empty when it does not. */
static void waits_in(pid_t thread, char *ret_where, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/wchan", thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, ret_where, size - 1);
    ret_where[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

void volume_probe(struct volume *volume, char *answer)
{
    uint64_t started = now_ms();
    char where[128] = "";

    pthread_mutex_lock(&volume->lock);
    if (volume->prober != PROBER_TRYING) { /* else an earlier one is still held back */
        volume->prober = PROBER_TRYING;
        volume->prober_thread = 0;
        start_thread(prober, volume);
    }
    while (volume->prober == PROBER_TRYING && now_ms() < started + 3000) {
        (void)wait_until(volume, now_ms() + 50);
        if (volume->prober == PROBER_TRYING && now_ms() >= started + 150) {
            waits_in(volume->prober_thread, where, sizeof(where));
            if (strstr(where, "percpu_rwsem") != NULL)
                break;
        }
    }
    if (volume->prober == PROBER_DONE)
        snprintf(answer, VOLUME_ANSWER_MAX, "writable");
    else if (strstr(where, "percpu_rwsem") != NULL)
        snprintf(answer, VOLUME_ANSWER_MAX, "frozen");
    else
        snprintf(answer, VOLUME_ANSWER_MAX, "blocked %s", where);
    pthread_mutex_unlock(&volume->lock);
}

/* --- overwriting --- */

/* Waits until the pass is as old as its rate allows. True: go on. */
static bool overwrite_may_go_on(struct volume *volume, uint64_t started, uint64_t written_mib)
{
    pthread_mutex_lock(&volume->lock);
    uint64_t rate = volume->overwrite_rate;
    uint64_t until = rate == 0 ? 0 : started + written_mib * 1000 / rate;
    while (!volume->overwrite_stop && now_ms() < until)
        (void)wait_until(volume, until);
    bool go_on = !volume->overwrite_stop;
    pthread_mutex_unlock(&volume->lock);
    return go_on;
}

static void *overwriter(void *opaque)
{
    struct volume *volume = opaque;
    void *data = NULL;
    uint64_t started = now_ms();
    uint64_t written = 0;

    if (posix_memalign(&data, 4096, MIB) != 0)
        errx(1, "no memory");
    int fd = open(volume->ballast, O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
    while (fd >= 0 && overwrite_may_go_on(volume, started, written)) {
        fill_random(data, MIB);
        off_t at = (off_t)(written % volume->overwrite_mib * MIB);
        bool good = pwrite(fd, data, MIB, at) == (ssize_t)MIB;
        written++;
        pthread_mutex_lock(&volume->lock);
        if (good)
            volume->overwrite_done_mib++;
        else
            volume->overwrite_errors++;
        pthread_mutex_unlock(&volume->lock);
    }
    if (fd >= 0)
        close(fd);
    free(data);
    pthread_mutex_lock(&volume->lock);
    if (fd < 0)
        volume->overwrite_errors++;
    volume->overwriting = false;
    pthread_cond_broadcast(&volume->changed);
    pthread_mutex_unlock(&volume->lock);
    return NULL;
}

static void overwritten_locked(struct volume *volume, char *answer)
{
    snprintf(answer, VOLUME_ANSWER_MAX, "%s %" PRIu64 " errors %" PRIu64,
             volume->overwriting ? "overwriting" : "overwritten", volume->overwrite_done_mib,
             volume->overwrite_errors);
}

void volume_overwrite(struct volume *volume, uint64_t mib, uint64_t rate_mib, char *answer)
{
    uint64_t until = now_ms() + 2000;

    pthread_mutex_lock(&volume->lock);
    volume->overwrite_stop = true;
    pthread_cond_broadcast(&volume->changed);
    while (volume->overwriting && wait_until(volume, until))
        ;
    if (volume->overwriting) {
        snprintf(answer, VOLUME_ANSWER_MAX, "blocked overwrite");
    } else if (mib == 0) {
        overwritten_locked(volume, answer);
    } else {
        volume->overwrite_stop = false;
        volume->overwriting = true;
        volume->overwrite_mib = mib;
        volume->overwrite_rate = rate_mib;
        volume->overwrite_done_mib = volume->overwrite_errors = 0;
        start_thread(overwriter, volume);
        overwritten_locked(volume, answer);
    }
    pthread_mutex_unlock(&volume->lock);
}

void volume_overwritten(struct volume *volume, char *answer)
{
    pthread_mutex_lock(&volume->lock);
    overwritten_locked(volume, answer);
    pthread_mutex_unlock(&volume->lock);
}
