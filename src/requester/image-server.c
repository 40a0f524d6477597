/* qemu-nbd, and the wait for its socket. */
#include "requester/image-server.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/memory.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SERVER_LIMIT (30 * CLOCK_SECOND)

int image_server_name_socket(const char *directory, char **ret_socket, struct error *error)
{
    char *socket = memory_format("%s/%.8s.sock", directory, id_new().text);
    if (strlen(socket) >= sizeof((struct sockaddr_un *)0)->sun_path) {
        free(socket);
        return error_set(error, ERROR_FAILED,
                         "the state directory's path %s is too long for a socket", directory);
    }
    *ret_socket = socket;
    return 0;
}

static bool accepts(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    CLEANUP_CLOSE int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return file >= 0 && connect(file, (struct sockaddr *)&address, sizeof address) == 0;
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

static int wait_until_ready(struct process *server, const char *socket, struct error *error)
{
    int64_t deadline = clock_monotonic() + SERVER_LIMIT;
    while (!accepts(socket)) {
        if (process_has_ended(server)) {
            (void)error_set(error, ERROR_FAILED, "qemu-nbd ended: %s", process_output(server));
            return error_advise(error, "image-server-failed",
                                "what it says is in the message; the VM stays or is put back as "
                                "it was");
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

int image_server_start(const char *image, const char *format, bool read_only, const char *socket,
                       struct process **ret_server, char **ret_uri, struct error *error)
{
    const char *const arguments[] = {
        "qemu-nbd",   "--persistent", read_only ? "--read-only" : "--cache=writeback",
        "--shared=2", "--format",     format,
        "--socket",   socket,         image,
        NULL};
    struct process *server;
    if (process_start((char *const *)arguments, &server, error) != 0)
        return -1;
    if (wait_until_ready(server, socket, error) != 0) {
        image_server_stop(server);
        return -1;
    }
    *ret_server = server;
    *ret_uri = make_uri(socket);
    return 0;
}

void image_server_stop(struct process *server)
{
    process_stop(server, SERVER_LIMIT);
}
