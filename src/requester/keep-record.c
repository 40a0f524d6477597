/* The records of runs on this host: the newest are kept, so that a host that is backed up every
 * hour for years does not fill its state directory. The names of a kind sort by time. */
#include "base/clock.h"
#include "base/publish.h"
#include "requester/run.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { RECORDS_KEPT = 100 };

/* Another run may do the same at the same moment. */
static void drop_old(const char *directory, const char *kind)
{
    struct dirent **entries;
    size_t length = strlen(kind), found = 0;
    int count = scandir(directory, &entries, NULL, alphasort);
    for (int i = count - 1; i >= 0; i--) {
        const char *name = entries[i]->d_name;
        if (strncmp(name, kind, length) == 0 && name[length] == '-' && ++found > RECORDS_KEPT) {
            CLEANUP_FREE char *path = memory_format("%s/%s", directory, name);
            (void)publish_remove(io_real(), AT_FDCWD, path, NULL);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

void run_keep_record(struct run *run, const char *kind, const char *backup, json_t *record)
{
    CLEANUP_JSON json_t *owned = record;
    CLEANUP_FREE char *directory = memory_format("%s/records", run_state_directory(run->host));
    char time[clock_text_size];
    clock_format(clock_wall(), time);
    CLEANUP_FREE char *path = memory_format("%s/%s-%s-%.8s.json", directory, kind, time, backup);
    pthread_mutex_lock(&run->lock);
    json_set(owned, "events", json_deep_copy(run->events));
    pthread_mutex_unlock(&run->lock);
    CLEANUP_FREE char *text = json_text(owned);
    struct iovec piece = {text, strlen(text)};
    struct error error = ERROR_INIT;
    if (publish_directory(io_real(), AT_FDCWD, directory, &error) != 0 ||
        publish_file(io_real(), AT_FDCWD, path, &piece, 1, 0, &error) != 0)
        run_notice(run->host, "the record of the run could not be kept: %s", error.message);
    drop_old(directory, kind);
}
