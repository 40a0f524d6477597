/* Failures of this room: an error whose number is the VSS code and whose kind follows from it.
 * Private to vss/ and documents/. */
#ifndef VSS_FAILURE_H
#define VSS_FAILURE_H

#include "base/error.h"
#include "vss/codes.h"

/* Fill the error (kept when it is set already); returns `code`, so that
 * `return failure_set(...)` reads well. */
vss_code failure_set(struct error *error, vss_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Make an error that a callback may or may not have filled fit its code: words where there are
 * none, and the code as number. */
void failure_complete(struct error *error, vss_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
