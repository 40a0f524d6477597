/* requester: which VMs a word means, and the tags in a VM's definition. */
#include "hypervisor/domain-names.h"
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

static struct domain_names read_tags(const char *xml)
{
    struct domain_names domain = {.name = NULL};
    domain_names_read_tags(xml, &domain);
    return domain;
}

static void clear(struct domain_names *domain)
{
    for (size_t i = 0; i < domain->tag_count; i++)
        free(domain->tags[i]);
    free(domain->tags);
}

static void tags_are_words_of_the_element(void **state)
{
    (void)state;
    struct domain_names two = read_tags("<tags>\n  nightly\tw&amp;b\n</tags>");
    assert_int_equal(two.tag_count, 2);
    assert_string_equal(two.tags[0], "nightly");
    assert_string_equal(two.tags[1], "w&b");
    clear(&two);
    static const char *const none[] = {"<tags/>", "<tags>  </tags>",
                                       "nightly", "",
                                       "<tags>a", "<!DOCTYPE x [<!ENTITY e 'a'>]><tags>&e;</tags>"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        struct domain_names domain = read_tags(none[i]);
        assert_int_equal(domain.tag_count, 0);
        clear(&domain);
    }
}

static void tags_are_bounded(void **state)
{
    (void)state;
    char xml[8192] = "<t>";
    for (int i = 0; i < 2000; i++)
        memcpy(xml + 3 + 2 * i, "a ", 2);
    memcpy(xml + 3 + 4000, "</t>", 5);
    struct domain_names domain = read_tags(xml);
    assert_int_equal(domain.tag_count, 1000);
    clear(&domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_a_name_a_uuid_or_a_pattern),
        cmocka_unit_test(tags_are_words_of_the_element),
        cmocka_unit_test(tags_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
