/* Which VMs a selection means on this host now. */
#ifndef REQUESTER_SELECTION_H
#define REQUESTER_SELECTION_H

#include "hypervisor/connection.h"
#include "requester/requester.h"

struct selected {
    char **names, **uuids; /* of the VMs, by name, each once */
    size_t count;
    char **missing; /* names and UUIDs that are said and are no VM */
    size_t missing_count;
    bool *usable_locations; /* for each location: its VM is there */
};

/* What is missing is no error here. ERROR_REFUSED: a VM is named and excluded. What a pattern or
 * tag does not find, and what is excluded by a name that is none, is told the observer of `host`.
 */
int selected_find(struct hypervisor *hypervisor, const struct requester_host *host,
                  const struct requester_selection *selection, struct selected *ret_selected,
                  struct error *error);
/* ERROR_NOT_FOUND: a VM is missing, or there is none at all. */
int selected_check(const struct selected *selected, struct error *error);
void selected_clear(struct selected *selected);

/* Does the word, a pattern with * ? [...] or not, mean this VM? */
bool selection_matches(const char *word, const char *name, const char *uuid);
bool selection_is_pattern(const char *word);

#endif
