/* Backup: one file in backups/, and the walk over what its manifest refers to.
 * Document: docs/format/backup.md. */
#ifndef REPOSITORY_BACKUP_H
#define REPOSITORY_BACKUP_H

#include "repository/private.h"

/* Read and check one backup's manifest. New reference; NULL with ERROR_DAMAGED or ERROR_NOT_FOUND.
 */
json_t *backup_read(struct repository *repository, const struct file_name *name,
                    struct error *error);

/* One root that a manifest refers to. Strings are owned by the manifest. */
struct backup_root {
    const char *vm; /* NULL: of the whole backup */
    enum backup_root_kind {
        BACKUP_DISK,
        BACKUP_SAVED_STATE, /* memory, stored like a disk */
        BACKUP_DOCUMENT,
    } kind;
    const char *name; /* target of a disk, name of a document; "" for a saved state */
    struct object_id root;
    uint64_t size; /* bytes; of disk and saved state */
};
/* "disk vda", "saved state", "document domain.xml": for messages, to be freed. */
char *backup_root_text(const struct backup_root *root);
/* Call `each` for every root; its first non-zero return ends the walk and is handed back.
 * ERROR_DAMAGED: the manifest is not as docs/format/backup.md says. */
int backup_roots(const json_t *manifest,
                 int (*each)(void *context, const struct backup_root *root, struct error *error),
                 void *context, struct error *error);

#endif
