/* A thread that starts programs. A child dies with the thread that started it (base/process.h);
 * this one lives as long as its owner wants the programs to. Private to the room. */
#ifndef HYPERVISOR_LAUNCHER_H
#define HYPERVISOR_LAUNCHER_H

#include "base/process.h"

struct launcher;

struct launcher *launcher_new(void);
/* End the thread, and with it what it started and nobody has stopped. NULL allowed. */
void launcher_free(struct launcher *launcher);
/* As process_start(). Any thread. */
int launcher_start(struct launcher *launcher, char *const arguments[], struct process **ret_process,
                   struct error *error);

#endif
