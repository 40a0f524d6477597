/* Segment: one file of the index. Document: docs/format/index.md. */
#ifndef REPOSITORY_SEGMENT_H
#define REPOSITORY_SEGMENT_H

#include "repository/frame.h"

#include <stdatomic.h>

struct segment {
    /* Set by segment_read(), never changed. */
    struct frame frame;
    struct file_name name;
    uint64_t size;
    uint32_t entries, pages, pack_count;
    struct format_pack *packs;
    uint64_t *first; /* of each page: first 8 bytes of its first id, as a big-endian number */
    /* Atomic: what is known about each pack (enum segment_pack_state). */
    atomic_uchar *pack_states;
};
enum segment_pack_state { SEGMENT_PACK_UNKNOWN, SEGMENT_PACK_PRESENT, SEGMENT_PACK_MISSING };

/* Read tables, not pages. ERROR_DAMAGED, ERROR_NOT_FOUND. */
int segment_read(const struct frame_source *source, const char *path, const struct file_name *name,
                 struct segment **ret_segment, struct error *error);
void segment_free(struct segment *segment);
DEFINE_CLEANUP(segment)

/* The pages that may hold `id`: at most [first, last]; false when there is none. */
bool segment_find_pages(const struct segment *segment, const uint8_t *id, uint32_t *ret_first,
                        uint32_t *ret_last);
/* Read and authenticate one page. The number of its entries is given back (the last may be short).
 */
int segment_read_page(const struct segment *segment, const struct frame_source *source,
                      uint32_t page, struct format_entry entries[FORMAT_PAGE_ENTRIES],
                      uint32_t *ret_count, struct error *error);
/* The entry of `id` in a page, or NULL. */
const struct format_entry *segment_search(const struct format_entry *entries, uint32_t count,
                                          const uint8_t *id);

/* Order for qsort(): by id. */
int segment_compare_entries(const void *left, const void *right);
/* Put a new segment. `entries` are sorted, unique, with `pack` a number into `packs`. */
int segment_write(const struct frame_source *source, const struct format_entry *entries,
                  uint32_t count, const struct format_pack *packs, uint32_t pack_count,
                  struct file_name *ret_name, struct error *error);

#endif
