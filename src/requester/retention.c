#include "requester/retention.h"

#include "base/memory.h"

#include <time.h>

/* ---- Periods: a number that is the same for all times of one ------------------------------- */

static int64_t floor_divide(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

/* Each time by itself, for the last N. */
static int64_t each(int64_t time)
{
    return time;
}

static int64_t hour(int64_t time)
{
    return floor_divide(time, 3600);
}

static int64_t day(int64_t time)
{
    return floor_divide(time, 86400);
}

/* 1 January 1970 was a Thursday. */
static int64_t week(int64_t time)
{
    return floor_divide(day(time) + 3, 7);
}

static struct tm calendar(int64_t time)
{
    time_t seconds = (time_t)time;
    struct tm parts = {.tm_year = 0};
    (void)gmtime_r(&seconds, &parts);
    return parts;
}

static int64_t month(int64_t time)
{
    struct tm parts = calendar(time);
    return (int64_t)parts.tm_year * 12 + parts.tm_mon;
}

static int64_t year(int64_t time)
{
    return calendar(time).tm_year;
}

/* ---- Choosing ------------------------------------------------------------------------------ */

static int newest_first(const void *left, const void *right)
{
    const struct retention_backup *const *one = left, *const *other = right;
    return ((*one)->time < (*other)->time) - ((*one)->time > (*other)->time);
}

/* The newest of each period, until `limit` periods have one. */
static void apply(struct retention_backup **sorted, size_t count, unsigned limit,
                  int64_t (*period)(int64_t time))
{
    unsigned periods = 0;
    for (size_t i = 0; i < count && periods < limit; i++) {
        bool counts_each = period == each;
        if (!counts_each && i && period(sorted[i]->time) == period(sorted[i - 1]->time))
            continue;
        sorted[i]->keep = true;
        periods++;
    }
}

void retention_choose(const struct retention_policy *policy, struct retention_backup *backups,
                      size_t count)
{
    struct retention_backup **sorted = NEW_ARRAY(struct retention_backup *, count + 1);
    bool off = retention_is_off(policy);
    for (size_t i = 0; i < count; i++) {
        backups[i].keep = off;
        sorted[i] = &backups[i];
    }
    if (count) {
        qsort(sorted, count, sizeof *sorted, newest_first);
        sorted[0]->keep = true;
    }
    apply(sorted, count, policy->last, each);
    apply(sorted, count, policy->hourly, hour);
    apply(sorted, count, policy->daily, day);
    apply(sorted, count, policy->weekly, week);
    apply(sorted, count, policy->monthly, month);
    apply(sorted, count, policy->yearly, year);
    free(sorted);
}
