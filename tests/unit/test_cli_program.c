/* cli: whole command lines, each in a process of its own, with a requester that only answers:
 * what is printed where, which exit code, what the workflow is asked for. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/exit-code.h"
#include "cli/program.h"
#include "fake-requester.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static char directory[] = "/tmp/test_cli_program.XXXXXX";
static char repository[64], events[64];

struct outcome {
    int code;
    char *out, *err;
};

static char *read_file(int file)
{
    off_t size = lseek(file, 0, SEEK_END);
    assert_true(size >= 0);
    char *text = memory_new((size_t)size + 1, 1);
    assert_int_equal(pread(file, text, (size_t)size, 0), size);
    return text;
}

static pid_t start(const char *const *words, int out, int err)
{
    int count = 0;
    while (words[count])
        count++;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child)
        return child;
    (void)setsid();
    (void)signal(SIGHUP, SIG_DFL); /* a check under nohup ignores it, and so would the program */
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(err, STDERR_FILENO);
    exit(program_main(count, (char *const *)words));
}

static struct outcome run(const char *const *words)
{
    int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC), status;
    pid_t child = start(words, out, err);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    struct outcome outcome = {WEXITSTATUS(status), read_file(out), read_file(err)};
    (void)close(out);
    (void)close(err);
    return outcome;
}
#define RUN(...) run((const char *const[]){"vmshadow", __VA_ARGS__, NULL})

static void clear(struct outcome *outcome)
{
    free(outcome->out);
    free(outcome->err);
}
#define OUTCOME __attribute__((cleanup(clear))) struct outcome

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    (void)snprintf(repository, sizeof repository, "%s/repository", directory);
    (void)snprintf(events, sizeof events, "%s/events", directory);
    (void)unsetenv("VMSHADOW_REPO");
    (void)unsetenv("VMSHADOW_PASSPHRASE_FILE");
    OUTCOME made = RUN("init", "--no-encryption", "--repo", repository);
    return made.code;
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

static int no_answer(void **state)
{
    (void)state;
    fake_requester = (struct fake_requester){0};
    return 0;
}

static json_t *parse(const char *text)
{
    struct error error = ERROR_INIT;
    json_t *value = json_parse(text, strlen(text), "output", &error);
    if (!value)
        fail_msg("%s: %s", error.message, text);
    size_t length = strlen(text);
    assert_null(memchr(text, '\n', length - 1)); /* one object, one line */
    assert_int_equal(text[length - 1], '\n');
    return value;
}

/* ---- Words --------------------------------------------------------------------------------- */

static void help_goes_to_standard_output(void **state)
{
    (void)state;
    static const char *const names[] = {"init",    "writers", "providers", "inspect",
                                        "diff",    "backup",  "list",      "show",
                                        "restore", "verify",  "recover"};
    OUTCOME all = RUN("--help");
    assert_int_equal(all.code, 0);
    assert_string_equal(all.err, "");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_non_null(strstr(all.out, names[i]));
        OUTCOME one = RUN(names[i], "--help");
        assert_int_equal(one.code, 0);
        assert_string_equal(one.err, "");
        assert_non_null(strstr(one.out, "Usage: vmshadow "));
    }
    assert_null(strstr(all.out, "watchdog"));
    OUTCOME version = RUN("backup", "--version");
    assert_int_equal(version.code, 0);
    assert_memory_equal(version.out, "vmshadow ", 9);
}

static void wrong_words_are_usage_errors(void **state)
{
    (void)state;
    static const char *const cases[][4] = {
        {"vmshadow"},
        {"vmshadow", "destroy"},
        {"vmshadow", "--json"},
        {"vmshadow", "list", "--nothing"},
        {"vmshadow", "list", "web1"},
        {"vmshadow", "show"},
        {"vmshadow", "backup", "--all", "web1"},
        {"vmshadow", "backup"},
        {"vmshadow", "list"}, /* no repository is named */
        {"vmshadow", "init", "--chunk-size=96K", "--no-encryption"},
        {"vmshadow", "watchdog"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *words[5] = {NULL};
        memcpy(words, cases[i], sizeof cases[i]);
        OUTCOME outcome = run(words);
        assert_int_equal(outcome.code, 2);
        if (words[1] && strcmp(words[1], "--json") == 0)
            continue;
        assert_string_equal(outcome.out, "");
        assert_memory_equal(outcome.err, "vmshadow: error: ", 17);
    }
}

static void errors_are_one_line_and_a_hint(void **state)
{
    (void)state;
    (void)error_set(&fake_requester.error, ERROR_BUSY, "VM web1: held by a \n run");
    (void)error_advise(&fake_requester.error, "held", "wait for it");
    OUTCOME outcome = RUN("inspect", "web1");
    assert_int_equal(outcome.code, 7);
    assert_string_equal(outcome.out, "");
    assert_string_equal(outcome.err, "vmshadow: error: VM web1: held by a \\x0a run\n"
                                     "vmshadow: hint: wait for it [held]\n");
}

static void every_kind_of_error_has_its_exit_code(void **state)
{
    (void)state;
    for (int kind = ERROR_FAILED; kind < ERROR_KINDS_; kind++) {
        fake_requester.error = ERROR_INIT;
        (void)error_set(&fake_requester.error, (enum error_kind)kind, "a reason");
        OUTCOME outcome = RUN("writers", "--json");
        assert_int_equal(outcome.code, exit_code_of((enum error_kind)kind));
        assert_string_equal(outcome.err, "");
        CLEANUP_JSON json_t *object = parse(outcome.out);
        const json_t *error = json_object_get(object, "error");
        assert_string_equal(json_string_or(error, "kind", ""),
                            error_kind_name((enum error_kind)kind));
        assert_int_equal(json_integer_or(error, "exit_code", 0), outcome.code);
    }
}

static void usage_errors_are_json_too(void **state)
{
    (void)state;
    OUTCOME option = RUN("list", "--nothing", "--json");
    assert_int_equal(option.code, 2);
    CLEANUP_JSON json_t *object = parse(option.out);
    assert_string_equal(json_string_or(json_object_get(object, "error"), "kind", ""), "usage");
    OUTCOME verb = RUN("destroy", "--json");
    CLEANUP_JSON json_t *other = parse(verb.out);
    assert_string_equal(json_string_or(json_object_get(other, "error"), "message", ""),
                        "there is no command 'destroy'");
}

/* ---- Results ------------------------------------------------------------------------------- */

static char *sample(const char *name, const char *kind)
{
    CLEANUP_FREE char *path = memory_format("%s/%s.%s", TEST_SAMPLES, name, kind);
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        fail_msg("%s is not there", path);
    return read_file(file);
}

static void results_are_drawn_as_text(void **state)
{
    (void)state;
    static const char *const cases[][4] = {
        {"writers"}, {"providers"},      {"inspect", "--all"},       {"backup", "--all"},
        {"list"},    {"show", "latest"}, {"diff", "9f1c", "latest"}, {"restore", "latest", "--yes"},
        {"recover"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *words[8] = {"vmshadow", cases[i][0], "--repo", repository};
        memcpy(words + 4, cases[i] + 1, 3 * sizeof words[0]);
        CLEANUP_FREE char *answer = sample(cases[i][0], "json");
        CLEANUP_FREE char *text = sample(cases[i][0], "txt");
        fake_requester.answer = answer;
        OUTCOME outcome = run(words);
        assert_int_equal(outcome.code, 0);
        assert_string_equal(outcome.err, "");
        assert_string_equal(outcome.out, text);
    }
}

static void json_is_what_the_workflow_says(void **state)
{
    (void)state;
    CLEANUP_FREE char *answer = sample("list", "json");
    fake_requester.answer = answer;
    (void)error_set(&fake_requester.error, ERROR_DAMAGED, "1 backup is damaged");
    OUTCOME outcome = RUN("list", "--repo", repository, "--json");
    assert_int_equal(outcome.code, 6);
    CLEANUP_JSON json_t *object = parse(outcome.out);
    assert_int_equal(json_array_size(json_object_get(object, "backups")), 1);
    assert_int_equal(json_integer_or(json_object_get(object, "error"), "exit_code", 0), 6);
}

static void output_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
    int status;
    pid_t child = start((const char *const[]){"vmshadow", "writers", "--json", NULL}, full, err);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), exit_code_of(ERROR_SPACE));
    CLEANUP_FREE char *text = read_file(err);
    assert_non_null(strstr(text, "standard output"));
    (void)close(full);
    (void)close(err);
}

/* ---- What workflows are asked for ----------------------------------------------------------- */

static void options_reach_the_workflow(void **state)
{
    (void)state;
    OUTCOME outcome =
        RUN("backup", "web1", "d=b", "-r", repository, "--json", "--connect", "qemu:///session",
            "--scratch=/scratch", "--scratch-reserve=4GiB", "--freeze-limit=2min",
            "--hold-limit=500ms", "--hold-stopped", "--snapshot-location=d=b=/snap",
            "--no-auto-recovery", "--type=full", "--workers=3");
    assert_int_equal(outcome.code, 0);
    assert_string_equal(
        outcome.out,
        "{\"asked\":{\"vms\":[\"web1\",\"d=b\"],\"all\":false,\"locations\":{\"d=b\":\"/snap\"},"
        "\"scratch\":\"/scratch\",\"reserve\":4294967296,\"freeze\":120000000000,"
        "\"hold\":500000000,\"stopped\":true,\"no_recovery\":true,\"full\":true,\"workers\":3,"
        "\"repository\":true,\"uri\":\"qemu:///session\"}}\n");
    OUTCOME plain = RUN("backup", "--all", "-r", repository, "--json");
    assert_string_equal(
        plain.out, "{\"asked\":{\"vms\":[],\"all\":true,\"locations\":{},\"scratch\":null,"
                   "\"reserve\":0,\"freeze\":0,\"hold\":0,\"stopped\":false,\"no_recovery\":false,"
                   "\"full\":false,\"workers\":0,\"repository\":true,\"uri\":null}}\n");
}

/* What a backup refuses is to be seen before. */
static void inspect_asks_with_the_options_of_a_backup(void **state)
{
    (void)state;
    OUTCOME outcome = RUN("inspect", "web1", "--json", "--scratch=/scratch", "--scratch-reserve=1G",
                          "--saved-state-dir=/images", "--max-pause=2s", "--refuse-saved-state");
    assert_string_equal(outcome.out,
                        "{\"asked\":{\"vms\":[\"web1\"],\"all\":false,\"locations\":{},"
                        "\"scratch\":\"/scratch\",\"reserve\":1073741824,\"images\":\"/images\","
                        "\"max_pause\":2000000000,\"no_pause\":true,\"uri\":null}}\n");
}

static void list_asks_for_what_was_said(void **state)
{
    (void)state;
    OUTCOME all = RUN("list", "-r", repository, "--json");
    assert_string_equal(all.out,
                        "{\"asked\":{\"vm\":null,\"since\":0,\"until\":9223372036854775807,"
                        "\"uri\":null}}\n");
    OUTCOME some = RUN("list", "-r", repository, "--json", "--vm", "web*", "--since",
                       "2026-11-23T14:18Z", "--until", "2026-11-23Z");
    assert_string_equal(some.out, "{\"asked\":{\"vm\":\"web*\",\"since\":1795443480000000000,"
                                  "\"until\":1795478399999999999,\"uri\":null}}\n");
    OUTCOME wrong = RUN("list", "-r", repository, "--since", "yesterday");
    assert_int_equal(wrong.code, 2);
    assert_non_null(strstr(wrong.err, "--since: 'yesterday' is not a time: write 2026-11-23"));
    OUTCOME never = RUN("list", "-r", repository, "--since", "2026-11-24", "--until", "2026-11-23");
    assert_int_equal(never.code, 2);
    assert_non_null(strstr(never.err, "--since 2026-11-24 is later than --until 2026-11-23"));
}

static void restore_asks_for_what_was_said(void **state)
{
    (void)state;
    OUTCOME some = RUN("restore", "9f1c", "web1", "db1", "-r", repository, "--json");
    assert_string_equal(some.out, "{\"asked\":{\"backup\":\"9f1c\",\"vms\":[\"web1\",\"db1\"],"
                                  "\"yes\":false,\"plan\":false,\"workers\":0,\"uri\":null}}\n");
    OUTCOME yes = RUN("restore", "latest", "--yes", "-r", repository, "--json", "--workers=2");
    assert_string_equal(yes.out, "{\"asked\":{\"backup\":\"latest\",\"vms\":[],\"yes\":true,"
                                 "\"plan\":false,\"workers\":2,\"uri\":null}}\n");
    OUTCOME plan = RUN("restore", "latest", "--dry-run", "-r", repository, "--json");
    assert_non_null(strstr(plan.out, "\"plan\":true"));
}

/* The program on a terminal of its own; `typed` is the answer to its question. */
static struct outcome on_terminal(const char *typed, const char *const *words)
{
    int terminal, status, count = 0;
    while (words[count])
        count++;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    assert_true(child >= 0);
    if (child == 0)
        exit(program_main(count, (char *const *)words));
    char *shown = memory_new(8192, 1);
    size_t used = 0;
    struct pollfd wait = {.fd = terminal, .events = POLLIN};
    while (poll(&wait, 1, 20000) > 0) {
        ssize_t got = read(terminal, shown + used, 8191 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
        if (typed && strstr(shown, "Write yes: ")) {
            assert_int_equal(write(terminal, typed, strlen(typed)), strlen(typed));
            typed = NULL;
        }
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    (void)close(terminal);
    return (struct outcome){WEXITSTATUS(status), shown, NULL};
}

static void a_running_vm_is_replaced_after_a_yes(void **state)
{
    (void)state;
    fake_requester.plan = "{\"backup\":\"x\",\"vms\":[{\"name\":\"web1\",\"replaces\":\"running\"},"
                          "{\"name\":\"db1\",\"replaces\":\"off\"}]}";
    fake_requester.answer = "{\"backup\":\"x\",\"vms\":[],\"seconds\":1.0}";
    const char *const words[] = {"vmshadow", "restore", "latest", "-r", repository, NULL};
    OUTCOME yes = on_terminal("yes\n", words);
    assert_int_equal(yes.code, 0);
    assert_non_null(strstr(yes.out, "VM web1 is running: it will be powered off and replaced."));
    assert_null(strstr(yes.out, "db1"));
    assert_non_null(strstr(yes.out, "was restored"));
    OUTCOME no = on_terminal("y\n", words);
    assert_int_equal(no.code, 4);
    assert_non_null(strstr(no.out, "nothing was changed"));
    OUTCOME interrupted = on_terminal("\003", words);
    assert_int_equal(interrupted.code, 11);
    fake_requester.plan = "{\"backup\":\"x\",\"vms\":[{\"name\":\"db1\",\"replaces\":\"off\"}]}";
    OUTCOME unasked = on_terminal(NULL, words);
    assert_int_equal(unasked.code, 0);
    assert_null(strstr(unasked.out, "Replace?"));
}

/* ---- While it runs -------------------------------------------------------------------------- */

static void events_are_lines_of_json(void **state)
{
    (void)state;
    fake_requester.tells = true;
    OUTCOME outcome = RUN("backup", "--all", "-r", repository, "--json", "-e", events);
    assert_int_equal(outcome.code, 0);
    CLEANUP_CLOSE int file = open(events, O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    CLEANUP_FREE char *text = read_file(file);
    assert_string_equal(text, "{\"kind\":\"event\",\"name\":\"PrepareForSnapshot\",\"vm\":null,"
                              "\"disk\":null,\"message\":\"\"}\n"
                              "{\"kind\":\"copy\",\"name\":\"PrepareForSnapshot\",\"vm\":\"web1\","
                              "\"disk\":\"vda\",\"message\":\"no luck\"}\n");
    assert_string_equal(outcome.err,
                        "web1 vda               0%    0 bytes of    1.0 MiB    0 bytes/s\n"
                        "vmshadow: VM web1: network \\x1bbr9 is not there\n"
                        "web1 vda             100%    1.0 MiB of    1.0 MiB    4.0 KiB/s done\n");
}

static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;
    while ((text = strstr(text, part))) {
        count++;
        text += strlen(part);
    }
    return count;
}

static void a_job_that_waits_tells_each_notice_once(void **state)
{
    (void)state;
    CLEANUP_FREE char *jobs = memory_format("%s/jobs.d", directory);
    CLEANUP_FREE char *path = memory_format("%s/waits.conf", jobs);
    assert_int_equal(mkdir(jobs, 0700), 0);
    CLEANUP_CLOSE int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(write(file, "vm = web1\n", 10) == 10);
    assert_int_equal(setenv("VMSHADOW_CONFIG_DIR", directory, 1), 0);
    fake_requester.tells = true;
    fake_requester.busy = 2;
    OUTCOME outcome = RUN("run", "waits", "-r", repository);
    assert_int_equal(unsetenv("VMSHADOW_CONFIG_DIR"), 0);
    assert_int_equal(outcome.code, 0);
    assert_int_equal(occurrences(outcome.err, "is held by another run; waiting for it\n"), 1);
    assert_int_equal(occurrences(outcome.err, "br9 is not there\n"), 1);
}

static void quiet_is_silent_and_verbose_is_not(void **state)
{
    (void)state;
    fake_requester.tells = true;
    OUTCOME quiet = RUN("backup", "--all", "-r", repository, "--json", "--quiet");
    assert_string_equal(quiet.err, "");
    OUTCOME verbose = RUN("backup", "--all", "-r", repository, "--json", "--verbose");
    assert_non_null(strstr(verbose.err, "event PrepareForSnapshot (Microsoft Hyper-V VSS Writer): "
                                        "VSS_S_OK in 250.0 ms\n"));
    assert_non_null(strstr(verbose.err, "copy PrepareForSnapshot, VM web1, disk vda (Microsoft "
                                        "Hyper-V VSS Writer): VSS_E_WRITERERROR_RETRYABLE in 250.0 "
                                        "ms: no luck\n"));
}

static void events_that_cannot_be_written_are_an_error(void **state)
{
    (void)state;
    OUTCOME missing = RUN("backup", "--all", "-r", repository, "-e", "/nowhere/events");
    assert_int_equal(missing.code, 3);
    fake_requester.tells = true;
    OUTCOME full = RUN("backup", "--all", "-r", repository, "-q", "--json", "-e", "/dev/full");
    assert_int_equal(full.code, exit_code_of(ERROR_SPACE));
    CLEANUP_JSON json_t *object = parse(full.out); /* the backup is there all the same */
    assert_non_null(json_object_get(object, "asked"));
    assert_non_null(json_object_get(object, "error"));
}

static void signals_interrupt_the_workflow(void **state)
{
    (void)state;
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    fake_requester.waits = true;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        int ends[2], err = memfd_create("err", MFD_CLOEXEC), status;
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        fake_requester.tells = true; /* its progress line says that the handlers are there */
        pid_t child = start((const char *const[]){"vmshadow", "writers", NULL}, err, ends[1]);
        char byte;
        assert_int_equal(read(ends[0], &byte, 1), 1);
        assert_int_equal(kill(child, numbers[i]), 0);
        assert_int_equal(kill(child, numbers[i]), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), exit_code_of(ERROR_INTERRUPTED));
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)close(err);
    }
}

static void init_and_verify(void **state)
{
    (void)state;
    OUTCOME again = RUN("init", "--no-encryption", "-r", repository, "--json");
    assert_int_not_equal(again.code, 0);
    OUTCOME checked = RUN("verify", "-r", repository, "--json", "-q");
    assert_int_equal(checked.code, 0);
    CLEANUP_JSON json_t *object = parse(checked.out);
    assert_int_equal(json_array_size(json_object_get(object, "faults")), 0);
    OUTCOME nowhere = RUN("list", "-r", "/nowhere/repository");
    assert_int_equal(nowhere.code, 3);
}

static void a_wrong_passphrase_has_its_own_code(void **state)
{
    (void)state;
    CLEANUP_FREE char *encrypted = memory_format("%s/encrypted", directory);
    CLEANUP_FREE char *right = memory_format("%s/right", directory);
    CLEANUP_FREE char *wrong = memory_format("%s/wrong", directory);
    for (int i = 0; i < 2; i++) {
        int file = open(i ? wrong : right, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(file, i ? "wrong\n" : "right\n", 6), 6);
        (void)close(file);
    }
    OUTCOME made = RUN("init", "-r", encrypted, "-p", right, "--json", "--chunk-size", "256KiB");
    assert_int_equal(made.code, 0);
    CLEANUP_JSON json_t *object = parse(made.out);
    assert_true(json_boolean_or(object, "encrypted", false));
    assert_int_equal(json_integer_or(object, "chunk_size", 0), 256 << 10);
    OUTCOME refused = RUN("list", "-r", encrypted, "-p", wrong);
    assert_int_equal(refused.code, 5);
    OUTCOME opened = RUN("list", "-r", encrypted, "-p", right, "--json");
    assert_int_equal(opened.code, 0);
    OUTCOME unasked = RUN("list", "-r", encrypted);
    assert_int_equal(unasked.code, 2);
    assert_non_null(strstr(unasked.err, "--passphrase-file"));
}

#define TEST(function) cmocka_unit_test_setup(function, no_answer)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(help_goes_to_standard_output),
        TEST(wrong_words_are_usage_errors),
        TEST(errors_are_one_line_and_a_hint),
        TEST(every_kind_of_error_has_its_exit_code),
        TEST(usage_errors_are_json_too),
        TEST(results_are_drawn_as_text),
        TEST(json_is_what_the_workflow_says),
        TEST(output_that_cannot_be_written_is_an_error),
        TEST(options_reach_the_workflow),
        TEST(inspect_asks_with_the_options_of_a_backup),
        TEST(list_asks_for_what_was_said),
        TEST(restore_asks_for_what_was_said),
        TEST(a_running_vm_is_replaced_after_a_yes),
        TEST(events_are_lines_of_json),
        TEST(a_job_that_waits_tells_each_notice_once),
        TEST(quiet_is_silent_and_verbose_is_not),
        TEST(events_that_cannot_be_written_are_an_error),
        TEST(signals_interrupt_the_workflow),
        TEST(init_and_verify),
        TEST(a_wrong_passphrase_has_its_own_code),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
