/* The kernel gives a device that is mounted, swapped to, or part of another device to nobody who
 * asks for it exclusively. */
#include "requester/restore-device.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static int refuse_open(const char *path, int number, struct error *error)
{
    if (number != EBUSY)
        return error_errno(error, number, "cannot open %s", path);
    (void)error_set(error, ERROR_REFUSED,
                    "%s is in use on the host: mounted, swapped to, or part of another device",
                    path);
    return error_advise(error, "restore-device-unfit",
                        "unmount or detach it if it may be overwritten, or restore with --to DIR");
}

int restore_device_check(const char *path, uint64_t size, struct error *error)
{
    struct stat facts;
    uint64_t bytes;
    if (stat(path, &facts) != 0 || !S_ISBLK(facts.st_mode)) {
        (void)error_set(error, ERROR_REFUSED, "%s is no block device of this host", path);
        return error_advise(error, "restore-device-unfit",
                            "make a device of that name, or restore with --to DIR");
    }
    CLEANUP_CLOSE int device = open(path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
    if (device < 0)
        return refuse_open(path, errno, error);
    if (ioctl(device, BLKGETSIZE64, &bytes) != 0)
        return error_errno(error, errno, "cannot ask for the size of %s", path);
    if (bytes == size)
        return 0;
    (void)error_set(error, ERROR_REFUSED, "%s has %llu bytes, the disk in the backup %llu", path,
                    (unsigned long long)bytes, (unsigned long long)size);
    return error_advise(error, "restore-device-unfit",
                        "make it as large as the disk was, or restore with --to DIR");
}
