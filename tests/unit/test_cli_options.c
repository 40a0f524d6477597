/* cli: options are parsed from the table, strictly, with errors that name option and value. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct sample {
    struct options common;
    bool flag, hold;
    const char *file, *type;
    uint64_t size;
    int64_t limit;
    unsigned workers;
};

static const char *const types[] = {"copy", "full", NULL};
#define OFFSET(member) offsetof(struct sample, member)
static const struct option_rule rules[] = {
    {"flag", 'f', OPTION_FLAG, NULL, OFFSET(flag), "help"},
    {"hold", 'H', OPTION_FLAG, NULL, OFFSET(hold), "help", .scope = OPTION_SETTING},
    {"file", '\0', OPTION_TEXT, "FILE", OFFSET(file), "help"},
    {"size", 's', OPTION_SIZE, "SIZE", OFFSET(size), "help", NULL, 4096, 1 << 20},
    {"limit", '\0', OPTION_DURATION, "TIME", OFFSET(limit), "help", NULL, CLOCK_MILLISECOND, 0},
    {"type", '\0', OPTION_CHOICE, "copy|full", OFFSET(type), "help", types},
    {"workers", '\0', OPTION_COUNT, "N", OFFSET(workers), "help", NULL, 1, 64},
    {"snapshot-location", '\0', OPTION_LOCATION, "VM=DIR", 0, "help"},
    {NULL},
};

static int parse(struct sample *sample, struct error *error, const char *const *words)
{
    int count = 0;
    while (words[count])
        count++;
    *sample = (struct sample){0};
    *error = ERROR_INIT;
    return options_parse(&sample->common, rules, 0, 3, count, (char *const *)words, error);
}
#define PARSE(...) parse(&sample, &error, (const char *const[]){"verb", __VA_ARGS__, NULL})

static void all_kinds_are_parsed(void **state)
{
    (void)state;
    struct sample sample;
    struct error error;
    assert_int_equal(PARSE("one", "-f", "--file", "x y", "-s64K", "--limit=2min", "--type", "full",
                           "--workers=7", "two", "--json", "--repo=/r", "--connect", "qemu:///x",
                           "--", "--three"),
                     0);
    assert_true(sample.flag);
    assert_string_equal(sample.file, "x y");
    assert_int_equal(sample.size, 65536);
    assert_int_equal(sample.limit, 120 * CLOCK_SECOND);
    assert_string_equal(sample.type, "full");
    assert_int_equal(sample.workers, 7);
    assert_true(sample.common.json);
    assert_string_equal(sample.common.repository, "/r");
    assert_string_equal(sample.common.connect, "qemu:///x");
    assert_int_equal(sample.common.operand_count, 3);
    assert_string_equal(sample.common.operands[0], "one");
    assert_string_equal(sample.common.operands[1], "two");
    assert_string_equal(sample.common.operands[2], "--three");
    options_clear(&sample.common);
}

static void flags_of_files_can_be_taken_back(void **state)
{
    (void)state;
    struct sample sample;
    struct error error;
    assert_int_equal(PARSE("--hold=no", "one"), 0);
    assert_false(sample.hold);
    assert_int_equal(sample.common.value_count, 1);
    assert_string_equal(sample.common.values[0].text, "no");
    options_clear(&sample.common);
    assert_int_equal(PARSE("--hold=no", "--hold", "no"), 0); /* the last counts; "no" is a VM */
    assert_true(sample.hold);
    assert_string_equal(sample.common.values[0].text, "yes");
    assert_string_equal(sample.common.operands[0], "no");
    options_clear(&sample.common);
    assert_int_equal(PARSE("-Hf", "--hold=yes"), 0);
    assert_true(sample.hold);
    assert_true(sample.flag);
    options_clear(&sample.common);
}

static void names_of_vms_may_hold_any_bytes(void **state)
{
    (void)state;
    struct sample sample;
    struct error error;
    assert_int_equal(PARSE("--", "-a\n\xff", "B\"ü' &<r>o"), 0);
    assert_string_equal(sample.common.operands[0], "-a\n\xff");
    assert_string_equal(sample.common.operands[1], "B\"ü' &<r>o");
    options_clear(&sample.common);
}

static void locations_are_split_at_the_directory(void **state)
{
    (void)state;
    struct sample sample;
    struct error error;
    assert_int_equal(PARSE("--snapshot-location", "a=b=/srv/x=/y", "--snapshot-location=web=/srv"),
                     0);
    assert_int_equal(sample.common.location_count, 2);
    assert_string_equal(sample.common.locations[0].vm, "a=b");
    assert_string_equal(sample.common.locations[0].directory, "/srv/x=/y");
    assert_string_equal(sample.common.locations[1].vm, "web");
    assert_string_equal(sample.common.locations[1].directory, "/srv");
    options_clear(&sample.common);
}

static void wrong_words_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *words[4];
        const char *message;
    } cases[] = {
        {{"verb", "--nothing"}, "there is no option --nothing (or it is short for several)"},
        {{"verb", "-x"}, "there is no option -x"},
        {{"verb", "--file"}, "--file needs an argument: FILE"},
        {{"verb", "-s"}, "--size needs an argument: SIZE"},
        {{"verb", "--file="}, "--file: FILE is empty"},
        {{"verb", "--file=/gr\xfcn"}, "--file: '/gr\xfcn' is not UTF-8"},
        {{"verb", "--flag=yes"}, "--flag takes no argument"},
        {{"verb", "--hold=maybe"}, "--hold: 'maybe' is neither yes nor no"},
        {{"verb", "--hold="}, "--hold: '' is neither yes nor no"},
        {{"verb", "--size=4GB"},
         "--size: '4GB' is not a size: write bytes, or a number with KiB, "
         "MiB, GiB or TiB"},
        {{"verb", "--size=1K"}, "--size: 1K is too small"},
        {{"verb", "--size=2M"}, "--size: 2M is too large"},
        {{"verb", "--limit=fast"},
         "--limit: 'fast' is not a duration: write seconds, or a number "
         "with ms, s, min or h"},
        {{"verb", "--limit=0"}, "--limit: 0 is too small"},
        {{"verb", "--type=log"}, "--type: 'log' is none of copy|full"},
        {{"verb", "--workers=0"}, "--workers: 0 is too small"},
        {{"verb", "--workers=-1"}, "--workers: '-1' is not a number"},
        {{"verb", "--workers=4294967296"}, "--workers: '4294967296' is not a number"},
        {{"verb", "--snapshot-location=web"},
         "--snapshot-location: 'web' is not VM=DIR with an absolute directory"},
        {{"verb", "--snapshot-location==/srv"},
         "--snapshot-location: '=/srv' is not VM=DIR with an absolute directory"},
        {{"verb", "--snapshot-location=web=/gr\xfcn"},
         "--snapshot-location: 'web=/gr\xfcn' is not UTF-8"},
        {{"verb", ""}, "verb: an operand is empty"},
        {{"verb", "-q", "-v"}, "--quiet and --verbose exclude each other"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct sample sample;
        struct error error;
        assert_int_equal(parse(&sample, &error, cases[i].words), -1);
        assert_int_equal(error.kind, ERROR_USAGE);
        assert_string_equal(error.message, cases[i].message);
        options_clear(&sample.common);
    }
}

static void operands_are_counted(void **state)
{
    (void)state;
    struct sample sample;
    struct error error;
    assert_int_equal(PARSE("1", "2", "3", "4"), -1);
    assert_string_equal(error.message, "verb: '4' is one operand too many");
    options_clear(&sample.common);
    sample = (struct sample){0};
    error = ERROR_INIT;
    const char *const none[] = {"verb", NULL};
    assert_int_equal(options_parse(&sample.common, NULL, 1, 1, 1, (char *const *)none, &error), -1);
    assert_string_equal(error.message, "verb: an operand is missing");
    const char *const help[] = {"verb", "--help", NULL};
    error = ERROR_INIT;
    assert_int_equal(options_parse(&sample.common, NULL, 1, 1, 2, (char *const *)help, &error), 0);
    assert_true(sample.common.help);
    options_clear(&sample.common);
}

static void the_environment_is_second(void **state)
{
    (void)state;
    struct sample sample;
    struct error error;
    assert_int_equal(setenv("VMSHADOW_REPO", "/environment", 1), 0);
    assert_int_equal(setenv("VMSHADOW_PASSPHRASE_FILE", "/secret", 1), 0);
    assert_int_equal(PARSE("--repo", "/words"), 0);
    assert_string_equal(sample.common.repository, "/words");
    assert_string_equal(sample.common.passphrase_file, "/secret");
    options_clear(&sample.common);
    assert_int_equal(PARSE("-p", "/other"), 0);
    assert_string_equal(sample.common.repository, "/environment");
    assert_string_equal(sample.common.passphrase_file, "/other");
    options_clear(&sample.common);
    assert_int_equal(setenv("VMSHADOW_REPO", "", 1), 0);
    assert_int_equal(unsetenv("VMSHADOW_PASSPHRASE_FILE"), 0);
    assert_int_equal(PARSE("x"), 0);
    assert_null(sample.common.repository);
    assert_null(sample.common.passphrase_file);
    options_clear(&sample.common);
}

static void a_selection_is_names_or_all(void **state)
{
    (void)state;
    struct sample sample;
    struct error error;
    struct requester_selection selection;
    assert_int_equal(PARSE("web1"), 0);
    assert_int_equal(options_selection(&sample.common, true, &selection, &error), -1);
    assert_int_equal(error.kind, ERROR_USAGE);
    error = ERROR_INIT;
    assert_int_equal(options_selection(&sample.common, false, &selection, &error), 0);
    assert_int_equal(selection.count, 1);
    assert_string_equal(selection.vms[0], "web1");
    options_clear(&sample.common);
    assert_int_equal(PARSE("--json"), 0);
    assert_int_equal(options_selection(&sample.common, false, &selection, &error), -1);
    assert_string_equal(error.message, "no VM is named: name one or more, or give --all");
    error = ERROR_INIT;
    assert_int_equal(options_selection(&sample.common, true, &selection, &error), 0);
    assert_true(selection.all);
    options_clear(&sample.common);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_are_parsed),
        cmocka_unit_test(flags_of_files_can_be_taken_back),
        cmocka_unit_test(names_of_vms_may_hold_any_bytes),
        cmocka_unit_test(locations_are_split_at_the_directory),
        cmocka_unit_test(wrong_words_are_named),
        cmocka_unit_test(operands_are_counted),
        cmocka_unit_test(the_environment_is_second),
        cmocka_unit_test(a_selection_is_names_or_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
