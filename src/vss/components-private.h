/* What only the coordinator does with components: a writer works on a copy of its part, and what it
 * may set is taken back when its event ended in time. Private to vss/. */
#ifndef VSS_COMPONENTS_PRIVATE_H
#define VSS_COMPONENTS_PRIVATE_H

#include "vss/components.h"

/* `to` is overwritten. */
void component_set_copy(struct component_set *to, const struct component_set *from);
void component_set_clear(struct component_set *set);
/* Take over what a writer may set from `edited`, a copy of `set` with the same components. */
void component_set_merge(struct component_set *set, struct component_set *edited);
/* The part of one instance of a writer; NULL when there is none. */
struct component_set *components_find_instance(const struct components *components,
                                               const struct id *instance);

#endif
