/* The repository: chunks that are shared by all backups of all VMs, and backups that are each
 * logically full. Format: docs/format/. Everything stored is compressed, and encrypted and
 * authenticated from the first byte (or only authenticated against accidents, with
 * --no-encryption).
 *
 *   writer_put ─► id = keyed SHA-256 ─► known? ─► zstd ─► AES-256-GCM ─► pack ─┐
 *   disk_writer: ids ─► id blocks ─► root                                      ├─► index ─► backup
 *
 * Order of durability: packs, then index, then backup. A backup is visible in repository_list()
 * only after repository_writer_commit() returned 0. Objects may be used by any thread at once
 * where a function says so.
 */
#ifndef REPOSITORY_REPOSITORY_H
#define REPOSITORY_REPOSITORY_H

#include "base/id.h"
#include "base/json.h"
#include "repository/backend.h"

enum { REPOSITORY_ID_SIZE = 32 };

/* Name of a stored object. All zeroes = the chunk of zeroes, which is not stored. */
struct object_id {
    uint8_t bytes[REPOSITORY_ID_SIZE];
};
bool object_id_is_zero(const struct object_id *id);
void object_id_format(const struct object_id *id, char text[2 * REPOSITORY_ID_SIZE + 1]);
int object_id_parse(const char *text, struct object_id *ret_id);

enum object_type {
    OBJECT_DATA = 1,     /* a chunk of a disk */
    OBJECT_TREE = 2,     /* a block of ids */
    OBJECT_DOCUMENT = 3, /* XML, event record, NVRAM, ... */
};

/* ---- Making and opening -------------------------------------------------------------------- */

struct repository_parameters {
    /* Power of two, 64 KiB..4 MiB; 0 = default: 256 KiB, measured (docs/performance.md). */
    uint32_t chunk_size;
    /* NULL = no encryption: anybody who reads the storage reads the disks, and nobody can tell
     * tampering from the real thing; damage by accident is still found. */
    const char *passphrase;
    /* log2 of scrypt's N for the passphrase, 10..18; 0 = default (16: 64 MiB for some 0.3 s). */
    unsigned scrypt_cost;
};
/* Make a repository in an empty backend. ERROR_EXISTS when there is one. */
int repository_init(struct backend *backend, const struct repository_parameters *parameters,
                    struct error *error);

struct repository;
/* `passphrase` must be NULL for a repository without encryption. ERROR_NOT_FOUND: no repository
 * there; ERROR_AUTHENTICATION: wrong passphrase, or one is needed, or one was given for a
 * repository that has none (somebody may have replaced it); ERROR_DAMAGED; ERROR_REFUSED: a format
 * version of the future, by name. Damaged parts of the index are no obstacle: what only they knew
 * is stored again or found by repository_verify(). Takes some 0.3 s and 64 MiB for scrypt. Takes
 * over the backend on success only. */
int repository_open(struct backend *backend, const char *passphrase,
                    struct repository **ret_repository, struct error *error);
/* Does it need a passphrase? */
int repository_is_encrypted(struct backend *backend, bool *ret_encrypted, struct error *error);
void repository_free(struct repository *repository);
DEFINE_CLEANUP(repository)
uint32_t repository_chunk_size(const struct repository *repository);
struct id repository_id(const struct repository *repository);

/* ---- Writing ------------------------------------------------------------------------------- */

/* One run's writing. Several writers, also of several hosts, may be at work at once. */
struct repository_writer;
int repository_writer_new(struct repository *repository, struct repository_writer **ret_writer,
                          struct error *error);

/* Store an object (at most 4 MiB) unless it is known. ret_stored = bytes added to the repository,
 * 0 when it was known or zero. Blocks while packs are being put. Any thread. The first failure,
 * also of a pack that is put behind the scenes, is that of the writer: every later call fails with
 * it. */
int repository_writer_put(struct repository_writer *writer, enum object_type type, const void *data,
                          size_t size, struct object_id *ret_id, uint64_t *ret_stored,
                          struct error *error);

/* A disk: a tree of chunk ids. Chunks may come in any order from any thread; those that never
 * come are zero. */
struct disk_writer;
int disk_writer_new(struct repository_writer *writer, uint64_t disk_size,
                    struct disk_writer **ret_disk, struct error *error);
/* Each chunk at most once. */
int disk_writer_set(struct disk_writer *disk, uint64_t chunk_index, const struct object_id *id,
                    struct error *error);
/* Promise that no chunk before `chunk_index` will be set any more: its blocks of ids are put and
 * leave memory (32 bytes for each chunk of a block; without this, blocks in which some chunk never
 * comes stay until the end). Any thread; calling it for each chunk costs next to nothing. */
int disk_writer_close_before(struct disk_writer *disk, uint64_t chunk_index, struct error *error);
/* Writes the blocks; the root names the disk for ever. Frees on success and failure. */
int disk_writer_finish(struct disk_writer *disk, struct object_id *ret_root, uint64_t *ret_stored,
                       struct error *error);
void disk_writer_free(struct disk_writer *disk);

/* A document of any size up to 64 MiB (split into objects): XML, event record, NVRAM. */
int repository_writer_put_document(struct repository_writer *writer, const void *data, size_t size,
                                   struct object_id *ret_root, uint64_t *ret_stored,
                                   struct error *error);

/* Publish the packs and index, then the backup: `manifest` is stored encrypted and authenticated
 * together with `backup` (its id). See docs/format/backup.md for the members that this room reads
 * ("id", "time",
 * "documents"{name:root},
 * "vms"[].{"name","uuid","disks"[].{"target","size","root"},"documents"{name:root}}); the requester
 * may add others, but every root must be in one of these places. "time" must be there; "id" and
 * "committed" are set here. ERROR_EXISTS: there is a backup of this id; ERROR_USAGE or
 * ERROR_DAMAGED: the manifest is not as documented; ERROR_FAILED: it names a root that was never
 * put. No other call of this writer may be under way. After it returned 0 the backup is listed;
 * after -1 it is not, unless the message says that it may be: then the storage failed to make it
 * durable and to remove it again. Frees the writer.
 */
int repository_writer_commit(struct repository_writer *writer, const struct id *backup,
                             const json_t *manifest, struct error *error);
/* Give up: what was put already stays without a backup that refers to it and waits for prune.
 * NULL allowed. */
void repository_writer_free(struct repository_writer *writer);

/* ---- Reading ------------------------------------------------------------------------------- */

/* Every listed backup, oldest first: `each` gets the whole manifest (borrowed). A damaged backup
 * object is handed to `damaged` by name and does not hide the others. */
int repository_list(struct repository *repository,
                    int (*each)(void *context, const json_t *manifest, struct error *error),
                    void (*damaged)(void *context, const char *name, const struct error *error),
                    void *context, struct error *error);
/* `name` = id, a unique beginning of one (4 characters or more), or "latest". New reference.
 * ERROR_NOT_FOUND; ERROR_USAGE when it is ambiguous; ERROR_DAMAGED, for "latest" also when any
 * backup cannot be read (it might be the latest). */
json_t *repository_load(struct repository *repository, const char *name, struct error *error);

/* Can this backup (its id) be read: its manifest, all documents, and the root of each disk? Chunks
 * are not read: that is repository_verify()'s business. Errors as those of reading. */
int repository_prove(struct repository *repository, const char *backup, struct error *error);
/* Take a backup, named by its whole id, off the list: durable when it returns 0. Its data stays,
 * and a reader that has begun goes on. ERROR_USAGE: no id; one that is gone is no error. */
int repository_forget(struct repository *repository, const char *backup, struct error *error);

/* Read one object into `buffer` of `capacity` bytes; authenticated and compared with its id.
 * ERROR_DAMAGED names object and pack. The zero id is not an object here. Any thread. */
int repository_get(struct repository *repository, const struct object_id *id, enum object_type type,
                   void *buffer, size_t capacity, size_t *ret_size, struct error *error);

/* A stored disk. ids of `count` chunks from `first` on; blocks are cached. Any thread. */
struct disk_reader;
int disk_reader_new(struct repository *repository, const struct object_id *root,
                    struct disk_reader **ret_disk, struct error *error);
uint64_t disk_reader_size(const struct disk_reader *disk);
int disk_reader_ids(struct disk_reader *disk, uint64_t first, size_t count, struct object_id *ids,
                    struct error *error);
void disk_reader_free(struct disk_reader *disk);

/* How many bytes two stored disks differ in, counted in whole chunks, the unit in which disks are
 * compared; where one disk goes on behind the end of the other, what is not zero there differs.
 * NULL = no disk: all of the other one that is not zero differs. Reads only blocks of ids, and of
 * these only such as differ. ERROR_DAMAGED as repository_get(). Any thread. */
int repository_compare_disks(struct repository *repository, const struct object_id *left,
                             const struct object_id *right, uint64_t *ret_bytes,
                             struct error *error);

/* New buffer with a NUL behind it, to be freed. */
int repository_get_document(struct repository *repository, const struct object_id *root,
                            char **ret_data, size_t *ret_size, struct error *error);

/* ---- Verifying ----------------------------------------------------------------------------- */

struct repository_verify_counts {
    uint64_t backups, objects, bytes, faults;
};
/* Read and check everything: each backup, its trees, every chunk they refer to, each pack and
 * index segment. Every fault goes to `fault` (object or file, what is wrong, which backup/VM/disk
 * is touched); `progress` may be NULL. 0 = no fault, -1 with ERROR_DAMAGED = faults were reported.
 */
int repository_verify(struct repository *repository,
                      void (*fault)(void *context, const char *object, const char *message),
                      void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                      struct repository_verify_counts *ret_counts, struct error *error);

#endif
