/* posix_spawn cannot set PDEATHSIG, so it is fork and exec with only async-signal-safe calls
 * between them. Output is collected by whoever waits (poll on the pipe and a pidfd). */
#include "base/process.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

enum { FAULT_LIMIT = 64 << 10, OUTPUT_LIMIT = 16 << 20 };

struct pipe_text {
    int file; /* our end; -1 when closed */
    char *text;
    size_t size, limit;
};

struct process {
    pid_t id;
    int handle; /* pidfd */
    bool ended;
    int status;
    struct pipe_text fault;  /* standard error (and output, where nobody asked for it) */
    struct pipe_text output; /* standard output, where asked for */
};

static char **child_environment(void)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **copy = NEW_ARRAY(char *, count + 2);
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "LC_", 3) != 0 && strncmp(environ[i], "LANG", 4) != 0)
            copy[used++] = environ[i];
    copy[used] = (char *)"LC_ALL=C.UTF-8";
    return copy;
}

static _Noreturn void run_child(char *const arguments[], char **environment, int output, int fault,
                                pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < 32; number++)
        (void)signal(number, SIG_DFL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    int null = open("/dev/null", O_RDONLY);
    if (dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(fault, 2) < 0)
        _exit(127);
    (void)syscall(SYS_close_range, 3u, ~0u, 0u);
    execvpe(arguments[0], arguments, environment);
    static const char text[] = "cannot be executed (is it installed?)";
    (void)!write(2, text, sizeof text - 1);
    _exit(127);
}

static int make_pipe(struct pipe_text *pipe_text, int *ret_child_end)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pipe_text->file = ends[0];
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    *ret_child_end = ends[1];
    return 0;
}

static void process_free(struct process *process)
{
    if (process->fault.file >= 0)
        (void)close(process->fault.file);
    if (process->output.file >= 0)
        (void)close(process->output.file);
    if (process->handle >= 0)
        (void)close(process->handle);
    free(process->fault.text);
    free(process->output.text);
    free(process);
}

static int start(char *const arguments[], bool keep_output, struct process **ret_process,
                 struct error *error)
{
    struct process *process = NEW(struct process);
    process->handle = -1;
    process->fault = (struct pipe_text){.file = -1, .limit = FAULT_LIMIT};
    process->output = (struct pipe_text){.file = -1, .limit = OUTPUT_LIMIT};
    CLEANUP_CLOSE int fault_end = -1;
    CLEANUP_CLOSE int output_end = -1;
    CLEANUP_FREE char **environment = child_environment();
    pid_t parent = getpid();
    if (make_pipe(&process->fault, &fault_end) != 0 ||
        (keep_output && make_pipe(&process->output, &output_end) != 0) ||
        (process->id = fork()) < 0) {
        (void)error_errno(error, errno, "cannot start %s", arguments[0]);
        process_free(process);
        return -1;
    }
    if (process->id == 0)
        run_child(arguments, environment, keep_output ? output_end : fault_end, fault_end, parent);
    process->handle = (int)syscall(SYS_pidfd_open, process->id, 0u);
    *ret_process = process;
    return 0;
}

/* Take what is in the pipe; closes it at its end. What is over the limit is read and dropped. */
static void collect(struct pipe_text *pipe_text)
{
    char buffer[16384];
    while (pipe_text->file >= 0) {
        ssize_t got = read(pipe_text->file, buffer, sizeof buffer);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            (void)close(pipe_text->file);
            pipe_text->file = -1;
            return;
        }
        size_t room = pipe_text->limit - pipe_text->size;
        size_t size = (size_t)got < room ? (size_t)got : room;
        pipe_text->text = memory_resize(pipe_text->text, pipe_text->size + size + 1, 1);
        memcpy(pipe_text->text + pipe_text->size, buffer, size);
        pipe_text->size += size;
        pipe_text->text[pipe_text->size] = '\0';
    }
}

static void reap(struct process *process, int options)
{
    if (process->ended)
        return;
    pid_t got;
    do
        got = waitpid(process->id, &process->status, options);
    while (got < 0 && errno == EINTR);
    process->ended = got == process->id || got < 0;
    if (process->ended) {
        collect(&process->fault);
        collect(&process->output);
    }
}

int process_start(char *const arguments[], struct process **ret_process, struct error *error)
{
    return start(arguments, false, ret_process, error);
}

pid_t process_id(const struct process *process)
{
    return process->id;
}

bool process_has_ended(struct process *process)
{
    collect(&process->fault);
    reap(process, WNOHANG);
    return process->ended;
}

const char *process_output(struct process *process)
{
    collect(&process->fault);
    size_t size = process->fault.size;
    while (size && process->fault.text[size - 1] == '\n')
        process->fault.text[--size] = '\0';
    return size ? process->fault.text : "";
}

/* Wait for the end or the deadline, emptying the pipes. */
static void wait_until(struct process *process, int64_t deadline)
{
    while (!process->ended) {
        int64_t left = deadline - clock_monotonic();
        if (left <= 0)
            return;
        struct pollfd files[] = {{.fd = process->handle, .events = POLLIN},
                                 {.fd = process->fault.file, .events = POLLIN},
                                 {.fd = process->output.file, .events = POLLIN}};
        int64_t milliseconds = left / CLOCK_MILLISECOND + 1;
        (void)poll(files, ARRAY_SIZE(files), milliseconds < 1000 ? (int)milliseconds : 1000);
        collect(&process->fault);
        collect(&process->output);
        reap(process, WNOHANG);
    }
}

/* A program that waits for storage which is away (state D) ends when that is back; it is waited for
 * no longer, and stays a child of ours until we end. */
#define KILL_LIMIT (2 * CLOCK_SECOND)

void process_stop(struct process *process, int64_t limit)
{
    if (!process)
        return;
    if (!process->ended) {
        (void)kill(process->id, SIGTERM);
        wait_until(process, clock_monotonic() + limit);
    }
    if (!process->ended) {
        (void)kill(process->id, SIGKILL);
        wait_until(process, clock_monotonic() + KILL_LIMIT);
    }
    if (!process->ended)
        log_warning("process %d does not end although it was killed: it waits for storage that "
                    "does not answer",
                    (int)process->id);
    process_free(process);
}

static int judge(struct process *process, const char *name, struct error *error)
{
    const char *said = process_output(process);
    if (!process->ended)
        return error_set(error, ERROR_TIMEOUT, "%s did not end in time", name);
    if (WIFSIGNALED(process->status))
        return error_set(error, ERROR_FAILED, "%s was ended by signal %d", name,
                         WTERMSIG(process->status));
    if (WEXITSTATUS(process->status) != 0)
        return error_set(error, ERROR_FAILED, "%s failed: %s", name,
                         *said ? said : "it did not say why");
    return 0;
}

int process_run(char *const arguments[], int64_t limit, char **ret_output, struct error *error)
{
    struct process *process;
    if (start(arguments, ret_output != NULL, &process, error) != 0)
        return -1;
    wait_until(process, clock_monotonic() + limit);
    int result = judge(process, arguments[0], error);
    if (result == 0 && process->output.size >= OUTPUT_LIMIT)
        result = error_set(error, ERROR_FAILED, "%s wrote too much", arguments[0]);
    if (result == 0 && ret_output) {
        char *text = TAKE_PTR(process->output.text);
        *ret_output = text ? text : memory_copy_string("");
    }
    process_stop(process, CLOCK_SECOND);
    return result;
}
