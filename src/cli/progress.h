/* Progress of the copy of several disks, on standard error.
 *
 * On a terminal: a line per disk that is being copied, redrawn in place, with bytes, rate and time
 * left; a finished disk leaves its last line behind. Elsewhere: a plain line at the start of each
 * disk, every 10 seconds and at its end, fit for a log.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress;

enum progress_kind { PROGRESS_NONE, PROGRESS_PLAIN, PROGRESS_TERMINAL };

/* `file` stays the caller's. */
struct progress *progress_new(int file, enum progress_kind kind);

struct progress_sample {
    const char *vm, *disk; /* `disk` may be "" */
    uint64_t done, total;  /* bytes; the last sample of a disk has done == total */
    uint64_t rate;         /* bytes per second */
    int64_t now;           /* monotonic ns */
};
/* One call at a time. */
void progress_update(struct progress *progress, const struct progress_sample *sample);
/* Take the redrawn lines away, so that other text can be written; they come back with the next
 * update. */
void progress_hide(struct progress *progress);
/* Frees. What was not finished leaves nothing behind. NULL allowed. */
void progress_free(struct progress *progress);

#endif
