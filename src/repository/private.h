/* What the files of this room share about an open repository and a writer. Tests include it, too,
 * to make packs and segments small. */
#ifndef REPOSITORY_PRIVATE_H
#define REPOSITORY_PRIVATE_H

#include "repository/identity.h"
#include "repository/index.h"
#include "repository/repository.h"
#include "repository/workspace.h"

struct repository {
    /* Set at opening, never changed. */
    struct backend *backend;
    struct identity identity;
    struct crypto *crypto;
    struct workspace_pool *workspaces;
    struct frame_source source; /* the four above, for reading framed files */
    struct index *index;
    /* Sizes that bound memory. Tests change them before the first writer. */
    size_t pack_size;     /* a pack is put when the next object does not fit */
    size_t segment_limit; /* entries after which the index is put in the middle of a run */
    unsigned packs_alive; /* packs in memory per writer */
    size_t blocks_cached; /* blocks of ids per disk reader */
};

/* Read, decrypt, decompress and check one copy. `buffer` has room for the entry's `plain` bytes. */
int repository_read_copy(struct repository *repository, const struct index_place *place,
                         const struct object_id *id, enum object_type type, void *buffer,
                         size_t capacity, size_t *ret_size, struct error *error);
/* Check a document's root that was read: its size, and the number of parts whose ids follow (0 =
 * the content follows). ERROR_DAMAGED. */
int document_parse(const void *data, size_t size, uint64_t *ret_size, uint32_t *ret_parts,
                   struct error *error);
/* Is an object known, in the index or to this writer? 1, 0 or -1. */
int repository_writer_knows(struct repository_writer *writer, const struct object_id *id,
                            struct error *error);
struct repository *repository_writer_repository(struct repository_writer *writer);
/* Put what is left of packs and the index, durable; the writer takes no more objects. */
int repository_writer_flush(struct repository_writer *writer, struct error *error);

#endif
