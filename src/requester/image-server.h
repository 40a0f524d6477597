/* qemu-nbd serving one image over a unix socket. The image's format is always said, never probed.
 * The caller makes the removal of image and socket known to undo first. */
#ifndef REQUESTER_IMAGE_SERVER_H
#define REQUESTER_IMAGE_SERVER_H

#include "base/process.h"

/* A new name for a socket in the directory, to be freed. ERROR_FAILED when it would be too long. */
int image_server_name_socket(const char *directory, char **ret_socket, struct error *error);

/* Start and wait until it accepts connections (30 s). *ret_uri is the NBD export, to be freed. Call
 * it from a thread that lives as long as the image is served (base/process.h). */
int image_server_start(const char *image, const char *format, bool read_only, const char *socket,
                       struct process **ret_server, char **ret_uri, struct error *error);
/* End it in order, so that all it has written is in the file. NULL allowed. */
void image_server_stop(struct process *server);

#endif
