/* Packs and the index. Packs are read in as many threads as there are processors, each from its
 * first object to its last. */
#include "repository/verify.h"

#include "base/workers.h"
#include "repository/pack.h"

#include <inttypes.h>
#include <sched.h>
#include <string.h>

/* ---- Packs --------------------------------------------------------------------------------- */

void verify_copy(struct verify *verify, const struct file_name *pack,
                 const struct format_entry *entry, uint8_t *buffer)
{
    struct index_place place = {.pack = *pack, .entry = *entry};
    struct object_id id;
    struct error fault = ERROR_INIT;
    size_t size;
    char path[name_path_size];
    memcpy(id.bytes, entry->id, sizeof id.bytes);
    if (repository_read_copy(verify->repository, &place, &id, entry->type[0], buffer,
                             FORMAT_OBJECT_MAX, &size, &fault) != 0) {
        name_pack_path(pack, path);
        verify_add_bad_copy(verify, pack, entry->id);
        verify_fault(verify, path, "%s", fault.message);
        return;
    }
    pthread_mutex_lock(&verify->lock);
    verify->counts.objects++;
    verify->counts.bytes += size;
    pthread_mutex_unlock(&verify->lock);
}

/* Header, trailer and directory. The entries are to be freed. */
static int read_directory(struct verify *verify, const struct verify_pack *pack,
                          struct format_entry **ret_entries, uint32_t *ret_count,
                          struct error *error)
{
    struct frame frame;
    CLEANUP_FREE char *tail = NULL;
    size_t size;
    uint64_t file_size;
    char path[name_path_size];
    name_pack_path(&pack->name, path);
    if (frame_read(&verify->repository->source, FRAME_PACK, path, &pack->name, &frame, &tail, &size,
                   &file_size, error) != 0)
        return -1;
    uint32_t count = bytes_get32(frame.trailer.entries);
    if (size != (uint64_t)count * sizeof(struct format_entry))
        return error_set(error, ERROR_DAMAGED, "%s: its directory has a wrong size", path);
    if (pack_check_directory((struct format_entry *)tail, count, frame_body_end(&frame), path,
                             error) != 0)
        return -1;
    *ret_entries = (struct format_entry *)TAKE_PTR(tail);
    *ret_count = count;
    return 0;
}

static void tell_progress(struct verify *verify, uint64_t bytes)
{
    pthread_mutex_lock(&verify->lock);
    verify->done += bytes;
    if (verify->progress)
        verify->progress(verify->context, verify->done, verify->total);
    pthread_mutex_unlock(&verify->lock);
}

static int check_pack(void *context, unsigned index)
{
    struct verify *verify = context;
    struct verify_pack *pack = &verify->packs[index];
    CLEANUP_FREE struct format_entry *entries = NULL;
    CLEANUP_FREE uint8_t *buffer = memory_resize(NULL, 1, FORMAT_OBJECT_MAX);
    struct error fault = ERROR_INIT;
    uint32_t count = 0;
    char path[name_path_size];
    if (read_directory(verify, pack, &entries, &count, &fault) != 0) {
        name_pack_path(&pack->name, path);
        pack->broken = true;
        verify_fault(verify, path, "%s", fault.message);
    }
    uint64_t told = 0;
    for (uint32_t i = 0; i < count; i++) {
        verify_copy(verify, &pack->name, &entries[i], buffer);
        tell_progress(verify, bytes_get32(entries[i].stored));
        told += bytes_get32(entries[i].stored);
    }
    tell_progress(verify, pack->size > told ? pack->size - told : 0);
    return 0;
}

static unsigned processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

int verify_packs(struct verify *verify, struct error *error)
{
    if (verify->pack_count > UINT32_MAX)
        return error_set(error, ERROR_REFUSED, "too many packs");
    (void)workers_each((unsigned)verify->pack_count, processors(), check_pack, verify);
    return 0;
}

/* ---- Index --------------------------------------------------------------------------------- */

/* All entries of a segment, checked for their order. NULL: a fault was reported. */
static struct format_entry *read_entries(struct verify *verify, const struct segment *segment,
                                         const char *path)
{
    struct format_entry page[FORMAT_PAGE_ENTRIES];
    CLEANUP_FREE struct format_entry *entries = NEW_ARRAY(struct format_entry, segment->entries);
    struct error fault = ERROR_INIT;
    uint32_t used = 0, count;
    for (uint32_t i = 0; i < segment->pages; i++) {
        if (segment_read_page(segment, &verify->repository->source, i, page, &count, &fault) != 0) {
            verify_fault(verify, path, "%s", fault.message);
            return NULL;
        }
        if (segment->first[i] != __builtin_bswap64(bytes_get64(page[0].id))) {
            verify_fault(verify, path, "its fan-out does not lead to page %" PRIu32, i);
            return NULL;
        }
        memcpy(entries + used, page, count * sizeof *page);
        used += count;
    }
    for (uint32_t i = 0; i < used; i++)
        if ((i && segment_compare_entries(&entries[i - 1], &entries[i]) >= 0) ||
            bytes_get16(entries[i].pack) >= segment->pack_count) {
            verify_fault(verify, path, "entry %" PRIu32 " is out of order or names no pack", i);
            return NULL;
        }
    return TAKE_PTR(entries);
}

static int by_place(const void *left, const void *right)
{
    const struct format_entry *a = left, *b = right;
    int order = (int)bytes_get16(a->pack) - (int)bytes_get16(b->pack);
    uint32_t x = bytes_get32(a->offset), y = bytes_get32(b->offset);
    return order ? order : (x > y) - (x < y);
}

/* Entries of one pack, in the order of their offsets, against its directory in the same order. */
static void compare_with_directory(struct verify *verify, const char *path,
                                   const struct file_name *pack, const struct format_entry *entries,
                                   uint32_t count, const struct format_entry *directory,
                                   uint32_t directory_count)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct format_entry entry = entries[i];
        bytes_put16(entry.pack, 0);
        while (at < directory_count &&
               bytes_get32(directory[at].offset) < bytes_get32(entry.offset))
            at++;
        if (at < directory_count && memcmp(&entry, &directory[at], sizeof entry) == 0)
            continue;
        char text[2 * FORMAT_ID_SIZE + 1];
        name_format_hex(entry.id, sizeof entry.id, text);
        verify_add_bad_copy(verify, pack, entry.id);
        verify_fault(verify, path, "object %s is not where the index says", text);
    }
}

static void check_entries_of_pack(struct verify *verify, const char *path,
                                  const struct format_pack *which,
                                  const struct format_entry *entries, uint32_t count)
{
    struct file_name name;
    char pack_path[name_path_size];
    CLEANUP_FREE struct format_entry *directory = NULL;
    struct error fault = ERROR_INIT;
    uint32_t directory_count;
    memcpy(name.bytes, which->name, sizeof name.bytes);
    name_pack_path(&name, pack_path);
    struct verify_pack *pack = verify_find_pack(verify, &name);
    if (!pack) {
        verify_fault(verify, pack_path, "the pack is missing; %" PRIu32 " objects were in it",
                     count);
        return;
    }
    if (pack->broken) { /* reported; its objects may still be good where the index says */
        CLEANUP_FREE uint8_t *buffer = memory_new(1, FORMAT_OBJECT_MAX);
        for (uint32_t i = 0; i < count; i++) {
            struct format_entry entry = entries[i];
            bytes_put16(entry.pack, 0);
            verify_copy(verify, &name, &entry, buffer);
        }
        return;
    }
    if (pack->size != bytes_get64(which->size))
        verify_fault(verify, path, "%s is not as long as the index says", pack_path);
    if (read_directory(verify, pack, &directory, &directory_count, &fault) != 0)
        verify_fault(verify, pack_path, "%s", fault.message);
    else
        compare_with_directory(verify, path, &name, entries, count, directory, directory_count);
}

static void check_segment(struct verify *verify, const struct file_name *name)
{
    CLEANUP(segment_freep) struct segment *segment = NULL;
    char path[name_path_size];
    struct error fault = ERROR_INIT;
    name_index_path(name, path);
    if (segment_read(&verify->repository->source, path, name, &segment, &fault) != 0) {
        verify_fault(verify, path, "%s", fault.message);
        return;
    }
    CLEANUP_FREE struct format_entry *entries = read_entries(verify, segment, path);
    if (!entries)
        return;
    qsort(entries, segment->entries, sizeof *entries, by_place);
    for (uint32_t from = 0, to; from < segment->entries; from = to) {
        uint16_t pack = bytes_get16(entries[from].pack);
        for (to = from; to < segment->entries && bytes_get16(entries[to].pack) == pack; to++)
            ;
        check_entries_of_pack(verify, path, &segment->packs[pack], entries + from, to - from);
    }
}

int verify_index(struct verify *verify, struct error *error)
{
    (void)error;
    for (size_t i = 0; i < verify->segment_count; i++)
        check_segment(verify, &verify->segments[i]);
    return 0;
}
