/* The observer: what a workflow tells while it runs, led to the terminal and to --events. */
#ifndef CLI_OBSERVER_H
#define CLI_OBSERVER_H

#include "cli/options.h"
#include "requester/requester.h"

struct observer;

/* `events` = FILE of --events or NULL. */
int observer_open(const struct options *options, const char *events, struct observer **ret_observer,
                  struct error *error);
/* Where the workflow runs, as the common options say, told to this observer. The same notice is
 * told once. */
struct requester_host observer_host(struct observer *observer);
/* Progress of work that is no disk of a VM (verify): `rate` is measured here. */
void observer_progress(struct observer *observer, const char *what, uint64_t done, uint64_t total);
/* What was told, each once, in its order; a new reference. No more than 100 texts, each shorter
 * than 512 bytes; the last one says so when there was more. */
json_t *observer_notices(struct observer *observer);
/* Ends the progress, closes the events file and frees; `error` is filled (unless it is set: then
 * that one stays) and -1 returned when events are missing. NULL allowed. */
int observer_close(struct observer *observer, struct error *error);

#endif
