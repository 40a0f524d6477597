/* Index: all segments of a repository as one map from id to the places where the object is.
 *
 * In memory are each segment's tables and a bounded number of pages. Any thread.
 */
#ifndef REPOSITORY_INDEX_H
#define REPOSITORY_INDEX_H

#include "repository/repository.h"
#include "repository/segment.h"

struct index;
/* `pages`: how many pages of 4 KiB are kept. The source must outlive it. */
struct index *index_new(const struct frame_source *source, size_t pages);
void index_free(struct index *index);

/* Read the tables of segments that are not known yet. Damaged ones are counted and passed over:
 * what only they knew is stored again, or found by `verify`. -1: the storage failed. */
int index_refresh(struct index *index, struct error *error);
/* Add a segment that was just put. */
int index_add(struct index *index, const struct file_name *name, struct error *error);
/* Segments or pages that could not be read because they are damaged. */
uint64_t index_damage(const struct index *index);

/* Where a copy of an object is. */
struct index_place {
    struct file_name pack;
    struct format_entry entry; /* with `pack` 0, as it is authenticated */
};
/* Go through the copies of an object. Begin with a cursor of zeroes. 1: *ret_place is the next one;
 * 0: there is no further; -1: the storage failed. `present`: only copies whose pack has been seen
 * to be there in its full length (looked at once per pack). */
struct index_cursor {
    size_t start, steps;
    bool begun;
};
int index_find(struct index *index, const struct object_id *id, bool present,
               struct index_cursor *cursor, struct index_place *ret_place, struct error *error);
/* 1 or 0, or -1: is there a copy whose pack is present? */
int index_has(struct index *index, const struct object_id *id, struct error *error);

#endif
