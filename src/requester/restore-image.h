/* An image that is being written: made under a temporary name beside its place by qemu-img, served
 * by qemu-nbd, then published. Its format is always said, never probed. Until then only root can
 * read it. */
#ifndef REQUESTER_RESTORE_IMAGE_H
#define REQUESTER_RESTORE_IMAGE_H

#include "base/json.h"
#include "base/process.h"
#include "undo/undo.h"

struct restore_image {
    char *path, *temporary, *format, *socket, *lane;
    struct process *server;
    uint64_t temporary_step, socket_step;
    bool in_place; /* path is a block device that is written itself; no temporary */
    uint64_t cut;  /* bytes of the file that is published; 0 = as it was made */
};

/* Make and serve it; *ret_uri (to be freed) is the NBD export. Call it from a thread that lives as
 * long as the image is served (base/process.h). The undo steps are known before anything is made.
 */
int restore_image_create(struct restore_image *image, struct undo *undo, const char *lane,
                         const char *path, const char *format, uint64_t size,
                         const char *socket_directory, char **ret_uri, struct error *error);
/* The same onto a block device of that size, raw, in place: its old content is lost, and only the
 * server is known to undo. ERROR_REFUSED when the device is not fit (restore-device.h). */
int restore_image_open_device(struct restore_image *image, struct undo *undo, const char *lane,
                              const char *path, uint64_t size, const char *socket_directory,
                              char **ret_uri, struct error *error);
/* Stop the server, set the owner, give the image its name, durably. */
int restore_image_publish(struct restore_image *image, struct undo *undo, const json_t *owner,
                          struct error *error);
void restore_image_clear(struct restore_image *image);

#endif
