/* qemu-img create, qemu-nbd, wait for its socket, rename; see image.h. */
#include "requester/restore-image.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/memory.h"
#include "base/point.h"
#include "base/publish.h"
#include "requester/manifest.h"

#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define TOOL_LIMIT (60 * CLOCK_SECOND)
#define SERVER_LIMIT (30 * CLOCK_SECOND)

static int make_image(const struct restore_image *image, uint64_t size, struct error *error)
{
    CLEANUP_FREE char *bytes = memory_format("%llu", (unsigned long long)size);
    char program[] = "qemu-img", verb[] = "create", quiet[] = "-q", option[] = "-f";
    char *arguments[] = {program,          verb,  quiet, option, image->format,
                         image->temporary, bytes, NULL};
    return process_run(arguments, TOOL_LIMIT, NULL, error);
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
        if (process_has_ended(image->server))
            return error_set(error, ERROR_FAILED, "qemu-nbd ended: %s",
                             process_output(image->server));
        if (clock_monotonic() > deadline)
            return error_set(error, ERROR_TIMEOUT, "qemu-nbd did not answer in time");
        clock_sleep(5 * CLOCK_MILLISECOND);
    }
    return 0;
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
    *ret_uri = memory_format("nbd+unix:///?socket=%s", image->socket);
    return 0;
}

int restore_image_publish(struct restore_image *image, struct undo *undo, const json_t *owner,
                          struct error *error)
{
    uint64_t step;
    process_stop(TAKE_PTR(image->server), SERVER_LIMIT);
    if (manifest_apply_owner(owner, image->temporary, error) != 0 ||
        undo_add(undo, image->lane, undo_remove_file.name, undo_path_arguments(image->path), &step,
                 error) != 0 ||
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
