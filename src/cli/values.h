/* Values: sizes and durations as people write them, read strictly, and printed. */
#ifndef CLI_VALUES_H
#define CLI_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "4096", "512M", "4GiB": bytes; K, M, G, T and KiB, MiB, GiB, TiB are powers of 1024 (other words,
 * like GB, mean different things to different people and are refused). -1 when it is none or does
 * not fit. */
int values_size(const char *text, uint64_t *ret_bytes);
/* "10s", "2min", "500ms", "1h"; without unit: seconds. In ns. -1 when it is none or does not fit.
 */
int values_duration(const char *text, int64_t *ret_nanoseconds);
/* A day or time, in ns since 1970: "2026-11-23", "2026-11-23T14:18", "2026-11-23T14:18:05", each
 * also with a space for the T. With a Z behind it, it is UTC, as vmshadow prints times, else local
 * time. What is not said is filled up from the beginning, or, with `to_end`, to the last moment: a
 * day stands for all of it. -1 when it is none of these, or no day of the calendar. */
int values_time(const char *text, bool to_end, int64_t *ret_wall);
/* A plain decimal number. */
int values_count(const char *text, uint64_t *ret_count);

enum { values_text_size = 32 };
/* "512 bytes", "1.5 GiB" */
const char *values_format_size(uint64_t bytes, char text[values_text_size]);
/* "0:07", "12:30", "3:05:00" */
const char *values_format_clock(uint64_t seconds, char text[values_text_size]);

#endif
