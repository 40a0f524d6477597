/* Idset: a set of object ids in memory (open addressing, linear probing). Not locked. */
#ifndef REPOSITORY_IDSET_H
#define REPOSITORY_IDSET_H

#include "base/memory.h"
#include "repository/repository.h"

struct idset;
struct idset *idset_new(void);
void idset_free(struct idset *set);
DEFINE_CLEANUP(idset)
/* true: it was not in the set before. The zero id is not allowed in a set. */
bool idset_add(struct idset *set, const struct object_id *id);
bool idset_has(const struct idset *set, const struct object_id *id);
/* Nothing happens when it is not in the set. */
void idset_remove(struct idset *set, const struct object_id *id);
size_t idset_count(const struct idset *set);

#endif
