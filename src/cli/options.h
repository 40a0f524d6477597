/* Options: from one table per verb come the parsing and the text of --help.
 *
 * The values are put into a structure of the verb that begins with `struct options`; texts point
 * into argv or the environment. Parsing is strict: what is not wholly understood is refused with
 * ERROR_USAGE that names the option, the value and what was expected. Operands may stand between
 * options; "--" ends the options. VM names may hold any bytes.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "base/error.h"
#include "requester/requester.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Common to all verbs. */
struct options {
    bool json, quiet, verbose, help, version;
    const char *connect;         /* --connect; NULL = not given */
    const char *repository;      /* --repo or VMSHADOW_REPO; NULL = neither */
    const char *passphrase_file; /* --passphrase-file or VMSHADOW_PASSPHRASE_FILE; NULL = neither */
    const char **operands;       /* array to be freed by options_clear() */
    size_t operand_count;
    struct requester_location *locations; /* --snapshot-location; names are owned */
    size_t location_count;
};

enum option_kind {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* const char *, not empty */
    OPTION_SIZE,     /* uint64_t, bytes: values_size() */
    OPTION_DURATION, /* int64_t, ns: values_duration() */
    OPTION_COUNT,    /* unsigned */
    OPTION_CHOICE,   /* const char *, one of the words of `choices` */
    OPTION_LOCATION, /* VM=DIR, repeatable, into options.locations */
};

struct option_rule {
    const char *name; /* without "--"; NULL ends a table */
    char letter;      /* '\0' = none */
    enum option_kind kind;
    const char *argument; /* "FILE"; NULL for a flag */
    size_t offset;        /* of the value in the verb's structure; not for OPTION_LOCATION */
    const char *help;
    const char *const *choices; /* OPTION_CHOICE; ends with NULL */
    uint64_t minimum, maximum; /* SIZE, DURATION (ns), COUNT; maximum 0 = no limit but the type's */
};

extern const struct option_rule options_common[];

/* Fill `options` (zeroed, of the verb's size) from argv[1..]; argv[0] is the verb. `rules` may be
 * NULL. With --help or --version in it nothing else is checked. */
int options_parse(struct options *options, const struct option_rule *rules, size_t minimum,
                  size_t maximum, int argc, char *const argv[], struct error *error);
void options_clear(struct options *options);

/* The rest of a workflow's selection is the same for inspect and backup: VM... or --all. */
int options_selection(const struct options *options, bool all,
                      struct requester_selection *ret_selection, struct error *error);

#endif
