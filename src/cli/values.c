#include "cli/values.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

/* Is `text` of this shape? 0 in the shape stands for any digit. */
static bool has_shape(const char *text, const char *shape)
{
    for (; *shape; shape++, text++)
        if (*shape == '0' ? *text < '0' || *text > '9' : *text != *shape)
            return false;
    return !*text;
}

enum { DAY = 86400 };

/* How long what the text names lasts: a day, a minute or a second; -1: it names none of them. */
static int64_t time_unit(const char *text)
{
    static const struct {
        const char *shape;
        int64_t seconds;
    } shapes[] = {
        {"0000-00-00", DAY},
        {"0000-00-00T00:00", 60},
        {"0000-00-00T00:00:00", 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
        if (has_shape(text, shapes[i].shape))
            return shapes[i].seconds;
    return -1;
}

/* The calendar must have it: timegm(3) would make 2 March out of 30 February. */
static bool is_real(const struct tm *parts)
{
    struct tm copy = *parts;
    (void)timegm(&copy);
    return copy.tm_mday == parts->tm_mday && copy.tm_hour == parts->tm_hour &&
           copy.tm_min == parts->tm_min && copy.tm_sec == parts->tm_sec;
}

int values_time(const char *text, bool to_end, int64_t *ret_wall)
{
    char plain[sizeof "0000-00-00T00:00:00Z"];
    size_t length = strlen(text);
    if (length == 0 || length >= sizeof plain)
        return -1;
    memcpy(plain, text, length + 1);
    bool utc = plain[length - 1] == 'Z';
    if (utc)
        plain[length - 1] = '\0';
    if (length > 10 && plain[10] == ' ')
        plain[10] = 'T';
    int64_t unit = time_unit(plain);
    struct tm parts = {.tm_isdst = -1};
    if (unit < 0 || sscanf(plain, "%d-%d-%dT%d:%d:%d", &parts.tm_year, &parts.tm_mon,
                           &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec) < 3)
        return -1;
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    if (parts.tm_year < 70 || parts.tm_year > 300 || parts.tm_mon < 0 || parts.tm_mon > 11 ||
        !is_real(&parts))
        return -1;
    /* Where clocks are changed a day has 23 or 25 hours: it ends when the next one begins. */
    if (to_end && unit == DAY) {
        parts.tm_mday++;
        unit = 0;
    }
    time_t begin = utc ? timegm(&parts) : mktime(&parts);
    int64_t end = (int64_t)begin + (to_end ? unit : 0);
    *ret_wall = end * CLOCK_SECOND - (to_end ? 1 : 0);
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
