/* See copy.h. The progress thread only reads counters; it ends with the transfer. */
#include "requester/copy.h"

#include "base/clock.h"
#include "base/point.h"

#include <string.h>

void copy_add(struct copy *copy, const char *vm, const char *target, char *nbd_uri, uint64_t size)
{
    copy->names = memory_resize(copy->names, copy->count + 1, sizeof *copy->names);
    copy->disks = memory_resize(copy->disks, copy->count + 1, sizeof *copy->disks);
    struct copy_disk *name = &copy->names[copy->count];
    *name = (struct copy_disk){
        .vm = memory_copy_string(vm),
        .target = memory_copy_string(target),
        .label = memory_format("VM %s, %s%s", vm, strcmp(target, COPY_MEMORY) == 0 ? "" : "disk ",
                               target),
        .nbd_uri = nbd_uri,
    };
    copy->disks[copy->count++] = (struct transfer_disk){
        .label = name->label,
        .nbd_uri = nbd_uri,
        .size = size,
    };
}

void copy_clear(struct copy *copy)
{
    for (size_t i = 0; i < copy->count; i++) {
        free(copy->names[i].vm);
        free(copy->names[i].target);
        free(copy->names[i].label);
        free(copy->names[i].nbd_uri);
    }
    free(copy->names);
    free(copy->disks);
    *copy = (struct copy){0};
}

struct progress {
    struct copy *copy;
    pthread_t thread;
    bool started;
    atomic_bool ended;
    int64_t begin;
};

static void tell(struct progress *progress)
{
    const struct requester_observer *observer = &progress->copy->run->host->observer;
    double seconds = (double)(clock_monotonic() - progress->begin) / CLOCK_SECOND;
    for (size_t i = 0; i < progress->copy->count; i++) {
        const struct copy_disk *name = &progress->copy->names[i];
        struct transfer_disk *disk = &progress->copy->disks[i];
        uint64_t done = atomic_load(&disk->bytes_done);
        uint64_t rate = seconds > 0 ? (uint64_t)((double)done / seconds) : 0;
        observer->progress(observer->context, name->vm, name->target, done, disk->size, rate);
    }
}

static void *watch(void *argument)
{
    struct progress *progress = argument;
    while (!atomic_load(&progress->ended)) {
        tell(progress);
        clock_sleep(CLOCK_SECOND / 10);
    }
    tell(progress);
    return NULL;
}

static void start_progress(struct progress *progress)
{
    progress->begin = clock_monotonic();
    progress->started = progress->copy->run->host->observer.progress &&
                        pthread_create(&progress->thread, NULL, watch, progress) == 0;
}

static void end_progress(struct progress *progress, const struct error *error)
{
    struct copy *copy = progress->copy;
    atomic_store(&progress->ended, true);
    if (progress->started)
        pthread_join(progress->thread, NULL);
    for (size_t i = 0; i < copy->count; i++)
        run_record_copy(copy->run, copy->names[i].vm, copy->names[i].target, copy->disks[i].started,
                        copy->disks[i].ended, error_is_set(error) ? error->message : "");
}

/* For tests; the run is asked meanwhile as often as it would be without. */
static int hold(struct copy *copy, struct error *error)
{
    while (point_holds("copying") && run_check(copy->run, error) == 0)
        clock_sleep(10 * CLOCK_MILLISECOND);
    return run_check(copy->run, error);
}

static int check(void *context, struct error *error)
{
    struct copy *copy = context;
    for (size_t i = 0; i < copy->count; i++)
        if (atomic_load(&copy->disks[i].bytes_read) > 0)
            return hold(copy, error);
    return run_check(copy->run, error);
}

/* A small disk is copied before anybody asks: then it is held when all of it is read. */
static int end_copy(struct copy *copy, struct progress *progress, int result, struct error *error)
{
    if (result == 0)
        result = hold(copy, error);
    end_progress(progress, error);
    return result;
}

int copy_backup(struct copy *copy, struct repository_writer *writer, uint32_t chunk_size,
                unsigned workers, struct error *error)
{
    struct transfer_settings settings = {.workers = workers};
    struct progress progress = {.copy = copy};
    start_progress(&progress);
    int result = transfer_backup(writer, chunk_size, copy->disks, copy->count, &settings, check,
                                 copy, error);
    return end_copy(copy, &progress, result, error);
}

int copy_restore(struct copy *copy, struct repository *repository, unsigned workers,
                 struct error *error)
{
    struct transfer_settings settings = {.workers = workers};
    struct progress progress = {.copy = copy};
    start_progress(&progress);
    int result =
        transfer_restore(repository, copy->disks, copy->count, &settings, check, copy, error);
    return end_copy(copy, &progress, result, error);
}
