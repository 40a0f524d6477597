/* Retention: which backups of a series stay: those of a job that hold one VM, or one disk. A pure
 * function of their times.
 *
 * A backup stays when a rule needs it: the last N, and the newest of each of the last N hours,
 * days, weeks (from Monday), months and years *that have a backup*. So time in which nothing was
 * backed up costs nothing, and a clock that jumps ahead takes nothing away. Periods are those of
 * UTC: a change of the time zone moves nothing.
 */
#ifndef REQUESTER_RETENTION_H
#define REQUESTER_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct retention_policy {
    unsigned last, hourly, daily, weekly, monthly, yearly; /* 0 = no such rule */
};
/* No rule at all: everything stays. */
static inline bool retention_is_off(const struct retention_policy *policy)
{
    return !policy->last && !policy->hourly && !policy->daily && !policy->weekly &&
           !policy->monthly && !policy->yearly;
}

struct retention_backup {
    int64_t time; /* seconds since 1970, UTC */
    bool keep;
};
/* Set `keep` of each; `backups` are in any order and stay in theirs. With no rule all stay, and the
 * newest always does. */
void retention_choose(const struct retention_policy *policy, struct retention_backup *backups,
                      size_t count);

#endif
