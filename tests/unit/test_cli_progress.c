/* cli: progress is redrawn in place on a terminal and told in plain lines elsewhere. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/progress.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GIB (UINT64_C(1) << 30)

static void update(struct progress *progress, const char *vm, const char *disk, uint64_t done,
                   uint64_t total, int64_t now)
{
    struct progress_sample sample = {vm, disk, done, total, GIB / 8, now};
    progress_update(progress, &sample);
}

/* What has been written to `writer` so far, as it comes out of `reader`: up to a mark, since a
 * terminal hands it on in pieces. */
static char *read_text(int reader, int writer)
{
    assert_int_equal(write(writer, "~", 1), 1);
    char *text = memory_new(8192, 1), *end;
    struct pollfd wait = {.fd = reader, .events = POLLIN};
    for (size_t used = 0; !(end = strchr(text, '~'));) {
        assert_int_equal(poll(&wait, 1, 10000), 1);
        ssize_t got = read(reader, text + used, 8191 - used);
        assert_true(got > 0);
        used += (size_t)got;
    }
    *end = '\0';
    return text;
}

static void plain_lines_come_every_ten_seconds(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct progress *progress = progress_new(ends[1], PROGRESS_PLAIN);
    update(progress, "web1", "vda", 0, 4 * GIB, 0);
    for (int64_t i = 1; i < 160; i++)
        update(progress, "web1", "vda", (uint64_t)i * 4 * GIB / 200, 4 * GIB,
               i * CLOCK_SECOND / 10);
    update(progress, "web1", "vda", 4 * GIB, 4 * GIB, 17 * CLOCK_SECOND);
    update(progress, "web1", "vda", 4 * GIB, 4 * GIB, 40 * CLOCK_SECOND);
    progress_free(progress);
    CLEANUP_FREE char *text = read_text(ends[0], ends[1]);
    assert_string_equal(
        text, "web1 vda               0%    0 bytes of    4.0 GiB  128.0 MiB/s 0:32 left\n"
              "web1 vda              50%    2.0 GiB of    4.0 GiB  128.0 MiB/s 0:16 left\n"
              "web1 vda             100%    4.0 GiB of    4.0 GiB  128.0 MiB/s done\n");
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void memory_stands_in_the_columns_of_the_disks(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct progress *progress = progress_new(ends[1], PROGRESS_PLAIN);
    update(progress, "a-longer-name", "vda", 0, 4 * GIB, 0);
    update(progress, "a-longer-name", "saved state", 0, 4 * GIB, 0);
    update(progress, "b", "vda", 0, 4 * GIB, 0);
    progress_free(progress);
    CLEANUP_FREE char *text = read_text(ends[0], ends[1]);
    assert_string_equal(
        text, "a-longer-name vda           0%    0 bytes of    4.0 GiB  128.0 MiB/s 0:32 left\n"
              "a-longer-name saved state   0%    0 bytes of    4.0 GiB  128.0 MiB/s 0:32 left\n"
              "b vda                       0%    0 bytes of    4.0 GiB  128.0 MiB/s 0:32 left\n");
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static struct progress *on_terminal(unsigned short columns, unsigned short rows, int *ret_reader,
                                    int *ret_terminal)
{
    struct winsize window = {.ws_col = columns, .ws_row = rows};
    struct termios raw = {0};
    cfmakeraw(&raw);
    assert_int_equal(openpty(ret_reader, ret_terminal, NULL, &raw, &window), 0);
    return progress_new(*ret_terminal, PROGRESS_TERMINAL);
}

static void a_terminal_is_redrawn(void **state)
{
    (void)state;
    int reader, terminal;
    struct progress *progress = on_terminal(100, 24, &reader, &terminal);
    update(progress, "web1", "vda", 0, 4 * GIB, 1);
    update(progress, "db1", "vda", GIB, 4 * GIB, 2); /* too soon: not drawn */
    update(progress, "db1", "vda", GIB, 4 * GIB, CLOCK_SECOND);
    update(progress, "web1", "vda", 4 * GIB, 4 * GIB, CLOCK_SECOND + 1);
    progress_free(progress);
    CLEANUP_FREE char *text = read_text(reader, terminal);
    assert_string_equal(
        text, "web1 vda               0%    0 bytes of    4.0 GiB  128.0 MiB/s 0:32 left\n"
              "\r\033[1A\033[J"
              "web1 vda               0%    0 bytes of    4.0 GiB  128.0 MiB/s 0:32 left\n"
              "db1 vda               25%    1.0 GiB of    4.0 GiB  128.0 MiB/s 0:24 left\n"
              "\r\033[2A\033[J"
              "web1 vda             100%    4.0 GiB of    4.0 GiB  128.0 MiB/s done\n"
              "db1 vda               25%    1.0 GiB of    4.0 GiB  128.0 MiB/s 0:24 left\n"
              "\r\033[1A\033[J");
    (void)close(reader);
    (void)close(terminal);
}

static void no_line_is_wider_than_the_terminal(void **state)
{
    (void)state;
    int reader, terminal;
    struct progress *progress = on_terminal(80, 24, &reader, &terminal);
    update(progress, "a very long name of a virtual machine \033[31m", "vda", 0, 4 * GIB, 1);
    CLEANUP_FREE char *text = read_text(reader, terminal);
    assert_string_equal(
        text, "a very long name of a   0%    0 bytes of    4.0 GiB  128.0 MiB/s 0:32 left\n");
    progress_free(progress);
    (void)close(reader);
    (void)close(terminal);
}

static void no_more_lines_than_the_terminal_has(void **state)
{
    (void)state;
    int reader, terminal;
    struct progress *progress = on_terminal(80, 6, &reader, &terminal);
    char disk[8];
    for (int i = 0; i < 10; i++) {
        (void)snprintf(disk, sizeof disk, "vd%c", 'a' + i);
        update(progress, "web1", disk, 0, GIB, 1);
    }
    free(read_text(reader, terminal));
    update(progress, "web1", "vda", 1, GIB, CLOCK_SECOND);
    CLEANUP_FREE char *text = read_text(reader, terminal);
    unsigned lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 4);
    progress_free(progress);
    (void)close(reader);
    (void)close(terminal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines_come_every_ten_seconds),
        cmocka_unit_test(memory_stands_in_the_columns_of_the_disks),
        cmocka_unit_test(a_terminal_is_redrawn),
        cmocka_unit_test(no_line_is_wider_than_the_terminal),
        cmocka_unit_test(no_more_lines_than_the_terminal_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
