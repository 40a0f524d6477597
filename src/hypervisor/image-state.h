/* Was an image, or another file, written between two looks?
 *
 * A file shows it by its size and time of change. A block device has neither; the kernel counts
 * what is written to it through this host. Dirty pages of the device are written out before each
 * look, so that they are counted. What another host writes (shared storage) is not seen.
 */
#ifndef HYPERVISOR_IMAGE_STATE_H
#define HYPERVISOR_IMAGE_STATE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct image_state {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
    uint64_t written[2]; /* block devices: sectors written and discarded so far */
};

int image_state_read(const char *path, struct image_state *ret_state, struct error *error);
bool image_state_equal(const struct image_state *left, const struct image_state *right);

#endif
