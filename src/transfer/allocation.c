/* A question covers up to WINDOW: long enough that a sparse disk of many TiB costs few round trips,
 * short enough that QEMU, which looks extents up in its main loop, does not keep the guest waiting
 * (README.md has the measurement). The ring holds two windows: one being read while the next is
 * being asked. */
#include "transfer/allocation.h"

#include "base/memory.h"

enum { WINDOW = 128 << 20 };

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void allocation_init(struct allocation *allocation, uint64_t size, uint32_t chunk_size,
                     uint32_t alignment)
{
    *allocation = (struct allocation){
        .size = size,
        .chunk_size = chunk_size,
        .alignment = alignment,
        .window = WINDOW,
        .capacity = 2 * WINDOW / chunk_size,
    };
    allocation->ring = NEW_ARRAY(struct allocation_range, allocation->capacity);
}

void allocation_clear(struct allocation *allocation)
{
    free(TAKE_PTR(allocation->ring));
}

/* The offset up to which the ring has room. */
static uint64_t room_end(const struct allocation *allocation, uint64_t reading)
{
    uint64_t end;
    if (__builtin_add_overflow(reading, allocation->capacity, &end) ||
        __builtin_mul_overflow(end, allocation->chunk_size, &end))
        return allocation->size;
    return smaller(end, allocation->size);
}

bool allocation_next_question(const struct allocation *allocation, uint64_t reading,
                              uint64_t *ret_offset, uint64_t *ret_length)
{
    uint64_t room = room_end(allocation, reading) - allocation->known;
    uint64_t rest = allocation->size - allocation->known;
    /* Not in dribs and drabs as the reads make room, but a window at a time. */
    if (allocation->unavailable || !rest || (room < rest && room < allocation->window))
        return false;
    *ret_offset = allocation->known;
    *ret_length = smaller(room, allocation->window);
    return true;
}

static void mark(struct allocation_range *range, uint32_t begin, uint32_t end)
{
    if (range->begin == range->end) {
        *range = (struct allocation_range){.begin = begin, .end = end};
        return;
    }
    range->begin = range->begin < begin ? range->begin : begin;
    range->end = range->end > end ? range->end : end;
}

void allocation_add(struct allocation *allocation, uint64_t reading, uint64_t length, bool zero)
{
    uint64_t end = smaller(length, room_end(allocation, reading) - allocation->known);
    end += allocation->known;
    while (allocation->known < end) {
        uint64_t chunk = allocation->known / allocation->chunk_size;
        uint64_t start = chunk * allocation->chunk_size;
        uint64_t stop = smaller(end, start + allocation->chunk_size);
        struct allocation_range *range = &allocation->ring[chunk % allocation->capacity];
        if (allocation->known == start)
            *range = (struct allocation_range){0};
        if (!zero)
            mark(range, (uint32_t)(allocation->known - start), (uint32_t)(stop - start));
        allocation->known = stop;
    }
}

void allocation_give_up(struct allocation *allocation)
{
    allocation->unavailable = true;
}

bool allocation_look_up(const struct allocation *allocation, uint64_t chunk,
                        struct allocation_range *ret_range)
{
    uint64_t start = chunk * allocation->chunk_size;
    uint32_t size = (uint32_t)smaller(allocation->chunk_size, allocation->size - start);
    if (allocation->known >= start + size) {
        struct allocation_range range = allocation->ring[chunk % allocation->capacity];
        uint32_t mask = allocation->alignment - 1;
        range.begin &= ~mask;
        range.end = (uint32_t)smaller((range.end + mask) & ~mask, size);
        *ret_range = range;
        return true;
    }
    if (allocation->unavailable)
        *ret_range = (struct allocation_range){.begin = 0, .end = size};
    return allocation->unavailable;
}
