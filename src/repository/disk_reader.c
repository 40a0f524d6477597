/* Reading a disk's tree: the block over a chunk is found from the top down; blocks are kept in a
 * small cache, the one used longest ago leaves. A block may be read twice by two threads at once,
 * which costs time and nothing else; the lock is never held while a block is read. */
#include "repository/private.h"
#include "repository/tree.h"

#include <pthread.h>
#include <string.h>

struct cached_block {
    struct object_id ids[FORMAT_BLOCK_IDS];
    uint64_t index, used; /* used: tick of the last use, 0 = free */
    unsigned level;
};

struct disk_reader {
    /* Set at creation, never changed. */
    struct repository *repository;
    struct tree tree;
    size_t capacity;
    pthread_mutex_t lock;
    /* Guarded by lock. */
    struct cached_block **blocks; /* allocated when first used */
    uint64_t tick;
};

int disk_reader_new(struct repository *repository, const struct object_id *root,
                    struct disk_reader **ret_disk, struct error *error)
{
    struct format_disk data;
    struct tree tree;
    size_t size;
    if (repository_get(repository, root, OBJECT_TREE, &data, sizeof data, &size, error) != 0 ||
        tree_parse(&data, size, repository_chunk_size(repository), &tree, error) != 0)
        return -1;
    struct disk_reader *disk = NEW(struct disk_reader);
    disk->repository = repository;
    disk->tree = tree;
    disk->capacity = repository->blocks_cached;
    disk->blocks = NEW_ARRAY(struct cached_block *, disk->capacity);
    pthread_mutex_init(&disk->lock, NULL);
    *ret_disk = disk;
    return 0;
}

void disk_reader_free(struct disk_reader *disk)
{
    if (!disk)
        return;
    for (size_t i = 0; i < disk->capacity; i++)
        free(disk->blocks[i]);
    free(disk->blocks);
    pthread_mutex_destroy(&disk->lock);
    free(disk);
}

uint64_t disk_reader_size(const struct disk_reader *disk)
{
    return disk->tree.size;
}

/* Copies `count` ids from `from` on out of a cached block. */
static bool copy_cached(struct disk_reader *disk, unsigned level, uint64_t index, unsigned from,
                        size_t count, struct object_id *ids)
{
    bool found = false;
    pthread_mutex_lock(&disk->lock);
    for (size_t i = 0; i < disk->capacity && disk->blocks[i] && !found; i++) {
        struct cached_block *block = disk->blocks[i];
        if (!block->used || block->level != level || block->index != index)
            continue;
        memcpy(ids, block->ids + from, count * sizeof *ids);
        block->used = ++disk->tick;
        found = true;
    }
    pthread_mutex_unlock(&disk->lock);
    return found;
}

static void insert_block(struct disk_reader *disk, const struct object_id *ids, unsigned level,
                         uint64_t index)
{
    pthread_mutex_lock(&disk->lock);
    size_t oldest = 0;
    for (size_t i = 0; i < disk->capacity; i++) {
        if (!disk->blocks[i])
            disk->blocks[i] = NEW(struct cached_block);
        if (disk->blocks[i]->used < disk->blocks[oldest]->used)
            oldest = i;
        if (!disk->blocks[i]->used) {
            oldest = i;
            break;
        }
    }
    struct cached_block *block = disk->blocks[oldest];
    memcpy(block->ids, ids, sizeof block->ids);
    block->level = level;
    block->index = index;
    block->used = ++disk->tick;
    pthread_mutex_unlock(&disk->lock);
}

static int read_block(struct disk_reader *disk, const struct object_id *id,
                      struct object_id ids[FORMAT_BLOCK_IDS], struct error *error)
{
    size_t size;
    if (object_id_is_zero(id)) {
        memset(ids, 0, FORMAT_BLOCK_SIZE);
        return 0;
    }
    if (repository_get(disk->repository, id, OBJECT_TREE, ids, FORMAT_BLOCK_SIZE, &size, error) !=
        0)
        return -1;
    if (size != FORMAT_BLOCK_SIZE)
        return error_set(error, ERROR_DAMAGED, "a block of ids has a wrong size");
    return 0;
}

/* `count` ids from `from` on of block `index` of `level`: from the lowest block that is cached on
 * the way up, then down again. */
static int block_ids(struct disk_reader *disk, unsigned level, uint64_t index, unsigned from,
                     size_t count, struct object_id *ids, struct error *error)
{
    CLEANUP_FREE struct object_id *block = NULL;
    struct object_id id = disk->tree.top;
    unsigned top = disk->tree.levels - 1;
    if (copy_cached(disk, level, index, from, count, ids))
        return 0;
    if (level < top && block_ids(disk, level + 1, index / FORMAT_BLOCK_IDS,
                                 (unsigned)(index % FORMAT_BLOCK_IDS), 1, &id, error) != 0)
        return -1;
    block = memory_new(1, FORMAT_BLOCK_SIZE);
    if (read_block(disk, &id, block, error) != 0)
        return -1;
    insert_block(disk, block, level, index);
    memcpy(ids, block + from, count * sizeof *ids);
    return 0;
}

int disk_reader_ids(struct disk_reader *disk, uint64_t first, size_t count, struct object_id *ids,
                    struct error *error)
{
    if (first > disk->tree.chunks || count > disk->tree.chunks - first)
        return error_set(error, ERROR_USAGE, "chunks behind the end of the disk were asked for");
    for (size_t done = 0; done < count;) {
        uint64_t chunk = first + done;
        unsigned from = (unsigned)(chunk % FORMAT_BLOCK_IDS);
        size_t here = FORMAT_BLOCK_IDS - from;
        if (here > count - done)
            here = count - done;
        if (block_ids(disk, 0, chunk / FORMAT_BLOCK_IDS, from, here, ids + done, error) != 0)
            return -1;
        done += here;
    }
    return 0;
}
