/* Fork and exec by hand: the child becomes the leader of its own session, starts with the ending
 * signals blocked, and must not inherit any descriptor that keeps something open or locked. */
#include "undo/watchdog-start.h"

#include "base/memory.h"
#include "undo/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { WATCHDOG_SOCKET = 3 };

/* Only async-signal-safe calls: the parent has threads. */
static _Noreturn void run_child(const char *program, char *const arguments[], int socket)
{
    sigset_t ignored;
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGTERM);
    sigaddset(&ignored, SIGINT);
    sigaddset(&ignored, SIGHUP);
    (void)sigprocmask(SIG_SETMASK, &ignored, NULL); /* the watchdog decides when it may end */
    for (int number = 1; number < 32; number++)
        (void)signal(number, SIG_DFL);
    (void)setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dup2(null, 0) < 0 || dup2(null, 1) < 0)
        _exit(127);
    if (socket != WATCHDOG_SOCKET && dup2(socket, WATCHDOG_SOCKET) < 0)
        _exit(127);
    (void)fcntl(WATCHDOG_SOCKET, F_SETFD, 0);
    (void)syscall(SYS_close_range, WATCHDOG_SOCKET + 1u, ~0u, 0u);
    execv(program, arguments);
    _exit(127);
}

/* The program's arguments and ours; the array is to be freed, the strings are not copied. */
static char **with_arguments(char *const given[], const char *socket, const char *journal)
{
    size_t count = 0;
    while (given[count])
        count++;
    char **arguments = NEW_ARRAY(char *, count + 5);
    memcpy(arguments, given, count * sizeof *arguments);
    arguments[count] = (char *)"--socket";
    arguments[count + 1] = (char *)socket;
    arguments[count + 2] = (char *)"--journal";
    arguments[count + 3] = (char *)journal;
    return arguments;
}

int watchdog_start(const struct undo_settings *settings, const char *journal, int *ret_socket,
                   int *ret_handle, struct error *error)
{
    int ends[2];
    if (channel_pair(ends, error) != 0)
        return -1;
    CLEANUP_CLOSE int ours = ends[0];
    CLEANUP_CLOSE int theirs = ends[1];
    CLEANUP_FREE char *number = memory_format("%d", WATCHDOG_SOCKET);
    CLEANUP_FREE char **arguments = with_arguments(settings->arguments, number, journal);
    pid_t child = fork();
    if (child < 0)
        return error_errno(error, errno, "cannot start the watchdog");
    if (child == 0)
        run_child(settings->program, arguments, theirs);
    int handle = (int)syscall(SYS_pidfd_open, child, 0);
    if (handle < 0) {
        (void)error_errno(error, errno, "cannot watch the watchdog");
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
        return -1;
    }
    *ret_socket = TAKE_FD(ours);
    *ret_handle = handle;
    return 0;
}
