/* requester: which VMs a word means. */
#include "requester/selection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define UUID "5c3f9a52-0f4f-4c1b-9a61-0b8d9a1c2e01"

static void a_word_is_a_name_a_uuid_or_a_pattern(void **state)
{
    (void)state;
    static const struct {
        const char *word, *name;
        bool matches;
    } cases[] = {
        {"web1", "web1", true},
        {"web", "web1", false},
        {"WEB1", "web1", false},
        {UUID, "web1", true},
        {"web*", "web1", true},
        {"web?", "web12", false},
        {"*", "a b 'c'", true},
        {"[a-c]x", "bx", true},
        {"[!a-c]x", "bx", false},
        {"a[1]", "a[1]", true},
        {"a[1]", "a1", true},
        {"*b*", "a/b", true},
        {"a\\*", "a*", true},
        {"a\\*", "ab", false},
        {"grün*", "grün & blau", true},
        {"", "web1", false},
        {"5C3F9A52-0F4F-4C1B-9A61-0B8D9A1C2E01", "x", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (selection_matches(cases[i].word, cases[i].name, UUID) != cases[i].matches)
            fail_msg("%s and %s", cases[i].word, cases[i].name);
    assert_true(selection_is_pattern("a[1]") && selection_is_pattern("*"));
    assert_false(selection_is_pattern("web-1 'x'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_a_name_a_uuid_or_a_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
