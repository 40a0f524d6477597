/* A mounted data volume of the test guest and the threads that touch it.
 *
 * The thread that talks to the host never touches a disk: while a file system is frozen, every
 * touch blocks. It hands a job to the volume's worker and waits for a limited time; a job that
 * blocks stays, and its answer is fetched later.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOLUME_ANSWER_MAX 2048

struct volume;

enum volume_job {
    VOLUME_SCAN,   /* read all records, find the last */
    VOLUME_COMMIT, /* append the record `number`; 0: the next */
    VOLUME_MARK,   /* append a mark with `text` */
    VOLUME_FILL,   /* make the ballast file: `number` MiB of random bytes, none zero */
    VOLUME_RUN,    /* append records until halted, with `number` ms between them */
};

/* Starts the worker of the volume mounted at DIRECTORY (both strings must live for ever) with a
 * first VOLUME_SCAN. */
struct volume *volume_new(const char *name, const char *directory);

const char *volume_name(const struct volume *volume);

/* Hands a job over; an answer that was not fetched is dropped. False when a job is still being
 * done. */
bool volume_submit(struct volume *volume, enum volume_job job, uint64_t number, const char *text);

/* Waits up to LIMIT_MS for the job to end. True: its answer is in ANSWER (VOLUME_ANSWER_MAX bytes)
 * and the worker is free. False: it is still blocked; ANSWER says `blocked JOB`. Without any job
 * the answer is `idle`. */
bool volume_wait(struct volume *volume, unsigned limit_ms, char *answer);

/* Tells VOLUME_RUN to end; its answer comes by volume_wait. */
void volume_halt(struct volume *volume);

/* Number of the last record that is on the disk. */
uint64_t volume_last(struct volume *volume);

/* Tries to change the time stamp of a file, in a thread of its own, and says `writable`, `frozen`
 * when the kernel holds it back since the file system is frozen, or `blocked` when it takes long
 * for another reason. */
void volume_probe(struct volume *volume, char *answer);

/* Overwrites the ballast file in the background with random bytes past the page cache: MIB of it,
 * again and again, RATE_MIB a second (0: as fast as it goes), MIB 0: stops. volume_overwritten says
 * how much was written and how many writes failed. */
void volume_overwrite(struct volume *volume, uint64_t mib, uint64_t rate_mib, char *answer);
void volume_overwritten(struct volume *volume, char *answer);
