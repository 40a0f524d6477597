/* undo: runs whose requester lives: order, lanes, strikes, limits, locks, a watchdog that dies. */
#include "undo-kit.h"

static const int64_t calm = 5 * CLOCK_SECOND;         /* where nobody is to be called stalled */
static const int64_t hasty = 400 * CLOCK_MILLISECOND; /* where somebody is */

static void lanes_are_undone_in_reverse(void **state)
{
    const char *directory = *state;
    struct undo *undo = kit_begin(directory, calm);
    kit_add(undo, VM_A, "note", kit_arguments(directory, "1"));
    kit_add(undo, VM_A, "note", kit_failing(directory, "2", 1));
    uint64_t third = kit_add(undo, VM_A, "note", kit_arguments(directory, "3"));
    kit_add(undo, VM_A, "stubborn", kit_failing(directory, "4", 3));
    uint64_t fifth = kit_add(undo, VM_A, "note", kit_arguments(directory, "5"));
    assert_int_equal(undo_strike(undo, third, NULL), 0);
    assert_int_equal(undo_run(undo, fifth, NULL), 0);
    assert_content(directory, "log", "5\n");
    struct error error = ERROR_INIT;
    assert_int_equal(undo_strike(undo, fifth, &error), -1);
    assert_int_equal(error.kind, ERROR_USAGE);
    error_clear(&error);
    /* The persistent one is repeated; the one that fails once is left. */
    assert_int_equal(undo_all(undo, &error), -1);
    assert_string_equal(error.message, "2 does not work yet");
    assert_content(directory, "log", "5\n4\n1\n");
    assert_content(directory, "attempts-4", "xxxx");
    assert_int_equal(undo_check(undo, NULL), 0);
    /* The watchdog tries again at the end. */
    undo_end(undo);
    assert_content(directory, "log", "5\n4\n1\n2\n");
    assert_int_equal(kit_journals(directory), 0);
}

static void lanes_do_not_wait_for_each_other(void **state)
{
    const char *directory = *state;
    struct undo *undo = kit_begin(directory, calm);
    for (int i = 0; i < 8; i++) {
        CLEANUP_FREE char *lane = memory_format("lane %d", i);
        kit_add(undo, lane, "note", kit_slow(directory, lane, 300));
    }
    int64_t start = clock_monotonic();
    assert_int_equal(undo_all(undo, NULL), 0);
    assert_true(clock_monotonic() - start < 8 * 300 * CLOCK_MILLISECOND / 2);
    undo_end(undo);
}

static json_t *large_arguments(const char *directory, const char *text, size_t size)
{
    json_t *arguments = kit_arguments(directory, text);
    CLEANUP_FREE char *filler = memory_new(size + 1, 1);
    memset(filler, 'x', size);
    json_set_string(arguments, "filler", filler);
    return arguments;
}

static void a_refused_step_is_not_open(void **state)
{
    const char *directory = *state;
    struct undo *undo = kit_begin(directory, calm);
    struct error error = ERROR_INIT;
    uint64_t step;
    assert_int_equal(
        undo_add(undo, VM_A, "refuse", kit_arguments(directory, "refused"), &step, &error), -1);
    assert_int_equal(error.kind, ERROR_CONNECTION);
    assert_string_equal(error.message, "no such guest");
    error_clear(&error);
    assert_int_equal(undo_add(undo, VM_A, "none", json_object(), &step, &error), -1);
    assert_int_equal(error.kind, ERROR_USAGE);
    assert_int_equal(undo_add(undo, VM_A, "note",
                              large_arguments(directory, "", UNDO_ARGUMENT_LIMIT), &step, NULL),
                     -1);
    undo_end(undo);
    assert_content(directory, "log", "");
}

/* What is too large for a message the watchdog reads in the journal. */
static void a_large_step_is_known_to_the_watchdog(void **state)
{
    const char *directory = *state;
    struct undo *undo = kit_begin(directory, calm);
    static const size_t sizes[] = {90 << 10, 110 << 10, UNDO_ARGUMENT_LIMIT - 1000};
    uint64_t step = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        CLEANUP_FREE char *text = memory_format("%zu", sizes[i]);
        step = kit_add(undo, VM_A, "note", large_arguments(directory, text, sizes[i]));
    }
    assert_int_equal(undo_lease(undo, step, clock_monotonic(), "late", NULL), 0);
    await(kit_is_called_off(undo));
    assert_int_equal(undo_all(undo, NULL), 0); /* by the watchdog */
    undo_end(undo);
    CLEANUP_FREE char *log = memory_format("%zu\n%zu\n%zu\n", sizes[2], sizes[1], sizes[0]);
    assert_content(directory, "log", log);
    assert_int_equal(kit_journals(directory), 0);
}

/* Old steps become final and a new one opens, together: only the new one is undone. */
static void all_steps_are_replaced_by_one(void **state)
{
    const char *directory = *state;
    struct undo *undo = kit_begin(directory, calm);
    uint64_t step;
    kit_add(undo, VM_A, "note", kit_arguments(directory, "1"));
    kit_add(undo, VM_B, "note", kit_arguments(directory, "2"));
    assert_int_equal(
        undo_replace_all(undo, VM_A, "note", kit_arguments(directory, "after"), &step, NULL), 0);
    assert_int_equal(undo_run(undo, step, NULL), 0);
    undo_end(undo);
    assert_content(directory, "log", "after\n");
    assert_int_equal(kit_journals(directory), 0);
}

/* The end of a restore of hundreds of VMs. */
static void many_steps_are_replaced_by_one_with_many_paths(void **state)
{
    const char *directory = *state;
    struct undo *undo = kit_begin(directory, calm);
    json_t *arguments = kit_arguments(directory, "after"), *paths = json_array();
    uint64_t step;
    for (int i = 0; i < 200; i++)
        kit_add(undo, i % 2 ? VM_A : VM_B, "note", kit_arguments(directory, "never"));
    for (int i = 0; i < 1000; i++) {
        CLEANUP_FREE char *path = memory_format("/var/lib/libvirt/images/%0200d.qcow2", i);
        json_append(paths, json_string(path));
    }
    json_set(arguments, "paths", paths);
    assert_int_equal(undo_replace_all(undo, "", "note", arguments, &step, NULL), 0);
    assert_int_equal(undo_lease(undo, step, clock_monotonic(), "late", NULL), 0);
    await(kit_is_called_off(undo));
    assert_int_equal(undo_all(undo, NULL), 0); /* by the watchdog */
    undo_end(undo);
    assert_content(directory, "log", "after\n");
    assert_int_equal(kit_journals(directory), 0);
}

struct many {
    struct undo *undo;
    const char *directory;
};

static void *add_and_strike(void *context)
{
    struct many *many = context;
    for (int i = 0; i < 20; i++) {
        uint64_t step;
        if (undo_add(many->undo, i % 2 ? VM_A : VM_B, "note",
                     kit_arguments(many->directory, "never"), &step, NULL) != 0 ||
            undo_lease(many->undo, step, clock_monotonic() + kit_limit, "x", NULL) != 0 ||
            undo_strike(many->undo, step, NULL) != 0)
            return many;
    }
    return NULL;
}

static void many_steps_from_many_threads_end(void **state)
{
    struct many many = {.undo = kit_begin(*state, calm), .directory = *state};
    pthread_t threads[4];
    void *failed;
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_and_strike, &many), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    undo_end(many.undo);
    assert_content(*state, "log", "");
    assert_int_equal(kit_journals(*state), 0);
}

static void all_steps_become_final_at_once(void **state)
{
    const char *directory = *state;
    struct undo *undo = kit_begin(directory, calm);
    assert_int_equal(undo_strike_all(undo, NULL), 0);
    kit_add(undo, VM_A, "note", kit_arguments(directory, "1"));
    kit_add(undo, VM_B, "note", kit_arguments(directory, "2"));
    assert_int_equal(undo_strike_all(undo, NULL), 0);
    uint64_t third = kit_add(undo, VM_B, "note", kit_arguments(directory, "3"));
    assert_int_equal(undo_all(undo, NULL), 0);
    assert_content(directory, "log", "3\n");
    third = kit_add(undo, VM_B, "note", kit_arguments(directory, "4"));
    assert_int_equal(undo_lease(undo, third, clock_monotonic(), "late", NULL), 0);
    await(kit_is_called_off(undo));
    assert_int_equal(undo_strike_all(undo, NULL), -1);
    undo_end(undo);
    assert_content(directory, "log", "3\n4\n");
    assert_int_equal(kit_journals(directory), 0);
}

/* ---- Limits -------------------------------------------------------------------------------- */

static void an_overrun_lease_voids_the_run(void **state)
{
    const char *directory = *state;
    struct undo *undo = kit_begin(directory, calm);
    struct error error = ERROR_INIT;
    uint64_t step = kit_add(undo, VM_A, "note", kit_arguments(directory, "thaw"));
    kit_add(undo, VM_B, "stubborn", kit_failing(directory, "other", 2));
    int64_t soon = clock_monotonic() + 50 * CLOCK_MILLISECOND;
    assert_int_equal(undo_lease(undo, step, soon, "VM web1 was frozen for 10 s", NULL), 0);
    await(kit_is_called_off(undo));
    assert_true(clock_monotonic() >= soon);
    assert_int_equal(undo_check(undo, &error), -1);
    assert_int_equal(error.kind, ERROR_TIMEOUT);
    assert_string_equal(error.message, "VM web1 was frozen for 10 s");
    /* Too late for everything, with the reason. */
    uint64_t other;
    assert_int_equal(undo_run(undo, step, NULL), -1);
    assert_int_equal(undo_strike(undo, step, NULL), -1);
    assert_int_equal(undo_lease(undo, step, 0, "", NULL), -1);
    error_clear(&error);
    assert_int_equal(undo_add(undo, VM_A, "note", kit_arguments(directory, "x"), &other, &error),
                     -1);
    assert_string_equal(error.message, "VM web1 was frozen for 10 s");
    assert_int_equal(undo_all(undo, NULL), 0);
    assert_content(directory, "attempts-thaw", "x"); /* by the watchdog, once */
    assert_content(directory, "attempts-other", "xxx");
    undo_end(undo);
    assert_int_equal(kit_journals(directory), 0);
}

static void a_lifted_lease_does_not(void **state)
{
    const char *directory = *state;
    struct undo *undo = kit_begin(directory, calm);
    uint64_t step = kit_add(undo, VM_A, "note", kit_arguments(directory, "thaw"));
    uint64_t struck = kit_add(undo, VM_A, "note", kit_arguments(directory, "struck"));
    int64_t soon = clock_monotonic() + 300 * CLOCK_MILLISECOND;
    assert_int_equal(undo_lease(undo, step, soon, "late", NULL), 0);
    assert_int_equal(undo_lease(undo, struck, soon, "late", NULL), 0);
    assert_int_equal(undo_lease(undo, step, 0, "late", NULL), 0);
    assert_int_equal(undo_strike(undo, struck, NULL), 0);
    await(clock_monotonic() > soon + 200 * CLOCK_MILLISECOND);
    assert_int_equal(undo_check(undo, NULL), 0);
    assert_int_equal(undo_strike(undo, step, NULL), 0);
    undo_end(undo);
    assert_content(directory, "log", "");
}

static void a_watched_limit_voids_the_run(void **state)
{
    const char *directory = *state;
    struct undo *undo = kit_begin(directory, calm);
    struct error error = ERROR_INIT;
    uint64_t struck = kit_add(undo, VM_B, "watched", kit_arguments(directory, "struck"));
    assert_int_equal(undo_strike(undo, struck, NULL), 0);
    kit_append(directory, "trip", "");
    kit_add(undo, VM_A, "note", kit_arguments(directory, "first"));
    assert_int_equal(undo_check(undo, NULL), 0); /* nobody watches a step that is struck */
    CLEANUP_FREE char *trip = kit_path(directory, "trip");
    unlink(trip);
    kit_add(undo, VM_A, "watched", kit_failing(directory, "job", 1));
    kit_append(directory, "trip", "");
    await(kit_is_called_off(undo));
    assert_int_equal(undo_check(undo, &error), -1);
    assert_int_equal(error.kind, ERROR_SPACE);
    assert_string_equal(error.message, "scratch of VM web1 runs short");
    error_clear(&error);
    assert_int_equal(undo_all(undo, &error), -1);
    assert_string_equal(error.message, "job does not work yet");
    assert_content(directory, "log", "first\n");
    undo_end(undo);
    assert_content(directory, "log", "first\njob\n");
    assert_int_equal(kit_journals(directory), 0);
}

static void *release_when_called_off(void *context)
{
    struct many *many = context;
    struct pollfd event = {.fd = undo_event(many->undo), .events = POLLIN};
    (void)poll(&event, 1, (int)(kit_limit / CLOCK_MILLISECOND));
    kit_append(many->directory, "release", "");
    return NULL;
}

/* The requester is at a step that does not end when a limit is passed: the watchdog takes over. */
static void a_run_voided_while_it_is_undone(void **state)
{
    struct many many = {.undo = kit_begin(*state, calm), .directory = *state};
    pthread_t thread;
    kit_add(many.undo, VM_A, "note", kit_arguments(*state, "1"));
    uint64_t step = kit_add(many.undo, VM_A, "hold", kit_arguments(*state, ""));
    int64_t soon = clock_monotonic() + 100 * CLOCK_MILLISECOND;
    assert_int_equal(undo_lease(many.undo, step, soon, "late", NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, release_when_called_off, &many), 0);
    assert_int_equal(undo_all(many.undo, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(undo_check(many.undo, NULL), -1);
    CLEANUP_FREE char *log = kit_read(*state, "log");
    assert_non_null(strstr(log, "released\n1\n"));
    undo_end(many.undo);
    assert_int_equal(kit_journals(*state), 0);
}

static bool log_is(const char *directory, const char *text)
{
    CLEANUP_FREE char *log = kit_read(directory, "log");
    return strcmp(log, text) == 0;
}

/* A guest is thawed while its backup job cannot be ended; the files of that job stay so long. */
static void a_persistent_step_keeps_only_what_it_may_need(void **state)
{
    const char *directory = *state;
    struct error error = ERROR_INIT;
    struct undo *undo = kit_begin(directory, calm);
    uint64_t thaw = kit_add(undo, VM_A, "stubborn", kit_failing(directory, "thaw", 1));
    uint64_t file = kit_add(undo, VM_A, "note", kit_arguments(directory, "file"));
    uint64_t other = kit_add(undo, VM_B, "note", kit_arguments(directory, "other"));
    kit_add(undo, VM_A, "hold", kit_arguments(directory, ""));
    kit_add(undo, VM_A, "note", kit_failing(directory, "fails", 1));
    assert_int_equal(undo_run(undo, file, &error), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_int_equal(undo_run(undo, other, NULL), 0);
    assert_int_equal(undo_lease(undo, thaw, clock_monotonic(), "late", NULL), 0);
    await(kit_is_called_off(undo));
    await(log_is(directory, "other\nthaw\n"));
    clock_sleep(50 * CLOCK_MILLISECOND); /* some more rounds */
    assert_false(kit_exists(directory, "attempts-file"));
    kit_append(directory, "release", "");
    error_clear(&error);
    assert_int_equal(undo_all(undo, &error), -1);
    assert_string_equal(error.message, "fails does not work yet");
    assert_content(directory, "log", "other\nthaw\nreleased\nfile\n");
    assert_content(directory, "attempts-thaw", "xx");
    assert_content(directory, "attempts-fails", "x");
    undo_end(undo);
    assert_content(directory, "log", "other\nthaw\nreleased\nfile\nfails\n");
    assert_int_equal(kit_journals(directory), 0);
}

/* What the requester cannot get done in its time is left to the watchdog, which has all the time.
 */
static void a_persistent_step_is_left_to_the_watchdog(void **state)
{
    struct undo *undo, *next;
    int64_t patience = 100 * CLOCK_MILLISECOND;
    assert_int_equal(kit_begin_on(io_real(), patience, *state, calm, &undo, NULL), 0);
    assert_int_equal(undo_lock_vm(undo, VM_A, "web1", NULL), 0);
    kit_add(undo, VM_A, "hold", kit_arguments(*state, ""));
    struct error error = ERROR_INIT;
    assert_int_equal(undo_all(undo, &error), -1);
    assert_string_equal(error.message, "not released yet");
    undo_end(undo);
    next = kit_begin(*state, calm);
    assert_int_equal(undo_lock_vm(next, VM_A, "web1", NULL), -1);
    kit_append(*state, "release", "");
    await(undo_lock_vm(next, VM_A, "web1", NULL) == 0);
    assert_content(*state, "log", "released\n");
    undo_end(next);
    assert_int_equal(kit_journals(*state), 0);
}

/* The requester does not wait for that, the watchdog does. */
static void a_step_that_waits_for_a_person_is_not_repeated(void **state)
{
    struct undo *undo = kit_begin(*state, calm);
    kit_add(undo, VM_A, "decide", kit_arguments(*state, ""));
    struct error error = ERROR_INIT;
    assert_int_equal(undo_all(undo, &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_content(*state, "asked", "x");
    undo_end(undo);
    kit_append(*state, "release", "");
    await(kit_journals(*state) == 0);
    assert_content(*state, "log", "released\n");
}

/* ---- The watchdog dies --------------------------------------------------------------------- */

static void without_watchdog_the_requester_undoes(void **state, int signal)
{
    const char *directory = *state;
    struct undo *undo = kit_begin(directory, hasty);
    int watchdog = kit_watchdog_process(undo, directory);
    kit_add(undo, VM_A, "note", kit_arguments(directory, "1"));
    kit_add(undo, VM_A, "note", kit_arguments(directory, "2"));
    uint64_t third = kit_add(undo, VM_A, "note", kit_arguments(directory, "3")), step;
    assert_int_equal(undo_check(undo, NULL), 0);
    assert_int_equal(kill(watchdog, signal), 0);
    await(kit_is_called_off(undo));
    assert_int_equal(undo_check(undo, NULL), -1);
    assert_int_equal(undo_add(undo, VM_A, "note", kit_arguments(directory, "x"), &step, NULL), -1);
    assert_int_equal(undo_lease(undo, third, clock_monotonic(), "x", NULL), -1);
    await(kill(watchdog, 0) != 0); /* a stopped one was killed, too */
    assert_int_equal(undo_strike(undo, third, NULL), 0);
    assert_int_equal(undo_all(undo, NULL), 0);
    assert_content(directory, "log", "2\n1\n");
    undo_end(undo);
    assert_int_equal(kit_journals(directory), 0);
}

static void a_killed_watchdog_is_noticed(void **state)
{
    without_watchdog_the_requester_undoes(state, SIGKILL);
}

static void a_stopped_watchdog_is_noticed(void **state)
{
    without_watchdog_the_requester_undoes(state, SIGSTOP);
}

static void a_request_to_a_stopped_watchdog_ends(void **state)
{
    struct undo *undo = kit_begin(*state, hasty);
    int watchdog = kit_watchdog_process(undo, *state);
    assert_int_equal(kill(watchdog, SIGSTOP), 0);
    uint64_t step;
    assert_int_equal(undo_add(undo, VM_A, "note", kit_arguments(*state, "x"), &step, NULL), -1);
    undo_end(undo);
    assert_int_equal(kit_journals(*state), 0);
}

/* The undo of a voided run goes on here when the watchdog dies in the middle of it. */
static void a_watchdog_killed_while_undoing(void **state)
{
    const char *directory = *state;
    struct undo *undo = kit_begin(directory, calm);
    int watchdog = kit_watchdog_process(undo, directory);
    kit_add(undo, VM_B, "note", kit_arguments(directory, "last"));
    uint64_t step = kit_add(undo, VM_B, "hold", kit_arguments(directory, ""));
    assert_int_equal(undo_lease(undo, step, clock_monotonic(), "late", NULL), 0);
    await(kit_is_called_off(undo));
    assert_int_equal(kill(watchdog, SIGKILL), 0);
    kit_append(directory, "release", "");
    assert_int_equal(undo_all(undo, NULL), 0);
    assert_content(directory, "log", "released\nlast\n");
    undo_end(undo);
    assert_int_equal(kit_journals(directory), 0);
}

static void signals_do_not_end_it_while_a_step_is_open(void **state)
{
    struct undo *undo = kit_begin(*state, calm);
    int watchdog = kit_watchdog_process(undo, *state);
    uint64_t step = kit_add(undo, VM_A, "note", kit_arguments(*state, "x"));
    int signals[] = {SIGTERM, SIGINT, SIGHUP};
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++) {
        assert_int_equal(kill(watchdog, signals[i]), 0);
        assert_int_equal(undo_lease(undo, step, 0, "", NULL), 0);
    }
    kit_add(undo, VM_B, "note", kit_arguments(*state, "y"));
    assert_int_equal(getsid(watchdog), watchdog);
    assert_int_equal(undo_all(undo, NULL), 0);
    assert_int_equal(kill(watchdog, SIGTERM), 0);
    await(kit_is_called_off(undo));
    undo_end(undo);
    assert_int_equal(kit_journals(*state), 0);
}

/* ---- Begin --------------------------------------------------------------------------------- */

static void begin_fails_clearly(void **state)
{
    const char *directory = *state;
    CLEANUP_FREE char *path = kit_path(directory, "state");
    static char word[] = "x";
    char *const arguments[] = {word, word, NULL};
    struct undo_settings settings = {.state_directory = path,
                                     .description = "x",
                                     .program = "/nonexistent",
                                     .arguments = arguments};
    struct undo *undo = NULL;
    struct error error = ERROR_INIT;
    assert_int_equal(undo_begin(&settings, &kit_table, &undo, &error), -1);
    assert_non_null(strstr(error.message, "/nonexistent did not start"));
    assert_int_equal(kit_journals(directory), 0);
    /* A program that is no watchdog. */
    error_clear(&error);
    settings.program = "/bin/true";
    assert_int_equal(undo_begin(&settings, &kit_table, &undo, &error), -1);
    assert_int_equal(kit_journals(directory), 0);
    /* The journal's directory cannot be written. */
    error_clear(&error);
    CLEANUP_FREE char *runs = kit_path(directory, "state/runs");
    rmdir(runs);
    kit_append(directory, "state/runs", "a file");
    assert_int_equal(undo_begin(&settings, &kit_table, &undo, &error), -1);
    assert_true(error_is_set(&error));
    assert_null(undo);
    undo_end(NULL);
}

static void one_run_per_vm(void **state)
{
    struct undo *first = kit_begin(*state, calm), *second = kit_begin(*state, calm);
    struct error error = ERROR_INIT;
    assert_int_equal(undo_lock_vm(first, VM_A, "web1", NULL), 0);
    assert_int_equal(undo_lock_vm(first, "../x", "web1", NULL), -1);
    assert_int_equal(undo_lock_vm(second, VM_B, "db1", NULL), 0);
    assert_int_equal(undo_lock_vm(second, VM_A, "web1", &error), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_non_null(strstr(error.message, "VM web1"));
    assert_non_null(strstr(error.message, "backup of web1"));
    undo_end(first);
    assert_int_equal(undo_lock_vm(second, VM_A, "web1", NULL), 0);
    /* Live runs are none of recovery's business. */
    kit_add(second, VM_A, "note", kit_arguments(*state, "1"));
    assert_int_equal(kit_recover(*state, NULL, NULL, NULL), 0);
    assert_content(*state, "log", "");
    assert_int_equal(kit_journals(*state), 1);
    undo_end(second);
    assert_content(*state, "log", "1\n");
}

/* ---- Kinds of undo itself ------------------------------------------------------------------ */

static int undo_kind(const struct undo_kind *kind, json_t *arguments)
{
    CLEANUP_JSON json_t *owned = arguments;
    return kind->undo(NULL, owned, NULL);
}

static void files_and_directories_are_removed(void **state)
{
    const char *directory = *state;
    kit_append(directory, "file", "x");
    assert_int_equal(undo_kind(&undo_remove_file, kit_file_arguments(directory, "file")), 0);
    assert_false(kit_exists(directory, "file"));
    assert_int_equal(undo_kind(&undo_remove_file, kit_file_arguments(directory, "file")), 0);
    assert_int_equal(undo_kind(&undo_remove_file, kit_file_arguments(directory, "none/file")), 0);
    CLEANUP_FREE char *path = kit_path(directory, "dir");
    assert_int_equal(mkdir(path, 0700), 0);
    kit_append(directory, "dir/file", "x");
    assert_int_equal(undo_kind(&undo_remove_directory, undo_path_arguments(path)), -1);
    assert_true(kit_exists(directory, "dir/file"));
    assert_int_equal(undo_kind(&undo_remove_file, kit_file_arguments(directory, "dir/file")), 0);
    assert_int_equal(undo_kind(&undo_remove_directory, undo_path_arguments(path)), 0);
    assert_int_equal(undo_kind(&undo_remove_directory, undo_path_arguments(path)), 0);
    json_t *relative = undo_path_arguments("some/file");
    assert_int_equal(json_string_or(relative, "path", "")[0], '/');
    json_set_string(relative, "path", "some/file");
    assert_int_equal(undo_kind(&undo_remove_file, relative), -1);
}

static struct file_identity identity_of(const char *directory, const char *name)
{
    struct file_identity identity;
    CLEANUP_FREE char *path = kit_path(directory, name);
    assert_int_equal(file_identity_get(path, &identity, NULL), 0);
    assert_true(identity.exists);
    return identity;
}

static void a_foreign_file_is_left_alone(void **state)
{
    const char *directory = *state;
    CLEANUP_FREE char *path = kit_path(directory, "disk");
    CLEANUP_FREE char *temporary = kit_path(directory, "temporary");
    kit_append(directory, "temporary", "ours");
    struct file_identity ours = identity_of(directory, "temporary");
    const struct undo_kind *kind = &undo_remove_file;
    /* Not there at all, not even its directory. */
    assert_int_equal(undo_kind(kind, undo_file_arguments(path, &ours)), 0);
    CLEANUP_FREE char *below = kit_path(directory, "temporary/disk");
    assert_int_equal(undo_kind(kind, undo_file_arguments(below, &ours)), 0);
    /* Somebody else's, and a symbolic link to ours. */
    kit_append(directory, "disk", "theirs");
    assert_int_equal(undo_kind(kind, undo_file_arguments(path, &ours)), 0);
    assert_content(directory, "disk", "theirs");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(temporary, path), 0);
    assert_int_equal(undo_kind(kind, undo_file_arguments(path, &ours)), 0);
    (void)identity_of(directory, "disk");
    assert_true(kit_exists(directory, "temporary"));
    /* Another device; then ours under its name, and once more. */
    assert_int_equal(rename(temporary, path), 0);
    struct file_identity other = ours;
    other.device++;
    assert_int_equal(undo_kind(kind, undo_file_arguments(path, &other)), 0);
    /* Another file that has got the inode of one that was removed. */
    other = ours;
    other.born++;
    assert_int_equal(undo_kind(kind, undo_file_arguments(path, &other)), 0);
    assert_true(kit_exists(directory, "disk"));
    assert_int_equal(undo_kind(kind, undo_file_arguments(path, &ours)), 0);
    assert_false(kit_exists(directory, "disk"));
    assert_int_equal(undo_kind(kind, undo_file_arguments(path, &ours)), 0);
}

static void after_a_boot_the_device_number_does_not_count(void **state)
{
    const char *directory = *state;
    CLEANUP_FREE char *path = kit_path(directory, "disk");
    kit_append(directory, "disk", "ours");
    struct file_identity ours = identity_of(directory, "disk");
    ours.device++;
    json_t *arguments = undo_file_arguments(path, &ours);
    json_set_string(arguments, "boot", "another");
    json_set_integer(arguments, "inode", (int64_t)ours.inode + 1);
    assert_int_equal(undo_kind(&undo_remove_file, json_incref(arguments)), 0);
    assert_true(kit_exists(directory, "disk"));
    json_set_integer(arguments, "inode", (int64_t)ours.inode);
    assert_int_equal(undo_kind(&undo_remove_file, json_incref(arguments)), 0);
    assert_false(kit_exists(directory, "disk"));
    json_object_del(arguments, "device");
    assert_int_equal(undo_kind(&undo_remove_file, arguments), -1);
}

static void a_reused_process_number_is_left_alone(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    json_t *arguments = undo_process_arguments(child);
    int64_t start = json_integer_or(arguments, "start", 0);
    assert_true(start > 0);
    json_set_integer(arguments, "start", start - 1);
    assert_int_equal(undo_kind(&undo_end_process, arguments), 0);
    arguments = undo_process_arguments(child);
    json_set_string(arguments, "boot", "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de");
    assert_int_equal(undo_kind(&undo_end_process, arguments), 0);
    assert_int_equal(waitpid(child, NULL, WNOHANG), 0); /* lives */
    arguments = undo_process_arguments(1);
    assert_int_equal(undo_kind(&undo_end_process, arguments), -1);
    assert_int_equal(undo_kind(&undo_end_process, undo_process_arguments(child)), 0);
    assert_true(WIFSIGNALED(kit_wait(child)));
    assert_int_equal(undo_kind(&undo_end_process, undo_process_arguments(child)), 0);
}

int main(int count, char **arguments)
{
    kit_init();
    if (count > 5 && strcmp(arguments[1], "watchdog") == 0)
        return kit_main_watchdog(arguments);
    const struct CMUnitTest tests[] = {
        kit_test(lanes_are_undone_in_reverse),
        kit_test(lanes_do_not_wait_for_each_other),
        kit_test(a_refused_step_is_not_open),
        kit_test(a_large_step_is_known_to_the_watchdog),
        kit_test(many_steps_from_many_threads_end),
        kit_test(all_steps_become_final_at_once),
        kit_test(all_steps_are_replaced_by_one),
        kit_test(many_steps_are_replaced_by_one_with_many_paths),
        kit_test(an_overrun_lease_voids_the_run),
        kit_test(a_lifted_lease_does_not),
        kit_test(a_watched_limit_voids_the_run),
        kit_test(a_run_voided_while_it_is_undone),
        kit_test(a_persistent_step_keeps_only_what_it_may_need),
        kit_test(a_persistent_step_is_left_to_the_watchdog),
        kit_test(a_step_that_waits_for_a_person_is_not_repeated),
        kit_test(a_killed_watchdog_is_noticed),
        kit_test(a_stopped_watchdog_is_noticed),
        kit_test(a_request_to_a_stopped_watchdog_ends),
        kit_test(a_watchdog_killed_while_undoing),
        kit_test(signals_do_not_end_it_while_a_step_is_open),
        kit_test(begin_fails_clearly),
        kit_test(one_run_per_vm),
        kit_test(files_and_directories_are_removed),
        kit_test(a_foreign_file_is_left_alone),
        kit_test(after_a_boot_the_device_number_does_not_count),
        kit_test(a_reused_process_number_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
