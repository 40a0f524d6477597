/* Tree: the shape of a disk's tree of ids, and reading its root. Document: docs/format/tree.md. */
#ifndef REPOSITORY_TREE_H
#define REPOSITORY_TREE_H

#include "repository/format.h"
#include "repository/repository.h"

/* Levels of the tree over so many chunks, at least 1. */
unsigned tree_levels(uint64_t chunks);

struct tree {
    uint64_t size, chunks;
    uint32_t chunk_size;
    unsigned levels;
    struct object_id top;
};
/* Check a root that was read. ERROR_DAMAGED. */
int tree_parse(const void *data, size_t size, uint32_t chunk_size, struct tree *ret_tree,
               struct error *error);
/* Length of a chunk: the last may be short. */
size_t tree_chunk_length(const struct tree *tree, uint64_t chunk);

#endif
