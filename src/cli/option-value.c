#include "cli/option-value.h"

#include "base/json.h"
#include "base/memory.h"
#include "cli/values.h"

#include <limits.h>
#include <string.h>

enum { REPEATS_LIMIT = 4096 };

/* What there is to be stored, of whichever kind. */
union parsed {
    bool flag;
    const char *text;
    uint64_t size;
    int64_t duration;
    unsigned count;
};

static int check_range(const struct option_rule *rule, uint64_t value, const char *text,
                       const char *what, struct error *error)
{
    if (value < rule->minimum)
        return error_set(error, ERROR_USAGE, "%s: %s is too small", what, text);
    if (rule->maximum && value > rule->maximum)
        return error_set(error, ERROR_USAGE, "%s: %s is too large", what, text);
    return 0;
}

static int parse_flag(const char *text, const char *what, bool *ret_flag, struct error *error)
{
    bool no = text && strcmp(text, "no") == 0;
    if (text && !no && strcmp(text, "yes") != 0)
        return error_set(error, ERROR_USAGE, "%s: '%s' is neither yes nor no", what, text);
    *ret_flag = !no;
    return 0;
}

/* Definitions of VMs, and the journal that undoes, hold UTF-8 only. */
static int check_encoding(const char *text, const char *what, struct error *error)
{
    if (json_holds(text, strlen(text)))
        return 0;
    return error_set(error, ERROR_USAGE, "%s: '%s' is not UTF-8", what, text);
}

static int parse_text(const struct option_rule *rule, const char *text, bool from_file,
                      const char *what, const char **ret_text, struct error *error)
{
    if (!*text && rule->none) {
        *ret_text = NULL;
        return 0;
    }
    if (!*text)
        return error_set(error, ERROR_USAGE, "%s: %s is empty", what, rule->argument);
    if (rule->kind == OPTION_PATH && from_file && text[0] != '/')
        return error_set(error, ERROR_USAGE, "%s: '%s' does not begin with a slash", what, text);
    if (check_encoding(text, what, error) < 0)
        return -1;
    *ret_text = text;
    return 0;
}

static int parse_size(const struct option_rule *rule, const char *text, const char *what,
                      uint64_t *ret_size, struct error *error)
{
    if (values_size(text, ret_size) < 0)
        return error_set(error, ERROR_USAGE,
                         "%s: '%s' is not a size: write bytes, or a number with KiB, MiB, GiB or "
                         "TiB",
                         what, text);
    return check_range(rule, *ret_size, text, what, error);
}

static int parse_duration(const struct option_rule *rule, const char *text, const char *what,
                          int64_t *ret_duration, struct error *error)
{
    if (values_duration(text, ret_duration) < 0)
        return error_set(error, ERROR_USAGE,
                         "%s: '%s' is not a duration: write seconds, or a number with ms, s, min "
                         "or h",
                         what, text);
    return check_range(rule, (uint64_t)*ret_duration, text, what, error);
}

static int parse_count(const struct option_rule *rule, const char *text, const char *what,
                       unsigned *ret_count, struct error *error)
{
    uint64_t count;
    if (values_count(text, &count) < 0 || count > UINT_MAX)
        return error_set(error, ERROR_USAGE, "%s: '%s' is not a number", what, text);
    *ret_count = (unsigned)count;
    return check_range(rule, count, text, what, error);
}

static int parse_choice(const struct option_rule *rule, const char *text, const char *what,
                        const char **ret_text, struct error *error)
{
    for (const char *const *choice = rule->choices; *choice; choice++)
        if (strcmp(*choice, text) == 0) {
            *ret_text = *choice;
            return 0;
        }
    return error_set(error, ERROR_USAGE, "%s: '%s' is none of %s", what, text, rule->argument);
}

/* A directory begins with a slash and a VM's name holds none (libvirt refuses it), so the first
 * "=/" parts them, whatever else the name holds. */
static int put_location(struct options *options, const char *text, bool from_file, const char *what,
                        struct error *error)
{
    const char *split = strstr(text, "=/");
    if (!split || split == text)
        return error_set(error, ERROR_USAGE, "%s: '%s' is not VM=DIR with an absolute directory",
                         what, text);
    if (check_encoding(text, what, error) < 0)
        return -1;
    if (strcspn(text, "*?[") < (size_t)(split - text))
        return error_set(error, ERROR_USAGE,
                         "%s: '%s' names a VM by a pattern; a location is one VM's (its UUID, "
                         "where its name looks so)",
                         what, text);
    if (!options)
        return 0;
    if (options->location_count == REPEATS_LIMIT)
        return error_set(error, ERROR_USAGE, "%s: given more than %d times", what, REPEATS_LIMIT);
    struct requester_location location = {
        .vm = memory_format("%.*s", (int)(split - text), text),
        .directory = split + 1,
        .optional = from_file,
    };
    ARRAY_APPEND(options->locations, options->location_count, location);
    return 0;
}

static int put_item(struct options *options, const struct option_rule *rule, const char *text,
                    const char *what, struct error *error)
{
    if (!*text)
        return error_set(error, ERROR_USAGE, "%s: %s is empty", what, rule->argument);
    const char *colon = strrchr(text, ':');
    if (rule->kind == OPTION_DISK && (!colon || colon == text || !colon[1]))
        return error_set(error, ERROR_USAGE, "%s: '%s' is not VM:TARGET", what, text);
    if (!options)
        return 0;
    struct option_list *list = (struct option_list *)((char *)options + rule->offset);
    if (list->count == REPEATS_LIMIT)
        return error_set(error, ERROR_USAGE, "%s: given more than %d times", what, REPEATS_LIMIT);
    ARRAY_APPEND(list->items, list->count, text);
    return 0;
}

static int parse(const struct option_rule *rule, const char *text, bool from_file, const char *what,
                 union parsed *ret_parsed, size_t *ret_size, struct error *error)
{
    switch (rule->kind) {
    case OPTION_FLAG:
        *ret_size = sizeof ret_parsed->flag;
        return parse_flag(text, what, &ret_parsed->flag, error);
    case OPTION_TEXT:
    case OPTION_PATH:
        *ret_size = sizeof ret_parsed->text;
        return parse_text(rule, text, from_file, what, &ret_parsed->text, error);
    case OPTION_SIZE:
        *ret_size = sizeof ret_parsed->size;
        return parse_size(rule, text, what, &ret_parsed->size, error);
    case OPTION_DURATION:
        *ret_size = sizeof ret_parsed->duration;
        return parse_duration(rule, text, what, &ret_parsed->duration, error);
    case OPTION_COUNT:
        *ret_size = sizeof ret_parsed->count;
        return parse_count(rule, text, what, &ret_parsed->count, error);
    case OPTION_CHOICE:
        *ret_size = sizeof ret_parsed->text;
        return parse_choice(rule, text, what, &ret_parsed->text, error);
    default:
        abort();
    }
}

int option_value_put(struct options *options, const struct option_rule *rule, const char *text,
                     bool from_file, const char *what, struct error *error)
{
    union parsed parsed;
    size_t size = 0;
    if (rule->kind == OPTION_LOCATION)
        return put_location(options, text, from_file, what, error);
    if (rule->kind == OPTION_LIST || rule->kind == OPTION_DISK)
        return put_item(options, rule, text, what, error);
    if (parse(rule, text, from_file, what, &parsed, &size, error) < 0)
        return -1;
    if (options)
        memcpy((char *)options + rule->offset, &parsed, size);
    return 0;
}
