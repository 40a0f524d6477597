/* Starting the watchdog process. */
#ifndef UNDO_WATCHDOG_START_H
#define UNDO_WATCHDOG_START_H

#include "undo/undo.h"

/* Start settings->program as watchdog: our end of the socket and its pidfd. That it runs shows when
 * it answers. */
int watchdog_start(const struct undo_settings *settings, const char *journal, int *ret_socket,
                   int *ret_handle, struct error *error);

#endif
