/* getopt_long(3) over tables. Its own messages are off: they would go to standard error without
 * hint, and not into --json. */
#include "cli/options.h"

#include "base/memory.h"
#include "cli/values.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>

const struct option_rule options_common[] = {
    {"connect", 'c', OPTION_TEXT, "URI", offsetof(struct options, connect),
     "libvirt to connect to; local only (default: LIBVIRT_DEFAULT_URI, else qemu:///system)"},
    {"repo", 'r', OPTION_TEXT, "DIR", offsetof(struct options, repository),
     "directory of the repository (default: VMSHADOW_REPO)"},
    {"passphrase-file", 'p', OPTION_TEXT, "FILE", offsetof(struct options, passphrase_file),
     "file that holds the passphrase of the repository (default: VMSHADOW_PASSPHRASE_FILE, "
     "else it is asked for on the terminal)"},
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

enum { RULES_LIMIT = 32, LONG_BASE = 256, LOCATIONS_LIMIT = 4096 };

/* The tables of a verb in the form getopt_long() reads: val = LONG_BASE + index into rules. */
struct parser {
    const struct option_rule *rules[RULES_LIMIT];
    struct option longs[RULES_LIMIT + 1];
    char shorts[3 * RULES_LIMIT + 2];
    size_t count;
};

static void add_rules(struct parser *parser, const struct option_rule *rules)
{
    char *letter = parser->shorts + strlen(parser->shorts);
    for (; rules && rules->name; rules++) {
        if (parser->count == RULES_LIMIT)
            abort();
        parser->longs[parser->count] =
            (struct option){rules->name, rules->argument ? required_argument : no_argument, NULL,
                            LONG_BASE + (int)parser->count};
        parser->rules[parser->count++] = rules;
        if (rules->letter) {
            *letter++ = rules->letter;
            if (rules->argument)
                *letter++ = ':';
        }
    }
    *letter = '\0';
}

static const struct option_rule *find_rule(const struct parser *parser, int value)
{
    for (size_t i = 0; i < parser->count; i++)
        if (value == LONG_BASE + (int)i || (value && value == parser->rules[i]->letter))
            return parser->rules[i];
    return NULL;
}

static int check_range(const struct option_rule *rule, uint64_t value, const char *text,
                       struct error *error)
{
    if (value < rule->minimum)
        return error_set(error, ERROR_USAGE, "--%s: %s is too small", rule->name, text);
    if (rule->maximum && value > rule->maximum)
        return error_set(error, ERROR_USAGE, "--%s: %s is too large", rule->name, text);
    return 0;
}

static int set_size(void *target, const struct option_rule *rule, const char *text,
                    struct error *error)
{
    uint64_t bytes;
    if (values_size(text, &bytes) < 0)
        return error_set(error, ERROR_USAGE,
                         "--%s: '%s' is not a size: write bytes, or a number with KiB, MiB, GiB or "
                         "TiB",
                         rule->name, text);
    if (check_range(rule, bytes, text, error) < 0)
        return -1;
    *(uint64_t *)target = bytes;
    return 0;
}

static int set_duration(void *target, const struct option_rule *rule, const char *text,
                        struct error *error)
{
    int64_t duration;
    if (values_duration(text, &duration) < 0)
        return error_set(error, ERROR_USAGE,
                         "--%s: '%s' is not a duration: write seconds, or a number with ms, s, min "
                         "or h",
                         rule->name, text);
    if (check_range(rule, (uint64_t)duration, text, error) < 0)
        return -1;
    *(int64_t *)target = duration;
    return 0;
}

static int set_count(void *target, const struct option_rule *rule, const char *text,
                     struct error *error)
{
    uint64_t count;
    if (values_count(text, &count) < 0 || count > UINT_MAX)
        return error_set(error, ERROR_USAGE, "--%s: '%s' is not a number", rule->name, text);
    if (check_range(rule, count, text, error) < 0)
        return -1;
    *(unsigned *)target = (unsigned)count;
    return 0;
}

static int set_choice(void *target, const struct option_rule *rule, const char *text,
                      struct error *error)
{
    for (const char *const *choice = rule->choices; *choice; choice++)
        if (strcmp(*choice, text) == 0) {
            *(const char **)target = *choice;
            return 0;
        }
    return error_set(error, ERROR_USAGE, "--%s: '%s' is none of %s", rule->name, text,
                     rule->argument);
}

/* A directory begins with a slash and a VM's name holds none (libvirt refuses it), so the first
 * "=/" parts them, whatever else the name holds. */
static int add_location(struct options *options, const struct option_rule *rule, const char *text,
                        struct error *error)
{
    const char *split = strstr(text, "=/");
    if (!split || split == text)
        return error_set(error, ERROR_USAGE, "--%s: '%s' is not VM=DIR with an absolute directory",
                         rule->name, text);
    if (options->location_count == LOCATIONS_LIMIT)
        return error_set(error, ERROR_USAGE, "--%s: given more than %d times", rule->name,
                         LOCATIONS_LIMIT);
    struct requester_location location = {
        .vm = memory_format("%.*s", (int)(split - text), text),
        .directory = split + 1,
    };
    ARRAY_APPEND(options->locations, options->location_count, location);
    return 0;
}

static int set_value(struct options *options, const struct option_rule *rule, const char *text,
                     struct error *error)
{
    void *target = (char *)options + rule->offset;
    switch (rule->kind) {
    case OPTION_FLAG:
        *(bool *)target = true;
        return 0;
    case OPTION_TEXT:
        if (!*text)
            return error_set(error, ERROR_USAGE, "--%s: %s is empty", rule->name, rule->argument);
        *(const char **)target = text;
        return 0;
    case OPTION_SIZE:
        return set_size(target, rule, text, error);
    case OPTION_DURATION:
        return set_duration(target, rule, text, error);
    case OPTION_COUNT:
        return set_count(target, rule, text, error);
    case OPTION_CHOICE:
        return set_choice(target, rule, text, error);
    case OPTION_LOCATION:
        return add_location(options, rule, text, error);
    }
    abort();
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

static void take_environment(struct options *options)
{
    const char *repository = getenv("VMSHADOW_REPO"), *file = getenv("VMSHADOW_PASSPHRASE_FILE");
    if (!options->repository && repository && *repository)
        options->repository = repository;
    if (!options->passphrase_file && file && *file)
        options->passphrase_file = file;
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
    add_rules(&parser, rules);
    add_rules(&parser, options_common);
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
        if (set_value(options, find_rule(&parser, value), optarg, error) < 0)
            return -1;
    }
    for (int i = optind; i < argc; i++)
        ARRAY_APPEND(options->operands, options->operand_count, words[i]);
    take_environment(options);
    return check(options, minimum, maximum, argv[0], error);
}

void options_clear(struct options *options)
{
    for (size_t i = 0; i < options->location_count; i++)
        free((void *)options->locations[i].vm);
    free(options->locations);
    free((void *)options->operands);
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
        .locations = options->locations,
        .location_count = options->location_count,
    };
    return 0;
}
