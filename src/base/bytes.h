/* Bytes: little-endian integers in on-disk structures, which are arrays of uint8_t. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t bytes_get(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = size; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static inline void bytes_put(uint8_t *bytes, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++, value >>= 8)
        bytes[i] = (uint8_t)value;
}

static inline uint16_t bytes_get16(const uint8_t *bytes)
{
    return (uint16_t)bytes_get(bytes, 2);
}
static inline uint32_t bytes_get32(const uint8_t *bytes)
{
    return (uint32_t)bytes_get(bytes, 4);
}
static inline uint64_t bytes_get64(const uint8_t *bytes)
{
    return bytes_get(bytes, 8);
}
static inline void bytes_put16(uint8_t *bytes, uint16_t value)
{
    bytes_put(bytes, 2, value);
}
static inline void bytes_put32(uint8_t *bytes, uint32_t value)
{
    bytes_put(bytes, 4, value);
}
static inline void bytes_put64(uint8_t *bytes, uint64_t value)
{
    bytes_put(bytes, 8, value);
}

#endif
