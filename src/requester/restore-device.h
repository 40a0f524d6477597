/* A host's block device that a disk is restored onto, in place (row B10). Nothing of it can be set
 * aside: from the first write on its old content is lost, so it is written only when the user said
 * so (--overwrite-block), and looked at twice: when the restore is planned and before it is served.
 */
#ifndef REQUESTER_RESTORE_DEVICE_H
#define REQUESTER_RESTORE_DEVICE_H

#include "base/error.h"

#include <stdint.h>

/* Is it a block device (links are followed) of exactly `size` bytes which the host itself does not
 * use? ERROR_REFUSED says what it is instead. A QEMU that has it open is not seen here. */
int restore_device_check(const char *path, uint64_t size, struct error *error);

#endif
