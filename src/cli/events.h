/* Events: --events FILE, one JSON line for each VSS event and provider stage as it ends
 * (docs/json.md, section events).
 *
 * A thread of its own writes the file. Whoever reports an event only puts a line into memory: the
 * file may lie on storage that a guest of the set serves, and nobody may wait for a frozen guest.
 */
#ifndef CLI_EVENTS_H
#define CLI_EVENTS_H

#include "base/json.h"
#include "vss/coordinator.h"

struct events;

/* Makes the file (an old one is emptied). */
int events_open(const char *path, struct events **ret_events, struct error *error);
/* `vm` and `disk` may be NULL. Never waits. Any thread. */
void events_add(struct events *events, const struct coordinator_record *record, const char *vm,
                const char *disk);
/* Writes what is left (for at most 10 s) and frees. -1: lines are missing. NULL: 0. */
int events_close(struct events *events, struct error *error);

#endif
