/* The five conditions of a child VM snapshot, as text: before a backup (inspect) and after (show).
 */
#ifndef CLI_CONDITIONS_H
#define CLI_CONDITIONS_H

#include "base/json.h"

/* The member "conditions" of `vm`; nothing when it has none. */
void conditions_print(const json_t *vm, const char *indent);

#endif
