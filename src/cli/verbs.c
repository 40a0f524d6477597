/* The table of verbs. */
#include "cli/verb.h"

#include <string.h>

const struct verb *const verbs[] = {
    &verb_init, &verb_writers, &verb_providers, &verb_inspect,  &verb_backup,  &verb_list,
    &verb_show, &verb_diff,    &verb_restore,   &verb_verify,   &verb_recover, &verb_forget,
    &verb_run,  &verb_config,  &verb_watchdog,  &verb_complete, NULL,
};

const struct verb *verb_find(const char *name)
{
    for (const struct verb *const *verb = verbs; *verb; verb++)
        if (strcmp((*verb)->name, name) == 0)
            return *verb;
    return NULL;
}
