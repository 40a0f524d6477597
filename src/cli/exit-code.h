/* Exit codes: one for each kind of error, documented in vmshadow(1). */
#ifndef CLI_EXIT_CODE_H
#define CLI_EXIT_CODE_H

#include "base/error.h"

/* 0 only for ERROR_NONE. */
int exit_code_of(enum error_kind kind);

#endif
