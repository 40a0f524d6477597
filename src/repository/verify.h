/* Verify: the state of one check, shared by its three passes: files and packs, index, backups. */
#ifndef REPOSITORY_VERIFY_H
#define REPOSITORY_VERIFY_H

#include "repository/idset.h"
#include "repository/private.h"

#include <pthread.h>

struct verify_pack {
    struct file_name name;
    uint32_t size;
    bool broken; /* its directory cannot be read: each object is checked by the index instead */
};

struct verify {
    /* Set before the first pass, then only read (but verify_pack.broken: by its one thread). */
    struct repository *repository;
    struct verify_pack *packs; /* sorted by name */
    size_t pack_count;
    struct file_name *segments, *backups;
    size_t segment_count, backup_count;
    uint64_t total; /* bytes of all packs */
    void (*fault)(void *context, const char *object, const char *message);
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
    pthread_mutex_t lock;
    /* Guarded by lock. */
    struct repository_verify_counts counts;
    uint64_t done;
    struct idset *bad_copies; /* by verify_copy_key() */
    struct idset *good_trees; /* blocks and documents under which nothing is wrong */
};

/* Report a fault. Any thread. */
void verify_fault(struct verify *verify, const char *object, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Where a copy is known to be unreadable. Any thread. */
void verify_add_bad_copy(struct verify *verify, const struct file_name *pack, const uint8_t *id);
bool verify_is_bad_copy(struct verify *verify, const struct file_name *pack, const uint8_t *id);
/* NULL: there is no such pack. */
struct verify_pack *verify_find_pack(const struct verify *verify, const struct file_name *name);
/* Read and check one copy, whose entry is from a directory or the index; a fault is reported and
 * remembered. `buffer` has room for an object. */
void verify_copy(struct verify *verify, const struct file_name *pack,
                 const struct format_entry *entry, uint8_t *buffer);

/* The passes. -1: the storage failed in a way that ends the check. */
int verify_packs(struct verify *verify, struct error *error);
int verify_index(struct verify *verify, struct error *error);
int verify_backups(struct verify *verify, struct error *error);

#endif
