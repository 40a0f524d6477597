/* One lock, one write(2) a line, and a bounded store for the time in which a guest is frozen. */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { LINE_SIZE = 2048, HELD_LINES = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by lock. */
static enum log_level threshold = LOG_LEVEL_NOTICE;
static const char *program = "vmshadow";
static bool to_system;
static unsigned holds;
static char held[HELD_LINES][LINE_SIZE];
static unsigned held_count, held_dropped;

void log_set_level(enum log_level level)
{
    pthread_mutex_lock(&lock);
    threshold = level;
    pthread_mutex_unlock(&lock);
}

void log_set_program(const char *name)
{
    pthread_mutex_lock(&lock);
    program = name;
    pthread_mutex_unlock(&lock);
}

void log_to_system(void)
{
    pthread_mutex_lock(&lock);
    openlog("vmshadow", LOG_PID, LOG_DAEMON);
    to_system = true;
    pthread_mutex_unlock(&lock);
}

static void write_line(const char *line)
{
    if (to_system) {
        syslog(strstr(line, ": error: ") ? LOG_ERR : LOG_NOTICE, "%s", line);
        return;
    }
    (void)!write(STDERR_FILENO, line, strlen(line));
}

static void emit(enum log_level level, const char *format, va_list arguments)
{
    static const char *const words[] = {"error: ", "warning: ", "", "debug: "};
    char line[LINE_SIZE];
    pthread_mutex_lock(&lock);
    if (level <= threshold) {
        int used = snprintf(line, sizeof line - 1, "%s: %s", program, words[level]);
        (void)vsnprintf(line + used, sizeof line - 1 - (size_t)used, format, arguments);
        size_t length = strlen(line); /* at most sizeof line - 2 */
        line[length] = '\n';
        line[length + 1] = '\0';
        if (!holds)
            write_line(line);
        else if (held_count < HELD_LINES)
            memcpy(held[held_count++], line, sizeof line);
        else
            held_dropped++;
    }
    pthread_mutex_unlock(&lock);
}

#define DEFINE_LEVEL(name, level)                                                                  \
    void name(const char *format, ...)                                                             \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        emit(level, format, arguments);                                                            \
        va_end(arguments);                                                                         \
    }

DEFINE_LEVEL(log_error, LOG_LEVEL_ERROR)
DEFINE_LEVEL(log_warning, LOG_LEVEL_WARNING)
DEFINE_LEVEL(log_notice, LOG_LEVEL_NOTICE)
DEFINE_LEVEL(log_debug, LOG_LEVEL_DEBUG)

void log_hold(void)
{
    pthread_mutex_lock(&lock);
    holds++;
    pthread_mutex_unlock(&lock);
}

void log_release(void)
{
    pthread_mutex_lock(&lock);
    if (holds && --holds == 0) {
        for (unsigned i = 0; i < held_count; i++)
            write_line(held[i]);
        if (held_dropped) {
            char line[LINE_SIZE];
            (void)snprintf(line, sizeof line, "%s: %u more lines were dropped\n", program,
                           held_dropped);
            write_line(line);
        }
        held_count = held_dropped = 0;
    }
    pthread_mutex_unlock(&lock);
}
