/* The zero id marks a free slot. Removal moves later ids of a run back instead of leaving marks, so
 * the table never fills with the dead. Ids are MACs: their first bytes are hash enough. */
#include "repository/idset.h"

#include "base/bytes.h"

#include <string.h>

enum { slots_min = 64 };

struct idset {
    struct object_id *slots; /* a power of two of them, at most half of them used */
    size_t slot_count, count;
};

struct idset *idset_new(void)
{
    struct idset *set = NEW(struct idset);
    set->slot_count = slots_min;
    set->slots = NEW_ARRAY(struct object_id, set->slot_count);
    return set;
}

void idset_free(struct idset *set)
{
    if (!set)
        return;
    free(set->slots);
    free(set);
}

static size_t home(const struct idset *set, const struct object_id *id)
{
    return bytes_get64(id->bytes) & (set->slot_count - 1);
}

/* The slot that holds `id`, or the free one where it would go. */
static size_t slot_of(const struct idset *set, const struct object_id *id)
{
    size_t at = home(set, id);
    while (!object_id_is_zero(&set->slots[at]) && memcmp(&set->slots[at], id, sizeof *id) != 0)
        at = (at + 1) & (set->slot_count - 1);
    return at;
}

static void grow(struct idset *set)
{
    struct object_id *old = set->slots;
    size_t old_count = set->slot_count;
    set->slot_count *= 2;
    set->slots = NEW_ARRAY(struct object_id, set->slot_count);
    for (size_t i = 0; i < old_count; i++)
        if (!object_id_is_zero(&old[i]))
            set->slots[slot_of(set, &old[i])] = old[i];
    free(old);
}

bool idset_add(struct idset *set, const struct object_id *id)
{
    size_t at = slot_of(set, id);
    if (!object_id_is_zero(&set->slots[at]))
        return false;
    if (set->count * 2 >= set->slot_count) {
        grow(set);
        at = slot_of(set, id);
    }
    set->slots[at] = *id;
    set->count++;
    return true;
}

bool idset_has(const struct idset *set, const struct object_id *id)
{
    return !object_id_is_zero(&set->slots[slot_of(set, id)]);
}

void idset_remove(struct idset *set, const struct object_id *id)
{
    size_t mask = set->slot_count - 1, hole = slot_of(set, id);
    if (object_id_is_zero(&set->slots[hole]))
        return;
    for (size_t at = (hole + 1) & mask; !object_id_is_zero(&set->slots[at]); at = (at + 1) & mask) {
        size_t distance_home = (at - home(set, &set->slots[at])) & mask;
        if (distance_home >= ((at - hole) & mask)) {
            set->slots[hole] = set->slots[at];
            hole = at;
        }
    }
    set->slots[hole] = (struct object_id){{0}};
    set->count--;
}

size_t idset_count(const struct idset *set)
{
    return set->count;
}
