/* A queue of frames in front of a non-blocking socket. */
#include "undo/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

enum {
    MESSAGE_LIMIT = 160 << 10, /* more than CHANNEL_STEP_LIMIT, less than a socket's buffer */
    BUFFER_SIZE = 1 << 20,
    QUEUE_LIMIT = 1024,
};

struct frame {
    char *text;
    size_t size;
    int file;
};

struct channel {
    int socket;
    struct frame *queue; /* count frames from `first` on are waiting */
    size_t first, count, room;
    char *buffer; /* MESSAGE_LIMIT */
};

int channel_pair(int ret_ends[2], struct error *error)
{
    int ends[2], size = BUFFER_SIZE;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return error_errno(error, errno, "cannot make a socket for the watchdog");
    for (int i = 0; i < 2; i++)
        if (setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
            (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    ret_ends[0] = ends[0];
    ret_ends[1] = ends[1];
    return 0;
}

struct channel *channel_new(int socket)
{
    struct channel *channel = NEW(struct channel);
    channel->socket = socket;
    channel->buffer = memory_new(MESSAGE_LIMIT, 1);
    (void)fcntl(socket, F_SETFL, O_NONBLOCK);
    (void)fcntl(socket, F_SETFD, FD_CLOEXEC);
    return channel;
}

static void frame_clear(struct frame *frame)
{
    free(frame->text);
    if (frame->file >= 0)
        (void)close(frame->file);
}

void channel_free(struct channel *channel)
{
    if (!channel)
        return;
    for (size_t i = 0; i < channel->count; i++)
        frame_clear(&channel->queue[channel->first + i]);
    free(channel->queue);
    free(channel->buffer);
    (void)close(channel->socket);
    free(channel);
}

int channel_socket(const struct channel *channel)
{
    return channel->socket;
}

json_t *channel_message(const char *type)
{
    json_t *message = json_object();
    json_set_string(message, "type", type);
    return message;
}

static struct frame *queue_end(struct channel *channel)
{
    if (channel->first > 0 && channel->count == 0)
        channel->first = 0;
    if (channel->first + channel->count == channel->room) {
        channel->room = channel->room ? channel->room * 2 : 16;
        channel->queue = memory_resize(channel->queue, channel->room, sizeof *channel->queue);
    }
    return &channel->queue[channel->first + channel->count];
}

int channel_send(struct channel *channel, json_t *message, int file)
{
    CLEANUP_FREE char *text = json_text(message);
    json_decref(message);
    size_t size = strlen(text);
    if (size > MESSAGE_LIMIT || channel->count >= QUEUE_LIMIT)
        return -1;
    int copy = -1;
    if (file >= 0 && (copy = fcntl(file, F_DUPFD_CLOEXEC, 3)) < 0)
        return -1;
    *queue_end(channel) = (struct frame){.text = TAKE_PTR(text), .size = size, .file = copy};
    channel->count++;
    return channel_flush(channel);
}

static ssize_t send_frame(int socket, const struct frame *frame)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec piece = {frame->text, frame->size};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (frame->file >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &frame->file, sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int channel_flush(struct channel *channel)
{
    while (channel->count > 0) {
        struct frame *frame = &channel->queue[channel->first];
        if (send_frame(channel->socket, frame) < 0) {
            if (errno == EINTR)
                continue;
            return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
        }
        frame_clear(frame);
        channel->first++;
        channel->count--;
    }
    return 0;
}

bool channel_is_waiting(const struct channel *channel)
{
    return channel->count > 0;
}

static int received_file(struct msghdr *message)
{
    int file = -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header))
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
            memcpy(&file, CMSG_DATA(header), sizeof file);
    return file;
}

int channel_receive(struct channel *channel, json_t **ret_message, int *ret_file)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec piece = {channel->buffer, MESSAGE_LIMIT};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t size;
    do
        size = recvmsg(channel->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    if (size < 0 && errno == EAGAIN)
        return 0;
    if (size <= 0)
        return -1;
    CLEANUP_CLOSE int file = received_file(&message);
    if (message.msg_flags & MSG_TRUNC)
        return -1;
    json_t *value = json_parse(channel->buffer, (size_t)size, "a message", NULL);
    if (!json_is_object(value)) {
        json_decref(value);
        return -1;
    }
    *ret_message = value;
    *ret_file = TAKE_FD(file);
    return 1;
}

void channel_put_error(json_t *message, const struct error *error)
{
    json_t *object = json_object();
    json_set_integer(object, "kind", error->kind);
    json_set_integer(object, "number", error->number);
    json_set_string(object, "message", error->message);
    json_set_string(object, "hint", error->hint);
    json_set_string(object, "id", error->id);
    json_set(message, "error", object);
}

int channel_get_error(const json_t *message, struct error *error)
{
    const json_t *object = json_object_get(message, "error");
    if (!json_is_object(object))
        return 0;
    int64_t kind = json_integer_or(object, "kind", ERROR_FAILED);
    (void)error_set(error,
                    kind > ERROR_NONE && kind < ERROR_KINDS_ ? (enum error_kind)kind : ERROR_FAILED,
                    "%s", json_string_or(object, "message", "it did not say why"));
    if (error)
        error->number = (int)json_integer_or(object, "number", 0);
    const char *id = json_string_or(object, "id", "");
    return error_advise(error, id, "%s", json_string_or(object, "hint", ""));
}
