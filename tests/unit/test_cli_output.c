/* cli: no name can forge a line, tables line up, every kind of error has its own exit code, the
 * error object has its members. */
#include "base/memory.h"
#include "cli/exit-code.h"
#include "cli/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void check_safe(const char *text, const char *expected)
{
    CLEANUP_FREE char *safe = output_safe(text);
    assert_string_equal(safe, expected);
}

static void text_is_made_safe(void **state)
{
    (void)state;
    check_safe("web & \"db\" 'x' <1>", "web & \"db\" 'x' <1>");
    check_safe("Büro-Müller 東京 \xf0\x9f\x96\xa5", "Büro-Müller 東京 \xf0\x9f\x96\xa5");
    check_safe("a\nvmshadow: error: b", "a\\x0avmshadow: error: b");
    check_safe("\033[2J\x7f", "\\x1b[2J\\x7f");
    check_safe("\xc2\x9b"
               "31m",
               "\\xc2\\x9b31m"); /* C1: some terminals take it as ESC [ */
    check_safe("\xff\xc3", "\\xff\\xc3");
    check_safe("\xc0\xaf\xe0\x80\xaf", "\\xc0\\xaf\\xe0\\x80\\xaf"); /* overlong */
    check_safe("\xed\xa0\x80", "\\xed\\xa0\\x80");                   /* surrogate */
    check_safe("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");          /* beyond Unicode */
    assert_int_equal(output_width("Büro"), 4);
}

static void a_table_lines_up(void **state)
{
    (void)state;
    CLEANUP_FREE char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    struct output_table *table = output_table_new(3, "  ");
    output_table_align_right(table, 1);
    const char *const cells[] = {"vda", "1.0 GiB", "x", "Bürodisk", "12", "a\tb"};
    for (size_t i = 0; i < ARRAY_SIZE(cells); i++)
        output_table_add(table, "%s", cells[i]);
    output_table_print(table, file);
    output_line(file, "line %s", "one\ntwo");
    (void)fclose(file);
    assert_string_equal(text, "  vda       1.0 GiB  x\n"
                              "  Bürodisk       12  a\\x09b\n"
                              "line one\\x0atwo\n");
}

static void exit_codes_are_distinct(void **state)
{
    (void)state;
    assert_int_equal(exit_code_of(ERROR_NONE), 0);
    assert_int_equal(exit_code_of(ERROR_FAILED), 1);
    assert_int_equal(exit_code_of(ERROR_USAGE), 2);
    assert_int_equal(exit_code_of(ERROR_KINDS_), 1);
    bool seen[256] = {false};
    for (int kind = 0; kind < ERROR_KINDS_; kind++) {
        int code = exit_code_of((enum error_kind)kind);
        assert_in_range(code, 0, 125); /* 126 and above belong to the shell */
        assert_false(seen[code]);
        seen[code] = true;
    }
}

static void an_error_is_an_object(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    (void)error_set(&error, ERROR_BUSY, "VM %s: another run holds it", "w\xff");
    (void)error_advise(&error, "held", "wait for it");
    CLEANUP_JSON json_t *whole = output_add_error(NULL, &error);
    CLEANUP_FREE char *text = json_text(whole);
    assert_string_equal(
        text,
        "{\"error\":{\"kind\":\"busy\",\"id\":\"held\",\"message\":\"VM w?: another run holds "
        "it\",\"hint\":\"wait for it\",\"exit_code\":7}}");

    error.id[0] = '\0';
    assert_string_equal(error_id(&error), "busy");

    json_t *list = json_object();
    json_set_integer(list, "backups", 3);
    CLEANUP_JSON json_t *both = output_add_error(list, &error);
    assert_int_equal(json_integer_or(both, "backups", 0), 3);
    assert_int_equal(json_integer_or(json_object_get(both, "error"), "exit_code", 0), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_made_safe),
        cmocka_unit_test(a_table_lines_up),
        cmocka_unit_test(exit_codes_are_distinct),
        cmocka_unit_test(an_error_is_an_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
