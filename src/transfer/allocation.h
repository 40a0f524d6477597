/* Allocation: which bytes of each chunk have to be read, from the block status of an export.
 *
 * Status is asked in order and ahead of the reads; what is known is kept as one range a chunk (from
 * its first to its last byte that may be other than zero) in a ring, so that neither the size of
 * the disk nor its fragmentation costs memory. One thread.
 */
#ifndef TRANSFER_ALLOCATION_H
#define TRANSFER_ALLOCATION_H

#include <stdbool.h>
#include <stdint.h>

struct allocation {
    /* Set by allocation_init(), never changed. */
    uint64_t size;       /* of the disk */
    uint32_t chunk_size; /* a power of two */
    uint32_t alignment;  /* ranges begin and end at multiples of it, or at the end of the disk */
    uint64_t window;     /* the most that is asked at once */
    uint64_t capacity;   /* chunks in the ring */
    /* Owned by the thread. */
    uint64_t known;   /* status is known below this offset */
    bool unavailable; /* everything from `known` on has to be read */
    struct allocation_range {
        uint32_t begin, end; /* in the chunk; begin == end: all zero */
    } * ring;
};

/* `alignment` = a power of two, at most the chunk size. */
void allocation_init(struct allocation *allocation, uint64_t size, uint32_t chunk_size,
                     uint32_t alignment);
void allocation_clear(struct allocation *allocation);

/* What to ask next, while chunk number `reading` is the first that was not looked up. False: all is
 * known, or there is no room until more chunks are looked up. */
bool allocation_next_question(const struct allocation *allocation, uint64_t reading,
                              uint64_t *ret_offset, uint64_t *ret_length);
/* The next `length` bytes from `known` on read as zeroes or not. What goes past the end of the disk
 * or the ring's room is cut off. */
void allocation_add(struct allocation *allocation, uint64_t reading, uint64_t length, bool zero);
/* The server does not tell (any more). */
void allocation_give_up(struct allocation *allocation);
/* What to read of a chunk; false when that is not known yet. In increasing order of chunks. */
bool allocation_look_up(const struct allocation *allocation, uint64_t chunk,
                        struct allocation_range *ret_range);

#endif
