/* cli: what `vmshadow complete` answers to the shells, with a requester that only answers. Typing
 * into real shells: tests/e2e/81-completion.bats. */
#include "base/memory.h"
#include "cli/program.h"
#include "fake-requester.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { WORDS = 16 };

/* In a process of its own, as the shells call it. `words` end with NULL, as those of main() do. */
static char *say(int count, const char *const *words)
{
    int out = memfd_create("out", MFD_CLOEXEC), status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(out, STDOUT_FILENO);
        exit(program_main(count, (char *const *)words));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    off_t size = lseek(out, 0, SEEK_END);
    char *text = memory_new((size_t)size + 1, 1);
    assert_int_equal(pread(out, text, (size_t)size, 0), size);
    (void)close(out);
    return text;
}

static char *complete(const char *const *typed)
{
    const char *words[WORDS] = {"vmshadow", "complete", "--"};
    int count = 3;
    while (typed[count - 3] && count < WORDS - 1) {
        words[count] = typed[count - 3];
        count++;
    }
    return say(count, words);
}

#define COMPLETE(...) CLEANUP_FREE char *said = complete((const char *const[]){__VA_ARGS__, NULL})

static void has(const char *said, const char *value)
{
    CLEANUP_FREE char *line = memory_format("\n%s\t", value);
    if (!strstr(said, line))
        fail_msg("%s is not in: %s", value, said);
}

static void has_not(const char *said, const char *value)
{
    CLEANUP_FREE char *line = memory_format("\n%s\t", value);
    if (strstr(said, line))
        fail_msg("%s is in: %s", value, said);
}

static void commands_come_first(void **state)
{
    (void)state;
    COMPLETE("=");
    assert_memory_equal(said, "words\n", 6);
    has(said, "backup");
    has(said, "--help");
    has_not(said, "watchdog");
    has_not(said, "complete");
}

static void only_what_begins_so(void **state)
{
    (void)state;
    COMPLETE("=ba");
    assert_non_null(strstr(said, "words\nbackup\t"));
    has_not(said, "restore");
}

static void options_are_those_of_the_command(void **state)
{
    (void)state;
    COMPLETE("backup", "=--");
    has(said, "--hold-limit");
    has(said, "--repo");
    has_not(said, "--chunk-size");
}

static void values_are_those_of_the_option(void **state)
{
    (void)state;
    COMPLETE("backup", "--type", "=");
    has(said, "copy");
    has(said, "full");
    CLEANUP_FREE char *same = complete((const char *const[]){"backup", "=--type=f", NULL});
    has(same, "--type=full");
    CLEANUP_FREE char *flag = complete((const char *const[]){"backup", "=--hold-stopped=", NULL});
    has(flag, "--hold-stopped=no");
    CLEANUP_FREE char *plain = complete((const char *const[]){"list", "=--json=", NULL});
    assert_string_equal(plain, "words\n");
    CLEANUP_FREE char *files = complete((const char *const[]){"list", "-p", "=", NULL});
    assert_string_equal(files, "files\n");
    CLEANUP_FREE char *directories = complete((const char *const[]){"list", "--repo", "=", NULL});
    assert_string_equal(directories, "directories\n");
}

static void names_of_vms_are_quoted_by_nobody(void **state)
{
    (void)state;
    fake_requester.vms = "{\"vms\":[{\"name\":\"two words\"},{\"name\":\"it's\"},"
                         "{\"name\":\"line\\nbreak\"}]}";
    COMPLETE("backup", "two words", "=");
    has(said, "two words");
    has(said, "it's");
    assert_null(strstr(said, "break"));
    CLEANUP_FREE char *pair =
        complete((const char *const[]){"backup", "--exclude-disk", "=", NULL});
    has(pair, "two words:");
    CLEANUP_FREE char *behind = complete((const char *const[]){"inspect", "--", "=t", NULL});
    has(behind, "two words");
}

static void what_is_said_of_a_backup_is_safe(void **state)
{
    (void)state;
    char directory[] = "/tmp/vmshadow-complete-XXXXXX";
    assert_non_null(mkdtemp(directory));
    const char *init[] = {"vmshadow", "init", "--no-encryption", "--repo", directory, NULL};
    free(say(ARRAY_SIZE(init) - 1, init));
    fake_requester.answer = "{\"backups\":[{\"id\":\"9f1c\",\"time\":\"\","
                            "\"vms\":[{\"name\":\"a\\u001b[31mb\\nc\\td\",\"method\":\"e\\rf\"}]},"
                            "{\"id\":\"9f1d\",\"time\":\"\","
                            "\"vms\":[{\"name\":\"g\",\"method\":\"e\\u001bf\"}]}]}";
    COMPLETE("show", "--repo", directory, "=9f1c");
    assert_string_equal(said, "words\n9f1c\t: a\\x1b[31mb\\x0ac\\x09d\n");
    CLEANUP_FREE char *vm =
        complete((const char *const[]){"restore", "--repo", directory, "9f1d", "=", NULL});
    assert_string_equal(vm, "words\ng\te\\x1bf\n");
    CLEANUP_FREE char *remove = memory_format("rm -r %s", directory);
    assert_int_equal(system(remove), 0); /* NOLINT(cert-env33-c): a path of this test */
}

static void nothing_is_said_of_what_is_unknown(void **state)
{
    (void)state;
    COMPLETE("no-such-command", "=");
    assert_string_equal(said, "words\n");
    CLEANUP_FREE char *hidden = complete((const char *const[]){"watchdog", "=--", NULL});
    assert_string_equal(hidden, "words\n");
    CLEANUP_FREE char *full = complete((const char *const[]){"verify", "=", NULL});
    assert_string_equal(full, "words\n");
}

static int no_answer(void **state)
{
    (void)state;
    fake_requester = (struct fake_requester){0};
    (void)setenv("VMSHADOW_CONFIG_DIR", "/nonexistent", 1);
    (void)unsetenv("VMSHADOW_REPO");
    return 0;
}

#define TEST(function) cmocka_unit_test_setup(function, no_answer)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(commands_come_first),
        TEST(only_what_begins_so),
        TEST(options_are_those_of_the_command),
        TEST(values_are_those_of_the_option),
        TEST(names_of_vms_are_quoted_by_nobody),
        TEST(what_is_said_of_a_backup_is_safe),
        TEST(nothing_is_said_of_what_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
