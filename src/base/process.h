/* Programs of others (qemu-nbd, qemu-img): started with an argument vector, never a shell.
 *
 * A child dies with the thread that started it (PR_SET_PDEATHSIG), has no descriptors but 0-2 and
 * runs in the C locale, so that its messages can be quoted. All waits have a limit.
 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process; /* one running child */

/* Start arguments[0] (looked up in PATH) with its standard error collected (at most 64 KiB are
 * kept) and its standard output sent there, too. */
int process_start(char *const arguments[], struct process **ret_process, struct error *error);
pid_t process_id(const struct process *process);
/* Has it ended? Then its fault text is complete. */
bool process_has_ended(struct process *process);
/* What it has written so far, without the last newline; owned by the process. */
const char *process_output(struct process *process);
/* SIGTERM, then SIGKILL after `limit` ns; reaps. One that does not end within 2 s of that (it waits
 * in the kernel for storage that is away) is left, with a warning in the log. Frees. NULL is
 * allowed. */
void process_stop(struct process *process, int64_t limit);

/* Run to the end within `limit` ns. Standard output (bounded by 16 MiB) is handed back when
 * ret_output is not NULL, to be freed. A non-zero exit, a signal and an overrun are errors that
 * quote what the program said. */
int process_run(char *const arguments[], int64_t limit, char **ret_output, struct error *error);

#endif
