/* The command's input is a file in memory, so that nobody waits for a command that does not read.
 * Its output goes to our standard error: standard output is the result's. */
#include "cli/job-ending.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/memory.h"
#include "cli/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define GRACE (5 * CLOCK_SECOND)
enum { LOOK_MILLISECONDS = 200 }; /* a signal just before poll() is seen at the next turn */

static int make_input(const char *text, struct error *error)
{
    int file = memfd_create("vmshadow-report", MFD_CLOEXEC);
    if (file < 0 || io_write_all(io_real(), file, text, strlen(text), 0) != 0 ||
        lseek(file, 0, SEEK_SET) != 0) {
        (void)error_errno(error, errno, "the report cannot be put aside");
        if (file >= 0)
            (void)close(file);
        return -1;
    }
    return file;
}

/* A copy of ours with two more, to be freed with its two last strings. */
static char **make_environment(const json_t *report, char **ret_job, char **ret_result)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **copy = NEW_ARRAY(char *, count + 3);
    memcpy(copy, environ, count * sizeof *copy);
    copy[count] = *ret_job = memory_format("VMSHADOW_JOB=%s", json_string_or(report, "job", ""));
    copy[count + 1] = *ret_result =
        memory_format("VMSHADOW_RESULT=%s", json_string_or(report, "result", ""));
    return copy;
}

/* Only calls that are safe between fork() and exec. */
static _Noreturn void run_child(const char *command, char **environment, int input, pid_t parent)
{
    char shell[] = "/bin/sh", flag[] = "-c";
    char *const arguments[] = {shell, flag, (char *)command, NULL};
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < 32; number++)
        (void)signal(number, SIG_DFL);
    (void)setpgid(0, 0);
    (void)umask(0022); /* ours is for secrets; what a command makes is for whom it likes */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(input, 0) < 0 || dup2(2, 1) < 0)
        _exit(127);
    (void)syscall(SYS_close_range, 3u, ~0u, 0u);
    (void)execve(shell, arguments, environment);
    _exit(127);
}

/* Has it ended by the deadline? With `heed`, a signal of the user ends the waiting, too. */
static bool wait_until(pid_t child, int handle, int64_t deadline, bool heed)
{
    struct pollfd look = {.fd = handle, .events = POLLIN};
    while (clock_monotonic() < deadline && !(heed && *signals_interrupted())) {
        siginfo_t ended = {.si_pid = 0};
        /* Without a handle (an old kernel, a filter of calls) poll() is a pause only. */
        (void)poll(&look, 1, LOOK_MILLISECONDS);
        if (waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid)
            return true;
    }
    return false;
}

static int await(const char *command, pid_t child, int64_t limit, struct error *error)
{
    CLEANUP_CLOSE int handle = (int)syscall(SYS_pidfd_open, child, 0u);
    bool heed = !*signals_interrupted(); /* an interrupted run still tells of its failure */
    bool ended = wait_until(child, handle, clock_monotonic() + limit, heed);
    if (!ended) {
        (void)kill(-child, SIGTERM);
        (void)wait_until(child, handle, clock_monotonic() + GRACE, false);
    }
    /* Before the child is reaped: its number, which is the group's, is not given to others yet. */
    (void)kill(-child, SIGKILL);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!ended && heed && *signals_interrupted())
        return error_set(error, ERROR_INTERRUPTED, "'%s' was interrupted", command);
    if (!ended)
        return error_set(error, ERROR_TIMEOUT, "'%s' ran for more than %lld seconds and was ended",
                         command, (long long)(limit / CLOCK_SECOND));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return error_set(error, ERROR_FAILED, "'%s' ended with %s %d", command,
                     WIFEXITED(status) ? "status" : "signal",
                     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

int job_call(const char *command, const json_t *report, const char *input, int64_t limit,
             struct error *error)
{
    CLEANUP_CLOSE int file = make_input(input, error);
    CLEANUP_FREE char *job = NULL;
    CLEANUP_FREE char *result = NULL;
    if (file < 0)
        return -1;
    CLEANUP_FREE char **environment = make_environment(report, &job, &result);
    pid_t parent = getpid(), child = fork();
    if (child < 0)
        return error_errno(error, errno, "'%s' cannot be started", command);
    if (child == 0)
        run_child(command, environment, file, parent);
    (void)setpgid(child, child); /* whoever comes first */
    return await(command, child, limit, error);
}
