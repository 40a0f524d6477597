/* flock(2) on a file opened anew for each set: it excludes other processes and other sessions of
 * this one alike. Without a path a flag of the process does. */
#include "vss/set-lock.h"

#include "base/memory.h"
#include "vss/failure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>

struct set_lock {
    int file; /* -1: the flag is taken */
};

static atomic_flag taken = ATOMIC_FLAG_INIT;

static vss_code in_progress(struct error *error)
{
    failure_set(error, VSS_E_SNAPSHOT_SET_IN_PROGRESS, "another shadow copy set is being made");
    (void)error_advise(error, "set-in-progress",
                       "wait until the other backup has its snapshots, then run this again");
    return VSS_E_SNAPSHOT_SET_IN_PROGRESS;
}

static vss_code take_file(const char *path, int *ret_file, struct error *error)
{
    CLEANUP_CLOSE int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return failure_set(error, VSS_E_UNEXPECTED, "cannot open the lock file %s: %m", path);
    if (flock(file, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? in_progress(error)
                   : failure_set(error, VSS_E_UNEXPECTED, "cannot lock %s: %m", path);
    *ret_file = TAKE_FD(file);
    return VSS_S_OK;
}

vss_code set_lock_take(const char *path, struct set_lock **ret_lock, struct error *error)
{
    int file = -1;
    if (path) {
        vss_code code = take_file(path, &file, error);
        if (code != VSS_S_OK)
            return code;
    } else if (atomic_flag_test_and_set(&taken)) {
        return in_progress(error);
    }
    struct set_lock *lock = NEW(struct set_lock);
    lock->file = file;
    *ret_lock = lock;
    return VSS_S_OK;
}

void set_lock_release(struct set_lock *lock)
{
    if (!lock)
        return;
    if (lock->file >= 0) {
        (void)flock(lock->file, LOCK_UN); /* a forked child may hold the descriptor, too */
        (void)close(lock->file);
    } else {
        atomic_flag_clear(&taken);
    }
    free(lock);
}
