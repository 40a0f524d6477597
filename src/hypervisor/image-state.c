/* Counters: Documentation/block/stat.rst of the kernel. */
#include "hypervisor/image-state.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static int read_counters(const char *path, dev_t device, uint64_t written[2], struct error *error)
{
    CLEANUP_FREE char *name =
        memory_format("/sys/dev/block/%u:%u/stat", major(device), minor(device));
    CLEANUP_FILE FILE *file = fopen(name, "re");
    if (!file)
        return error_errno(error, errno, "%s: its write counters (%s)", path, name);
    /* Sectors, not requests: the flush of the look itself is a request. Discards are counted since
     * kernel 4.18. */
    int found = fscanf(file, "%*u %*u %*u %*u %*u %*u %" SCNu64 " %*u %*u %*u %*u %*u %*u %" SCNu64,
                       &written[0], &written[1]);
    return found == 2 ? 0 : error_set(error, ERROR_FAILED, "%s: %s cannot be read", path, name);
}

int image_state_read(const char *path, struct image_state *ret_state, struct error *error)
{
    struct stat status;
    struct image_state state = {.size = 0};
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &status) != 0)
        return error_errno(error, errno, "image %s", path);
    state.device = status.st_dev;
    state.inode = status.st_ino;
    if (S_ISBLK(status.st_mode)) {
        if (fsync(file) != 0)
            return error_errno(error, errno, "device %s cannot be written out", path);
        if (read_counters(path, status.st_rdev, state.written, error) != 0)
            return -1;
    } else {
        state.size = status.st_size;
        state.modified = status.st_mtim;
    }
    *ret_state = state;
    return 0;
}

bool image_state_equal(const struct image_state *left, const struct image_state *right)
{
    return left->device == right->device && left->inode == right->inode &&
           left->size == right->size && left->modified.tv_sec == right->modified.tv_sec &&
           left->modified.tv_nsec == right->modified.tv_nsec &&
           memcmp(left->written, right->written, sizeof left->written) == 0;
}
