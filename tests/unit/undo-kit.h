/* What the tests of undo share: kinds whose handlers leave traces in files, a run with a watchdog
 * that is this very program, and waiting for conditions.
 *
 * Every test has a directory of its own: state/ is the state directory, and handlers write to
 * the file `log`. The test program is the reaper of orphans, so that a watchdog that outlives its
 * requester can be waited for, and none can be left behind unseen.
 */
#ifndef TESTS_UNDO_KIT_H
#define TESTS_UNDO_KIT_H

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "undo/undo-io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define VM_A "11111111-1111-4111-8111-111111111111"
#define VM_B "22222222-2222-4222-8222-222222222222"

static const int64_t kit_limit = 30 * CLOCK_SECOND; /* for anything to happen */

/* ---- Files --------------------------------------------------------------------------------- */

static inline char *kit_path(const char *directory, const char *name)
{
    return memory_format("%s/%s", directory, name);
}

static inline bool kit_exists(const char *directory, const char *name)
{
    CLEANUP_FREE char *path = kit_path(directory, name);
    return access(path, F_OK) == 0;
}

static inline void kit_append(const char *directory, const char *name, const char *text)
{
    CLEANUP_FREE char *path = kit_path(directory, name);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || write(file, text, strlen(text)) < 0)
        abort();
    close(file);
}

static inline char *kit_read(const char *directory, const char *name)
{
    CLEANUP_FREE char *path = kit_path(directory, name);
    char text[4096];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file >= 0 ? read(file, text, sizeof text - 1) : 0;
    if (file >= 0)
        close(file);
    text[size > 0 ? size : 0] = '\0';
    return memory_copy_string(text);
}

#define assert_content(directory, name, text)                                                      \
    do {                                                                                           \
        CLEANUP_FREE char *content_ = kit_read(directory, name);                                   \
        assert_string_equal(content_, text);                                                       \
    } while (0)

static inline unsigned kit_count(const char *directory, const char *name)
{
    CLEANUP_FREE char *path = kit_path(directory, name);
    DIR *stream = opendir(path);
    unsigned count = 0;
    while (stream && readdir(stream))
        count++;
    if (stream)
        closedir(stream);
    return count ? count - 2 : 0;
}

static inline char *kit_directory(void)
{
    /* In memory where there is such a place: syncs to a disk are slow and not what is tested. */
    char memory[] = "/dev/shm/vmshadow-undo-XXXXXX", disk[] = "/tmp/vmshadow-undo-XXXXXX";
    char *path = mkdtemp(memory);
    if (!path)
        path = mkdtemp(disk);
    assert_non_null(path);
    return memory_copy_string(path);
}

static inline void kit_remove_tree(const char *path)
{
    DIR *stream = opendir(path);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        CLEANUP_FREE char *child = kit_path(path, entry->d_name);
        if (entry->d_type == DT_DIR)
            kit_remove_tree(child);
        else
            unlink(child);
    }
    if (stream)
        closedir(stream);
    rmdir(path);
}

/* ---- Kinds --------------------------------------------------------------------------------- */

/* "note" {directory, text, milliseconds?, failures?}: waits, fails the first n times (attempts are
 * counted in the file attempts-TEXT), then appends its text to the log. */
static inline int kit_note(void *context, const json_t *arguments, struct error *error)
{
    (void)context;
    const char *directory = json_string_or(arguments, "directory", "/");
    const char *text = json_string_or(arguments, "text", "?");
    clock_sleep(json_integer_or(arguments, "milliseconds", 0) * CLOCK_MILLISECOND);
    CLEANUP_FREE char *name = memory_format("attempts-%s", text);
    CLEANUP_FREE char *attempts = kit_read(directory, name);
    kit_append(directory, name, "x");
    if ((int64_t)strlen(attempts) < json_integer_or(arguments, "failures", 0))
        return error_set(error, ERROR_FAILED, "%s does not work yet", text);
    CLEANUP_FREE char *line = memory_format("%s\n", text);
    kit_append(directory, "log", line);
    return 0;
}

/* Done only when the file `release` exists, or the test is over. */
static inline int kit_until_released(void *context, const json_t *arguments, struct error *error)
{
    (void)context;
    const char *directory = json_string_or(arguments, "directory", "/");
    if (access(directory, F_OK) != 0)
        return 0;
    if (!kit_exists(directory, "release"))
        return error_set(error, ERROR_FAILED, "not released yet");
    kit_append(directory, "log", "released\n");
    return 0;
}

/* The same, but a person has to decide; attempts are counted in the file `asked`. */
static inline int kit_until_decided(void *context, const json_t *arguments, struct error *error)
{
    const char *directory = json_string_or(arguments, "directory", "/");
    if (!kit_exists(directory, "release"))
        (void)error_set(error, ERROR_REFUSED, "nobody has decided yet");
    kit_append(directory, "asked", "x");
    return kit_until_released(context, arguments, error);
}

static inline int kit_refuse(void *context, const json_t *arguments, struct error *error)
{
    (void)context;
    (void)arguments;
    return error_set(error, ERROR_CONNECTION, "no such guest");
}

/* Tells the tests which process the watchdog is. */
static inline int kit_tell_process(void *context, const json_t *arguments, struct error *error)
{
    (void)context;
    (void)error;
    CLEANUP_FREE char *text = memory_format("%d", getpid());
    kit_append(json_string_or(arguments, "directory", "/"), "watchdog", text);
    return 0;
}

static inline int kit_watch_trip(void *context, const json_t *arguments, struct error *reason)
{
    (void)context;
    if (!kit_exists(json_string_or(arguments, "directory", "/"), "trip"))
        return 0;
    (void)error_set(reason, ERROR_SPACE, "scratch of VM web1 runs short");
    return 1;
}

static struct undo_kind kit_kinds[] = {
    {.name = "note", .undo = kit_note},
    {.name = "stubborn", .undo = kit_note, .persistent = true},
    {.name = "hold", .undo = kit_until_released, .persistent = true},
    {.name = "decide", .undo = kit_until_decided, .persistent = true},
    {.name = "refuse", .prepare = kit_refuse, .undo = kit_note},
    {.name = "where", .prepare = kit_tell_process, .undo = kit_note},
    {.name = "watched", .undo = kit_note, .watch = kit_watch_trip},
    {.name = "remove-file"},
    {.name = "remove-directory"},
    {.name = "end-process"},
    {.name = NULL},
};
static const struct undo_table kit_table = {.kinds = kit_kinds};

static inline json_t *kit_arguments(const char *directory, const char *text)
{
    json_t *arguments = json_object();
    json_set_string(arguments, "directory", directory);
    json_set_string(arguments, "text", text);
    return arguments;
}

static inline json_t *kit_failing(const char *directory, const char *text, int failures)
{
    json_t *arguments = kit_arguments(directory, text);
    json_set_integer(arguments, "failures", failures);
    return arguments;
}

static inline json_t *kit_slow(const char *directory, const char *text, int milliseconds)
{
    json_t *arguments = kit_arguments(directory, text);
    json_set_integer(arguments, "milliseconds", milliseconds);
    return arguments;
}

static inline json_t *kit_file_arguments(const char *directory, const char *name)
{
    CLEANUP_FREE char *path = kit_path(directory, name);
    return undo_path_arguments(path);
}

/* ---- Runs ---------------------------------------------------------------------------------- */

static inline int kit_begin_on(struct io *io, int64_t patience, const char *directory,
                               int64_t stall, struct undo **ret_undo, struct error *error)
{
    CLEANUP_FREE char *state = kit_path(directory, "state");
    static char name[] = "test", verb[] = "watchdog";
    char *const arguments[] = {name, verb, NULL};
    struct undo_settings settings = {
        .state_directory = state,
        .description = "backup of web1",
        .program = "/proc/self/exe",
        .arguments = arguments,
        .stall = stall,
    };
    return undo_begin_on(io, patience, &settings, &kit_table, ret_undo, error);
}

static inline struct undo *kit_begin(const char *directory, int64_t stall)
{
    struct undo *undo = NULL;
    struct error error = ERROR_INIT;
    if (kit_begin_on(io_real(), 0, directory, stall, &undo, &error) != 0)
        fail_msg("%s", error.message);
    return undo;
}

static inline uint64_t kit_add(struct undo *undo, const char *lane, const char *kind,
                               json_t *arguments)
{
    uint64_t step = 0;
    struct error error = ERROR_INIT;
    if (undo_add(undo, lane, kind, arguments, &step, &error) != 0)
        fail_msg("%s", error.message);
    return step;
}

static inline int kit_watchdog_process(struct undo *undo, const char *directory)
{
    uint64_t step = kit_add(undo, "", "where", kit_arguments(directory, "where"));
    assert_int_equal(undo_strike(undo, step, NULL), 0);
    CLEANUP_FREE char *text = kit_read(directory, "watchdog");
    assert_true(atoi(text) > 1);
    return atoi(text);
}

static inline int kit_recover(const char *directory,
                              void (*report)(void *context, const struct undo_report *report),
                              void *context, struct error *error)
{
    CLEANUP_FREE char *state = kit_path(directory, "state");
    return undo_recover(state, &kit_table, report, context, error);
}

static inline unsigned kit_journals(const char *directory)
{
    return kit_count(directory, "state/runs");
}

/* ---- Waiting ------------------------------------------------------------------------------- */

#define await(condition)                                                                           \
    do {                                                                                           \
        for (int64_t until_ = clock_monotonic() + kit_limit; !(condition);) {                      \
            if (clock_monotonic() > until_)                                                        \
                fail_msg("waited in vain for: %s", #condition);                                    \
            clock_sleep(2 * CLOCK_MILLISECOND);                                                    \
        }                                                                                          \
    } while (0)

/* The undo event, as a poll loop sees it. */
static inline bool kit_is_called_off(struct undo *undo)
{
    struct pollfd event = {.fd = undo_event(undo), .events = POLLIN};
    return poll(&event, 1, 0) == 1;
}

/* Start this program again: test ROLE DIRECTORY WORD. */
static inline pid_t kit_start(const char *role, const char *directory, const char *word)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", "test", role, directory, word, (char *)NULL);
        _exit(126);
    }
    return child;
}

static inline int kit_wait(pid_t child)
{
    int status = 0;
    pid_t got = 0;
    await((got = waitpid(child, &status, WNOHANG)) != 0);
    assert_int_equal(got, child);
    return status;
}

/* Wait until all descendants, orphaned watchdogs too, have ended. What is wrong, if anything: one
 * goes on, or ended by a fault of its own (an abort, a sanitizer's exit code). */
static inline const char *kit_reap_all(void)
{
    int64_t until = clock_monotonic() + kit_limit;
    for (;;) {
        int status = 0;
        pid_t got = waitpid(-1, &status, WNOHANG);
        if (got < 0)
            return NULL;
        if (got > 0 && !(WIFEXITED(status) && WEXITSTATUS(status) <= 1) &&
            !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
            return "a process ended by a fault of its own";
        if (clock_monotonic() > until)
            return "a process is left behind";
        if (got == 0)
            clock_sleep(2 * CLOCK_MILLISECOND);
    }
}

static inline void kit_wait_all(void)
{
    const char *fault = kit_reap_all();
    if (fault)
        fail_msg("%s", fault);
}

static inline int kit_setup(void **state)
{
    *state = kit_directory();
    return 0;
}

/* A test that failed may have left its run open, which ends with this process. */
static inline int kit_teardown(void **state)
{
    const char *fault = kit_reap_all();
    (void)fflush(stdout);
    kit_remove_tree(*state);
    free(*state);
    if (fault) {
        fprintf(stderr, "%s\n", fault);
        exit(1);
    }
    return 0;
}

#define kit_test(function) cmocka_unit_test_setup_teardown(function, kit_setup, kit_teardown)

/* test watchdog --socket N --journal PATH */
static inline int kit_main_watchdog(char **arguments)
{
    log_set_level(LOG_LEVEL_ERROR);
    return undo_watchdog(atoi(arguments[3]), arguments[5], &kit_table);
}

static inline void kit_init(void)
{
    for (struct undo_kind *kind = kit_kinds; kind->name; kind++)
        if (strcmp(kind->name, "remove-file") == 0)
            *kind = undo_remove_file;
        else if (strcmp(kind->name, "remove-directory") == 0)
            *kind = undo_remove_directory;
        else if (strcmp(kind->name, "end-process") == 0)
            *kind = undo_end_process;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}

#endif
