/* Backend: where a repository's files live. One small table; dir and mem, later object stores.
 *
 * Names are relative paths of our own making ([a-z0-9/.-], at most 200 bytes). A file is put whole
 * and never changed. Content is untrusted when it comes back. Any thread.
 */
#ifndef REPOSITORY_BACKEND_H
#define REPOSITORY_BACKEND_H

#include "base/error.h"
#include "base/io.h"
#include "base/memory.h"

#include <stdint.h>
#include <sys/uio.h>

struct backend {
    /* Make `name` visible, whole and durable, when it returns 0. ERROR_EXISTS when it is there.
     * After any other failure it may be visible, then whole. */
    int (*put)(struct backend *backend, const char *name, const struct iovec *pieces, int count,
               struct error *error);
    /* Read `size` bytes at `offset` (ERROR_DAMAGED when there are fewer). ERROR_NOT_FOUND. */
    int (*get)(struct backend *backend, const char *name, uint64_t offset, void *buffer,
               size_t size, struct error *error);
    int (*size)(struct backend *backend, const char *name, uint64_t *ret_size, struct error *error);
    /* Every name that begins with the folder `prefix` ("packs/"), in any order. Stops at the first
     * non-zero return of `each` and hands it back. */
    int (*list)(struct backend *backend, const char *prefix,
                int (*each)(void *context, const char *name, struct error *error), void *context,
                struct error *error);
    /* Durably. 0 or ERROR_NOT_FOUND when it is not there. */
    int (*remove)(struct backend *backend, const char *name, struct error *error);
    void (*free)(struct backend *backend);
    const char *description; /* "directory /srv/backup", for messages */
};

/* A directory. `create` makes it (its parent must exist; an existing one must be empty).
 * The io must outlive it (io_real() in the product). */
int backend_directory_new(struct io *io, const char *path, bool create,
                          struct backend **ret_backend, struct error *error);
/* In memory, for tests and measurements. */
struct backend *backend_memory_new(void);

static inline void backend_free(struct backend *backend)
{
    if (backend)
        backend->free(backend);
}
DEFINE_CLEANUP(backend)

#endif
