/* How a VM is backed up and why, as text: before a backup (inspect) and after (show). */
#ifndef CLI_CONDITIONS_H
#define CLI_CONDITIONS_H

#include "base/json.h"

/* A word of the member "method" with what it means; the word itself where it is none of them. */
const char *conditions_method(const char *method);
/* The member "conditions" of `vm`; nothing when it has none. */
void conditions_print(const json_t *vm, const char *indent);

#endif
