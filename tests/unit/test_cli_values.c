/* cli: sizes and durations are read strictly and printed readably. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void sizes_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"4096", 4096},
        {"7B", 7},
        {"64K", 65536},
        {"64KiB", 65536},
        {"512M", UINT64_C(512) << 20},
        {"4GiB", UINT64_C(4) << 30},
        {"2T", UINT64_C(2) << 40},
        {"18446744073709551615", UINT64_MAX},
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        uint64_t bytes = 1;
        assert_int_equal(values_size(good[i].text, &bytes), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
}

static void wrong_sizes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "M",    "-1",    "+1",
                                      "1.5G",      "4GB",  "4 GiB", "0x10",
                                      "4g",        " 4",   "4Gi",   "18446744073709551616",
                                      "16777216T", "4GiBx"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint64_t bytes = 77;
        assert_int_equal(values_size(bad[i], &bytes), -1);
    }
}

static void durations_are_read(void **state)
{
    (void)state;
    int64_t duration;
    assert_int_equal(values_duration("10", &duration), 0);
    assert_int_equal(duration, 10 * CLOCK_SECOND);
    assert_int_equal(values_duration("10s", &duration), 0);
    assert_int_equal(duration, 10 * CLOCK_SECOND);
    assert_int_equal(values_duration("250ms", &duration), 0);
    assert_int_equal(duration, 250 * CLOCK_MILLISECOND);
    assert_int_equal(values_duration("2min", &duration), 0);
    assert_int_equal(duration, 120 * CLOCK_SECOND);
    assert_int_equal(values_duration("1h", &duration), 0);
    assert_int_equal(duration, 3600 * CLOCK_SECOND);
    static const char *const bad[] = {"", "s", "-1s", "1m", "1 s", "1.5s", "9223372037s", "1d"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(values_duration(bad[i], &duration), -1);
}

static void values_are_printed(void **state)
{
    (void)state;
    char text[values_text_size];
    assert_string_equal(values_format_size(0, text), "0 bytes");
    assert_string_equal(values_format_size(1023, text), "1023 bytes");
    assert_string_equal(values_format_size(1024, text), "1.0 KiB");
    assert_string_equal(values_format_size((UINT64_C(1) << 20) - 1, text), "1.0 MiB");
    assert_string_equal(values_format_size(UINT64_C(3) << 29, text), "1.5 GiB");
    assert_string_equal(values_format_size(UINT64_MAX, text), "16.0 EiB");
    assert_string_equal(values_format_clock(7, text), "0:07");
    assert_string_equal(values_format_clock(750, text), "12:30");
    assert_string_equal(values_format_clock(11100, text), "3:05:00");
}

static void check_time(const char *text, const char *begin, const char *end)
{
    int64_t wall;
    char shown[clock_text_size];
    assert_int_equal(values_time(text, false, &wall), 0);
    clock_format(wall, shown);
    assert_string_equal(shown, begin);
    assert_int_equal(values_time(text, true, &wall), 0);
    clock_format(wall, shown);
    assert_string_equal(shown, end);
    assert_int_equal(wall % CLOCK_SECOND, CLOCK_SECOND - 1);
}

static void times_are_read(void **state)
{
    (void)state;
    check_time("2026-11-23Z", "2026-11-23T00:00:00Z", "2026-11-23T23:59:59Z");
    check_time("2028-02-29T14:18Z", "2028-02-29T14:18:00Z", "2028-02-29T14:18:59Z");
    check_time("2026-11-23 14:18:05Z", "2026-11-23T14:18:05Z", "2026-11-23T14:18:05Z");
    (void)setenv("TZ", "TST-2", 1); /* two hours ahead of UTC */
    tzset();
    check_time("2026-11-23", "2026-11-22T22:00:00Z", "2026-11-23T21:59:59Z");
    check_time("2026-11-23T14:18:05", "2026-11-23T12:18:05Z", "2026-11-23T12:18:05Z");
    (void)unsetenv("TZ");
    tzset();
}

static void a_day_ends_when_the_next_one_begins(void **state)
{
    (void)state;
    (void)setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    check_time("2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z"); /* 23 hours */
    check_time("2026-07-31", "2026-07-30T22:00:00Z", "2026-07-31T21:59:59Z");
    check_time("2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z"); /* 25 hours */
    check_time("2026-12-31", "2026-12-30T23:00:00Z", "2026-12-31T22:59:59Z");
    check_time("2026-03-29Z", "2026-03-29T00:00:00Z", "2026-03-29T23:59:59Z");
    (void)unsetenv("TZ");
    tzset();
}

static void wrong_times_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "Z",
                                      "yesterday",
                                      "2026",
                                      "2026-11",
                                      "2026-11-31",
                                      "2026-02-29Z",
                                      "2026-13-01",
                                      "2026-00-10",
                                      "2026-1-1",
                                      "23-11-2026",
                                      "2026/11/23",
                                      "2026-11-23T",
                                      "2026-11-23T24:00",
                                      "2026-11-23T14",
                                      "2026-11-23T14:60",
                                      "2026-11-23T14:18:61",
                                      "2026-11-23T14:18:05ZZ",
                                      "2026-11-23T14:18:05+01:00",
                                      " 2026-11-23",
                                      "1969-12-31",
                                      "9999-12-31"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int64_t wall = 77;
        assert_int_equal(values_time(bad[i], false, &wall), -1);
        assert_int_equal(wall, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_day_ends_when_the_next_one_begins),
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(wrong_times_are_refused),
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(wrong_sizes_are_refused),
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(values_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
