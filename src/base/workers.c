/* One mutex, two conditions, a ring of task pointers. */
#include "base/workers.h"

#include "base/memory.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct workers {
    /* Set at creation, never changed. */
    struct workers_task kind;
    pthread_t *threads;
    unsigned thread_count, capacity;
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    /* Guarded by lock. */
    void **ring;
    unsigned first, waiting;
    bool closing, failed;
    struct error error;
};

static unsigned processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (unsigned)count : 1;
}

/* The next task, or NULL when all is done. Called and returns with the lock held. */
static void *next_task(struct workers *workers)
{
    while (!workers->waiting && !workers->closing)
        pthread_cond_wait(&workers->filled, &workers->lock);
    if (!workers->waiting)
        return NULL;
    void *task = workers->ring[workers->first];
    workers->first = (workers->first + 1) % workers->capacity;
    workers->waiting--;
    pthread_cond_signal(&workers->emptied);
    return task;
}

static void fail_locked(struct workers *workers, const struct error *error)
{
    if (!workers->failed) {
        workers->failed = true;
        workers->error = *error;
    }
    pthread_cond_broadcast(&workers->emptied);
}

static void *work(void *argument)
{
    struct workers *workers = argument;
    void *task;
    pthread_mutex_lock(&workers->lock);
    while ((task = next_task(workers)) != NULL) {
        bool failed = workers->failed;
        pthread_mutex_unlock(&workers->lock);
        struct error error = ERROR_INIT;
        int result = 0;
        if (failed)
            workers->kind.discard(workers->kind.context, task);
        else
            result = workers->kind.run(workers->kind.context, task, &error);
        pthread_mutex_lock(&workers->lock);
        if (result != 0)
            fail_locked(workers, &error);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

struct workers *workers_new(unsigned threads, unsigned queue, struct workers_task kind)
{
    struct workers *workers = NEW(struct workers);
    workers->kind = kind;
    workers->capacity = queue ? queue : 1;
    workers->ring = NEW_ARRAY(void *, workers->capacity);
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->filled, NULL);
    pthread_cond_init(&workers->emptied, NULL);
    unsigned wanted = threads ? threads : processors();
    workers->threads = NEW_ARRAY(pthread_t, wanted);
    for (unsigned i = 0; i < wanted; i++)
        if (pthread_create(&workers->threads[workers->thread_count], NULL, work, workers) == 0)
            workers->thread_count++;
    if (!workers->thread_count)
        abort(); /* no thread at all: as exhausted memory */
    return workers;
}

int workers_submit(struct workers *workers, void *task, struct error *error)
{
    pthread_mutex_lock(&workers->lock);
    while (workers->waiting == workers->capacity && !workers->failed)
        pthread_cond_wait(&workers->emptied, &workers->lock);
    bool failed = workers->failed;
    if (failed && error && !error_is_set(error))
        *error = workers->error;
    if (!failed) {
        workers->ring[(workers->first + workers->waiting++) % workers->capacity] = task;
        pthread_cond_signal(&workers->filled);
    }
    pthread_mutex_unlock(&workers->lock);
    if (failed)
        workers->kind.discard(workers->kind.context, task);
    return failed ? -1 : 0;
}

void workers_fail(struct workers *workers, const struct error *error)
{
    pthread_mutex_lock(&workers->lock);
    fail_locked(workers, error);
    pthread_mutex_unlock(&workers->lock);
}

bool workers_has_failed(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    bool failed = workers->failed;
    pthread_mutex_unlock(&workers->lock);
    return failed;
}

int workers_finish(struct workers *workers, struct error *error)
{
    pthread_mutex_lock(&workers->lock);
    workers->closing = true;
    pthread_cond_broadcast(&workers->filled);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
    bool failed = workers->failed;
    if (failed && error && !error_is_set(error))
        *error = workers->error;
    pthread_cond_destroy(&workers->emptied);
    pthread_cond_destroy(&workers->filled);
    pthread_mutex_destroy(&workers->lock);
    free(workers->threads);
    free(workers->ring);
    free(workers);
    return failed ? -1 : 0;
}

struct each {
    int (*function)(void *context, unsigned index);
    void *context;
    unsigned count;
    atomic_uint next, failures;
};

static void *run_each(void *argument)
{
    struct each *each = argument;
    unsigned index;
    while ((index = atomic_fetch_add(&each->next, 1)) < each->count)
        if (each->function(each->context, index) != 0)
            atomic_fetch_add(&each->failures, 1);
    return NULL;
}

unsigned workers_each(unsigned count, unsigned threads,
                      int (*function)(void *context, unsigned index), void *context)
{
    struct each each = {.function = function, .context = context, .count = count};
    unsigned wanted = threads < count ? threads : count, started = 0;
    CLEANUP_FREE pthread_t *others = NEW_ARRAY(pthread_t, wanted);
    for (unsigned i = 1; i < wanted; i++)
        if (pthread_create(&others[started], NULL, run_each, &each) == 0)
            started++;
    (void)run_each(&each);
    for (unsigned i = 0; i < started; i++)
        pthread_join(others[i], NULL);
    return atomic_load(&each.failures);
}
