#include "cli/help.h"

#include "base/memory.h"

#include <string.h>

enum { WIDTH = 79, TEXT_COLUMN = 28 };

/* Print words, breaking lines before WIDTH; further lines begin at `indent`. `column` = where the
 * cursor is. A newline in the text begins a new paragraph. */
static void wrap(FILE *file, const char *text, size_t indent, size_t column)
{
    bool first = true;
    while (*text) {
        size_t length = strcspn(text, " \n");
        if (!first && column + 1 + length > WIDTH) {
            (void)fprintf(file, "\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
        (void)fprintf(file, "%s%.*s", first ? "" : " ", (int)length, text);
        column += length + !first;
        first = false;
        text += length;
        if (*text == '\n') {
            (void)fprintf(file, "\n\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
        if (*text)
            text++;
    }
    (void)fputc('\n', file);
}

/* The help text, with what holds when nothing is given. */
static char *help_text(const struct option_rule *rule)
{
    const char *environment = rule->environment, *standard = rule->standard;
    if (!environment && !standard)
        return memory_copy_string(rule->help);
    return memory_format("%s (default: %s%s%s)", rule->help, environment ? environment : "",
                         environment && standard ? ", else " : "", standard ? standard : "");
}

static void print_option(FILE *file, const struct option_rule *rule)
{
    char letter[8] = "    ";
    if (rule->letter)
        (void)snprintf(letter, sizeof letter, "-%c, ", rule->letter);
    CLEANUP_FREE char *head =
        memory_format("  %s--%s%s%s", letter, rule->name, rule->argument ? " " : "",
                      rule->argument ? rule->argument : "");
    size_t width = strlen(head);
    if (width + 2 > TEXT_COLUMN)
        (void)fprintf(file, "%s\n%*s", head, TEXT_COLUMN, "");
    else
        (void)fprintf(file, "%-*s", TEXT_COLUMN, head);
    CLEANUP_FREE char *text = help_text(rule);
    wrap(file, text, TEXT_COLUMN, TEXT_COLUMN);
}

static void print_rules(FILE *file, const struct option_rule *rules)
{
    for (; rules->name; rules++)
        if (rules->kind == OPTION_TABLE)
            print_rules(file, rules->table);
        else
            print_option(file, rules);
}

static void print_options(FILE *file, const char *title, const struct option_rule *rules)
{
    (void)fprintf(file, "\n%s:\n", title);
    print_rules(file, rules);
}

void help_program(FILE *file)
{
    (void)fputs("Usage: vmshadow COMMAND [OPTION...] [OPERAND...]\n\n", file);
    wrap(file,
         "Backs up running virtual machines of libvirt as one set at one instant, and restores "
         "them.",
         0, 0);
    (void)fputs("\nCommands:\n", file);
    for (const struct verb *const *verb = verbs; *verb; verb++)
        if (!(*verb)->internal)
            (void)fprintf(file, "  %-10s  %s\n", (*verb)->name, (*verb)->summary);
    print_options(file, "Options of every command", options_common);
    (void)fputs("\nvmshadow COMMAND --help tells more about a command, vmshadow(1) about all.\n",
                file);
}

void help_verb(const struct verb *verb, FILE *file)
{
    (void)fprintf(file, "Usage: vmshadow %s [OPTION...]%s%s\n\n", verb->name,
                  verb->operands[0] ? " " : "", verb->operands);
    wrap(file, verb->description, 0, 0);
    if (verb->options)
        print_options(file, "Options", verb->options);
    print_options(file, "Options of every command", options_common);
}
