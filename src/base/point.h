/* Points: the moments of a run at which a test kills or stops the program.
 *
 * A debug door: with VMSHADOW_TEST_POINT=N:SIGNAL in the environment (N = 1 is the first point,
 * or N = the name of a point; SIGNAL = KILL or STOP) the process sends itself that signal at the
 * N-th point it comes to, or at each of that name. A test loops over N until a run passes without
 * reaching it, and so interrupts a run at every step; or it learns the names with N = 0, which
 * interrupts nothing and tells all of them.
 * Without the variable a point costs one comparison. Points stand before and after each act that
 * changes a VM, the host or the repository.
 */
#ifndef BASE_POINT_H
#define BASE_POINT_H

#include <stdbool.h>

/* `name` is only told to whoever reads VMSHADOW_TEST_POINT_LOG (a file): which point it was. */
void point_reached(const char *name);

/* With VMSHADOW_TEST_HOLD=NAME:FILE, is this the place `name` and is FILE there? Then the caller
 * waits for its end (and for whatever else ends its waiting): for tests in which something happens
 * to a VM in the middle of a copy. */
bool point_holds(const char *name);

#endif
