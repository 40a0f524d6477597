#include "cli/signals.h"

#include "base/memory.h"

#include <errno.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void note(int number)
{
    (void)number;
    static const char text[] = "\nvmshadow: interrupted: undoing what was begun\n";
    int saved = errno;
    if (!interrupted)
        (void)!write(STDERR_FILENO, text, sizeof text - 1);
    interrupted = 1;
    errno = saved;
}

void signals_install(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    /* SA_RESTART: libraries keep going. Prompts wait with poll(2), which ends all the same. */
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        (void)sigaction(numbers[i], NULL, &before);
        if (numbers[i] != SIGHUP || before.sa_handler != SIG_IGN)
            (void)sigaction(numbers[i], &action, NULL);
    }
    (void)signal(SIGPIPE, SIG_IGN);
}

const volatile sig_atomic_t *signals_interrupted(void)
{
    return &interrupted;
}
