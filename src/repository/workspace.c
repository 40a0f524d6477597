/* A list of idle workspaces under a lock; it grows to as many as are in use at once. */
#include "repository/workspace.h"

#include <pthread.h>
#include <string.h>

/* Measured: docs/performance.md. */
enum { compression_level = 1 };

struct workspace_pool {
    const struct crypto *crypto;
    int level;
    pthread_mutex_t lock;
    struct workspace *idle; /* guarded by lock */
};

struct workspace_pool *workspace_pool_new(const struct crypto *crypto)
{
    struct workspace_pool *pool = NEW(struct workspace_pool);
    pool->crypto = crypto;
    pool->level = compression_level;
    pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

void workspace_pool_set_level(struct workspace_pool *pool, int level)
{
    pool->level = level;
}

static struct workspace *workspace_new(const struct workspace_pool *pool)
{
    struct workspace *workspace = NEW(struct workspace);
    crypto_context_init(&workspace->crypto, pool->crypto);
    workspace->compress = ZSTD_createCCtx();
    workspace->decompress = ZSTD_createDCtx();
    if (!workspace->compress || !workspace->decompress)
        abort(); /* no memory */
    (void)ZSTD_CCtx_setParameter(workspace->compress, ZSTD_c_compressionLevel, pool->level);
    return workspace;
}

static void workspace_free(struct workspace *workspace)
{
    crypto_context_deinit(&workspace->crypto);
    ZSTD_freeCCtx(workspace->compress);
    ZSTD_freeDCtx(workspace->decompress);
    free(workspace->buffers[0]);
    free(workspace->buffers[1]);
    free(workspace);
}

void workspace_pool_free(struct workspace_pool *pool)
{
    if (!pool)
        return;
    for (struct workspace *next; pool->idle; pool->idle = next) {
        next = pool->idle->next;
        workspace_free(pool->idle);
    }
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

struct workspace *workspace_take(struct workspace_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct workspace *workspace = pool->idle;
    if (workspace)
        pool->idle = workspace->next;
    pthread_mutex_unlock(&pool->lock);
    return workspace ? workspace : workspace_new(pool);
}

/* A manifest may have needed much; objects never do. */
static void shrink(struct workspace *workspace)
{
    for (unsigned i = 0; i < ARRAY_SIZE(workspace->buffers); i++)
        if (workspace->sizes[i] > 2 * FORMAT_OBJECT_MAX) {
            free(TAKE_PTR(workspace->buffers[i]));
            workspace->sizes[i] = 0;
        }
}

void workspace_give(struct workspace_pool *pool, struct workspace *workspace)
{
    shrink(workspace);
    pthread_mutex_lock(&pool->lock);
    workspace->next = pool->idle;
    pool->idle = workspace;
    pthread_mutex_unlock(&pool->lock);
}

uint8_t *workspace_buffer(struct workspace *workspace, unsigned which, size_t size)
{
    if (workspace->sizes[which] < size) {
        free(workspace->buffers[which]);
        workspace->buffers[which] = memory_try_new(size, 1);
        workspace->sizes[which] = workspace->buffers[which] ? size : 0;
    }
    return workspace->buffers[which];
}

/* A compressor's fault must not reach the disk: what it made is turned back and compared. */
static int compare(struct workspace *workspace, const void *packed, size_t packed_size,
                   const void *data, size_t size, struct error *error)
{
    uint8_t *check = workspace_buffer(workspace, 1, size);
    if (!check)
        return error_set(error, ERROR_FAILED, "no memory to check a compressed object");
    if (workspace_unpack(workspace, FORMAT_ZSTD, packed, packed_size, check, size) != 0 ||
        memcmp(check, data, size) != 0)
        return error_set(error, ERROR_FAILED,
                         "an object of %zu bytes does not decompress to what it was: "
                         "faulty memory, processor or zstd library",
                         size);
    return 0;
}

int workspace_pack(struct workspace *workspace, const void *data, size_t size,
                   const void **ret_packed, size_t *ret_size, uint8_t *ret_codec,
                   struct error *error)
{
    size_t room = size - size / 32;
    uint8_t *packed = workspace_buffer(workspace, 0, room ? room : 1);
    if (!packed)
        return error_set(error, ERROR_FAILED, "no memory to compress an object");
    size_t used = ZSTD_compress2(workspace->compress, packed, room, data, size);
    if (ZSTD_isError(used) || used >= size) {
        *ret_packed = data;
        *ret_size = size;
        *ret_codec = FORMAT_RAW;
        return 0;
    }
    if (compare(workspace, packed, used, data, size, error) != 0)
        return -1;
    *ret_packed = packed;
    *ret_size = used;
    *ret_codec = FORMAT_ZSTD;
    return 0;
}

int workspace_unpack(struct workspace *workspace, uint8_t codec, const void *packed, size_t size,
                     void *out, size_t plain)
{
    if (codec == FORMAT_RAW && size == plain) {
        if (out != packed && plain)
            memcpy(out, packed, plain);
        return 0;
    }
    if (codec != FORMAT_ZSTD)
        return -1;
    size_t made = ZSTD_decompressDCtx(workspace->decompress, out, plain, packed, size);
    return !ZSTD_isError(made) && made == plain ? 0 : -1;
}
