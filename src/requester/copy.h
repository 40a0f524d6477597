/* The copy of disks with progress: transfer with a thread beside it that tells how far it is. */
#ifndef REQUESTER_COPY_H
#define REQUESTER_COPY_H

#include "requester/run.h"
#include "transfer/transfer.h"

/* The name that a VM's save image has as a target among its disks. */
#define COPY_MEMORY "saved state"

struct copy_disk {
    char *vm, *target, *label;
    char *nbd_uri;
};

struct copy {
    struct run *run;
    struct copy_disk *names; /* one a disk */
    struct transfer_disk *disks;
    size_t count;
};

void copy_add(struct copy *copy, const char *vm, const char *target, char *nbd_uri, uint64_t size);
void copy_clear(struct copy *copy);
/* Both report progress and record each disk's copy; -1 also when the run was voided. */
int copy_backup(struct copy *copy, struct repository_writer *writer, uint32_t chunk_size,
                unsigned workers, struct error *error);
int copy_restore(struct copy *copy, struct repository *repository, unsigned workers,
                 struct error *error);

#endif
