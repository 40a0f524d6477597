/* Reading: the tables stay in memory (about 1/40 of the file), pages are fetched one at a time.
 * Ids are MACs, evenly spread, so the first 8 bytes of each page's first id find the page. */
#include "repository/segment.h"

#include <inttypes.h>
#include <string.h>

static uint64_t prefix_of(const uint8_t *id)
{
    return __builtin_bswap64(bytes_get64(id));
}

static uint64_t page_offset(uint32_t page)
{
    return sizeof(struct format_header) + (uint64_t)page * FORMAT_PAGE_SIZE;
}

static uint32_t page_count(uint32_t entries)
{
    return (entries + FORMAT_PAGE_ENTRIES - 1) / FORMAT_PAGE_ENTRIES;
}

void segment_free(struct segment *segment)
{
    if (!segment)
        return;
    free(segment->packs);
    free(segment->first);
    free(segment->pack_states);
    memory_wipe(&segment->frame, sizeof segment->frame);
    free(segment);
}

/* The counts in trailer and tables must agree with each other, the tail and the file. */
static int check_counts(const struct segment *segment, const struct format_tables *tables,
                        size_t tail_size, const char *path, struct error *error)
{
    uint64_t replaces = bytes_get32(tables->replaces);
    uint64_t expected = sizeof *tables + (uint64_t)segment->pack_count * sizeof *segment->packs +
                        (uint64_t)segment->pages * 8 + replaces * FORMAT_NAME_SIZE;
    if (!segment->entries || segment->entries > FORMAT_SEGMENT_ENTRIES_MAX ||
        segment->pack_count > FORMAT_SEGMENT_PACKS_MAX ||
        segment->pages != page_count(segment->entries) || expected != tail_size ||
        page_offset(segment->pages) != frame_body_end(&segment->frame))
        return error_set(error, ERROR_DAMAGED, "%s: its counts do not agree", path);
    return 0;
}

static int parse_tables(struct segment *segment, const char *tail, size_t tail_size,
                        const char *path, struct error *error)
{
    struct format_tables tables;
    if (tail_size < sizeof tables)
        return error_set(error, ERROR_DAMAGED, "%s: its tables are too short", path);
    memcpy(&tables, tail, sizeof tables);
    segment->entries = bytes_get32(segment->frame.trailer.entries);
    segment->pages = bytes_get32(tables.pages);
    segment->pack_count = bytes_get32(tables.packs);
    if (check_counts(segment, &tables, tail_size, path, error) != 0)
        return -1;
    const char *at = tail + sizeof tables;
    segment->packs = memory_copy(at, segment->pack_count * sizeof *segment->packs);
    at += segment->pack_count * sizeof *segment->packs;
    segment->pack_states = NEW_ARRAY(atomic_uchar, segment->pack_count);
    segment->first = NEW_ARRAY(uint64_t, segment->pages);
    for (uint32_t i = 0; i < segment->pages; i++)
        segment->first[i] = prefix_of((const uint8_t *)at + 8 * (size_t)i);
    return 0;
}

int segment_read(const struct frame_source *source, const char *path, const struct file_name *name,
                 struct segment **ret_segment, struct error *error)
{
    CLEANUP(segment_freep) struct segment *segment = NEW(struct segment);
    CLEANUP_FREE char *tail = NULL;
    size_t tail_size;
    segment->name = *name;
    if (frame_read(source, FRAME_INDEX, path, name, &segment->frame, &tail, &tail_size,
                   &segment->size, error) != 0 ||
        parse_tables(segment, tail, tail_size, path, error) != 0)
        return -1;
    *ret_segment = TAKE_PTR(segment);
    return 0;
}

/* Usually one page: two only when a page begins with the same 8 bytes. */
bool segment_find_pages(const struct segment *segment, const uint8_t *id, uint32_t *ret_first,
                        uint32_t *ret_last)
{
    uint64_t prefix = prefix_of(id);
    uint32_t low = 0, high = segment->pages; /* first page that begins at or behind the prefix */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (segment->first[middle] < prefix)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t last = low;
    while (last < segment->pages && segment->first[last] == prefix)
        last++;
    if (last == 0)
        return false;
    *ret_first = low ? low - 1 : 0;
    *ret_last = last - 1;
    return true;
}

static struct format_entry page_entry(uint32_t page)
{
    struct format_entry entry = {.type = {FORMAT_PAGE}, .codec = {FORMAT_RAW}};
    bytes_put32(entry.offset, (uint32_t)page_offset(page));
    bytes_put32(entry.stored, FORMAT_PAGE_SIZE);
    bytes_put32(entry.plain, FORMAT_PAGE_SIZE - FORMAT_TAG_SIZE);
    return entry;
}

int segment_read_page(const struct segment *segment, const struct frame_source *source,
                      uint32_t page, struct format_entry entries[FORMAT_PAGE_ENTRIES],
                      uint32_t *ret_count, struct error *error)
{
    WORKSPACE_LOAN(workspace, source->workspaces);
    uint8_t sealed[FORMAT_PAGE_SIZE];
    char path[name_path_size];
    name_index_path(&segment->name, path);
    if (source->backend->get(source->backend, path, page_offset(page), sealed, sizeof sealed,
                             error) != 0)
        return -1;
    struct format_entry entry = page_entry(page);
    struct crypto_place place = frame_place(segment->frame.key, &entry);
    if (crypto_open(&workspace->crypto, &place, sealed, sizeof sealed, (uint8_t *)entries) != 0)
        return error_set(error, ERROR_DAMAGED, "%s: page %" PRIu32 " is damaged", path, page);
    uint32_t before = page * FORMAT_PAGE_ENTRIES, rest = segment->entries - before;
    *ret_count = rest < FORMAT_PAGE_ENTRIES ? rest : FORMAT_PAGE_ENTRIES;
    return 0;
}

const struct format_entry *segment_search(const struct format_entry *entries, uint32_t count,
                                          const uint8_t *id)
{
    return count ? bsearch(id, entries, count, sizeof *entries, segment_compare_entries) : NULL;
}

/* `id` is the first member, so an id alone can be compared, too. */
int segment_compare_entries(const void *left, const void *right)
{
    return memcmp(left, right, FORMAT_ID_SIZE);
}

static void seal_pages(const struct frame *frame, struct workspace *workspace,
                       const struct format_entry *entries, uint32_t count, uint8_t *body)
{
    for (uint32_t page = 0; page < page_count(count); page++) {
        struct format_entry plain[FORMAT_PAGE_ENTRIES] = {0};
        uint32_t from = page * FORMAT_PAGE_ENTRIES;
        uint32_t here = count - from < FORMAT_PAGE_ENTRIES ? count - from : FORMAT_PAGE_ENTRIES;
        memcpy(plain, entries + from, here * sizeof *plain);
        struct format_entry entry = page_entry(page);
        struct crypto_place place = frame_place(frame->key, &entry);
        crypto_seal(&workspace->crypto, &place, plain, sizeof plain,
                    body + (size_t)page * FORMAT_PAGE_SIZE);
    }
}

static uint8_t *make_tables(const struct format_entry *entries, uint32_t count,
                            const struct format_pack *packs, uint32_t pack_count, size_t *ret_size)
{
    struct format_tables tables = {0};
    uint32_t pages = page_count(count);
    size_t size = sizeof tables + pack_count * sizeof *packs + (size_t)pages * 8;
    uint8_t *tail = memory_new(size, 1), *at = tail + sizeof tables;
    bytes_put32(tables.packs, pack_count);
    bytes_put32(tables.pages, pages);
    memcpy(tail, &tables, sizeof tables);
    memcpy(at, packs, pack_count * sizeof *packs);
    at += pack_count * sizeof *packs;
    for (uint32_t page = 0; page < pages; page++, at += 8)
        memcpy(at, entries[(size_t)page * FORMAT_PAGE_ENTRIES].id, 8);
    *ret_size = size;
    return tail;
}

int segment_write(const struct frame_source *source, const struct format_entry *entries,
                  uint32_t count, const struct format_pack *packs, uint32_t pack_count,
                  struct file_name *ret_name, struct error *error)
{
    WORKSPACE_LOAN(workspace, source->workspaces);
    struct file_name name = name_new();
    struct frame frame;
    frame_init(&frame, FRAME_INDEX, source->crypto, source->repository, &name);
    size_t body_size = (size_t)page_count(count) * FORMAT_PAGE_SIZE, tables_size, tail_size;
    CLEANUP_FREE uint8_t *body = memory_try_new(body_size, 1);
    if (!body)
        return error_set(error, ERROR_FAILED, "no memory for an index of %u entries", count);
    seal_pages(&frame, workspace, entries, count, body);
    CLEANUP_FREE uint8_t *tables = make_tables(entries, count, packs, pack_count, &tables_size);
    CLEANUP_FREE uint8_t *tail = NULL;
    if (frame_seal_tail(&frame, workspace, sizeof frame.header + body_size, count, tables,
                        tables_size, false, &tail, &tail_size, error) != 0)
        return -1;
    struct iovec pieces[] = {{&frame.header, sizeof frame.header},
                             {body, body_size},
                             {tail, tail_size},
                             {&frame.trailer, sizeof frame.trailer}};
    char path[name_path_size];
    name_index_path(&name, path);
    int result = source->backend->put(source->backend, path, pieces, 4, error);
    memory_wipe(frame.key, sizeof frame.key);
    *ret_name = name;
    return result;
}
