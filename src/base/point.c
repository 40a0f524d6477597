/* The counter is the only state; the environment is read once. */
#include "base/point.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Set once. */
static const char *wanted; /* as it stands in the environment */
static size_t wanted_length;
static unsigned long wanted_number; /* 0 = it is a name, or "0": all are told */
static bool is_told_all;
static int signal_number;
static const char *log_path;
/* Atomic. */
static atomic_ulong reached;

static void read_environment(void)
{
    const char *text = getenv("VMSHADOW_TEST_POINT");
    const char *end = text ? strrchr(text, ':') : NULL;
    if (!end)
        return;
    wanted = text;
    wanted_length = (size_t)(end - text);
    wanted_number = strtoul(text, NULL, 10);
    is_told_all = wanted_length == 1 && *wanted == '0';
    signal_number = strcmp(end, ":STOP") == 0 ? SIGSTOP : SIGKILL;
    log_path = getenv("VMSHADOW_TEST_POINT_LOG");
}

static void tell(unsigned long number, const char *name)
{
    int file = log_path ? open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (file < 0)
        return;
    (void)dprintf(file, "%lu %s\n", number, name);
    (void)close(file);
}

void point_reached(const char *name)
{
    (void)pthread_once(&once, read_environment);
    if (!wanted)
        return;
    unsigned long number = atomic_fetch_add(&reached, 1) + 1;
    bool named = strlen(name) == wanted_length && strncmp(name, wanted, wanted_length) == 0;
    if (is_told_all)
        tell(number, name);
    if (wanted_number ? number != wanted_number : !named)
        return;
    tell(number, name);
    (void)kill(getpid(), signal_number);
}

bool point_holds(const char *name)
{
    const char *text = getenv("VMSHADOW_TEST_HOLD");
    size_t length = strlen(name);
    return text && strncmp(text, name, length) == 0 && text[length] == ':' &&
           access(text + length + 1, F_OK) == 0;
}
