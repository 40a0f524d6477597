/* A writer in a process of its own, behind a socketpair. */
#include "vss_kit_private.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child: says that it has begun, and that it is done unless it is to be killed in between. */
static void __attribute__((noreturn)) serve(const struct kit_writer *writer, int socket)
{
    unsigned char event, begun = 'b', done = 'd';
    while (read(socket, &event, 1) == 1) {
        if (write(socket, &begun, 1) != 1)
            break;
        if (event < VSS_EVENT_COUNT_ && writer->plan[event].kill)
            (void)pause();
        if (write(socket, &done, 1) != 1)
            break;
    }
    _exit(0);
}

void kit_start_child(struct kit_writer *writer)
{
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        abort();
    pid_t parent = getpid();
    writer->child_pid = fork();
    if (writer->child_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        (void)close(sockets[0]);
        serve(writer, sockets[1]);
    }
    if (writer->child_pid < 0)
        abort();
    (void)close(sockets[1]);
    writer->child_socket = sockets[0];
}

void kit_end_child(struct kit_writer *writer)
{
    if (!writer->child || writer->child_pid <= 0)
        return;
    (void)close(writer->child_socket);
    (void)kill(writer->child_pid, SIGKILL);
    (void)waitpid(writer->child_pid, NULL, 0);
    writer->child_pid = 0;
}

static bool answered(const struct kit_writer *writer, unsigned char expected)
{
    unsigned char answer = 0;
    ssize_t got;
    do
        got = read(writer->child_socket, &answer, 1);
    while (got < 0 && errno == EINTR);
    return got == 1 && answer == expected;
}

vss_code kit_ask_child(struct kit_writer *writer, enum vss_event event)
{
    unsigned char number = (unsigned char)event;
    if (send(writer->child_socket, &number, 1, MSG_NOSIGNAL) != 1 || !answered(writer, 'b'))
        return VSS_E_WRITER_NOT_RESPONDING;
    if (writer->plan[event].kill)
        (void)kill(writer->child_pid, SIGKILL);
    return answered(writer, 'd') ? VSS_S_OK : VSS_E_WRITER_NOT_RESPONDING;
}
