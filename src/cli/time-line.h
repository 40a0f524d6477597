/* The record of a run as a table that is read from top to bottom. */
#ifndef CLI_TIME_LINE_H
#define CLI_TIME_LINE_H

#include "base/json.h"

/* Events of writers, stages of providers and copies of disks, with what happened to each VM between
 * them (frozen, instant), by their start, in milliseconds from the first. `backup` is the object of
 * `show`; nothing is printed for one without events. */
void time_line_print(const json_t *backup, const char *indent);

#endif
