/* Segments are only ever added while a repository is open, so a position in the array stays good.
 * A search begins with the segment of the last hit: objects that were stored together are looked
 * up together.
 *
 * The page cache is 4-way set-associative with a clock hand per set: no allocation, no list, and
 * one lock that is not held while a page is read.
 */
#include "repository/index.h"

#include <pthread.h>
#include <string.h>

enum { ways = 4 };

struct cached_page {
    const struct segment *segment;
    uint32_t page, count;
    struct format_entry entries[FORMAT_PAGE_ENTRIES];
};

struct index {
    /* Set at creation, never changed. */
    const struct frame_source *source;
    size_t sets;
    /* Guarded by segments_lock: read-locked for searches. */
    pthread_rwlock_t segments_lock;
    struct segment **segments;
    size_t segment_count;
    pthread_mutex_t cache_lock;
    /* Guarded by cache_lock: sets * ways pages, each allocated when first used; a hand per set. */
    struct cached_page **cache;
    uint8_t *hands;
    /* Atomic. */
    atomic_size_t last_hit;
    atomic_uint_fast64_t damage;
};

struct index *index_new(const struct frame_source *source, size_t pages)
{
    struct index *index = NEW(struct index);
    index->source = source;
    index->sets = pages / ways ? pages / ways : 1;
    index->cache = NEW_ARRAY(struct cached_page *, index->sets * ways);
    index->hands = NEW_ARRAY(uint8_t, index->sets);
    pthread_rwlock_init(&index->segments_lock, NULL);
    pthread_mutex_init(&index->cache_lock, NULL);
    return index;
}

void index_free(struct index *index)
{
    if (!index)
        return;
    for (size_t i = 0; i < index->segment_count; i++)
        segment_free(index->segments[i]);
    free(index->segments);
    for (size_t i = 0; i < index->sets * ways; i++)
        free(index->cache[i]);
    free(index->cache);
    free(index->hands);
    pthread_rwlock_destroy(&index->segments_lock);
    pthread_mutex_destroy(&index->cache_lock);
    free(index);
}

uint64_t index_damage(const struct index *index)
{
    return atomic_load(&((struct index *)index)->damage);
}

/* ---- Segments ------------------------------------------------------------------------------ */

/* Called with segments_lock held. */
static bool is_known(const struct index *index, const struct file_name *name)
{
    for (size_t i = 0; i < index->segment_count; i++)
        if (memcmp(&index->segments[i]->name, name, sizeof *name) == 0)
            return true;
    return false;
}

int index_add(struct index *index, const struct file_name *name, struct error *error)
{
    CLEANUP(segment_freep) struct segment *segment = NULL;
    char path[name_path_size];
    name_index_path(name, path);
    if (segment_read(index->source, path, name, &segment, error) != 0)
        return -1;
    pthread_rwlock_wrlock(&index->segments_lock);
    if (!is_known(index, name))
        ARRAY_APPEND(index->segments, index->segment_count, TAKE_PTR(segment));
    pthread_rwlock_unlock(&index->segments_lock);
    return 0;
}

/* One that was removed since it was listed is no fault; a name that is none of ours is verify's
 * business. */
static int refresh_one(void *context, const char *path, struct error *error)
{
    struct index *index = context;
    struct file_name name;
    struct error fault = ERROR_INIT;
    if (name_parse_index_path(path, &name) != 0)
        return 0;
    pthread_rwlock_rdlock(&index->segments_lock);
    bool known = is_known(index, &name);
    pthread_rwlock_unlock(&index->segments_lock);
    if (known || index_add(index, &name, &fault) == 0 || fault.kind == ERROR_NOT_FOUND)
        return 0;
    if (fault.kind == ERROR_DAMAGED) {
        atomic_fetch_add(&index->damage, 1);
        return 0;
    }
    error_move(error, &fault);
    return -1;
}

int index_refresh(struct index *index, struct error *error)
{
    struct backend *backend = index->source->backend;
    return backend->list(backend, "index/", refresh_one, index, error);
}

/* ---- Pages --------------------------------------------------------------------------------- */

static size_t set_of(const struct index *index, const struct segment *segment, uint32_t page)
{
    uint64_t hash = ((uint64_t)(uintptr_t)segment >> 4) * UINT64_C(0x9e3779b97f4a7c15) +
                    page * UINT64_C(0xc2b2ae3d27d4eb4f);
    hash ^= hash >> 29;
    return hash % index->sets;
}

/* 1 found, 0 the page does not have it, -1 the page is not in the cache. */
static int search_cache(struct index *index, const struct segment *segment, uint32_t page,
                        const uint8_t *id, struct format_entry *ret_entry)
{
    int result = -1;
    pthread_mutex_lock(&index->cache_lock);
    struct cached_page **set = &index->cache[set_of(index, segment, page) * ways];
    for (unsigned i = 0; i < ways && result < 0; i++) {
        if (!set[i] || set[i]->segment != segment || set[i]->page != page)
            continue;
        const struct format_entry *entry = segment_search(set[i]->entries, set[i]->count, id);
        result = entry != NULL;
        if (entry)
            *ret_entry = *entry;
    }
    pthread_mutex_unlock(&index->cache_lock);
    return result;
}

static void insert_page(struct index *index, const struct cached_page *page)
{
    pthread_mutex_lock(&index->cache_lock);
    size_t set = set_of(index, page->segment, page->page);
    struct cached_page **slot = &index->cache[set * ways + index->hands[set]++ % ways];
    if (!*slot)
        *slot = NEW(struct cached_page);
    **slot = *page;
    pthread_mutex_unlock(&index->cache_lock);
}

/* 1 found, 0 not, -1 the storage failed. A damaged page is one that has nothing. */
static int search_page(struct index *index, const struct segment *segment, uint32_t page,
                       const uint8_t *id, struct format_entry *ret_entry, struct error *error)
{
    int result = search_cache(index, segment, page, id, ret_entry);
    if (result >= 0)
        return result;
    struct cached_page fresh = {.segment = segment, .page = page};
    struct error fault = ERROR_INIT;
    if (segment_read_page(segment, index->source, page, fresh.entries, &fresh.count, &fault) != 0) {
        if (fault.kind == ERROR_DAMAGED || fault.kind == ERROR_NOT_FOUND) {
            atomic_fetch_add(&index->damage, 1);
            return 0;
        }
        error_move(error, &fault);
        return -1;
    }
    insert_page(index, &fresh);
    const struct format_entry *entry = segment_search(fresh.entries, fresh.count, id);
    if (entry)
        *ret_entry = *entry;
    return entry != NULL;
}

static int search_segment(struct index *index, const struct segment *segment, const uint8_t *id,
                          struct format_entry *ret_entry, struct error *error)
{
    uint32_t first, last;
    if (!segment_find_pages(segment, id, &first, &last))
        return 0;
    for (uint32_t page = first; page <= last; page++) {
        int result = search_page(index, segment, page, id, ret_entry, error);
        if (result != 0)
            return result;
    }
    return 0;
}

/* ---- Finding ------------------------------------------------------------------------------- */

/* Is the pack there, as long as it was? Asked once; -1 the storage failed. */
static int pack_is_present(struct index *index, const struct segment *segment, uint32_t pack,
                           struct error *error)
{
    unsigned char state = atomic_load(&segment->pack_states[pack]);
    if (state != SEGMENT_PACK_UNKNOWN)
        return state == SEGMENT_PACK_PRESENT;
    struct backend *backend = index->source->backend;
    struct file_name name;
    struct error fault = ERROR_INIT;
    char path[name_path_size];
    uint64_t size = 0;
    memcpy(name.bytes, segment->packs[pack].name, sizeof name.bytes);
    name_pack_path(&name, path);
    if (backend->size(backend, path, &size, &fault) != 0 && fault.kind != ERROR_NOT_FOUND &&
        fault.kind != ERROR_DAMAGED) {
        error_move(error, &fault);
        return -1;
    }
    bool present = !error_is_set(&fault) && size == bytes_get64(segment->packs[pack].size);
    atomic_store(&segment->pack_states[pack],
                 present ? SEGMENT_PACK_PRESENT : SEGMENT_PACK_MISSING);
    return present;
}

/* 1: a usable place, 0: none, -1. */
static int place_in_segment(struct index *index, const struct segment *segment,
                            const struct object_id *id, bool present, struct index_place *place,
                            struct error *error)
{
    int found = search_segment(index, segment, id->bytes, &place->entry, error);
    if (found <= 0)
        return found;
    uint32_t pack = bytes_get16(place->entry.pack);
    if (pack >= segment->pack_count) {
        atomic_fetch_add(&index->damage, 1);
        return 0;
    }
    int good = present ? pack_is_present(index, segment, pack, error) : 1;
    if (good <= 0)
        return good;
    memcpy(place->pack.bytes, segment->packs[pack].name, sizeof place->pack.bytes);
    bytes_put16(place->entry.pack, 0);
    return 1;
}

int index_find(struct index *index, const struct object_id *id, bool present,
               struct index_cursor *cursor, struct index_place *ret_place, struct error *error)
{
    struct index_place place;
    int result = 0;
    if (!cursor->begun)
        *cursor = (struct index_cursor){.start = atomic_load(&index->last_hit), .begun = true};
    pthread_rwlock_rdlock(&index->segments_lock);
    for (; result == 0 && cursor->steps < index->segment_count; cursor->steps++) {
        size_t at = (cursor->start + cursor->steps) % index->segment_count;
        result = place_in_segment(index, index->segments[at], id, present, &place, error);
        if (result > 0)
            atomic_store(&index->last_hit, at);
    }
    pthread_rwlock_unlock(&index->segments_lock);
    if (result > 0)
        *ret_place = place;
    return result;
}

int index_has(struct index *index, const struct object_id *id, struct error *error)
{
    struct index_cursor cursor = {0};
    struct index_place place;
    return index_find(index, id, true, &cursor, &place, error);
}
