/* Time: monotonic nanoseconds for limits and durations, wall time for people and documents. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_SECOND INT64_C(1000000000)
#define CLOCK_MILLISECOND INT64_C(1000000)

/* Nanoseconds of CLOCK_MONOTONIC: comparable between processes of one host until it reboots. */
int64_t clock_monotonic(void);
/* Nanoseconds since 1970, UTC. */
int64_t clock_wall(void);
/* "2026-11-23T14:18:05Z" (clock_text_size bytes with the NUL). */
enum { clock_text_size = 32 };
void clock_format(int64_t wall, char text[clock_text_size]);
/* The reverse of clock_format(); -1 when the text is not such a time. */
int clock_parse(const char *text, int64_t *ret_wall);
/* An absolute monotonic deadline as pthread_cond_timedwait() wants it for a condition variable
 * made with clock_condition_init(). */
struct timespec clock_timespec(int64_t monotonic);
/* Sleep until the deadline or a signal: for polling loops in programs without an event loop. */
void clock_sleep(int64_t nanoseconds);

#endif
