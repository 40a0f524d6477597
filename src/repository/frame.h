/* Frame: header, sealed tail and trailer, which packs, index segments and backups have in common.
 * Document: docs/format/README.md ("The frame").
 */
#ifndef REPOSITORY_FRAME_H
#define REPOSITORY_FRAME_H

#include "repository/backend.h"
#include "repository/name.h"
#include "repository/workspace.h"

enum frame_kind { FRAME_PACK, FRAME_INDEX, FRAME_BACKUP };

struct frame {
    enum frame_kind kind;
    struct format_header header;
    struct format_trailer trailer; /* set by frame_seal_tail() or frame_read() */
    uint8_t key[FORMAT_KEY_SIZE];
};

/* A new file's frame: its header and key. */
void frame_init(struct frame *frame, enum frame_kind kind, const struct crypto *crypto,
                const uint8_t repository[FORMAT_NAME_SIZE], const struct file_name *name);

/* Seal the tail that follows `body_end` and fill the trailer. `compress`: may be compressed. The
 * sealed tail is handed back to be freed. */
int frame_seal_tail(struct frame *frame, struct workspace *workspace, uint64_t body_end,
                    uint32_t entries, const void *plain, size_t size, bool compress,
                    uint8_t **ret_tail, size_t *ret_size, struct error *error);

/* Read a file's header, tail and trailer and authenticate them. `path` must be that of `name`.
 * ERROR_DAMAGED with what is wrong; ERROR_NOT_FOUND. The tail (NUL behind it) is to be freed. */
struct frame_source {
    struct backend *backend;
    const struct crypto *crypto;
    const uint8_t *repository;
    struct workspace_pool *workspaces;
};
int frame_read(const struct frame_source *source, enum frame_kind kind, const char *path,
               const struct file_name *name, struct frame *ret_frame, char **ret_tail,
               size_t *ret_size, uint64_t *ret_file_size, struct error *error);

/* Where the body ends and the tail begins. */
uint64_t frame_body_end(const struct frame *frame);

/* Associated data and nonce for a piece that `entry` describes; `entry` must outlive it. */
struct crypto_place frame_place(const uint8_t *key, const struct format_entry *entry);

/* Read a whole small file (at most `limit` bytes), NUL behind it, to be freed. */
int frame_read_small(struct backend *backend, const char *path, size_t limit, char **ret_data,
                     size_t *ret_size, struct error *error);

#endif
