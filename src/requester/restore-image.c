/* qemu-img create, qemu-nbd, wait for its socket, rename; see restore-image.h. */
#include "requester/restore-image.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/memory.h"
#include "base/point.h"
#include "base/publish.h"
#include "requester/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define TOOL_LIMIT (60 * CLOCK_SECOND)
#define SERVER_LIMIT (30 * CLOCK_SECOND)

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

static bool accepts(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    CLEANUP_CLOSE int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return file >= 0 && connect(file, (struct sockaddr *)&address, sizeof address) == 0;
}

static int start_server(struct restore_image *image, struct error *error)
{
    char program[] = "qemu-nbd", persistent[] = "--persistent", format[] = "--format";
    char socket[] = "--socket", cache[] = "--cache=writeback", shared[] = "--shared=2";
    char *arguments[] = {program,       persistent, cache,         shared,           format,
                         image->format, socket,     image->socket, image->temporary, NULL};
    if (process_start(arguments, &image->server, error) != 0)
        return -1;
    int64_t deadline = clock_monotonic() + SERVER_LIMIT;
    while (!accepts(image->socket)) {
        if (process_has_ended(image->server)) {
            (void)error_set(error, ERROR_FAILED, "qemu-nbd ended: %s",
                            process_output(image->server));
            return error_advise(error, "image-server-failed",
                                "what it says is in the message; the old VM is put back");
        }
        if (clock_monotonic() > deadline) {
            (void)error_set(error, ERROR_TIMEOUT, "qemu-nbd did not answer in time");
            return error_advise(error, "image-server-failed",
                                "is the host overloaded, or its disk? try again");
        }
        clock_sleep(5 * CLOCK_MILLISECOND);
    }
    return 0;
}

/* The query of a URI: libnbd decodes it. */
static char *make_uri(const char *socket)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    char *encoded = NEW_ARRAY(char, 3 * strlen(socket) + 1), *end = encoded;
    for (const char *next = socket; *next; next++)
        if (strchr(plain, *next))
            *end++ = *next;
        else
            end += snprintf(end, 4, "%%%02X", (unsigned char)*next);
    *end = '\0';
    char *uri = memory_format("nbd+unix:///?socket=%s", encoded);
    free(encoded);
    return uri;
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
        .socket = memory_format("%s/%.8s.sock", socket_directory, id.text),
        .lane = memory_copy_string(lane),
    };
    if (strlen(image->socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return error_set(error, ERROR_FAILED,
                         "the state directory's path %s is too long for a "
                         "socket",
                         socket_directory);
    if (undo_add(undo, lane, undo_remove_file.name, undo_path_arguments(image->temporary),
                 &image->temporary_step, error) != 0 ||
        undo_add(undo, lane, undo_remove_file.name, undo_path_arguments(image->socket),
                 &image->socket_step, error) != 0 ||
        make_image(image, size, error) != 0 || start_server(image, error) != 0)
        return -1;
    point_reached("image made");
    *ret_uri = make_uri(image->socket);
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
    process_stop(TAKE_PTR(image->server), SERVER_LIMIT);
    if (file_identity_get(image->temporary, &made, error) != 0)
        return -1;
    if (manifest_apply_owner(owner, image->temporary, error) != 0 ||
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
    process_stop(image->server, SERVER_LIMIT);
    if (image->socket)
        (void)unlink(image->socket);
    free(image->path);
    free(image->temporary);
    free(image->format);
    free(image->socket);
    free(image->lane);
}
