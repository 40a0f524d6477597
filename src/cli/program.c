/* The program's top: finds the verb, runs it, prints its result or its error once, and ends with
 * the exit code. */
#include "cli/program.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/config.h"
#include "cli/exit-code.h"
#include "cli/help.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "cli/verb.h"

#include <string.h>

static int print_version(void)
{
    (void)printf("vmshadow %s\n", VMSHADOW_VERSION);
    return 0;
}

/* What was said and what went wrong, as one object or as text. Returns the exit code. */
static int report(const struct verb *verb, const struct options *options, json_t *result,
                  struct error *error)
{
    CLEANUP_JSON json_t *object = result;
    if (options->json) {
        if (error_is_set(error))
            object = output_add_error(TAKE_PTR(object), error);
        if (object)
            output_json(object);
    } else if (object && verb && verb->print) {
        verb->print(options, object);
    }
    if (error_is_set(error) && !options->json)
        output_error(error);
    struct error late = ERROR_INIT;
    if (output_finish(&late) < 0) {
        output_error(&late);
        error_move(error, &late);
    }
    return exit_code_of(error->kind);
}

static int run_parsed(const struct verb *verb, struct options *options)
{
    if (options->help || options->version) {
        if (options->help)
            help_verb(verb, stdout);
        else
            (void)print_version();
        struct error error = ERROR_INIT;
        return report(NULL, options, NULL, &error);
    }
    log_set_level(options->quiet     ? LOG_LEVEL_WARNING
                  : options->verbose ? LOG_LEVEL_DEBUG
                                     : LOG_LEVEL_NOTICE);
    if (!verb->internal)
        signals_install();
    json_t *result = NULL;
    struct error error = ERROR_INIT;
    if (verb->run(options, &result, &error) < 0 && !error_is_set(&error))
        (void)error_set(&error, ERROR_FAILED, "%s failed", verb->name);
    return report(verb, options, result, &error);
}

/* --json counts also when the words beside it are wrong. */
static bool wants_json(int argc, char *const argv[])
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "-j") == 0)
            return true;
    return false;
}

static void pass_over(const struct error *error)
{
    CLEANUP_FREE char *safe = output_safe(error->message);
    log_warning("%s; going on without it", safe);
}

/* The command line first: it says which job. */
static int read_options(const struct verb *verb, struct options *options, int argc,
                        char *const argv[], struct error *error)
{
    if (options_parse(options, verb->options, verb->minimum, verb->maximum, argc, argv, error) <
        0) {
        options->json = options->json || wants_json(argc, argv);
        return error_advise(error, "usage", "see vmshadow %s --help", verb->name);
    }
    if (options->help || options->version || verb->internal)
        return 0;
    const char *job = verb->job && options->operand_count ? options->operands[0] : NULL;
    if (verb->rescues) {
        config_rescue(options, verb->options, pass_over);
        return 0;
    }
    if (config_apply(options, verb->options, job, error) == 0)
        return 0;
    if (verb->refused)
        verb->refused(options, error);
    return -1;
}

static int run_verb(const struct verb *verb, int argc, char *const argv[])
{
    struct options *options = memory_new(1, verb->size);
    struct error error = ERROR_INIT;
    int code = read_options(verb, options, argc, argv, &error) < 0
                   ? report(NULL, options, NULL, &error)
                   : run_parsed(verb, options);
    options_clear(options);
    free(options);
    return code;
}

/* No verb, or none of ours. */
static int run_without_verb(int argc, char *const argv[])
{
    const char *word = argc > 1 ? argv[1] : NULL;
    struct options options = {.json = wants_json(argc, argv)};
    struct error error = ERROR_INIT;
    if (word && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
        help_program(stdout);
        options.json = false;
    } else if (word && (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)) {
        options.json = false;
        (void)print_version();
    } else if (!word) {
        (void)error_set(&error, ERROR_USAGE, "no command is given");
    } else if (word[0] == '-') {
        (void)error_set(&error, ERROR_USAGE, "%s: options stand behind the command", word);
    } else {
        (void)error_set(&error, ERROR_USAGE, "there is no command '%s'", word);
    }
    (void)error_advise(&error, "usage", "see vmshadow --help");
    return report(NULL, &options, NULL, &error);
}

int program_main(int argc, char *const argv[])
{
    log_set_program("vmshadow");
    const struct verb *verb = argc > 1 ? verb_find(argv[1]) : NULL;
    return verb ? run_verb(verb, argc - 1, argv + 1) : run_without_verb(argc, argv);
}
