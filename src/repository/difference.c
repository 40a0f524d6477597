/* What two disks differ in, from their trees of ids: equal ids are equal content, so a part of the
 * trees that is the same is passed over without reading it, however large it is, and no chunk is
 * read at all. Two backups of a disk of 1 TiB with one change cost a block of ids for each level.
 *
 * Trees of disks of different sizes may differ in height. The lower one is looked at as if it had
 * blocks on top of it whose first id is that of the block below and whose others are zero, which is
 * what the ids behind its end are. */
#include "repository/private.h"
#include "repository/tree.h"

#include <string.h>

enum { LEFT, RIGHT, SIDES };

struct comparison {
    struct repository *repository;
    struct tree trees[SIDES];
    uint64_t bytes; /* of chunks that differ so far */
};

/* The parts of both trees over the same chunks. */
struct part {
    unsigned level;       /* of the blocks that the ids name */
    uint64_t first_chunk; /* that they stand for */
    struct object_id ids[SIDES];
};

static int read_root(struct repository *repository, const struct object_id *root,
                     struct tree *ret_tree, struct error *error)
{
    struct format_disk data;
    size_t size;
    if (!root) {
        *ret_tree = (struct tree){.chunk_size = repository_chunk_size(repository), .levels = 1};
        return 0;
    }
    if (repository_get(repository, root, OBJECT_TREE, &data, sizeof data, &size, error) != 0)
        return -1;
    return tree_parse(&data, size, repository_chunk_size(repository), ret_tree, error);
}

static int read_block(const struct comparison *comparison, int side, const struct part *part,
                      struct object_id ids[FORMAT_BLOCK_IDS], struct error *error)
{
    const struct object_id *id = &part->ids[side];
    size_t size;
    memset(ids, 0, FORMAT_BLOCK_SIZE);
    if (object_id_is_zero(id))
        return 0;
    if (part->level >= comparison->trees[side].levels) {
        ids[0] = *id; /* above its top */
        return 0;
    }
    if (repository_get(comparison->repository, id, OBJECT_TREE, ids, FORMAT_BLOCK_SIZE, &size,
                       error) != 0)
        return -1;
    if (size != FORMAT_BLOCK_SIZE)
        return error_set(error, ERROR_DAMAGED, "a block of ids has a wrong size");
    return 0;
}

/* A chunk counts with the length that it has in the larger disk. */
static void count_chunk(struct comparison *comparison, uint64_t chunk)
{
    const struct tree *trees = comparison->trees;
    const struct tree *larger = &trees[trees[LEFT].size < trees[RIGHT].size ? RIGHT : LEFT];
    if (chunk < larger->chunks)
        comparison->bytes += tree_chunk_length(larger, chunk);
}

static bool is_equal(const struct object_id *left, const struct object_id *right)
{
    return memcmp(left->bytes, right->bytes, sizeof left->bytes) == 0;
}

/* Recursion is bounded by FORMAT_LEVELS_MAX. */
static int compare_blocks(struct comparison *comparison, const struct part *part,
                          struct error *error)
{
    CLEANUP_FREE struct object_id *left = memory_new(1, FORMAT_BLOCK_SIZE);
    CLEANUP_FREE struct object_id *right = memory_new(1, FORMAT_BLOCK_SIZE);
    if (read_block(comparison, LEFT, part, left, error) != 0 ||
        read_block(comparison, RIGHT, part, right, error) != 0)
        return -1;
    for (uint64_t i = 0; i < FORMAT_BLOCK_IDS; i++) {
        if (is_equal(&left[i], &right[i]))
            continue;
        if (part->level == 0) {
            count_chunk(comparison, part->first_chunk + i);
            continue;
        }
        struct part below = {
            part->level - 1, part->first_chunk + (i << 10 * part->level), {left[i], right[i]}};
        if (compare_blocks(comparison, &below, error) != 0)
            return -1;
    }
    return 0;
}

int repository_compare_disks(struct repository *repository, const struct object_id *left,
                             const struct object_id *right, uint64_t *ret_bytes,
                             struct error *error)
{
    struct comparison comparison = {.repository = repository};
    if (left && right && is_equal(left, right)) {
        *ret_bytes = 0;
        return 0;
    }
    if (read_root(repository, left, &comparison.trees[LEFT], error) != 0 ||
        read_root(repository, right, &comparison.trees[RIGHT], error) != 0)
        return -1;
    const struct tree *trees = comparison.trees;
    unsigned levels = trees[trees[LEFT].levels < trees[RIGHT].levels ? RIGHT : LEFT].levels;
    struct part top = {levels - 1, 0, {trees[LEFT].top, trees[RIGHT].top}};
    bool same_height = trees[LEFT].levels == trees[RIGHT].levels;
    if (!(same_height && is_equal(&top.ids[LEFT], &top.ids[RIGHT])) &&
        compare_blocks(&comparison, &top, error) != 0)
        return -1;
    *ret_bytes = comparison.bytes;
    return 0;
}
