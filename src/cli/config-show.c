/* vmshadow config: every setting with its value, and where that comes from. */
#include "cli/config.h"
#include "cli/job.h"
#include "cli/output.h"
#include "cli/verb.h"

#include "base/memory.h"

#include <string.h>

struct showing {
    const struct options *options;
    json_t *settings;
    const char *seen[256]; /* keys, for those that several verbs have */
    size_t seen_count;
};

static void add_setting(json_t *settings, const char *key, const char *value, const char *source)
{
    json_t *setting = json_object();
    json_set_string(setting, "key", key);
    json_set_string(setting, "value", value);
    json_set_string(setting, "source", source);
    json_append(settings, setting);
}

static bool is_new(struct showing *showing, const char *key)
{
    for (size_t i = 0; i < showing->seen_count; i++)
        if (strcmp(showing->seen[i], key) == 0)
            return false;
    if (showing->seen_count == ARRAY_SIZE(showing->seen))
        abort();
    showing->seen[showing->seen_count++] = key;
    return true;
}

static void show_rule(struct showing *showing, const struct option_rule *rule)
{
    const struct options *options = showing->options;
    bool found = false;
    for (size_t i = 0; i < options->value_count; i++) {
        const struct option_value *value = &options->values[i];
        if (strcmp(value->rule->name, rule->name) != 0)
            continue;
        add_setting(showing->settings, rule->name, value->text, value->where);
        found = true;
    }
    if (!found)
        add_setting(showing->settings, rule->name,
                    rule->kind == OPTION_FLAG ? "no" : rule->standard, "default");
}

static void show_verb(struct showing *showing, const struct verb *verb, enum option_scope least)
{
    const struct option_rule *rule;
    for (size_t i = 0; (rule = options_rule(verb->options, i)); i++)
        if (rule->scope >= least && is_new(showing, rule->name))
            show_rule(showing, rule);
}

static int run(const struct options *options, json_t **ret_result, struct error *error)
{
    const char *job = options->operand_count ? options->operands[0] : NULL;
    struct showing showing = {.options = options, .settings = json_array()};
    enum option_scope least = job ? OPTION_JOB : OPTION_SETTING;
    for (const struct option_rule *rule = options_common; rule->name; rule++)
        if (rule->scope >= least && is_new(&showing, rule->name))
            show_rule(&showing, rule);
    show_verb(&showing, verb_find("run"), least);
    for (const struct verb *const *verb = verbs; *verb && !job; verb++)
        if (!(*verb)->internal)
            show_verb(&showing, *verb, least);
    json_t *result = json_object();
    json_set_string(result, "directory", config_directory());
    json_set_string(result, "job", job);
    json_set(result, "jobs", config_jobs());
    json_set(result, "settings", showing.settings);
    *ret_result = result;
    return job ? job_check_selection(options, error) : 0;
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    size_t index;
    json_t *item;
    struct output_table *table = output_table_new(3, "");
    static const char *const headings[] = {"KEY", "VALUE", "SOURCE"};
    for (size_t i = 0; i < ARRAY_SIZE(headings); i++)
        output_table_add(table, "%s", headings[i]);
    json_array_foreach(json_object_get(result, "settings"), index, item)
    {
        output_table_add(table, "%s", json_string_or(item, "key", ""));
        output_table_add(table, "%s", json_string_or(item, "value", "-"));
        output_table_add(table, "%s", json_string_or(item, "source", ""));
    }
    output_table_print(table, stdout);
    json_array_foreach(json_object_get(result, "jobs"), index, item)
    {
        output_line(stdout, "Job: %s", json_string_value(item));
    }
}

const struct verb verb_config = {
    .name = "config",
    .operands = "[JOB]",
    .summary = "show every setting and where it comes from",
    .description =
        "Shows every key of vmshadow.conf, or with JOB every key of that job, with the value that "
        "counts and the place that gave it: the command line, the environment, FILE:LINE or the "
        "default. The files are checked: the first wrong line, and a job that does not say which "
        "VMs it means, is told, and the exit status says so. No VM is touched.",
    .maximum = 1,
    .job = true,
    .size = sizeof(struct options),
    .run = run,
    .print = print,
};
