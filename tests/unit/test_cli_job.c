/* cli: what follows the run of a job: the figures' file, and the commands that get the report. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/job-ending.h"
#include "cli/observer.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char directory[] = "/tmp/test_cli_job.XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static char *read_text(const char *name)
{
    CLEANUP_FREE char *path = memory_format("%s/%s", directory, name);
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
    char *text = memory_new(1 << 16, 1);
    if (file >= 0)
        assert_true(read(file, text, (1 << 16) - 1) >= 0);
    return text;
}

static json_t *report(const char *result, const char *begin)
{
    struct error error = ERROR_INIT;
    CLEANUP_FREE char *text = memory_format(
        "{\"job\":\"nightly\",\"host\":\"here\",\"result\":\"%s\",\"begin\":\"%s\",\"seconds\":2.5,"
        "\"sets\":[{\"vms\":[\"a\"],\"backup\":\"x\",\"details\":{\"vms\":[{\"name\":\"q\\\"b\\\\s"
        "\\nn ü\",\"frozen_ms\":212.5,\"paused_ms\":0}]},\"error\":null}],\"failed\":0,"
        "\"notices\":[\"one\"],\"retention\":{\"kept\":7,\"removed\":[],\"stopped\":null},\"bytes_"
        "read\":4096,"
        "\"bytes_stored\":1024}",
        result, begin);
    json_t *value = json_parse(text, strlen(text), "report", &error);
    assert_non_null(value);
    return value;
}

static void write_metrics(const char *result, const char *begin)
{
    struct error error = ERROR_INIT;
    CLEANUP_JSON json_t *value = report(result, begin);
    assert_int_equal(job_write_metrics(directory, value, &error), 0);
}

static void figures_are_written_for_prometheus(void **state)
{
    (void)state;
    mode_t before = umask(077);
    write_metrics("success", "2026-11-23T14:18:05Z");
    (void)umask(before);
    CLEANUP_FREE char *text = read_text("vmshadow_nightly.prom");
    static const char *const lines[] = {
        "\n# TYPE vmshadow_job_success gauge\nvmshadow_job_success{job=\"nightly\"} 1\n",
        "\nvmshadow_job_last_success_timestamp_seconds{job=\"nightly\"} 1795443485\n",
        "\nvmshadow_job_duration_seconds{job=\"nightly\"} 2.5\n",
        "\nvmshadow_job_notices{job=\"nightly\"} 1\n",
        "\nvmshadow_job_backups{job=\"nightly\"} 7\n",
        "\nvmshadow_vm_frozen_seconds{job=\"nightly\",vm=\"q\\\"b\\\\s\\nn ü\"} 0.2125\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        if (!strstr(text, lines[i]))
            fail_msg("%s is not in %s", lines[i], text);
    CLEANUP_FREE char *path = memory_format("%s/vmshadow_nightly.prom", directory);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
}

static void the_last_success_outlives_a_failure(void **state)
{
    (void)state;
    write_metrics("success", "2026-11-23T14:18:05Z");
    for (int i = 0; i < 2; i++)
        write_metrics("failure", "2026-11-24T14:18:05Z");
    CLEANUP_FREE char *text = read_text("vmshadow_nightly.prom");
    assert_non_null(strstr(text, "\nvmshadow_job_success{job=\"nightly\"} 0\n"));
    assert_non_null(
        strstr(text, "\nvmshadow_job_last_success_timestamp_seconds{job=\"nightly\"} 1795443485"));
    assert_non_null(
        strstr(text, "\nvmshadow_job_last_run_timestamp_seconds{job=\"nightly\"} 1795529885"));
}

static void links_are_not_followed(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    CLEANUP_JSON json_t *value = report("failure", "2026-11-24T14:18:05Z");
    CLEANUP_FREE char *file = memory_format("%s/vmshadow_nightly.prom", directory);
    CLEANUP_FREE char *target = memory_format("%s/target", directory);
    CLEANUP_FREE char *link = memory_format("%s/link", directory);
    (void)unlink(file);
    CLEANUP_CLOSE int made = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(made, "mine", 4), 4);
    assert_int_equal(symlink(target, file), 0);
    assert_int_equal(job_write_metrics(directory, value, &error), 0);
    CLEANUP_FREE char *text = read_text("target");
    assert_string_equal(text, "mine");
    assert_int_equal(symlink(directory, link), 0);
    assert_int_equal(job_write_metrics(link, value, &error), -1);
    error_clear(&error);
    assert_int_equal(job_write_metrics("/nowhere/metrics", value, &error), -1);
    assert_int_equal(error.kind, ERROR_NOT_FOUND);
}

/* ---- Notices ------------------------------------------------------------------------------- */

static json_t *tell_notices(size_t count, const char *rest)
{
    struct error error = ERROR_INIT;
    struct options options = {.quiet = true};
    struct observer *observer = NULL;
    assert_int_equal(observer_open(&options, NULL, &observer, &error), 0);
    struct requester_host host = observer_host(observer);
    for (size_t i = 0; i < count; i++) {
        CLEANUP_FREE char *text = memory_format("%03zu%s", i, rest);
        host.observer.notice(host.observer.context, text);
        host.observer.notice(host.observer.context, text);
    }
    json_t *notices = observer_notices(observer);
    assert_int_equal(observer_close(observer, &error), 0);
    return notices;
}

static void notices_are_told_once_and_bounded(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_WARNING);
    CLEANUP_JSON json_t *few = tell_notices(100, "ü");
    assert_int_equal(json_array_size(few), 100);
    assert_string_equal(json_string_value(json_array_get(few, 99)), "099ü");
    CLEANUP_JSON json_t *many = tell_notices(1000, "ü");
    assert_int_equal(json_array_size(many), 100);
    assert_string_equal(json_string_value(json_array_get(many, 98)), "098ü");
    assert_non_null(strstr(json_string_value(json_array_get(many, 99)), "more notices"));
    CLEANUP_FREE char *fits = memory_format("%508s", "ü");
    CLEANUP_JSON json_t *whole = tell_notices(1, fits);
    assert_int_equal(strlen(json_string_value(json_array_get(whole, 0))), 511);
    /* The character that would be cut in two goes as a whole. */
    CLEANUP_FREE char *longer = memory_format("%506sxxx", "ü");
    CLEANUP_JSON json_t *cut = tell_notices(1, longer);
    const char *text = json_string_value(json_array_get(cut, 0));
    assert_int_equal(strlen(text), 510);
    assert_string_equal(text + 505, "  ...");
}

/* ---- Commands ------------------------------------------------------------------------------ */

static int call(const char *command, const char *input, int64_t limit, struct error *error)
{
    CLEANUP_JSON json_t *value = report("failure", "2026-11-24T14:18:05Z");
    *error = ERROR_INIT;
    return job_call(command, value, input, limit, error);
}

static void a_command_gets_the_report(void **state)
{
    (void)state;
    struct error error;
    CLEANUP_FREE char *command = memory_format(
        "cat >%s/got && echo \"$VMSHADOW_JOB $VMSHADOW_RESULT\" >>%s/got", directory, directory);
    char *large = memory_new((1 << 20) + 1, 1); /* more than a pipe takes */
    memset(large, 'x', 1 << 20);
    assert_int_equal(call(command, "line\n", 20 * CLOCK_SECOND, &error), 0);
    CLEANUP_FREE char *text = read_text("got");
    assert_string_equal(text, "line\nnightly failure\n");
    assert_int_equal(call("exit 0", large, 20 * CLOCK_SECOND, &error), 0);
    free(large);
}

static void what_a_command_makes_is_not_secret(void **state)
{
    (void)state;
    struct error error;
    CLEANUP_FREE char *command = memory_format("umask >%s/umask", directory);
    mode_t before = umask(0077);
    assert_int_equal(call(command, "", 20 * CLOCK_SECOND, &error), 0);
    (void)umask(before);
    CLEANUP_FREE char *text = read_text("umask");
    assert_string_equal(text, "0022\n");
}

static void a_command_that_fails_is_told(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(call("exit 3", "", 20 * CLOCK_SECOND, &error), -1);
    assert_string_equal(error.message, "'exit 3' ended with status 3");
    assert_int_equal(call("kill -9 $$", "", 20 * CLOCK_SECOND, &error), -1);
    assert_string_equal(error.message, "'kill -9 $$' ended with signal 9");
}

static pid_t read_process(const char *name)
{
    CLEANUP_FREE char *text = read_text(name);
    return (pid_t)strtol(text, NULL, 10);
}

/* A zombie counts as ended: in a container nobody may reap it. */
static bool is_alive(pid_t process)
{
    char state = 'Z';
    CLEANUP_FREE char *path = memory_format("/proc/%d/stat", (int)process);
    CLEANUP_FILE FILE *file = fopen(path, "re");
    return file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1 && state != 'Z';
}

static void assert_ends(pid_t process)
{
    assert_true(process > 1);
    for (int i = 0; i < 2000 && is_alive(process); i++)
        clock_sleep(10 * CLOCK_MILLISECOND);
    assert_false(is_alive(process));
}

static void what_takes_too_long_is_ended_with_all_of_it(void **state)
{
    (void)state;
    struct error error;
    CLEANUP_FREE char *command =
        memory_format("trap '' TERM; sleep 1000 & echo $! >%s/child; wait; sleep 1000", directory);
    assert_int_equal(call(command, "", CLOCK_SECOND, &error), -1);
    assert_int_equal(error.kind, ERROR_TIMEOUT);
    assert_ends(read_process("child"));
}

static void what_a_command_leaves_behind_is_ended(void **state)
{
    (void)state;
    struct error error;
    CLEANUP_FREE char *command = memory_format("sleep 1000 & echo $! >%s/left", directory);
    assert_int_equal(call(command, "", 60 * CLOCK_SECOND, &error), 0);
    assert_ends(read_process("left"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_written_for_prometheus),
        cmocka_unit_test(the_last_success_outlives_a_failure),
        cmocka_unit_test(links_are_not_followed),
        cmocka_unit_test(notices_are_told_once_and_bounded),
        cmocka_unit_test(a_command_gets_the_report),
        cmocka_unit_test(what_a_command_makes_is_not_secret),
        cmocka_unit_test(a_command_that_fails_is_told),
        cmocka_unit_test(what_takes_too_long_is_ended_with_all_of_it),
        cmocka_unit_test(what_a_command_leaves_behind_is_ended),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
