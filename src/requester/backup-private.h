/* Shared by the files of the backup workflow. */
#ifndef REQUESTER_BACKUP_PRIVATE_H
#define REQUESTER_BACKUP_PRIVATE_H

#include "requester/copy.h"
#include "requester/manifest.h"
#include "requester/run.h"

struct backup {
    const struct requester_backup_options *options;
    struct repository *repository;
    struct run run;
    struct copy copy;
    struct repository_writer *writer;
    struct id id;
    json_t *vms; /* manifest entries, in the order of the plans */
    uint64_t documents_stored;
    int64_t begin, instant; /* monotonic, wall */
    int64_t clock_offset;   /* wall clock minus monotonic clock at the instant */
};

/* The plans of the VMs in the set, by name. */
static inline size_t plans_of(const struct backup *backup, const struct plan *const **ret_plans)
{
    return vm_writer_plans(backup->run.writer, ret_plans);
}

/* backup-copy.c: read all disks into the repository, then the documents; after it, is it still the
 * instant's data? */
int backup_copy(struct backup *backup, struct error *error);
/* Documents and manifest; the backup is listed when it returns 0. */
int backup_commit(struct backup *backup, struct error *error);
/* Bytes read from disks, or stored with documents. */
uint64_t backup_bytes(const struct backup *backup, bool stored);

#endif
