/* Roots are untrusted until their sizes agree with each other and with the repository. */
#include "repository/tree.h"

#include <string.h>

unsigned tree_levels(uint64_t chunks)
{
    unsigned levels = 1;
    while (levels < FORMAT_LEVELS_MAX && UINT64_C(1) << 10 * levels < chunks)
        levels++;
    return levels;
}

int tree_parse(const void *data, size_t size, uint32_t chunk_size, struct tree *ret_tree,
               struct error *error)
{
    struct format_disk root;
    if (size != sizeof root)
        return error_set(error, ERROR_DAMAGED, "the disk's root has a wrong size");
    memcpy(&root, data, sizeof root);
    struct tree tree = {.size = bytes_get64(root.size),
                        .chunk_size = bytes_get32(root.chunk_size),
                        .levels = bytes_get32(root.levels)};
    memcpy(tree.top.bytes, root.top, sizeof tree.top.bytes);
    if (memcmp(root.magic, FORMAT_DISK_MAGIC, FORMAT_MAGIC_SIZE) != 0)
        return error_set(error, ERROR_DAMAGED, "the disk's root is something else");
    if (tree.size > FORMAT_DISK_MAX || tree.chunk_size != chunk_size)
        return error_set(error, ERROR_DAMAGED, "the disk's root has impossible sizes");
    tree.chunks = tree.size / chunk_size + (tree.size % chunk_size != 0);
    if (tree.levels != tree_levels(tree.chunks))
        return error_set(error, ERROR_DAMAGED, "the disk's root has a wrong depth");
    *ret_tree = tree;
    return 0;
}

size_t tree_chunk_length(const struct tree *tree, uint64_t chunk)
{
    uint64_t rest = tree->size - chunk * tree->chunk_size;
    return rest < tree->chunk_size ? (size_t)rest : tree->chunk_size;
}
