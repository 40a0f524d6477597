/* Signals: SIGINT, SIGTERM and SIGHUP ask the workflow to end and to undo what it did.
 *
 * They never end the process: a second one changes nothing, since undoing (thawing a guest,
 * putting an old VM back) is what the first one began. Who wants less uses SIGKILL; the watchdog
 * then undoes it.
 */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <signal.h>

/* Also ignores SIGPIPE. SIGHUP stays ignored where it was (nohup). */
void signals_install(void);
/* Non-zero once one of them came. */
const volatile sig_atomic_t *signals_interrupted(void);

#endif
