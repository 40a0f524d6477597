/* qemu-img create, qemu-nbd, rename; see restore-image.h. */
#include "requester/restore-image.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/memory.h"
#include "base/point.h"
#include "base/publish.h"
#include "requester/image-server.h"
#include "requester/manifest.h"
#include "requester/restore-device.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>

#define TOOL_LIMIT (60 * CLOCK_SECOND)

/* qemu-img keeps a file that is there with its mode: nobody else ever reads a disk in the making.
 */
static int make_private_file(const char *path, struct error *error)
{
    CLEANUP_CLOSE int file =
        io_real()->open_at(io_real(), AT_FDCWD, path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    return file < 0 ? error_errno(error, errno, "cannot create %s", path) : 0;
}

static int make_image(const struct restore_image *image, uint64_t size, struct error *error)
{
    CLEANUP_FREE char *bytes = memory_format("%llu", (unsigned long long)size);
    char program[] = "qemu-img", verb[] = "create", quiet[] = "-q", option[] = "-f";
    char settings[] = "-o", exact[] = "force_size=on";
    char *plain[] = {program, verb, quiet, option, image->format, image->temporary, bytes, NULL};
    /* A VHD's size is rounded up to a geometry of cylinders unless it is forced. */
    char *vhd[] = {program,          verb,  quiet, option, image->format, settings, exact,
                   image->temporary, bytes, NULL};
    if (make_private_file(image->temporary, error) != 0)
        return -1;
    return process_run(strcmp(image->format, "vpc") == 0 ? vhd : plain, TOOL_LIMIT, NULL, error);
}

int restore_image_create(struct restore_image *image, struct undo *undo, const char *lane,
                         const char *path, const char *format, uint64_t size,
                         const char *socket_directory, char **ret_uri, struct error *error)
{
    struct id id = id_new();
    CLEANUP_FREE char *copy = memory_copy_string(path);
    *image = (struct restore_image){
        .path = memory_copy_string(path),
        .temporary = memory_format("%s/.vmshadow-%s.tmp", dirname(copy), id.text),
        .format = memory_copy_string(format),
        .lane = memory_copy_string(lane),
    };
    if (image_server_name_socket(socket_directory, &image->socket, error) != 0 ||
        undo_add(undo, lane, undo_remove_file.name, undo_path_arguments(image->temporary),
                 &image->temporary_step, error) != 0 ||
        undo_add(undo, lane, undo_remove_file.name, undo_path_arguments(image->socket),
                 &image->socket_step, error) != 0 ||
        make_image(image, size, error) != 0 ||
        image_server_start(image->temporary, image->format, false, image->socket, &image->server,
                           ret_uri, error) != 0)
        return -1;
    point_reached("image made");
    return 0;
}

int restore_image_open_device(struct restore_image *image, struct undo *undo, const char *lane,
                              const char *path, uint64_t size, const char *socket_directory,
                              char **ret_uri, struct error *error)
{
    *image = (struct restore_image){
        .path = memory_copy_string(path),
        .format = memory_copy_string("raw"),
        .lane = memory_copy_string(lane),
        .in_place = true,
    };
    if (image_server_name_socket(socket_directory, &image->socket, error) != 0 ||
        undo_add(undo, lane, undo_remove_file.name, undo_path_arguments(image->socket),
                 &image->socket_step, error) != 0 ||
        restore_device_check(path, size, error) != 0 ||
        image_server_start(path, image->format, false, image->socket, &image->server, ret_uri,
                           error) != 0)
        return -1;
    point_reached("device served");
    return 0;
}

int restore_image_publish(struct restore_image *image, struct undo *undo, const json_t *owner,
                          struct error *error)
{
    uint64_t step;
    struct file_identity made;
    while (point_holds("publishing") && undo_check(undo, error) == 0)
        clock_sleep(10 * CLOCK_MILLISECOND);
    if (undo_check(undo, error) != 0)
        return -1;
    image_server_stop(TAKE_PTR(image->server));
    if (image->in_place)
        return 0; /* the copy ended with a flush */
    if (image->cut && truncate(image->temporary, (off_t)image->cut) != 0)
        return error_errno(error, errno, "cannot cut the file for %s", image->path);
    if (file_identity_get(image->temporary, &made, error) != 0)
        return -1;
    if (manifest_apply_owner(owner, image->temporary, 0777, error) != 0 ||
        undo_add(undo, image->lane, undo_remove_file.name, undo_file_arguments(image->path, &made),
                 &step, error) != 0 ||
        publish_rename(io_real(), AT_FDCWD, image->temporary, image->path, PUBLISH_NEW_ONLY,
                       error) != 0)
        return error_prefix(error, "%s: ", image->path);
    point_reached("image published");
    return 0;
}

void restore_image_clear(struct restore_image *image)
{
    image_server_stop(image->server);
    if (image->socket)
        (void)unlink(image->socket);
    free(image->path);
    free(image->temporary);
    free(image->format);
    free(image->socket);
    free(image->lane);
}
