#include "cli/values.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *word;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"K", UINT64_C(1) << 10},
    {"KiB", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"MiB", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {"GiB", UINT64_C(1) << 30},
    {"T", UINT64_C(1) << 40},
    {"TiB", UINT64_C(1) << 40},
};

static const struct unit duration_units[] = {
    {"", CLOCK_SECOND},         {"ms", CLOCK_MILLISECOND},  {"s", CLOCK_SECOND},
    {"min", 60 * CLOCK_SECOND}, {"h", 3600 * CLOCK_SECOND},
};

/* Digits, then one of the units, then the end. */
static int parse(const char *text, const struct unit *units, size_t count, uint64_t *ret_value)
{
    uint64_t number = 0;
    const char *c = text;
    for (; *c >= '0' && *c <= '9'; c++)
        if (__builtin_mul_overflow(number, UINT64_C(10), &number) ||
            __builtin_add_overflow(number, (uint64_t)(*c - '0'), &number))
            return -1;
    if (c == text)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (strcmp(c, units[i].word) == 0)
            return __builtin_mul_overflow(number, units[i].factor, ret_value) ? -1 : 0;
    return -1;
}

int values_size(const char *text, uint64_t *ret_bytes)
{
    return parse(text, size_units, ARRAY_SIZE(size_units), ret_bytes);
}

int values_duration(const char *text, int64_t *ret_nanoseconds)
{
    uint64_t value;
    if (parse(text, duration_units, ARRAY_SIZE(duration_units), &value) < 0 || value > INT64_MAX)
        return -1;
    *ret_nanoseconds = (int64_t)value;
    return 0;
}

int values_count(const char *text, uint64_t *ret_count)
{
    return parse(text, &(struct unit){"", 1}, 1, ret_count);
}

const char *values_format_size(uint64_t bytes, char text[values_text_size])
{
    static const char *const words[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        (void)snprintf(text, values_text_size, "%u bytes", (unsigned)bytes);
        return text;
    }
    double value = (double)bytes / 1024;
    size_t word = 0;
    while (value >= 1023.95 && word + 1 < ARRAY_SIZE(words)) {
        value /= 1024;
        word++;
    }
    (void)snprintf(text, values_text_size, "%.1f %s", value, words[word]);
    return text;
}

const char *values_format_clock(uint64_t seconds, char text[values_text_size])
{
    unsigned long long hours = seconds / 3600;
    unsigned minutes = (unsigned)(seconds / 60 % 60), rest = (unsigned)(seconds % 60);
    if (hours)
        (void)snprintf(text, values_text_size, "%llu:%02u:%02u", hours, minutes, rest);
    else
        (void)snprintf(text, values_text_size, "%u:%02u", minutes, rest);
    return text;
}
