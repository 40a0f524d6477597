/* vss: which files a component's list means on a copy; the names of the published numbers. */
#include "base/memory.h"
#include "vss/files.h"
#include "vss/writer-state.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static void make_file(const char *path)
{
    CLEANUP_FREE char *full = memory_format("%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    CLEANUP_CLOSE int file = open(full, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(file >= 0);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/vmshadow-test-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)stat, (void)kind, (void)walk;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct fixture {
    struct metadata *metadata;
    struct metadata_component *component;
};

static struct fixture new_fixture(void)
{
    struct fixture fixture = {.metadata = metadata_new()};
    fixture.component =
        metadata_add_component(fixture.metadata, VSS_CT_FILEGROUP, "", "vm", NULL, NULL);
    return fixture;
}

/* The paths found, joined by spaces. */
static char *evaluate(const struct fixture *fixture)
{
    struct error error = ERROR_INIT;
    CLEANUP(files_freep) struct files *files = NULL;
    if (files_evaluate(root, fixture->metadata, fixture->component, &files, &error) != 0)
        return memory_format("%s: %s", vss_code_name((vss_code)error.number), error.message);
    char *text = memory_copy_string("");
    for (size_t i = 0; i < files->count; i++) {
        char *longer = memory_format("%s%s%s", text, i ? " " : "", files->entries[i].path);
        free(text);
        text = longer;
    }
    return text;
}

static void assert_files(const struct fixture *fixture, const char *expected)
{
    CLEANUP_FREE char *text = evaluate(fixture);
    assert_string_equal(text, expected);
}

static void row_55_literal_missing_file_fails(void **state)
{
    (void)state;
    make_file("/vm/a.qcow2");
    struct fixture literal = new_fixture(), wildcard = new_fixture();
    metadata_add_file(literal.component, "/vm", "a.qcow2", false);
    assert_files(&literal, "/vm/a.qcow2");
    metadata_add_file(literal.component, "/vm", "b.qcow2", false);
    assert_files(&literal, "VSS_E_OBJECT_NOT_FOUND: component vm: file /vm/b.qcow2 is missing");
    metadata_add_file(wildcard.component, "/vm", "*.vsv", false);
    metadata_add_file(wildcard.component, "/nowhere", "?", true);
    assert_files(&wildcard, "");
    metadata_add_file(wildcard.component, "/nowhere", "literal", true);
    assert_files(&wildcard,
                 "VSS_E_OBJECT_NOT_FOUND: component vm: file /nowhere/literal is missing");
    metadata_free(literal.metadata);
    metadata_free(wildcard.metadata);
}

static void recursion_and_duplicates(void **state)
{
    (void)state;
    make_file("/vm/x.img");
    make_file("/vm/deep/er/y.img");
    make_file("/vm/deep/z.txt");
    struct fixture fixture = new_fixture();
    metadata_add_file(fixture.component, "/vm", "*.img", false);
    assert_files(&fixture, "/vm/x.img");
    metadata_add_file(fixture.component, "/vm/", "*.img", true);
    assert_files(&fixture, "/vm/deep/er/y.img /vm/x.img");
    metadata_free(fixture.metadata);
}

/* Row 54: exclusion wins, and is compared with the original path only. */
static void row_54_exclusion_beats_inclusion(void **state)
{
    (void)state;
    make_file("/vm/a.img");
    make_file("/vm/a.pid");
    make_file("/vm/sub/b.pid");
    make_file("/copy/c.img");
    struct fixture fixture = new_fixture();
    metadata_add_file(fixture.component, "/vm", "*", true);
    metadata_add_exclude(fixture.metadata, "/vm", "*.pid", true);
    assert_files(&fixture, "/vm/a.img");
    metadata_add_file(fixture.component, "/other", "c.img", false)->alternate_path =
        memory_copy_string("/copy");
    metadata_add_exclude(fixture.metadata, "/copy", "*", true);
    assert_files(&fixture, "/other/c.img /vm/a.img");
    metadata_add_exclude(fixture.metadata, "/other", "c.img", false);
    assert_files(&fixture, "/vm/a.img"); /* excluded is not missing */
    metadata_free(fixture.metadata);
}

static void links_are_not_followed(void **state)
{
    (void)state;
    make_file("/vm/a.img");
    CLEANUP_FREE char *link = memory_format("%s/vm/loop", root);
    assert_int_equal(symlink("..", link), 0);
    struct fixture fixture = new_fixture();
    metadata_add_file(fixture.component, "/vm", "*.img", true);
    assert_files(&fixture, "/vm/a.img");
    metadata_free(fixture.metadata);
}

static void matching(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"*", "", true},
        {"*", "a", true},
        {"a*b*c", "aXbYc", true},
        {"a*b*c", "aXbY", false},
        {"?", "\xC3\xA4", true},
        {"??", "\xC3\xA4", false},
        {"[a]", "a", false},
        {"[a]", "[a]", true},
        {"*.img", "x.img.gz", false},
        {"*.img", "x.img", true},
        {"*\xC3\xA4", "o\xC3\xA4", true},
        {"a", "A", false},
        {"*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(files_match(cases[i].pattern, cases[i].name), cases[i].matches);
}

/* The numbers and words of vss.md 1.8 and 1.12. */
static void published_names(void **state)
{
    (void)state;
    assert_string_equal(vss_code_name(0x80042301), "VSS_E_BAD_STATE");
    assert_string_equal(vss_code_name(0x800423F2), "VSS_E_WRITERERROR_TIMEOUT");
    assert_string_equal(vss_code_name(0x80041234), "0x80041234");
    assert_string_equal(vss_writer_state_name(VSS_WS_FAILED_AT_BACKUPSHUTDOWN),
                        "VSS_WS_FAILED_AT_BACKUPSHUTDOWN");
    assert_string_equal(vss_writer_state_word(VSS_WS_WAITING_FOR_THAW), "Frozen");
    assert_string_equal(vss_writer_state_word((enum vss_writer_state)99), "Unknown");
    for (int i = 0; i < VSS_WS_COUNT; i++)
        assert_non_null(vss_writer_state_name((enum vss_writer_state)i));
    for (int i = 0; i < VSS_EVENT_COUNT_; i++)
        assert_true(strlen(vss_event_name((enum vss_event)i)) > 1);
    for (int i = 0; i < VSS_STAGE_COUNT_; i++)
        assert_true(strlen(vss_stage_name((enum vss_stage)i)) > 1);
}

/* The whole table: the normal path, and that a failed state is never left within a session. */
static void writer_state_table(void **state)
{
    (void)state;
    static const enum vss_event path[] = {VSS_EVENT_PREPARE_FOR_BACKUP,
                                          VSS_EVENT_PREPARE_FOR_SNAPSHOT,
                                          VSS_EVENT_FREEZE,
                                          VSS_EVENT_THAW,
                                          VSS_EVENT_POST_SNAPSHOT,
                                          VSS_EVENT_BACKUP_COMPLETE};
    static const int states[] = {1, 2, 3, 4, 5, 1};
    enum vss_writer_state now = VSS_WS_STABLE;
    for (size_t i = 0; i < ARRAY_SIZE(path); i++) {
        assert_true(writer_state_accepts(now, path[i]));
        enum vss_writer_state failed = writer_state_after(now, path[i], false);
        assert_int_equal(failed, 7 + (int)i);
        for (int event = 0; event < VSS_EVENT_COUNT_; event++) {
            bool heard = event == VSS_EVENT_IDENTIFY || event == VSS_EVENT_ABORT ||
                         event == VSS_EVENT_BACKUP_SHUTDOWN;
            assert_int_equal(writer_state_accepts(failed, (enum vss_event)event), heard);
            if (heard)
                assert_int_equal(writer_state_after(failed, (enum vss_event)event, true), failed);
        }
        assert_int_equal(writer_state_after(now, VSS_EVENT_ABORT, true), VSS_WS_STABLE);
        now = writer_state_after(now, path[i], true);
        assert_int_equal(now, states[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(row_55_literal_missing_file_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(recursion_and_duplicates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(row_54_exclusion_beats_inclusion, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_are_not_followed, set_up, tear_down),
        cmocka_unit_test(matching),
        cmocka_unit_test(published_names),
        cmocka_unit_test(writer_state_table),
    };
    return cmocka_run_group_tests_name("vss_files", tests, NULL, NULL);
}
