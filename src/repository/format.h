/* Format: the structs and limits of docs/format/, and nothing else. Change both or neither.
 *
 * The checker (verify) shares only this file with the writer's encoders.
 */
#ifndef REPOSITORY_FORMAT_H
#define REPOSITORY_FORMAT_H

#include "base/bytes.h"

#include <assert.h>
#include <stdint.h>

#define FORMAT_HEADER_FILE "vmshadow-repository"
#define FORMAT_PACK_MAGIC "vmsPACK1"
#define FORMAT_INDEX_MAGIC "vmsINDX1"
#define FORMAT_BACKUP_MAGIC "vmsBKUP1"
#define FORMAT_DISK_MAGIC "vmsDISK1"
#define FORMAT_DOCUMENT_MAGIC "vmsDOCU1"

enum {
    FORMAT_VERSION = 1,
    FORMAT_MAGIC_SIZE = 8,
    FORMAT_NAME_SIZE = 16,
    FORMAT_ID_SIZE = 32,
    FORMAT_KEY_SIZE = 32,
    FORMAT_TAG_SIZE = 16,
    FORMAT_NONCE_SIZE = 12,

    FORMAT_OBJECT_MAX = 4 << 20,
    FORMAT_CHUNK_MIN = 64 << 10,
    FORMAT_CHUNK_MAX = 4 << 20,
    FORMAT_PACK_MAX = 40 << 20,
    FORMAT_PACK_ENTRIES_MAX = 65536,
    FORMAT_TAIL_MAX = 64 << 20,
    FORMAT_TEXT_MAX = 4096,

    FORMAT_PAGE_SIZE = 4096,
    FORMAT_PAGE_ENTRIES = 85,
    FORMAT_SEGMENT_ENTRIES_MAX = 262144,
    FORMAT_SEGMENT_PACKS_MAX = 65536,

    FORMAT_BLOCK_IDS = 1024,
    FORMAT_BLOCK_SIZE = FORMAT_BLOCK_IDS * FORMAT_ID_SIZE,
    FORMAT_LEVELS_MAX = 6,

    FORMAT_DOCUMENT_MAX = 64 << 20,
    FORMAT_DOCUMENT_INLINE = 64 << 10,
    FORMAT_DOCUMENT_PART = 1 << 20,
};
#define FORMAT_DISK_MAX (UINT64_C(1) << 60)

enum format_type { /* object types 1..3 are in repository.h */
                   FORMAT_DIRECTORY = 16,
                   FORMAT_PAGE = 17,
                   FORMAT_TABLES = 18,
                   FORMAT_MANIFEST = 19,
};
enum format_codec { FORMAT_RAW = 0, FORMAT_ZSTD = 1 };

struct format_header {
    uint8_t magic[8], version[4], reserved[4], repository[16], name[16], salt[16];
};
static_assert(sizeof(struct format_header) == 64, "docs/format/README.md: change both");

struct format_trailer {
    uint8_t magic[8], file_size[8], tail_plain[4], tail_size[4], entries[4], codec[1], reserved[3];
};
static_assert(sizeof(struct format_trailer) == 32, "docs/format/README.md: change both");

struct format_entry {
    uint8_t id[32], offset[4], stored[4], plain[4], type[1], codec[1], pack[2];
};
static_assert(sizeof(struct format_entry) == 48, "docs/format/README.md: change both");
static_assert(FORMAT_PAGE_ENTRIES * sizeof(struct format_entry) + FORMAT_TAG_SIZE ==
                  FORMAT_PAGE_SIZE,
              "docs/format/index.md: change both");

struct format_tables {
    uint8_t packs[4], pages[4], replaces[4], reserved[4];
};
static_assert(sizeof(struct format_tables) == 16, "docs/format/index.md: change both");

struct format_pack {
    uint8_t name[16], size[8];
};
static_assert(sizeof(struct format_pack) == 24, "docs/format/index.md: change both");

struct format_disk {
    uint8_t magic[8], size[8], chunk_size[4], levels[4], reserved[8], top[32];
};
static_assert(sizeof(struct format_disk) == 64, "docs/format/tree.md: change both");

struct format_document {
    uint8_t magic[8], size[8], parts[4], part_size[4];
};
static_assert(sizeof(struct format_document) == 24, "docs/format/tree.md: change both");

/* A file's name: 16 bytes, 32 digits in a path. */
struct file_name {
    uint8_t bytes[FORMAT_NAME_SIZE];
};

#endif
