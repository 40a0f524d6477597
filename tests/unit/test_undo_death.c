/* undo: whatever dies or is stopped, at every step of a run, all that is open is undone. */
#include "undo-kit.h"

static const int64_t calm = 5 * CLOCK_SECOND;
static const int64_t hasty = 400 * CLOCK_MILLISECOND;

/* ---- The scripted run, in a process of its own --------------------------------------------- */

/* What happens to the requester, and where: at the n-th point between its steps, or at the n-th
 * call of the journal's I/O. Of the process, set once. */
static struct {
    int signal;
    int at_point, at_call;
    bool watchdog_first; /* the watchdog gets a SIGKILL just before */
    const char *directory;
    int points, calls;
} fate;

static void meet_fate(void)
{
    CLEANUP_FREE char *process = kit_read(fate.directory, "watchdog");
    if (fate.watchdog_first && atoi(process) > 1)
        (void)kill(atoi(process), SIGKILL);
    kit_append(fate.directory, "fate", "x");
    (void)raise(fate.signal);
    if (fate.signal == SIGSTOP)
        kit_append(fate.directory, "woken", "x");
}

static void point(void)
{
    if (++fate.points == fate.at_point)
        meet_fate();
}

static ssize_t fatal_pwrite(struct io *io, int file, const void *buffer, size_t size, off_t offset)
{
    if (++fate.calls == fate.at_call) {
        (void)io_real()->pwrite(io, file, buffer, size / 2, offset);
        meet_fate();
    }
    return io_real()->pwrite(io, file, buffer, size, offset);
}

static int fatal_fsync(struct io *io, int file)
{
    if (++fate.calls == fate.at_call)
        meet_fate();
    return io_real()->fsync(io, file);
}

static int fatal_rename_at(struct io *io, int from_directory, const char *from, int to_directory,
                           const char *to, unsigned flags)
{
    if (++fate.calls == fate.at_call)
        meet_fate();
    return io_real()->rename_at(io, from_directory, from, to_directory, to, flags);
}

static uint64_t act(struct undo *undo, const char *lane, const char *name)
{
    uint64_t step;
    struct error error = ERROR_INIT;
    if (undo_add(undo, lane, "remove-file", kit_file_arguments(fate.directory, name), &step,
                 &error) != 0) {
        fprintf(stderr, "undo_add: %s\n", error.message);
        exit(3);
    }
    point();
    kit_append(fate.directory, name, "x");
    point();
    return step;
}

static void need(int result)
{
    if (result != 0)
        exit(4);
}

/* Struck files shall stay once the strike has returned, which `struck`, `struck-all` tell. */
static void script(struct undo *undo)
{
    uint64_t where;
    point();
    need(undo_add(undo, "", "where", kit_arguments(fate.directory, "where"), &where, NULL));
    need(undo_lock_vm(undo, VM_A, "web1", NULL));
    need(undo_lock_vm(undo, VM_B, "db1", NULL));
    point();
    (void)act(undo, "", "run");
    uint64_t first = act(undo, VM_A, "first");
    (void)act(undo, VM_B, "second");
    need(undo_lease(undo, first, clock_monotonic() + kit_limit, "late", NULL));
    uint64_t kept = act(undo, VM_A, "kept");
    need(undo_strike(undo, kept, NULL));
    kit_append(fate.directory, "struck", "x");
    point();
    need(undo_run(undo, first, NULL));
    point();
    need(undo_all(undo, NULL));
    point();
    (void)act(undo, VM_A, "all-a");
    (void)act(undo, VM_B, "all-b");
    need(undo_strike_all(undo, NULL));
    kit_append(fate.directory, "struck-all", "x");
    point();
    /* A restore: new files, and an old one that was set aside. */
    uint64_t aside;
    kit_append(fate.directory, "aside", "x");
    kit_append(fate.directory, "aside-made", "x");
    (void)act(undo, VM_A, "new-a");
    (void)act(undo, VM_B, "new-b");
    need(undo_replace_all(undo, "", "remove-file", kit_file_arguments(fate.directory, "aside"),
                          &aside, NULL));
    kit_append(fate.directory, "replaced", "x");
    point();
    need(undo_run(undo, aside, NULL));
    point();
}

/* test requester DIRECTORY "SIGNAL POINT CALL WATCHDOG-FIRST" */
static int main_requester(const char *directory, const char *word)
{
    struct io io = *io_real();
    struct undo *undo;
    int watchdog_first;
    if (sscanf(word, "%d %d %d %d", &fate.signal, &fate.at_point, &fate.at_call, &watchdog_first) !=
        4)
        return 2;
    fate.watchdog_first = watchdog_first;
    fate.directory = directory;
    io.pwrite = fatal_pwrite;
    io.fsync = fatal_fsync;
    io.rename_at = fatal_rename_at;
    point();
    if (kit_begin_on(&io, 0, directory, fate.signal == SIGSTOP ? 2 * hasty : calm, &undo, NULL) !=
        0)
        return 5;
    script(undo);
    undo_end(undo);
    point();
    return 0;
}

/* ---- Its fates ----------------------------------------------------------------------------- */

struct scripted {
    char *directory;
    pid_t process;
    int status;
    bool at_call, watchdog_first;
};

static struct scripted start_script(void **state, int signal, int at_point, int at_call,
                                    bool watchdog_first)
{
    CLEANUP_FREE char *name = memory_format("run-%d-%d", at_point, at_call);
    CLEANUP_FREE char *word =
        memory_format("%d %d %d %d", signal, at_point, at_call, watchdog_first);
    struct scripted scripted = {.directory = kit_path(*state, name),
                                .at_call = at_call != 0,
                                .watchdog_first = watchdog_first};
    assert_int_equal(mkdir(scripted.directory, 0700), 0);
    scripted.process = kit_start("requester", scripted.directory, word);
    return scripted;
}

/* Its watchdog has ended, too. False when n was past the end of the script, which then worked. */
static bool check_script(struct scripted *scripted)
{
    CLEANUP_FREE char *directory = TAKE_PTR(scripted->directory);
    int status = scripted->status;
    bool met = kit_exists(directory, "fate");
    if (met)
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    else
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_false(kit_exists(directory, "woken"));
    /* The watchdog alone does it, unless it was killed or not yet there. */
    if (!scripted->watchdog_first && kit_exists(directory, "watchdog"))
        assert_int_equal(kit_journals(directory), 0);
    assert_true(kit_recover(directory, NULL, NULL, NULL) >= 0);
    assert_int_equal(kit_journals(directory), 0);
    assert_false(kit_exists(directory, "run"));
    assert_false(kit_exists(directory, "first"));
    assert_false(kit_exists(directory, "second"));
    if (kit_exists(directory, "struck"))
        assert_true(kit_exists(directory, "kept"));
    else if (!scripted->at_call) /* in the middle of the strike either is right */
        assert_false(kit_exists(directory, "kept"));
    /* The point of no return: both or none. */
    bool all = kit_exists(directory, "all-a");
    assert_int_equal(kit_exists(directory, "all-b"), all);
    if (kit_exists(directory, "struck-all"))
        assert_true(all);
    else if (!scripted->at_call)
        assert_false(all);
    /* The new files and not the old one, or the old one and none of the new. */
    bool new_files = kit_exists(directory, "new-a");
    assert_int_equal(kit_exists(directory, "new-b"), new_files);
    if (new_files)
        assert_false(kit_exists(directory, "aside"));
    else if (kit_exists(directory, "aside-made"))
        assert_true(kit_exists(directory, "aside"));
    if (kit_exists(directory, "replaced"))
        assert_true(new_files);
    else if (!scripted->at_call)
        assert_false(new_files);
    kit_remove_tree(directory);
    return met;
}

static bool run_script(void **state, int signal, int at_point, int at_call, bool watchdog_first)
{
    struct scripted scripted = start_script(state, signal, at_point, at_call, watchdog_first);
    scripted.status = kit_wait(scripted.process);
    kit_wait_all();
    return check_script(&scripted);
}

static void killed_at_every_step(void **state)
{
    int n = 1;
    while (run_script(state, SIGKILL, n, 0, false))
        n++;
    assert_true(n > 18);
}

static void killed_in_every_write_of_the_journal(void **state)
{
    int n = 1;
    while (run_script(state, SIGKILL, 0, n, false))
        n++;
    assert_true(n > 26);
}

static void both_killed_at_every_step(void **state)
{
    int n = 1;
    while (run_script(state, SIGKILL, n, 0, true))
        n++;
    assert_true(n > 18);
}

/* From the second point on, where there is a watchdog, to the last before the end. All at once,
 * since each takes as long as a stall. */
static void stopped_at_every_step(void **state)
{
    struct scripted scripts[17];
    for (unsigned i = 0; i < ARRAY_SIZE(scripts); i++)
        scripts[i] = start_script(state, SIGSTOP, (int)i + 2, 0, false);
    for (unsigned i = 0; i < ARRAY_SIZE(scripts); i++)
        scripts[i].status = kit_wait(scripts[i].process);
    kit_wait_all();
    for (unsigned i = 0; i < ARRAY_SIZE(scripts); i++)
        assert_true(check_script(&scripts[i]));
}

/* ---- Other deaths -------------------------------------------------------------------------- */

/* test holder DIRECTORY KIND: opens steps in both lanes, tells, waits for its death. */
static int main_holder(const char *directory, const char *kind)
{
    struct undo *undo = kit_begin(directory, hasty);
    int failures = strcmp(kind, "stubborn") == 0 ? 4 : 1;
    kit_add(undo, VM_A, "note", kit_arguments(directory, "1"));
    kit_add(undo, VM_A, kind, kit_failing(directory, "2", failures));
    kit_add(undo, VM_A, "note", kit_arguments(directory, "3"));
    if (undo_lock_vm(undo, VM_A, "web1", NULL) != 0)
        return 1;
    (void)kit_watchdog_process(undo, directory);
    kit_append(directory, "ready", "x");
    /* Threads that are blocked for long do not make it stalled. */
    clock_sleep(3 * hasty);
    kit_append(directory, "alive", "x");
    for (;;)
        pause();
}

static pid_t start_holder(const char *directory, const char *kind)
{
    pid_t child = kit_start("holder", directory, kind);
    await(kit_exists(directory, "ready"));
    return child;
}

static int watchdog_of(const char *directory)
{
    CLEANUP_FREE char *text = kit_read(directory, "watchdog");
    assert_true(atoi(text) > 1);
    return atoi(text);
}

static void persistent_steps_are_repeated(void **state)
{
    pid_t holder = start_holder(*state, "stubborn");
    kill(holder, SIGKILL);
    kit_wait_all();
    assert_content(*state, "log", "3\n2\n1\n");
    assert_content(*state, "attempts-2", "xxxxx");
    assert_int_equal(kit_journals(*state), 0);
}

static void keep_report(void *context, const struct undo_report *report)
{
    *(struct undo_report *)context = *report;
}

static void what_fails_is_left_for_recovery(void **state)
{
    struct undo_report report = {.left = 7};
    pid_t holder = start_holder(*state, "note");
    kill(holder, SIGKILL);
    kit_wait_all();
    assert_content(*state, "log", "3\n1\n");
    assert_int_equal(kit_journals(*state), 1);
    assert_int_equal(kit_recover(*state, keep_report, &report, NULL), 1);
    assert_content(*state, "log", "3\n1\n2\n");
    assert_string_equal(report.description, "backup of web1");
    assert_int_equal(report.undone, 1);
    assert_int_equal(report.left, 0);
    assert_int_equal(kit_journals(*state), 0);
}

static void recovery_undoes_what_both_left(void **state)
{
    struct undo_report report = {.left = 7};
    struct error error = ERROR_INIT;
    pid_t holder = start_holder(*state, "note");
    kill(watchdog_of(*state), SIGKILL);
    kill(holder, SIGKILL);
    kit_wait_all();
    /* While another run has the VM, its steps are not touched. */
    struct undo *other = kit_begin(*state, calm);
    assert_int_equal(undo_lock_vm(other, VM_A, "web1", NULL), 0);
    assert_int_equal(kit_recover(*state, keep_report, &report, &error), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_int_equal(report.left, 3);
    undo_end(other);
    assert_content(*state, "log", "");
    error_clear(&error);
    assert_int_equal(kit_recover(*state, keep_report, &report, &error), -1);
    assert_string_equal(error.message, "2 does not work yet");
    assert_int_equal(report.left, 1);
    assert_int_equal(report.undone, 2);
    assert_int_equal(kit_recover(*state, NULL, NULL, NULL), 1);
    assert_content(*state, "log", "3\n1\n2\n");
    assert_int_equal(kit_recover(*state, NULL, NULL, NULL), 0);
}

static void a_vm_is_free_only_after_the_undo(void **state)
{
    pid_t holder = start_holder(*state, "hold");
    struct undo *undo = kit_begin(*state, calm);
    struct error error = ERROR_INIT;
    kill(holder, SIGKILL);
    kit_wait(holder);
    await(kit_exists(*state, "log")); /* the watchdog is at it */
    assert_int_equal(undo_lock_vm(undo, VM_A, "web1", &error), -1);
    assert_int_equal(error.kind, ERROR_BUSY);
    assert_int_equal(kit_recover(*state, NULL, NULL, NULL), 0); /* a live run's journal */
    kit_append(*state, "release", "x");
    await(undo_lock_vm(undo, VM_A, "web1", NULL) == 0);
    assert_content(*state, "log", "3\nreleased\n1\n");
    undo_end(undo);
    assert_int_equal(kit_journals(*state), 0);
}

static void blocked_is_not_stalled_but_stopped_is(void **state)
{
    pid_t holder = start_holder(*state, "stubborn");
    await(kit_exists(*state, "alive"));
    kill(holder, SIGSTOP);
    int status = kit_wait(holder);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    kit_wait_all();
    assert_content(*state, "log", "3\n2\n1\n");
}

/* As when the whole machine is suspended or starved: nobody was running, nobody is to blame. */
static void nobody_is_killed_after_a_pause_of_all(void **state)
{
    pid_t holder = start_holder(*state, "stubborn");
    int watchdog = watchdog_of(*state);
    for (int round = 0; round < 2; round++) {
        kill(watchdog, SIGSTOP);
        kill(holder, SIGSTOP);
        clock_sleep(hasty * 3 / 2);
        kill(round ? watchdog : holder, SIGCONT);
        kill(round ? holder : watchdog, SIGCONT);
    }
    await(kit_exists(*state, "alive"));
    assert_int_equal(waitpid(holder, NULL, WNOHANG), 0);
    assert_int_equal(kill(watchdog, 0), 0);
    assert_content(*state, "log", "");
    kill(holder, SIGKILL);
    kit_wait_all();
    assert_content(*state, "log", "3\n2\n1\n");
}

int main(int count, char **arguments)
{
    kit_init();
    if (count > 5 && strcmp(arguments[1], "watchdog") == 0)
        return kit_main_watchdog(arguments);
    if (count > 3 && strcmp(arguments[1], "requester") == 0)
        return main_requester(arguments[2], arguments[3]);
    if (count > 3 && strcmp(arguments[1], "holder") == 0)
        return main_holder(arguments[2], arguments[3]);
    const struct CMUnitTest tests[] = {
        kit_test(killed_at_every_step),
        kit_test(killed_in_every_write_of_the_journal),
        kit_test(both_killed_at_every_step),
        kit_test(stopped_at_every_step),
        kit_test(persistent_steps_are_repeated),
        kit_test(what_fails_is_left_for_recovery),
        kit_test(recovery_undoes_what_both_left),
        kit_test(a_vm_is_free_only_after_the_undo),
        kit_test(blocked_is_not_stalled_but_stopped_is),
        kit_test(nobody_is_killed_after_a_pause_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
