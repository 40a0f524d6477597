/* cli: the passphrase comes from a file or a terminal, whole, and nothing else passes for one. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/passphrase.h"
#include "cli/signals.h"
#include "cli/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

#include <cmocka.h>

static char directory[] = "/tmp/test_cli_passphrase.XXXXXX";
static char file[64];

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    (void)snprintf(file, sizeof file, "%s/passphrase", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(file);
    return rmdir(directory);
}

static void write_file(const void *bytes, size_t size)
{
    int descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, bytes, size), size);
    assert_int_equal(close(descriptor), 0);
}

static void check_file(const char *bytes, size_t size, const char *expected)
{
    char *passphrase = NULL;
    struct error error = ERROR_INIT;
    write_file(bytes, size);
    int result = passphrase_get(file, false, &passphrase, &error);
    assert_int_equal(result, expected ? 0 : -1);
    if (expected)
        assert_string_equal(passphrase, expected);
    else
        assert_int_equal(error.kind, ERROR_USAGE);
    passphrase_free(passphrase);
}

static void one_newline_is_stripped(void **state)
{
    (void)state;
    check_file("secret", 6, "secret");
    check_file("secret\n", 7, "secret");
    check_file("secret\r\n", 8, "secret");
    check_file(" two words \n", 12, " two words ");
    check_file("a\n\n", 3, "a\n");
}

static void what_is_no_passphrase_is_refused(void **state)
{
    (void)state;
    check_file("", 0, NULL);
    check_file("\n", 1, NULL);
    check_file("a\0b", 3, NULL);
    char text[passphrase_limit + 8];
    memset(text, 'x', sizeof text);
    check_file(text, passphrase_limit + 1, NULL);
    check_file(text, sizeof text, NULL);
    text[passphrase_limit] = '\n';
    check_file(text, passphrase_limit + 3, NULL);
    char longest[passphrase_limit + 1] = "";
    memset(longest, 'x', passphrase_limit);
    check_file(longest, passphrase_limit, longest);
    text[passphrase_limit] = '\r';
    text[passphrase_limit + 1] = '\n';
    check_file(text, passphrase_limit + 2, longest);
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    char *passphrase = NULL;
    struct error error = ERROR_INIT;
    assert_int_equal(passphrase_get("/nowhere/passphrase", false, &passphrase, &error), -1);
    assert_int_equal(error.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nowhere/passphrase"));
}

/* Runs passphrase_get(NULL, repeat) in a child with a terminal of its own, types `typed` a line at
 * each prompt, and returns what the terminal showed. The child's exit status is the error's kind;
 * on success it prints "got <passphrase>". */
static char *type(bool repeat, const char *const *typed, int *ret_status)
{
    int terminal;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    assert_true(child >= 0);
    if (child == 0) {
        char *passphrase = NULL;
        struct error error = ERROR_INIT;
        signals_install();
        if (passphrase_get(NULL, repeat, &passphrase, &error) == 0)
            printf("got %s\n", passphrase);
        passphrase_free(passphrase);
        struct termios after;
        if (tcgetattr(STDIN_FILENO, &after) < 0 || !(after.c_lflag & ECHO))
            _exit(99);
        (void)fflush(stdout);
        _exit((int)error.kind);
    }
    char *shown = memory_new(4096, 1);
    size_t used = 0;
    struct pollfd wait = {.fd = terminal, .events = POLLIN};
    while (poll(&wait, 1, 20000) > 0) {
        ssize_t got = read(terminal, shown + used, 4095 - used);
        if (got <= 0)
            break; /* EIO: the child has ended */
        used += (size_t)got;
        if (*typed && used >= 2 && strcmp(shown + used - 2, ": ") == 0) {
            assert_int_equal(write(terminal, *typed, strlen(*typed)), strlen(*typed));
            typed++;
        }
    }
    assert_int_equal(waitpid(child, ret_status, 0), child);
    (void)close(terminal);
    return shown;
}
#define TYPE(repeat, ...) type(repeat, (const char *const[]){__VA_ARGS__, NULL}, &status)

static void it_is_asked_for_without_echo(void **state)
{
    (void)state;
    int status;
    CLEANUP_FREE char *once = TYPE(false, "hidden\n");
    assert_int_equal(WEXITSTATUS(status), ERROR_NONE);
    assert_string_equal(once, "Passphrase: \r\ngot hidden\r\n");
    CLEANUP_FREE char *twice = TYPE(true, "hidden\n", "hidden\n");
    assert_int_equal(WEXITSTATUS(status), ERROR_NONE);
    assert_string_equal(twice, "New passphrase: \r\nThe same again: \r\ngot hidden\r\n");
}

static void two_that_differ_are_refused(void **state)
{
    (void)state;
    int status;
    CLEANUP_FREE char *differ = TYPE(true, "hidden\n", "other\n");
    assert_int_equal(WEXITSTATUS(status), ERROR_USAGE);
    CLEANUP_FREE char *empty = TYPE(false, "\n");
    assert_int_equal(WEXITSTATUS(status), ERROR_USAGE);
}

static void a_signal_ends_the_prompt_with_echo_on(void **state)
{
    (void)state;
    int status;
    CLEANUP_FREE char *interrupted = TYPE(false, "half\003"); /* Ctrl-C */
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ERROR_INTERRUPTED);
    CLEANUP_FREE char *ended = TYPE(false, "\004"); /* Ctrl-D */
    assert_int_equal(WEXITSTATUS(status), ERROR_INTERRUPTED);
}

static void without_a_terminal_nobody_is_asked(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        (void)setsid(); /* no controlling terminal */
        char *passphrase = NULL;
        struct error error = ERROR_INIT;
        int result = passphrase_get(NULL, false, &passphrase, &error);
        _exit(result == -1 && error.kind == ERROR_USAGE && strstr(error.hint, "--passphrase-file")
                  ? 0
                  : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_file_for_all_gives_a_warning(void **state)
{
    (void)state;
    write_file("secret", 6);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (int mode = 0; mode < 2; mode++) {
        assert_int_equal(chmod(file, mode ? 0644 : 0600), 0);
        int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
        char *passphrase = NULL;
        int result = passphrase_get(file, false, &passphrase, NULL);
        assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
        (void)close(saved);
        assert_int_equal(result, 0);
        passphrase_free(passphrase);
        assert_int_equal(write(ends[1], "|", 1), 1);
    }
    char text[512] = "";
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    assert_int_equal(text[0], '|'); /* nothing for 0600 */
    assert_non_null(strstr(text, "warning: passphrase file"));
    assert_non_null(strstr(text, "0644"));
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_newline_is_stripped),
        cmocka_unit_test(what_is_no_passphrase_is_refused),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(it_is_asked_for_without_echo),
        cmocka_unit_test(two_that_differ_are_refused),
        cmocka_unit_test(a_signal_ends_the_prompt_with_echo_on),
        cmocka_unit_test(without_a_terminal_nobody_is_asked),
        cmocka_unit_test(a_file_for_all_gives_a_warning),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
