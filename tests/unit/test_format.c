/* The pages in docs/format/ and the structs in format.h say the same: every table under a heading
 * "### `struct name` (size bytes)" is compared, both ways, and the limits and magics with the text.
 */
#include "base/memory.h"
#include "repository/format.h"
#include "repository/repository.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

struct field {
    const char *structure, *name;
    size_t offset, size;
    unsigned seen;
};

#define FIELD(type, member)                                                                        \
    {                                                                                              \
#type, #member, offsetof(struct type, member), sizeof(((struct type *)NULL)->member), 0    \
    }
static struct field fields[] = {
    FIELD(format_header, magic),       FIELD(format_header, version),
    FIELD(format_header, reserved),    FIELD(format_header, repository),
    FIELD(format_header, name),        FIELD(format_header, salt),
    FIELD(format_trailer, magic),      FIELD(format_trailer, file_size),
    FIELD(format_trailer, tail_plain), FIELD(format_trailer, tail_size),
    FIELD(format_trailer, entries),    FIELD(format_trailer, codec),
    FIELD(format_trailer, reserved),   FIELD(format_entry, id),
    FIELD(format_entry, offset),       FIELD(format_entry, stored),
    FIELD(format_entry, plain),        FIELD(format_entry, type),
    FIELD(format_entry, codec),        FIELD(format_entry, pack),
    FIELD(format_tables, packs),       FIELD(format_tables, pages),
    FIELD(format_tables, replaces),    FIELD(format_tables, reserved),
    FIELD(format_pack, name),          FIELD(format_pack, size),
    FIELD(format_disk, magic),         FIELD(format_disk, size),
    FIELD(format_disk, chunk_size),    FIELD(format_disk, levels),
    FIELD(format_disk, reserved),      FIELD(format_disk, top),
    FIELD(format_document, magic),     FIELD(format_document, size),
    FIELD(format_document, parts),     FIELD(format_document, part_size),
};

static struct {
    const char *name;
    size_t size;
    unsigned seen;
} structures[] = {
    {"format_header", sizeof(struct format_header), 0},
    {"format_trailer", sizeof(struct format_trailer), 0},
    {"format_entry", sizeof(struct format_entry), 0},
    {"format_tables", sizeof(struct format_tables), 0},
    {"format_pack", sizeof(struct format_pack), 0},
    {"format_disk", sizeof(struct format_disk), 0},
    {"format_document", sizeof(struct format_document), 0},
};

static char *read_page(const char *name)
{
    CLEANUP_FREE char *path = memory_format("%s/docs/format/%s", SOURCE_ROOT, name);
    FILE *file = fopen(path, "re");
    if (!file)
        fail_msg("cannot open %s", path);
    char *text = memory_new(1, 100000);
    size_t size = fread(text, 1, 99999, file);
    assert_true(size > 0 && size < 99999);
    (void)fclose(file);
    return text;
}

static void check_structure(const char *name, size_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(structures); i++)
        if (strcmp(structures[i].name, name) == 0) {
            if (structures[i].size != size)
                fail_msg("struct %s: %zu bytes in the page, %zu in the code", name, size,
                         structures[i].size);
            structures[i].seen++;
            return;
        }
    fail_msg("struct %s is in no test", name);
}

static void check_row(const char *structure, const char *name, size_t offset, size_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (strcmp(fields[i].structure, structure) == 0 && strcmp(fields[i].name, name) == 0) {
            if (fields[i].offset != offset || fields[i].size != size)
                fail_msg("%s.%s: offset %zu, size %zu in the page; %zu, %zu in the code", structure,
                         name, offset, size, fields[i].offset, fields[i].size);
            fields[i].seen++;
            return;
        }
    fail_msg("%s.%s is in no struct", structure, name);
}

static void check_page(const char *page)
{
    CLEANUP_FREE char *text = read_page(page);
    char structure[64] = "", name[64], *rest = text;
    size_t offset, size;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (sscanf(line, "### `struct %63[a-z_]` (%zu bytes)", name, &size) == 2) {
            (void)snprintf(structure, sizeof structure, "%s", name);
            check_structure(structure, size);
        } else if (line[0] == '#') {
            structure[0] = '\0';
        } else if (structure[0] &&
                   sscanf(line, "| %zu | %zu | `%63[a-z_]` |", &offset, &size, name) == 3) {
            check_row(structure, name, offset, size);
        }
    }
}

static void pages_and_structs_agree(void **state)
{
    (void)state;
    check_page("README.md");
    check_page("pack.md");
    check_page("index.md");
    check_page("tree.md");
    check_page("backup.md");
    check_page("keys.md");
    for (size_t i = 0; i < ARRAY_SIZE(structures); i++)
        if (structures[i].seen != 1)
            fail_msg("struct %s is %u times in the pages", structures[i].name, structures[i].seen);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (fields[i].seen != 1)
            fail_msg("%s.%s is %u times in the pages", fields[i].structure, fields[i].name,
                     fields[i].seen);
}

/* Fields leave no gap and fill their struct, so none can be forgotten in the list above. */
static void fields_fill_their_structs(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(structures); i++) {
        size_t at = 0;
        for (size_t j = 0; j < ARRAY_SIZE(fields); j++)
            if (strcmp(fields[j].structure, structures[i].name) == 0) {
                assert_int_equal(fields[j].offset, at);
                at += fields[j].size;
            }
        assert_int_equal(at, structures[i].size);
    }
}

static void assert_says(const char *text, const char *page, const char *phrase)
{
    if (!strstr(text, phrase))
        fail_msg("%s does not say \"%s\"", page, phrase);
}

static void numbers_are_as_documented(void **state)
{
    (void)state;
    CLEANUP_FREE char *readme = read_page("README.md"), *index = read_page("index.md"),
                      *tree = read_page("tree.md");
    static const struct {
        const char *phrase;
        uint64_t value, code;
    } numbers[] = {
        {"| object, before compression | 4 MiB |", 4 << 20, FORMAT_OBJECT_MAX},
        {"| chunk of a disk | power of two, 64 KiB to 4 MiB |", 64 << 10, FORMAT_CHUNK_MIN},
        {"| pack | 40 MiB, 65,536 objects |", 40 << 20, FORMAT_PACK_MAX},
        {"| index segment | 262,144 entries, 65,536 packs |", 262144, FORMAT_SEGMENT_ENTRIES_MAX},
        {"| document | 64 MiB |", 64 << 20, FORMAT_DOCUMENT_MAX},
        {"| manifest | 64 MiB |", 64 << 20, FORMAT_TAIL_MAX},
        {"| disk | 2^60 bytes |", UINT64_C(1) << 60, FORMAT_DISK_MAX},
        {"| `vmshadow-repository`, a file in `keys/` | 4096 bytes |", 4096, FORMAT_TEXT_MAX},
        {"| 1 | data", 1, OBJECT_DATA},
        {"| 2 | tree", 2, OBJECT_TREE},
        {"| 3 | document", 3, OBJECT_DOCUMENT},
        {"| 16 | the directory of a pack |", 16, FORMAT_DIRECTORY},
        {"| 17 | a page of an index segment |", 17, FORMAT_PAGE},
        {"| 18 | the tables of an index segment |", 18, FORMAT_TABLES},
        {"| 19 | the manifest of a backup |", 19, FORMAT_MANIFEST},
        {"`vmsPACK1`, `vmsINDX1` or `vmsBKUP1`", 1, FORMAT_VERSION},
    };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        assert_says(readme, "README.md", numbers[i].phrase);
        assert_int_equal(numbers[i].value, numbers[i].code);
    }
    assert_says(index, "index.md", "A page** is 4096 bytes in the file: 85 entries of 48 bytes");
    assert_int_equal(FORMAT_PAGE_SIZE, 4096);
    assert_int_equal(FORMAT_PAGE_ENTRIES, 85);
    assert_says(tree, "tree.md", "*blocks* of 1024 (objects of type 2, 32,768 bytes)");
    assert_int_equal(FORMAT_BLOCK_SIZE, 32768);
    assert_says(tree, "tree.md", "Up to 65,536 bytes follow the root itself");
    assert_int_equal(FORMAT_DOCUMENT_INLINE, 65536);
    assert_says(tree, "tree.md", "parts of 1 MiB");
    assert_int_equal(FORMAT_DOCUMENT_PART, 1 << 20);
    assert_string_equal(FORMAT_PACK_MAGIC FORMAT_INDEX_MAGIC FORMAT_BACKUP_MAGIC,
                        "vmsPACK1vmsINDX1vmsBKUP1");
    assert_says(tree, "tree.md", "`" FORMAT_DISK_MAGIC "`");
    assert_says(tree, "tree.md", "`" FORMAT_DOCUMENT_MAGIC "`");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_and_structs_agree),
        cmocka_unit_test(fields_fill_their_structs),
        cmocka_unit_test(numbers_are_as_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
