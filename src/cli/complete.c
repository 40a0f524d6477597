/* vmshadow complete: what the word that is being typed may become. Called by the completion of
 * bash and zsh at each press of the key, so that neither can differ from the program.
 *
 * Operands are the words after `vmshadow`; the last one is the word being typed, with a "=" before
 * it, since it may be empty. The answer is a line that says what else may stand there ("words" =
 * nothing, "files" or "directories"), then a line for each candidate: the word, a tab, what it is.
 * Names that hold control characters are none; what is said of a name is made safe. A libvirt or a
 * storage that hangs must not hang the shell: the process ends after some seconds, wherever it is.
 */
#include "base/memory.h"
#include "cli/complete-names.h"
#include "cli/config.h"
#include "cli/output.h"
#include "cli/verb.h"

#include <string.h>

enum { SECONDS = 3 };

/* What is known of the words before the last one. */
struct typed {
    struct complete_place place; /* where to look for names */
    const struct verb *verb;
    const struct option_rule *open; /* an option that waits for its argument */
    size_t operands;
    const char *first; /* operand, or NULL */
    bool ended;        /* by "--" */
};

struct answer {
    json_t *candidates;
    const char *also; /* "files", "directories", else "words" */
    const char *word; /* only what begins with it */
};

/* `text` may be names out of a repository that others can write. */
static void add(struct answer *answer, const char *prefix, const char *value, const char *suffix,
                const char *text)
{
    CLEANUP_FREE char *whole = memory_format("%s%s%s", prefix, value, suffix);
    for (const char *byte = whole; *byte; byte++)
        if ((unsigned char)*byte < ' ' || *byte == 0x7f)
            return;
    if (strncmp(whole, answer->word, strlen(answer->word)) != 0)
        return;
    json_t *candidate = json_object();
    json_set_string(candidate, "value", whole);
    CLEANUP_FREE char *safe = output_safe(text);
    json_set_string(candidate, "text", safe);
    json_append(answer->candidates, candidate);
}

/* ---- The words before ---- */

static const struct option_rule *find_option(const struct verb *verb, const char *word)
{
    if (word[1] == '-') {
        CLEANUP_FREE char *name = memory_format("%.*s", (int)strcspn(word + 2, "="), word + 2);
        return options_find(verb->options, name);
    }
    const struct option_rule *rule;
    for (size_t i = 0; (rule = options_rule(verb->options, i)); i++)
        if (rule->letter && word[1] == rule->letter && !word[2])
            return rule;
    return NULL;
}

static void take_argument(struct typed *typed, const struct option_rule *rule, const char *text)
{
    if (strcmp(rule->name, "connect") == 0)
        typed->place.connect = text;
    else if (strcmp(rule->name, "repo") == 0)
        typed->place.repository = text;
    else if (strcmp(rule->name, "passphrase-file") == 0)
        typed->place.passphrase_file = text;
}

static void take_word(struct typed *typed, const char *word)
{
    if (typed->open) {
        take_argument(typed, typed->open, word);
        typed->open = NULL;
    } else if (!typed->ended && strcmp(word, "--") == 0) {
        typed->ended = true;
    } else if (!typed->ended && word[0] == '-' && word[1]) {
        const struct option_rule *rule = find_option(typed->verb, word);
        const char *value = strchr(word, '=');
        if (rule && rule->argument && value)
            take_argument(typed, rule, value + 1);
        else if (rule && rule->argument)
            typed->open = rule;
    } else {
        typed->first = typed->operands++ ? typed->first : word;
    }
}

/* ---- The last word ---- */

static void add_verbs(struct answer *answer)
{
    for (const struct verb *const *verb = verbs; *verb; verb++)
        if (!(*verb)->internal)
            add(answer, "", (*verb)->name, "", (*verb)->summary);
    add(answer, "", "--help", "", "print the commands and exit");
    add(answer, "", "--version", "", "print the version and exit");
}

static void add_options(struct answer *answer, const struct verb *verb)
{
    const struct option_rule *rule;
    for (size_t i = 0; (rule = options_rule(verb->options, i)); i++)
        add(answer, "--", rule->name, "", rule->help);
}

static void add_names(struct answer *answer, const char *prefix, const char *suffix, json_t *names)
{
    size_t index;
    json_t *name;
    json_array_foreach(names, index, name)
    {
        add(answer, prefix, json_string_or(name, "value", ""), suffix,
            json_string_or(name, "text", ""));
    }
    json_decref(names);
}

/* "VM=DIR" and its like: the VM's name up to the sign, then what follows it. */
static void add_pair(struct answer *answer, const struct typed *typed, const char *prefix,
                     const char *argument)
{
    const char sign[] = {argument[2], '\0'};
    if (!strstr(answer->word + strlen(prefix), "=/"))
        add_names(answer, prefix, sign, complete_vms(&typed->place));
    else if (strcmp(argument, "VM=DIR") == 0)
        answer->also = "directories";
}

static void add_arguments(struct answer *answer, const struct typed *typed,
                          const struct option_rule *rule, const char *prefix)
{
    const char *argument = rule->argument;
    if (rule->kind == OPTION_CHOICE)
        for (const char *const *choice = rule->choices; *choice; choice++)
            add(answer, prefix, *choice, "", rule->help);
    else if (strcmp(argument, "DIR") == 0)
        answer->also = "directories";
    else if (strcmp(argument, "FILE") == 0)
        answer->also = "files";
    else if (strncmp(argument, "VM", 2) == 0 && strchr(":=", argument[2]) && argument[2])
        add_pair(answer, typed, prefix, argument);
    else if (strncmp(argument, "VM", 2) == 0 || strcmp(argument, "PATTERN") == 0)
        add_names(answer, prefix, "", complete_vms(&typed->place));
}

static void add_switch(struct answer *answer, const struct option_rule *rule, const char *prefix)
{
    add(answer, prefix, "yes", "", rule->help);
    add(answer, prefix, "no", "", "not so, whatever a file says");
}

/* What the usage line says of operand `number`: "BACKUP [VM...]" has VM from 1 on. */
static void add_operands(struct answer *answer, const struct typed *typed)
{
    const char *word = typed->verb->operands;
    size_t length;
    bool last = false;
    for (size_t i = 0;; i++) {
        word += strspn(word, " [");
        length = strcspn(word, " [].|");
        last = word[length] == '.';
        if (i == typed->operands || last || !length)
            break;
        word += length + strspn(word + length, "]");
    }
    if (length == strlen("VM") && strncmp(word, "VM", length) == 0)
        add_names(answer, "", "",
                  typed->first && word != typed->verb->operands
                      ? complete_vms_of(&typed->place, typed->first)
                      : complete_vms(&typed->place));
    else if (length == strlen("BACKUP") && strncmp(word, "BACKUP", length) == 0)
        add_names(answer, "", "", complete_backups(&typed->place));
    else if (length == strlen("JOB") && strncmp(word, "JOB", length) == 0)
        add_names(answer, "", "", complete_jobs());
}

static void add_last(struct answer *answer, const struct typed *typed)
{
    const char *word = answer->word, *value = strchr(word, '=');
    const struct option_rule *rule = typed->open;
    if (rule) {
        add_arguments(answer, typed, rule, "");
    } else if (!typed->ended && word[0] == '-' && word[1] == '-' && value) {
        CLEANUP_FREE char *prefix = memory_format("%.*s", (int)(value - word) + 1, word);
        rule = find_option(typed->verb, word);
        if (rule && rule->argument)
            add_arguments(answer, typed, rule, prefix);
        else if (rule && options_is_switch(rule))
            add_switch(answer, rule, prefix);
    } else if (!typed->ended && word[0] == '-') {
        add_options(answer, typed->verb);
    } else {
        add_operands(answer, typed);
    }
}

static int run(const struct options *options, json_t **ret_result, struct error *error)
{
    (void)error;
    (void)alarm(SECONDS);
    /* The structure is this call's own. A configuration that is wrong is no reason to be silent. */
    (void)config_apply((struct options *)options, NULL, NULL, NULL);
    struct typed typed = {
        .place = {options->connect, options->repository, options->passphrase_file},
    };
    size_t count = options->operand_count;
    struct answer answer = {json_array(), "words", options->operands[count - 1] + 1};
    if (count == 1)
        add_verbs(&answer);
    else
        typed.verb = verb_find(options->operands[0]);
    if (typed.verb && !typed.verb->internal) {
        for (size_t i = 1; i + 1 < count; i++)
            take_word(&typed, options->operands[i]);
        add_last(&answer, &typed);
    }
    *ret_result = json_object();
    json_set_string(*ret_result, "also", answer.also);
    json_set(*ret_result, "candidates", answer.candidates);
    return 0;
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    (void)printf("%s\n", json_string_or(result, "also", ""));
    size_t index;
    json_t *candidate;
    json_array_foreach(json_object_get(result, "candidates"), index, candidate)
    {
        (void)printf("%s\t%s\n", json_string_or(candidate, "value", ""),
                     json_string_or(candidate, "text", ""));
    }
}

const struct verb verb_complete = {
    .name = "complete",
    .operands = "WORD...",
    .summary = "tell what the word that is being typed may become",
    .description = "Called by the completion of bash and zsh.",
    .minimum = 1,
    .maximum = 10000,
    .size = sizeof(struct options),
    .internal = true,
    .run = run,
    .print = print,
};
