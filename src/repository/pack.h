/* Pack: objects that are gathered in memory and put as one file. Document: docs/format/pack.md.
 *
 * Filling one is split, so that the work on objects needs no lock: pack_reserve() (under the
 * caller's lock) gives an object its place for ever, pack_seal() (any thread, no lock) encrypts it
 * there, and after the last seal pack_put() writes the file.
 */
#ifndef REPOSITORY_PACK_H
#define REPOSITORY_PACK_H

#include "repository/frame.h"

struct pack {
    struct frame frame;
    struct file_name name;
    uint8_t *buffer; /* lent by the owner; holds the header and the objects */
    size_t capacity, used;
    struct format_entry *entries; /* in the order of their offsets */
    uint32_t count;
    uint64_t file_size; /* after pack_put() */
    /* For the owner's book-keeping. */
    unsigned outstanding; /* reserved, not yet sealed */
    bool closed;          /* nothing more is reserved */
};

/* `buffer` of `capacity` bytes stays the caller's. */
struct pack *pack_new(const struct crypto *crypto, const uint8_t repository[FORMAT_NAME_SIZE],
                      uint8_t *buffer, size_t capacity);
void pack_free(struct pack *pack);

/* Room for an object of `packed` bytes before sealing? An empty pack of the right capacity always
 * has it. */
bool pack_fits(const struct pack *pack, size_t packed);
/* Give an object its place. `what` has id, plain, type and codec; offset and stored are filled in.
 */
void pack_reserve(struct pack *pack, struct format_entry *what, size_t packed);
/* Encrypt into the reserved place. */
void pack_seal(struct pack *pack, struct workspace *workspace, const struct format_entry *entry,
               const void *packed, size_t size);
/* Directory, trailer, and the file durable. */
int pack_put(struct pack *pack, struct backend *backend, struct workspace *workspace,
             struct error *error);

/* Check a directory that was read: types, bounds, no gaps, in order. ERROR_DAMAGED. */
int pack_check_directory(const struct format_entry *entries, uint32_t count, uint64_t body_end,
                         const char *path, struct error *error);

#endif
