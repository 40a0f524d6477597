/* The journal: reads what docs/format/journal.md says, nothing else; every fault of its I/O leaves
 * acts undone or never begun. */
#include "undo-kit.h"

#include "undo/journal.h"

#define HEADER                                                                                     \
    "e7d471ff {\"sequence\":0,\"format\":\"vmshadow journal\",\"version\":1,"                      \
    "\"run\":\"66841cd4-6ded-4f4b-8f17-fd23f8ddc3de\",\"description\":\"backup of web1\","         \
    "\"process\":4711,\"time\":\"2026-11-23T14:18:05Z\"}\n"
#define STEP_1                                                                                     \
    "a5eecb4d {\"sequence\":1,\"lane\":\"\",\"kind\":\"remove-file\","                             \
    "\"arguments\":{\"path\":\"/a\"}}\n"
#define STEP_2                                                                                     \
    "4e48d36d {\"sequence\":2,\"lane\":\"\",\"kind\":\"remove-file\","                             \
    "\"arguments\":{\"path\":\"/b\"},\"new\":true}\n"
#define STRIKE_1 "2d714897 {\"sequence\":3,\"strike\":[1]}\n"

/* What a journal of these bytes says: the open steps' paths, or NULL and the error. */
static char *read_text(const char *directory, const char *text, size_t size, struct error *error)
{
    CLEANUP_FREE char *path = kit_path(directory, "journal");
    CLEANUP_CLOSE int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(file, text, size), size);
    struct journal_header header = {0};
    struct steps steps;
    steps_init(&steps);
    char *result = NULL;
    if (journal_read(io_real(), file, path, &kit_table, &header, &steps, error) == 0) {
        size_t count;
        CLEANUP_FREE struct step **open = steps_open(&steps, &count);
        result = memory_copy_string("");
        for (size_t i = 0; i < count; i++) {
            char *longer = memory_format(
                "%s%s ", result, json_string_or(open[i]->arguments, "path", open[i]->kind_name));
            free(result);
            result = longer;
        }
        assert_string_equal(header.run, "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de");
    } else {
        assert_null(header.run);
        assert_int_equal(steps.count, 0);
    }
    journal_header_clear(&header);
    steps_deinit(&steps);
    return result;
}

#define assert_reads(text, expected)                                                               \
    do {                                                                                           \
        struct error error_ = ERROR_INIT;                                                          \
        CLEANUP_FREE char *read_ = read_text(*state, text, sizeof(text) - 1, &error_);             \
        if (!read_)                                                                                \
            fail_msg("%s", error_.message);                                                        \
        assert_string_equal(read_, expected);                                                      \
    } while (0)

#define assert_refused(text, kind_, words)                                                         \
    do {                                                                                           \
        struct error error_ = ERROR_INIT;                                                          \
        assert_null(read_text(*state, text, sizeof(text) - 1, &error_));                           \
        assert_int_equal(error_.kind, kind_);                                                      \
        if (!strstr(error_.message, words))                                                        \
            fail_msg("%s", error_.message);                                                        \
    } while (0)

static void the_documented_format_is_read(void **state)
{
    assert_reads(HEADER, "");
    assert_reads(HEADER STEP_1, "/a ");
    assert_reads(HEADER STEP_1 STEP_2, "/a /b ");
    assert_reads(HEADER STEP_1 STEP_2 STRIKE_1, "/b ");
}

static void what_is_not_the_format_is_refused(void **state)
{
    assert_refused("", ERROR_DAMAGED, "first line is missing");
    assert_refused(STEP_1, ERROR_DAMAGED, "line 1");
    assert_refused(HEADER STEP_2, ERROR_DAMAGED, "line 2: it is out of sequence");
    assert_refused(HEADER STEP_1 STEP_1, ERROR_DAMAGED, "line 3");
    assert_refused(HEADER "\n" STEP_1, ERROR_DAMAGED, "line 2");
    assert_refused(HEADER STEP_1 STEP_2 "29fc3425 {\"sequence\":3,\"strike\":[7]}\n", ERROR_DAMAGED,
                   "not open");
    assert_refused("4a4e1f2e {\"sequence\":0,\"format\":\"vmshadow journal\",\"version\":2,"
                   "\"run\":\"66841cd4-6ded-4f4b-8f17-fd23f8ddc3de\",\"description\":\"x\"}\n",
                   ERROR_REFUSED, "version 2");
}

/* Cut anywhere: only whole lines count, and a torn last one is no fault. */
static void a_torn_last_line_is_ignored(void **state)
{
    static const char text[] = HEADER STEP_1 STEP_2 STRIKE_1;
    static const struct {
        size_t from;
        const char *open;
    } parts[] = {{sizeof HEADER - 1, ""},
                 {sizeof HEADER STEP_1 - 1, "/a "},
                 {sizeof HEADER STEP_1 STEP_2 - 1, "/a /b "},
                 {sizeof text - 1, "/b "}};
    for (size_t size = 0; size < sizeof text; size++) {
        const char *expected = NULL;
        for (unsigned i = 0; i < ARRAY_SIZE(parts); i++)
            if (size >= parts[i].from)
                expected = parts[i].open;
        CLEANUP_FREE char *read = read_text(*state, text, size, NULL);
        if (expected)
            assert_string_equal(read, expected);
        else
            assert_null(read);
    }
    /* The size reached the disk, the bytes did not. */
    static const char zeroes[] = HEADER STEP_1 "4e48d36d {\"sequ\0\0\0\0\0\0\0\0\0\n";
    assert_reads(zeroes, "/a ");
}

/* Any byte changed: never something else than what was written, and a fault unless it hits the LF
 * of the last line. */
static void a_damaged_line_is_reported(void **state)
{
    static const char text[] = HEADER STEP_1 STEP_2 STRIKE_1;
    char copy[sizeof text];
    for (size_t i = 0; i < sizeof text - 1; i++) {
        struct error error = ERROR_INIT;
        memcpy(copy, text, sizeof text);
        copy[i] ^= 0x01;
        CLEANUP_FREE char *read = read_text(*state, copy, sizeof text - 1, &error);
        if (i == sizeof text - 2) {
            assert_string_equal(read, "/a /b ");
        } else {
            assert_null(read);
            assert_int_equal(error.kind, ERROR_DAMAGED);
        }
    }
}

static void keep_report(void *context, const struct undo_report *report)
{
    *(struct undo_report *)context = *report;
}

static void recovery_does_not_guess(void **state)
{
    const char *directory = *state;
    CLEANUP_FREE char *runs = kit_path(directory, "state/runs");
    CLEANUP_FREE char *parent = kit_path(directory, "state");
    assert_int_equal(kit_recover(directory, NULL, NULL, NULL), 0); /* nothing ever ran */
    assert_int_equal(mkdir(parent, 0700), 0);
    assert_int_equal(mkdir(runs, 0700), 0);
    kit_append(directory, "state/runs/x.journal", HEADER STEP_1 "0" STEP_2 STRIKE_1);
    kit_append(directory, "state/runs/notes.txt", "not ours");
    struct undo_report report = {.left = 0};
    struct error error = ERROR_INIT;
    assert_int_equal(kit_recover(directory, keep_report, &report, &error), -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    assert_non_null(strstr(error.message, "x.journal is damaged in line 3"));
    assert_int_equal(report.error.kind, ERROR_DAMAGED);
    assert_true(report.left > 0);
    assert_int_equal(report.undone, 0);
    assert_int_equal(kit_journals(directory), 2);
}

/* The step alone is read where its line is, and nowhere else. */
static void assert_is_at(struct journal *journal, uint64_t step, struct journal_place place,
                         json_t *arguments)
{
    static const struct {
        int step, offset, size;
    } wrong[] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {0, 0, -1}, {0, 0, -100000}, {0, -100000, 0}};
    const char *path = journal_path(journal);
    int file = journal_file(journal);
    CLEANUP_JSON json_t *read = NULL;
    assert_int_equal(journal_read_arguments(io_real(), file, path, step, &place, &read, NULL), 0);
    assert_true(json_equal(read, arguments));
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct journal_place other = {.offset = place.offset + wrong[i].offset,
                                      .size = place.size + (size_t)wrong[i].size};
        json_t *none = NULL;
        assert_int_equal(journal_read_arguments(io_real(), file, path,
                                                step + (uint64_t)wrong[i].step, &other, &none,
                                                NULL),
                         -1);
        assert_null(none);
    }
}

static void what_is_written_is_read(void **state)
{
    const char *directory = *state;
    struct journal *journal;
    struct journal_place place;
    uint64_t step;
    assert_int_equal(journal_create(io_real(), directory,
                                    "backup of \"w\xc3\xa9"
                                    "b\"\n",
                                    &journal, NULL),
                     0);
    CLEANUP_JSON json_t *arguments = undo_path_arguments("/tmp/a b\n\"\\");
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(journal_add(journal, VM_A, "remove-file", arguments, &step, &place, NULL),
                         0);
        assert_true(step == i);
        assert_is_at(journal, step, place, arguments);
    }
    uint64_t struck[] = {1, 3};
    assert_int_equal(journal_strike(journal, struck, 2, NULL), 0);
    CLEANUP_FREE char *path = memory_copy_string(journal_path(journal));
    int file;
    assert_int_equal(journal_take(io_real(), path, &file, NULL), 1); /* held */
    for (int pass = 0; pass < 2; pass++) {
        struct journal_header header;
        struct steps steps;
        steps_init(&steps);
        journal_free(journal);
        journal = NULL;
        assert_int_equal(journal_take(io_real(), path, &file, NULL), 0);
        assert_int_equal(journal_read(io_real(), file, path, &kit_table, &header, &steps, NULL), 0);
        assert_int_equal(steps_count_open(&steps), 1);
        struct step *open = steps_find(&steps, pass ? 1 : 2);
        assert_string_equal(open->lane, VM_A);
        assert_true(open->kind && open->kind->undo == undo_remove_file.undo);
        assert_true(json_equal(open->arguments, arguments));
        assert_string_equal(header.description, "backup of \"w\xc3\xa9"
                                                "b\"\n");
        assert_int_equal(header.process, getpid());
        if (pass)
            steps_close(&steps, open);
        assert_int_equal(journal_settle(io_real(), path, &header, &steps, NULL), 0);
        close(file);
        journal_header_clear(&header);
        steps_deinit(&steps);
    }
    assert_int_equal(journal_take(io_real(), path, &file, NULL), 1); /* gone */
}

/* ---- Faults -------------------------------------------------------------------------------- */

/* Is a step for this file open in the journal as another process would read it? */
static bool is_on_disk(const char *directory, const char *name)
{
    CLEANUP_FREE char *runs = kit_path(directory, "state/runs");
    CLEANUP_FREE char *wanted = kit_path(directory, name);
    DIR *stream = opendir(runs);
    bool found = false;
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        CLEANUP_FREE char *path = kit_path(runs, entry->d_name);
        CLEANUP_CLOSE int file =
            strstr(entry->d_name, ".journal") ? open(path, O_RDWR | O_CLOEXEC) : -1;
        struct journal_header header = {0};
        struct steps steps;
        steps_init(&steps);
        if (file >= 0 &&
            journal_read(io_real(), file, path, &kit_table, &header, &steps, NULL) == 0) {
            size_t count;
            CLEANUP_FREE struct step **open = steps_open(&steps, &count);
            for (size_t i = 0; i < count; i++)
                found =
                    found || strcmp(json_string_or(open[i]->arguments, "path", ""), wanted) == 0;
        }
        journal_header_clear(&header);
        steps_deinit(&steps);
    }
    closedir(stream);
    return found;
}

/* Add, look, act. */
static int make_file(struct undo *undo, const char *directory, const char *name, uint64_t *ret_step)
{
    if (undo_add(undo, VM_A, "remove-file", kit_file_arguments(directory, name), ret_step, NULL) !=
        0)
        return -1;
    if (!is_on_disk(directory, name))
        fail_msg("%s is made without its step being durable", name);
    kit_append(directory, name, "x");
    return 0;
}

/* A run that stops at its first error; 0 when there was none. */
static int scripted_run(struct io *io, const char *directory)
{
    struct undo *undo;
    uint64_t first, second, third;
    if (kit_begin_on(io, 0, directory, 5 * CLOCK_SECOND, &undo, NULL) != 0)
        return -1;
    int result = -1;
    if (undo_lock_vm(undo, VM_A, "web1", NULL) == 0 &&
        make_file(undo, directory, "first", &first) == 0 &&
        make_file(undo, directory, "second", &second) == 0 &&
        undo_strike(undo, second, NULL) == 0 && undo_run(undo, first, NULL) == 0 &&
        make_file(undo, directory, "third", &third) == 0)
        result = undo_all(undo, NULL);
    undo_end(undo);
    return result;
}

static void each_fault_is_survived(void **state, bool sticky)
{
    uint64_t faults = 0;
    for (uint64_t n = 1;; n++) {
        CLEANUP_FREE char *directory = kit_path(*state, "run");
        assert_int_equal(mkdir(directory, 0700), 0);
        struct io *io =
            io_fault_new((struct io_fault){.fail_at = n, .number = ENOSPC, .sticky = sticky});
        int result = scripted_run(io, directory);
        bool fired = io_fault_fired(io);
        io_fault_free(io);
        assert_int_equal(kit_recover(directory, NULL, NULL, NULL) < 0, 0);
        assert_int_equal(kit_journals(directory), 0);
        assert_false(kit_exists(directory, "first"));
        assert_false(kit_exists(directory, "third"));
        if (!fired) {
            assert_int_equal(result, 0);
            assert_true(kit_exists(directory, "second"));
        }
        kit_remove_tree(directory);
        if (!fired)
            break;
        faults++;
    }
    assert_true(faults >= 20);
}

static void each_fault_once_is_survived(void **state)
{
    each_fault_is_survived(state, false);
}

static void each_fault_for_good_is_survived(void **state)
{
    each_fault_is_survived(state, true);
}

static void after_a_fault_nothing_more_is_appended(void **state)
{
    struct io *io = io_fault_new((struct io_fault){.fail_at = 6, .number = EIO});
    struct journal *journal;
    CLEANUP_JSON json_t *arguments = undo_path_arguments("/a");
    struct journal_place place;
    uint64_t step;
    assert_int_equal(journal_create(io, *state, "x", &journal, NULL), 0);
    assert_false(io_fault_fired(io));
    while (!io_fault_fired(io))
        (void)journal_add(journal, "", "remove-file", arguments, &step, &place, NULL);
    uint64_t calls = io_fault_calls(io);
    assert_int_equal(journal_add(journal, "", "remove-file", arguments, &step, &place, NULL), -1);
    assert_int_equal(journal_strike(journal, &step, 1, NULL), -1);
    assert_true(io_fault_calls(io) == calls);
    journal_free(journal);
    io_fault_free(io);
}

static void a_refused_step_is_struck(void **state)
{
    struct undo *undo = kit_begin(*state, 5 * CLOCK_SECOND);
    uint64_t step;
    assert_int_equal(
        undo_add(undo, VM_A, "refuse", kit_file_arguments(*state, "file"), &step, NULL), -1);
    assert_false(is_on_disk(*state, "file"));
    kit_add(undo, VM_A, "remove-file", kit_file_arguments(*state, "file"));
    assert_true(is_on_disk(*state, "file"));
    undo_end(undo);
}

/* One try: false when the n-th call was not that of the record. */
static bool fail_final_record(const char *directory, uint64_t n, bool by_watchdog)
{
    struct io *io = io_fault_new((struct io_fault){.fail_at = n, .number = ENOSPC});
    struct undo *undo = NULL;
    uint64_t step = 0;
    bool reached = kit_begin_on(io, 0, directory, 5 * CLOCK_SECOND, &undo, NULL) == 0 &&
                   make_file(undo, directory, "first", &step) == 0 &&
                   make_file(undo, directory, "second", &step) == 0;
    if (reached) {
        assert_int_equal(undo_strike_all(undo, NULL), -1);
        assert_true(io_fault_fired(io));
        if (by_watchdog) {
            assert_int_equal(undo_lease(undo, step, clock_monotonic(), "late", NULL), 0);
            await(kit_is_called_off(undo));
        }
        assert_int_equal(undo_all(undo, NULL), 0);
        assert_false(kit_exists(directory, "first"));
        assert_false(kit_exists(directory, "second"));
    }
    undo_end(undo);
    io_fault_free(io);
    return reached;
}

/* The record that makes all steps final cannot be written: they are open as before, for the
 * requester and for the watchdog. */
static void a_final_record_that_fails(void **state)
{
    for (int by_watchdog = 0; by_watchdog < 2; by_watchdog++) {
        uint64_t n = 1;
        while (!fail_final_record(*state, n, by_watchdog))
            n++;
        assert_int_equal(kit_recover(*state, NULL, NULL, NULL) < 0, 0);
        assert_int_equal(kit_journals(*state), 0);
    }
}

int main(int count, char **arguments)
{
    kit_init();
    if (count > 5 && strcmp(arguments[1], "watchdog") == 0)
        return kit_main_watchdog(arguments);
    const struct CMUnitTest tests[] = {
        kit_test(the_documented_format_is_read),
        kit_test(what_is_not_the_format_is_refused),
        kit_test(a_torn_last_line_is_ignored),
        kit_test(a_damaged_line_is_reported),
        kit_test(recovery_does_not_guess),
        kit_test(what_is_written_is_read),
        kit_test(after_a_fault_nothing_more_is_appended),
        kit_test(a_refused_step_is_struck),
        kit_test(a_final_record_that_fails),
        kit_test(each_fault_once_is_survived),
        kit_test(each_fault_for_good_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
