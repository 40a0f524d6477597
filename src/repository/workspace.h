/* Workspace: what one thread needs to turn content into a stored object and back, kept and lent
 * out again, because making zstd and OpenSSL contexts costs more than a small object.
 */
#ifndef REPOSITORY_WORKSPACE_H
#define REPOSITORY_WORKSPACE_H

#include "base/error.h"
#include "repository/crypto.h"

#include <zstd.h>

struct workspace {
    struct crypto_context crypto;
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
    uint8_t *buffers[2]; /* grown by workspace_buffer() */
    size_t sizes[2];
    struct workspace *next;
};

struct workspace_pool;
struct workspace_pool *workspace_pool_new(const struct crypto *crypto);
void workspace_pool_free(struct workspace_pool *pool);
/* zstd's level for workspaces that are made from now on. Before the first use. */
void workspace_pool_set_level(struct workspace_pool *pool, int level);
/* Never NULL; give it back. Any thread. */
struct workspace *workspace_take(struct workspace_pool *pool);
void workspace_give(struct workspace_pool *pool, struct workspace *workspace);

/* Buffer 0 or 1 with room for `size` bytes (its content is lost when it grows). NULL: no memory. */
uint8_t *workspace_buffer(struct workspace *workspace, unsigned which, size_t size);

/* Lent for the current scope: struct workspace_loan CLEANUP(...) */
struct workspace_loan {
    struct workspace_pool *pool;
    struct workspace *workspace;
};
static inline void workspace_loan_end(struct workspace_loan *loan)
{
    workspace_give(loan->pool, loan->workspace);
}
#define WORKSPACE_LOAN(name, from)                                                                 \
    CLEANUP(workspace_loan_end)                                                                    \
    struct workspace_loan name##_loan = {(from), workspace_take(from)};                            \
    struct workspace *name = name##_loan.workspace

/* zstd into buffer 0, checked by decompressing into buffer 1 and comparing, or as it is where that
 * is not smaller by 1/32. ret_packed points to buffer 0 or to `data`. */
int workspace_pack(struct workspace *workspace, const void *data, size_t size,
                   const void **ret_packed, size_t *ret_size, uint8_t *ret_codec,
                   struct error *error);
/* -1: not exactly `plain` bytes, or an unknown codec. `out` has room for `plain`. */
int workspace_unpack(struct workspace *workspace, uint8_t codec, const void *packed, size_t size,
                     void *out, size_t plain);

#endif
