/* Shared by the files of the backup workflow. */
#ifndef REQUESTER_BACKUP_PRIVATE_H
#define REQUESTER_BACKUP_PRIVATE_H

#include "base/process.h"
#include "requester/copy.h"
#include "requester/manifest.h"
#include "requester/run.h"

/* A save image that is copied with the disks. */
struct backup_memory {
    char *uuid, *xml; /* the XML in the image */
    bool paused;      /* the VM continues paused */
    uint64_t size;    /* of the file, bytes */
    size_t disk;      /* its index in backup.copy */
    struct process *server;
};

struct backup {
    const struct requester_backup_options *options;
    struct repository *repository;
    struct run run;
    struct copy copy;
    struct backup_memory *memories;
    size_t memory_count;
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
/* backup-memory.c: the save images of the set join the copy; */
int backup_open_memories(struct backup *backup, struct error *error);
/* "saved_state" of the VM's manifest entry, and the image's XML as a document; nothing for a VM
 * without; */
int backup_describe_memory(struct backup *backup, const char *uuid, json_t *vm,
                           struct error *error);
void backup_close_memories(struct backup *backup);
/* Documents and manifest; the backup is listed when it returns 0. */
int backup_commit(struct backup *backup, struct error *error);
/* Bytes read from disks, or stored with documents. */
uint64_t backup_bytes(const struct backup *backup, bool stored);

#endif
