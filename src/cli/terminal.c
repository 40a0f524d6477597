/* The controlling terminal is opened by name, so that a passphrase can be typed while standard
 * input and output are pipes. */
#include "cli/terminal.h"

#include "base/memory.h"
#include "cli/output.h"
#include "cli/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <termios.h>

bool terminal_is_there(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

/* One byte: 1, or 0 at the end of input, or -1 on a signal or fault. */
static int read_byte(int terminal, char *byte)
{
    struct pollfd wait = {.fd = terminal, .events = POLLIN};
    while (!*signals_interrupted()) {
        int ready = poll(&wait, 1, 500); /* a signal just before poll() is seen at the next turn */
        if (ready < 0 && errno != EINTR)
            return -1;
        if (ready > 0)
            return (int)read(terminal, byte, 1);
    }
    return -1;
}

static int read_line(int terminal, char *line, size_t size, struct error *error)
{
    size_t used = 0;
    bool too_long = false;
    for (;;) {
        char byte;
        int got = read_byte(terminal, &byte);
        if (got <= 0 && !(got == 0 && used))
            return error_set(error, ERROR_INTERRUPTED, "the question was not answered");
        if (got == 0 || byte == '\n')
            break;
        if (used + 1 < size)
            line[used++] = byte;
        else
            too_long = true;
    }
    line[used] = '\0';
    if (too_long)
        return error_set(error, ERROR_USAGE, "what was typed is longer than %zu bytes", size - 1);
    return 0;
}

static void write_text(int terminal, const char *text)
{
    (void)!write(terminal, text, strlen(text));
}

int terminal_ask(const char *question, bool echo, char *line, size_t size, struct error *error)
{
    CLEANUP_CLOSE int terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios before, silent;
    if (terminal < 0 || tcgetattr(terminal, &before) < 0)
        return error_set(error, ERROR_USAGE, "there is no terminal to ask on");
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    if (!echo && tcsetattr(terminal, TCSAFLUSH, &silent) < 0)
        return error_errno(error, errno, "the terminal's echo cannot be switched off");
    CLEANUP_FREE char *safe = output_safe(question);
    write_text(terminal, safe);
    int result = read_line(terminal, line, size, error);
    if (!echo) {
        (void)tcsetattr(terminal, TCSAFLUSH, &before);
        write_text(terminal, "\n");
    }
    if (result < 0)
        memory_wipe(line, size);
    return result;
}

int terminal_confirm(const char *question, struct error *error)
{
    char line[16] = "";
    struct error fault = ERROR_INIT;
    if (terminal_ask(question, true, line, sizeof line, &fault) == 0)
        return strcmp(line, "yes") == 0;
    if (fault.kind == ERROR_USAGE && terminal_is_there())
        return 0; /* a long answer is not "yes" */
    error_move(error, &fault);
    return -1;
}
