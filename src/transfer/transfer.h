/* Transfer: a disk from an NBD export into the repository, and from the repository to an export.
 *
 *   NBD (many requests in flight, one thread a disk, block status first: holes and zeroes are not
 *   read) ─► bounded buffers ─► workers over all processors (hash, compress, encrypt) ─► repository
 *
 * Several disks run at once over one set of workers. Memory is bounded by transfer_settings,
 * whatever the disks' sizes (docs in ARCHITECTURE.md).
 */
#ifndef TRANSFER_TRANSFER_H
#define TRANSFER_TRANSFER_H

#include "repository/repository.h"

#include <stdatomic.h>

struct transfer_settings {
    unsigned workers;  /* 0 = one per processor */
    unsigned buffers;  /* chunk buffers shared by all disks; 0 = default (32 MiB worth of chunks, at
                          least 8) */
    unsigned requests; /* NBD requests in flight per disk; 0 = 16 */
    int64_t time_limit; /* ns a server may owe an answer without a sign of life; 0 = 60 s. Ten times
                           as long for the flush at the end. */
    unsigned *ret_peak_buffers; /* when not NULL: the most buffers in use at once, on return */
};

/* One disk of a transfer. Counters may be read while it runs. */
struct transfer_disk {
    /* Set by the caller. */
    const char *label;   /* "VM web1, disk vda": put before every error */
    const char *nbd_uri; /* export; its size must be `size` */
    uint64_t size;
    struct object_id root; /* backup: filled when done; restore: what to write */
    bool target_is_zero;   /* restore: the new image reads as zeroes, so zeroes are not written */
    /* Counted while it runs. */
    atomic_uint_fast64_t bytes_done; /* of size: for progress */
    atomic_uint_fast64_t bytes_read; /* really read from NBD (backup) or written to NBD (restore) */
    atomic_uint_fast64_t bytes_stored;  /* added to the repository */
    atomic_int_fast64_t started, ended; /* monotonic ns */
};

/* Ended from outside: checked by each running disk about 20 times a second; returning -1 stops the
 * transfer, and the reason that it set is the transfer's error as it is. NULL = never. Called from
 * several threads. */
typedef int transfer_check(void *context, struct error *error);

/* Back up all disks. On return 0 every root is set. The first error stops all. */
int transfer_backup(struct repository_writer *writer, uint32_t chunk_size,
                    struct transfer_disk *disks, size_t count,
                    const struct transfer_settings *settings, transfer_check *check,
                    void *check_context, struct error *error);

/* Write all disks: every chunk is authenticated before a byte of it is written; NBD flush at the
 * end, so that on return 0 the data is where qemu-nbd's fsync put it. */
int transfer_restore(struct repository *repository, struct transfer_disk *disks, size_t count,
                     const struct transfer_settings *settings, transfer_check *check,
                     void *check_context, struct error *error);

#endif
