/* Options: from one table per verb come the parsing, the text of --help, and the keys of the
 * configuration files (cli/config.h): a key is the long name of an option, so the two cannot
 * differ.
 *
 * The values are put into a structure of the verb that begins with `struct options`; texts point
 * into argv, the environment or memory that the structure owns. Parsing is strict: what is not
 * wholly understood is refused with ERROR_USAGE that names the option, the value and what was
 * expected. Operands may stand between options; "--" ends the options. VM names may hold any bytes;
 * other texts are UTF-8.
 *
 * The stronger place wins: command line, then environment, job file, vmshadow.conf, default. What
 * may be given several times adds up.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "base/error.h"
#include "requester/requester.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct option_rule;

/* A value that counts, as it was written, and the place that gave it. */
struct option_value {
    const struct option_rule *rule;
    const char *text;  /* a flag: "yes" or "no" */
    const char *where; /* "command line", "environment VMSHADOW_REPO", "FILE:LINE" */
    bool stored;       /* it is in the verb's structure; else it is known to be right, no more */
};

struct option_list {
    const char **items;
    size_t count;
};

/* Common to all verbs. */
struct options {
    bool json, quiet, verbose, help, version;
    const char *connect;         /* --connect; NULL = not given */
    const char *repository;      /* --repo; NULL = not given */
    const char *passphrase_file; /* --passphrase-file; NULL = not given */
    const char **operands;       /* array to be freed by options_clear() */
    size_t operand_count;
    struct requester_location *locations; /* --snapshot-location; names are owned */
    size_t location_count;
    struct option_list exclude_vms, exclude_disks;
    const char *default_location; /* --default-location, of restore; NULL = not given */
    struct option_value *values;  /* in the order of their strength */
    size_t value_count;
    char **texts; /* owned: what values of files point to */
    size_t text_count;
};

enum option_kind {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* const char *, not empty */
    OPTION_PATH,     /* the same; absolute when a file gives it */
    OPTION_SIZE,     /* uint64_t, bytes: values_size() */
    OPTION_DURATION, /* int64_t, ns: values_duration() */
    OPTION_COUNT,    /* unsigned */
    OPTION_CHOICE,   /* const char *, one of the words of `choices` */
    OPTION_LOCATION, /* VM=DIR, repeatable, into options.locations */
    OPTION_LIST,     /* struct option_list, repeatable */
    OPTION_DISK,     /* the same, of VM:TARGET */
    OPTION_TABLE,    /* no option: the rules of `table` belong here, too */
};

/* Which files may give it. */
enum option_scope {
    OPTION_ONCE,    /* none: it is about one call */
    OPTION_JOB,     /* job files */
    OPTION_SETTING, /* vmshadow.conf and job files */
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
    enum option_scope scope;
    bool none;                       /* TEXT, PATH: "" is taken, too, and means NULL */
    const char *standard;            /* what holds when nothing is given, for people; may be NULL */
    const char *environment;         /* name of a variable that gives it; may be NULL */
    const struct option_rule *table; /* OPTION_TABLE */
};

extern const struct option_rule options_common[];
/* As OPTION_TABLE, for verbs that plan a backup: --exclude-vm, --exclude-disk,
 * --snapshot-location. */
extern const struct option_rule options_choosing[];

/* Fill `options` (zeroed, of the verb's size) from argv[1..], then from the environment; argv[0] is
 * the verb. `rules` may be NULL. With --help or --version in it nothing else is checked. */
int options_parse(struct options *options, const struct option_rule *rules, size_t minimum,
                  size_t maximum, int argc, char *const argv[], struct error *error);
/* What a file says: checked in any case, and taken unless a stronger place gave it. `rule` is of
 * this verb when `stored`. `what` begins the message ("FILE:LINE: workers"). Texts are copied. */
int options_take(struct options *options, const struct option_rule *rule, bool stored,
                 const char *text, const char *where, const char *what, struct error *error);
void options_clear(struct options *options);

/* The rules of a verb one after the other, its own first: `index` from 0 on; NULL = no more. */
const struct option_rule *options_rule(const struct option_rule *rules, size_t index);
/* By long name, among its own and the common ones; NULL = none. */
const struct option_rule *options_find(const struct option_rule *rules, const char *name);
/* Is it an option that may be given several times? */
static inline bool options_is_list(const struct option_rule *rule)
{
    return rule->kind == OPTION_LIST || rule->kind == OPTION_DISK || rule->kind == OPTION_LOCATION;
}

/* Is it a flag that a file may set? On the command line it takes =yes or =no then, so that the file
 * can be overruled. */
static inline bool options_is_switch(const struct option_rule *rule)
{
    return rule->kind == OPTION_FLAG && rule->scope != OPTION_ONCE;
}

/* The rest of a workflow's selection is the same for inspect and backup: VM... or --all. */
int options_selection(const struct options *options, bool all,
                      struct requester_selection *ret_selection, struct error *error);

#endif
