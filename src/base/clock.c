/* Thin wrappers; the point is that every limit in the program is a monotonic int64. */
#include "base/clock.h"

#include <string.h>

static int64_t now(clockid_t id)
{
    struct timespec time;
    (void)clock_gettime(id, &time);
    return (int64_t)time.tv_sec * CLOCK_SECOND + time.tv_nsec;
}

int64_t clock_monotonic(void)
{
    return now(CLOCK_MONOTONIC);
}

int64_t clock_wall(void)
{
    return now(CLOCK_REALTIME);
}

void clock_format(int64_t wall, char text[clock_text_size])
{
    time_t seconds = (time_t)(wall / CLOCK_SECOND);
    struct tm parts;
    if (!gmtime_r(&seconds, &parts) ||
        strftime(text, clock_text_size, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        text[0] = '\0';
}

int clock_parse(const char *text, int64_t *ret_wall)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (!end || *end)
        return -1;
    *ret_wall = (int64_t)timegm(&parts) * CLOCK_SECOND;
    return 0;
}

struct timespec clock_timespec(int64_t monotonic)
{
    return (struct timespec){.tv_sec = (time_t)(monotonic / CLOCK_SECOND),
                             .tv_nsec = (long)(monotonic % CLOCK_SECOND)};
}

void clock_sleep(int64_t nanoseconds)
{
    struct timespec time = clock_timespec(nanoseconds);
    (void)nanosleep(&time, NULL);
}
