/* A disk's tree while it is being written: nodes exist only where chunks were set.
 *
 *          top            each node holds 1024 ids; a node below the top is put as soon as all
 *        /     \          chunks under it have been set, and only its id stays, in the node above.
 *     node     node       What is left is put by disk_writer_finish(). Memory is that of the nodes
 *     ...      ...        which are not complete: few when chunks come roughly in order and
 *                         disk_writer_close_before() tells which of those that never came won't.
 */
#include "repository/private.h"
#include "repository/tree.h"

#include <pthread.h>
#include <string.h>

struct node {
    struct object_id ids[FORMAT_BLOCK_IDS];
    uint8_t set[FORMAT_BLOCK_IDS / 8]; /* ids that are final */
    unsigned set_count, expected;      /* of ids within the disk */
    struct node **children;            /* NULL in level 0 */
};

struct disk_writer {
    /* Set at creation, never changed. */
    struct repository_writer *writer;
    uint64_t size, chunks;
    uint32_t chunk_size;
    unsigned levels;
    pthread_mutex_t lock;
    /* Guarded by lock. */
    struct node *top;
    uint64_t stored;
    uint64_t closed; /* chunks before it are final */
};

/* How many chunks an id in a node of this level stands for. */
static uint64_t span_of(unsigned level)
{
    return UINT64_C(1) << 10 * level;
}

static struct node *node_new(const struct disk_writer *disk, unsigned level, uint64_t first_chunk)
{
    struct node *node = NEW(struct node);
    uint64_t span = span_of(level), rest = disk->chunks - first_chunk;
    uint64_t ids = rest / span + (rest % span != 0);
    node->expected = ids < FORMAT_BLOCK_IDS ? (unsigned)ids : FORMAT_BLOCK_IDS;
    if (level)
        node->children = NEW_ARRAY(struct node *, FORMAT_BLOCK_IDS);
    return node;
}

static void node_free(struct node *node)
{
    if (!node)
        return;
    for (unsigned i = 0; node->children && i < FORMAT_BLOCK_IDS; i++)
        node_free(node->children[i]);
    free(node->children);
    free(node);
}

int disk_writer_new(struct repository_writer *writer, uint64_t disk_size,
                    struct disk_writer **ret_disk, struct error *error)
{
    if (disk_size > FORMAT_DISK_MAX)
        return error_set(error, ERROR_REFUSED, "a disk of %llu bytes is too large",
                         (unsigned long long)disk_size);
    struct disk_writer *disk = NEW(struct disk_writer);
    disk->writer = writer;
    disk->size = disk_size;
    disk->chunk_size = repository_chunk_size(repository_writer_repository(writer));
    disk->chunks = disk_size / disk->chunk_size + (disk_size % disk->chunk_size != 0);
    disk->levels = tree_levels(disk->chunks);
    pthread_mutex_init(&disk->lock, NULL);
    disk->top = node_new(disk, disk->levels - 1, 0);
    *ret_disk = disk;
    return 0;
}

void disk_writer_free(struct disk_writer *disk)
{
    if (!disk)
        return;
    node_free(disk->top);
    pthread_mutex_destroy(&disk->lock);
    free(disk);
}

static bool is_set(const struct node *node, unsigned index)
{
    return node->set[index / 8] >> index % 8 & 1;
}

static void set_id(struct node *node, unsigned index, const struct object_id *id)
{
    node->ids[index] = *id;
    if (!is_set(node, index))
        node->set_count++;
    node->set[index / 8] |= (uint8_t)(1 << index % 8);
}

/* The node of `level` over `chunk`; its place in the tree may be anywhere below the top. Made when
 * missing. NULL: it has been put already. Called with the lock held. */
static struct node *find_node(struct disk_writer *disk, unsigned level, uint64_t chunk)
{
    struct node *node = disk->top;
    for (unsigned at = disk->levels - 1; at > level; at--) {
        uint64_t span = span_of(at);
        unsigned index = (unsigned)(chunk / span % FORMAT_BLOCK_IDS);
        if (is_set(node, index))
            return NULL;
        if (!node->children[index])
            node->children[index] = node_new(disk, at - 1, chunk / span * span);
        node = node->children[index];
    }
    return node;
}

static int put_node(struct disk_writer *disk, const struct node *node, struct object_id *ret_id,
                    struct error *error)
{
    uint64_t stored;
    if (repository_writer_put(disk->writer, OBJECT_TREE, node->ids, sizeof node->ids, ret_id,
                              &stored, error) != 0)
        return -1;
    pthread_mutex_lock(&disk->lock);
    disk->stored += stored;
    pthread_mutex_unlock(&disk->lock);
    return 0;
}

/* Set one id in a node of `level`. When that completes the node, it is cut out of the tree and
 * handed back, so that it can be put without the lock. Called with the lock held. */
static struct node *set_in_tree(struct disk_writer *disk, unsigned level, uint64_t chunk,
                                const struct object_id *id, bool *ret_late)
{
    struct node *node = find_node(disk, level, chunk);
    unsigned index = (unsigned)(chunk / span_of(level) % FORMAT_BLOCK_IDS);
    *ret_late = !node;
    if (!node)
        return NULL;
    set_id(node, index, id);
    if (level == disk->levels - 1 || node->set_count < node->expected)
        return NULL;
    struct node *above = find_node(disk, level + 1, chunk);
    above->children[chunk / span_of(level + 1) % FORMAT_BLOCK_IDS] = NULL;
    return node;
}

/* Set an id in a node of `level`, put what that completes, and so on up. */
static int set_upwards(struct disk_writer *disk, unsigned level, uint64_t chunk,
                       struct object_id id, struct error *error)
{
    for (;; level++) {
        bool late;
        pthread_mutex_lock(&disk->lock);
        struct node *complete = set_in_tree(disk, level, chunk, &id, &late);
        pthread_mutex_unlock(&disk->lock);
        if (late)
            return error_set(error, ERROR_USAGE, "chunk %llu was set twice or after its block",
                             (unsigned long long)chunk);
        if (!complete)
            return 0;
        int result = put_node(disk, complete, &id, error);
        node_free(complete);
        if (result != 0)
            return -1;
    }
}

int disk_writer_set(struct disk_writer *disk, uint64_t chunk_index, const struct object_id *id,
                    struct error *error)
{
    if (chunk_index >= disk->chunks)
        return error_set(error, ERROR_USAGE, "chunk %llu is behind the end of the disk",
                         (unsigned long long)chunk_index);
    return set_upwards(disk, 0, chunk_index, *id, error);
}

/* Cut out the lowest node over `chunk` when it is of level 0. Returns how many chunks to go on by:
 * a node that is missing higher up stands for many. Called with the lock held. */
static uint64_t cut_leaf(struct disk_writer *disk, uint64_t chunk, struct node **ret_leaf)
{
    struct node *node = disk->top;
    *ret_leaf = NULL;
    for (unsigned level = disk->levels - 1; level; level--) {
        uint64_t span = span_of(level);
        struct node **child = &node->children[chunk / span % FORMAT_BLOCK_IDS];
        if (!*child)
            return span - chunk % span;
        if (level == 1)
            *ret_leaf = TAKE_PTR(*child);
        else
            node = *child;
    }
    return FORMAT_BLOCK_IDS;
}

int disk_writer_close_before(struct disk_writer *disk, uint64_t chunk_index, struct error *error)
{
    uint64_t end = chunk_index < disk->chunks ? chunk_index / FORMAT_BLOCK_IDS * FORMAT_BLOCK_IDS
                                              : disk->chunks;
    while (disk->levels > 1) {
        struct node *leaf = NULL;
        pthread_mutex_lock(&disk->lock);
        uint64_t chunk = disk->closed;
        while (!leaf && disk->closed < end) {
            chunk = disk->closed;
            disk->closed += cut_leaf(disk, chunk, &leaf);
        }
        pthread_mutex_unlock(&disk->lock);
        if (!leaf)
            return 0;
        struct object_id id;
        int result = put_node(disk, leaf, &id, error);
        node_free(leaf);
        if (result != 0 || set_upwards(disk, 1, chunk, id, error) != 0)
            return -1;
    }
    return 0;
}

/* Put what is left below, then the node itself. */
static int finish_node(struct disk_writer *disk, struct node *node, struct object_id *ret_id,
                       struct error *error)
{
    for (unsigned i = 0; node->children && i < FORMAT_BLOCK_IDS; i++) {
        if (!node->children[i])
            continue;
        struct object_id id;
        if (finish_node(disk, node->children[i], &id, error) != 0)
            return -1;
        set_id(node, i, &id);
        node_free(TAKE_PTR(node->children[i]));
    }
    return put_node(disk, node, ret_id, error);
}

int disk_writer_finish(struct disk_writer *disk, struct object_id *ret_root, uint64_t *ret_stored,
                       struct error *error)
{
    struct format_disk root = {0};
    struct object_id top, id;
    uint64_t stored, total = 0;
    int result = finish_node(disk, disk->top, &top, error);
    memcpy(root.magic, FORMAT_DISK_MAGIC, FORMAT_MAGIC_SIZE);
    bytes_put64(root.size, disk->size);
    bytes_put32(root.chunk_size, disk->chunk_size);
    bytes_put32(root.levels, disk->levels);
    if (result == 0) {
        memcpy(root.top, top.bytes, sizeof root.top);
        result = repository_writer_put(disk->writer, OBJECT_TREE, &root, sizeof root, &id, &stored,
                                       error);
    }
    if (result == 0) {
        total = disk->stored + stored;
        *ret_root = id;
        *ret_stored = total;
    }
    disk_writer_free(disk);
    return result;
}
