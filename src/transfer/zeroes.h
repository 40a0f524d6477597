/* Zeroes: is a chunk all zero? Ends at the first byte that is not, so it costs little for data. */
#ifndef TRANSFER_ZEROES_H
#define TRANSFER_ZEROES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The bytes are compared with themselves, moved by one: all are equal to the first, which is zero.
 * memcmp() runs at the speed of memory. */
static inline bool zeroes_only(const uint8_t *data, size_t size)
{
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

#endif
