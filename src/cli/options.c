/* getopt_long(3) over tables. Its own messages are off: they would go to standard error without
 * hint, and not into --json. */
#include "cli/options.h"

#include "base/memory.h"
#include "cli/option-value.h"

#include <getopt.h>
#include <string.h>

const struct option_rule options_common[] = {
    {"connect", 'c', OPTION_TEXT, "URI", offsetof(struct options, connect),
     "libvirt to connect to; local only", .scope = OPTION_SETTING, .standard = "qemu:///system",
     .environment = "LIBVIRT_DEFAULT_URI"},
    {"repo", 'r', OPTION_PATH, "DIR", offsetof(struct options, repository),
     "directory of the repository", .scope = OPTION_SETTING, .environment = "VMSHADOW_REPO"},
    {"passphrase-file", 'p', OPTION_PATH, "FILE", offsetof(struct options, passphrase_file),
     "file that holds the passphrase of the repository", .scope = OPTION_SETTING,
     .standard = "it is asked for on the terminal", .environment = "VMSHADOW_PASSPHRASE_FILE"},
    {"json", 'j', OPTION_FLAG, NULL, offsetof(struct options, json),
     "print one JSON object on standard output, also for errors"},
    {"quiet", 'q', OPTION_FLAG, NULL, offsetof(struct options, quiet),
     "no progress and no notices, only warnings and errors"},
    {"verbose", 'v', OPTION_FLAG, NULL, offsetof(struct options, verbose),
     "tell each VSS event and provider stage as it ends"},
    {"help", 'h', OPTION_FLAG, NULL, offsetof(struct options, help), "print this text and exit"},
    {"version", 'V', OPTION_FLAG, NULL, offsetof(struct options, version),
     "print the version and exit"},
    {NULL},
};

const struct option_rule options_choosing[] = {
    {"exclude-vm", '\0', OPTION_LIST, "VM", offsetof(struct options, exclude_vms),
     "leave VM out: a name, a UUID, or a pattern with * ? [...]; may be given several times",
     .scope = OPTION_SETTING},
    {"exclude-disk", '\0', OPTION_DISK, "VM:TARGET", offsetof(struct options, exclude_disks),
     "leave a disk of a VM out, as db1:vdb; both may be patterns; may be given several times",
     .scope = OPTION_SETTING},
    {"snapshot-location", '\0', OPTION_LOCATION, "VM=DIR", 0,
     "where the snapshot files of a VM are made, instead of beside each disk; may be given for "
     "several VMs",
     .scope = OPTION_SETTING},
    {NULL},
};

enum { RULES_LIMIT = 96, LONG_BASE = 256 };

/* ---- Tables -------------------------------------------------------------------------------- */

/* Counts `index` down over a table and those in it. */
static const struct option_rule *nth_rule(const struct option_rule *rules, size_t *index)
{
    for (; rules && rules->name; rules++) {
        if (rules->kind == OPTION_TABLE) {
            const struct option_rule *found = nth_rule(rules->table, index);
            if (found)
                return found;
        } else if ((*index)-- == 0) {
            return rules;
        }
    }
    return NULL;
}

const struct option_rule *options_rule(const struct option_rule *rules, size_t index)
{
    const struct option_rule *found = nth_rule(rules, &index);
    return found ? found : nth_rule(options_common, &index);
}

const struct option_rule *options_find(const struct option_rule *rules, const char *name)
{
    const struct option_rule *rule;
    for (size_t i = 0; (rule = options_rule(rules, i)); i++)
        if (strcmp(rule->name, name) == 0)
            return rule;
    return NULL;
}

/* ---- Values -------------------------------------------------------------------------------- */

static bool is_given(const struct options *options, const struct option_rule *rule)
{
    for (size_t i = 0; i < options->value_count; i++)
        if (strcmp(options->values[i].rule->name, rule->name) == 0)
            return true;
    return false;
}

static void note(struct options *options, const struct option_rule *rule, const char *text,
                 const char *where, bool stored)
{
    struct option_value value = {rule, text ? text : "yes", where, stored};
    ARRAY_APPEND(options->values, options->value_count, value);
}

static const char *keep(struct options *options, const char *text)
{
    char *copy = memory_copy_string(text);
    ARRAY_APPEND(options->texts, options->text_count, copy);
    return copy;
}

int options_take(struct options *options, const struct option_rule *rule, bool stored,
                 const char *text, const char *where, const char *what, struct error *error)
{
    bool weaker = !options_is_list(rule) && is_given(options, rule);
    if (weaker)
        return option_value_put(NULL, rule, text, true, what, error);
    const char *kept = keep(options, text);
    if (option_value_put(stored ? options : NULL, rule, kept, true, what, error) < 0)
        return -1;
    note(options, rule, kept, keep(options, where), stored);
    return 0;
}

/* On the command line the last of several counts, as is the custom. */
static int take_word(struct options *options, const struct option_rule *rule, const char *text,
                     struct error *error)
{
    CLEANUP_FREE char *what = memory_format("--%s", rule->name);
    if (option_value_put(options, rule, text, false, what, error) < 0)
        return -1;
    for (size_t i = 0; i < options->value_count && !options_is_list(rule); i++)
        if (options->values[i].rule == rule) {
            options->values[i].text = text ? text : "yes";
            return 0;
        }
    note(options, rule, text, "command line", true);
    return 0;
}

static int take_environment(struct options *options, const struct option_rule *rules,
                            struct error *error)
{
    const struct option_rule *rule;
    for (size_t i = 0; (rule = options_rule(rules, i)); i++) {
        const char *text = rule->environment ? getenv(rule->environment) : NULL;
        if (!text || !*text || is_given(options, rule))
            continue;
        if (option_value_put(options, rule, text, false, rule->environment, error) < 0)
            return -1;
        CLEANUP_FREE char *where = memory_format("environment %s", rule->environment);
        note(options, rule, text, keep(options, where), true);
    }
    return 0;
}

/* ---- Parsing ------------------------------------------------------------------------------- */

/* The tables of a verb in the form getopt_long() reads: val = LONG_BASE + index into rules. */
struct parser {
    const struct option_rule *rules[RULES_LIMIT];
    struct option longs[RULES_LIMIT + 1];
    char shorts[3 * RULES_LIMIT + 2];
    size_t count;
};

static void add_rule(struct parser *parser, const struct option_rule *rule)
{
    char *letter = parser->shorts + strlen(parser->shorts);
    if (parser->count == RULES_LIMIT)
        abort();
    int argument = rule->argument ? required_argument
                                  : (options_is_switch(rule) ? optional_argument : no_argument);
    parser->longs[parser->count] =
        (struct option){rule->name, argument, NULL, LONG_BASE + (int)parser->count};
    parser->rules[parser->count++] = rule;
    if (!rule->letter)
        return;
    *letter++ = rule->letter;
    if (rule->argument)
        *letter++ = ':';
    *letter = '\0';
}

static const struct option_rule *find_rule(const struct parser *parser, int value)
{
    for (size_t i = 0; i < parser->count; i++)
        if (value == LONG_BASE + (int)i || (value && value == parser->rules[i]->letter))
            return parser->rules[i];
    return NULL;
}

/* What getopt_long() stumbled over: it tells long options by position, letters in optopt. */
static int refuse(const struct parser *parser, int reason, char *const argv[], struct error *error)
{
    const struct option_rule *rule = find_rule(parser, optopt);
    if (reason == ':')
        return error_set(error, ERROR_USAGE, "--%s needs an argument: %s", rule->name,
                         rule->argument);
    if (optopt >= LONG_BASE)
        return error_set(error, ERROR_USAGE, "--%s takes no argument", rule->name);
    if (optopt)
        return error_set(error, ERROR_USAGE, "there is no option -%c", optopt);
    return error_set(error, ERROR_USAGE, "there is no option %s (or it is short for several)",
                     argv[optind - 1]);
}

static int check(const struct options *options, size_t minimum, size_t maximum, const char *verb,
                 struct error *error)
{
    if (options->help || options->version)
        return 0;
    if (options->quiet && options->verbose)
        return error_set(error, ERROR_USAGE, "--quiet and --verbose exclude each other");
    if (options->operand_count < minimum)
        return error_set(error, ERROR_USAGE, "%s: an operand is missing", verb);
    if (options->operand_count > maximum)
        return error_set(error, ERROR_USAGE, "%s: '%s' is one operand too many", verb,
                         options->operands[maximum]);
    for (size_t i = 0; i < options->operand_count; i++)
        if (!*options->operands[i])
            return error_set(error, ERROR_USAGE, "%s: an operand is empty", verb);
    return 0;
}

int options_parse(struct options *options, const struct option_rule *rules, size_t minimum,
                  size_t maximum, int argc, char *const argv[], struct error *error)
{
    struct parser parser = {.shorts = ":"};
    const struct option_rule *rule;
    for (size_t i = 0; (rule = options_rule(rules, i)); i++)
        add_rule(&parser, rule);
    /* A copy: getopt_long() moves operands behind the options. */
    CLEANUP_FREE char **words = memory_copy(argv, ((size_t)argc + 1) * sizeof *argv);
    optind = 0; /* glibc: start afresh */
    opterr = 0;
    for (;;) {
        optopt = 0;
        int value = getopt_long(argc, words, parser.shorts, parser.longs, NULL);
        if (value == -1)
            break;
        if (value == '?' || value == ':')
            return refuse(&parser, value, words, error);
        if (take_word(options, find_rule(&parser, value), optarg, error) < 0)
            return -1;
    }
    for (int i = optind; i < argc; i++)
        ARRAY_APPEND(options->operands, options->operand_count, words[i]);
    if (take_environment(options, rules, error) < 0)
        return -1;
    return check(options, minimum, maximum, argv[0], error);
}

void options_clear(struct options *options)
{
    for (size_t i = 0; i < options->location_count; i++)
        free((void *)options->locations[i].vm);
    free(options->locations);
    free((void *)options->operands);
    for (size_t i = 0; i < options->value_count; i++) {
        const struct option_rule *rule = options->values[i].rule;
        if (!options->values[i].stored || !options_is_list(rule) || rule->kind == OPTION_LOCATION)
            continue;
        struct option_list *list = (struct option_list *)((char *)options + rule->offset);
        free((void *)TAKE_PTR(list->items));
    }
    free(options->values);
    for (size_t i = 0; i < options->text_count; i++)
        free(options->texts[i]);
    free(options->texts);
}

int options_selection(const struct options *options, bool all,
                      struct requester_selection *ret_selection, struct error *error)
{
    if (all && options->operand_count)
        return error_set(error, ERROR_USAGE, "--all and names of VMs exclude each other");
    if (!all && !options->operand_count)
        return error_set(error, ERROR_USAGE, "no VM is named: name one or more, or give --all");
    *ret_selection = (struct requester_selection){
        .vms = options->operands,
        .count = options->operand_count,
        .all = all,
        .exclude_vms = options->exclude_vms.items,
        .exclude_vm_count = options->exclude_vms.count,
        .exclude_disks = options->exclude_disks.items,
        .exclude_disk_count = options->exclude_disks.count,
        .locations = options->locations,
        .location_count = options->location_count,
    };
    return 0;
}
