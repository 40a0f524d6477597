/* One request at a time is enough: starting a program takes about a millisecond. */
#include "hypervisor/launcher.h"

#include "base/memory.h"

#include <pthread.h>
#include <signal.h>

struct request {
    char *const *arguments;
    struct process **process;
    struct error *error;
    int result;
    bool done;
};

struct launcher {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Guarded by lock. */
    struct request *request; /* waiting or in work */
    bool ending;
};

static void *run(void *context)
{
    struct launcher *launcher = context;
    (void)pthread_mutex_lock(&launcher->lock);
    while (!launcher->ending) {
        struct request *request = launcher->request;
        if (request && !request->done) {
            request->result = process_start(request->arguments, request->process, request->error);
            request->done = true;
            (void)pthread_cond_broadcast(&launcher->changed);
        } else {
            (void)pthread_cond_wait(&launcher->changed, &launcher->lock);
        }
    }
    (void)pthread_mutex_unlock(&launcher->lock);
    return NULL;
}

struct launcher *launcher_new(void)
{
    struct launcher *launcher = NEW(struct launcher);
    (void)pthread_mutex_init(&launcher->lock, NULL);
    (void)pthread_cond_init(&launcher->changed, NULL);
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&launcher->thread, NULL, run, launcher) != 0)
        abort(); /* as exhausted memory: see base/memory.h */
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return launcher;
}

void launcher_free(struct launcher *launcher)
{
    if (!launcher)
        return;
    (void)pthread_mutex_lock(&launcher->lock);
    launcher->ending = true;
    (void)pthread_cond_broadcast(&launcher->changed);
    (void)pthread_mutex_unlock(&launcher->lock);
    (void)pthread_join(launcher->thread, NULL);
    (void)pthread_cond_destroy(&launcher->changed);
    (void)pthread_mutex_destroy(&launcher->lock);
    free(launcher);
}

int launcher_start(struct launcher *launcher, char *const arguments[], struct process **ret_process,
                   struct error *error)
{
    struct request request = {.arguments = arguments, .process = ret_process, .error = error};
    (void)pthread_mutex_lock(&launcher->lock);
    while (launcher->request)
        (void)pthread_cond_wait(&launcher->changed, &launcher->lock);
    launcher->request = &request;
    (void)pthread_cond_broadcast(&launcher->changed);
    while (!request.done)
        (void)pthread_cond_wait(&launcher->changed, &launcher->lock);
    launcher->request = NULL;
    (void)pthread_cond_broadcast(&launcher->changed);
    (void)pthread_mutex_unlock(&launcher->lock);
    return request.result;
}
