/* A verb of the command line: `vmshadow VERB [OPTION...] [OPERAND...]`.
 *
 * One file per verb defines one `struct verb`; verbs.c lists them. A verb runs a workflow, which
 * gives one JSON object, and draws text from that object: what --json prints and what people read
 * cannot differ. It prints nothing itself while it runs but through progress and confirm.
 */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include "base/json.h"
#include "cli/options.h"

struct verb {
    const char *name;
    const char *operands;    /* for the usage line: "BACKUP [VM...]"; "" = takes none */
    const char *summary;     /* one line of `vmshadow --help` */
    const char *description; /* paragraphs of `vmshadow VERB --help`, apart by a newline */
    size_t minimum, maximum; /* number of operands */
    const struct option_rule *options; /* its own, beside the common ones; may be NULL */
    size_t size;   /* of the structure that the options are put into: begins with struct options */
    bool job;      /* its first operand, if there is one, is a job, whose file is read, too */
    bool rescues;  /* a wrong configuration is told and does not keep it from its work */
    bool internal; /* started by vmshadow itself: no --help, signal handlers, configuration */
    /* 0, or -1 with the error. *ret_result may be set in both cases; NULL stays NULL when there is
     * nothing to print. */
    int (*run)(const struct options *options, json_t **ret_result, struct error *error);
    /* Tell those who are not at the terminal that the configuration is wrong, so that run() is not
     * called. NULL = nobody. */
    void (*refused)(struct options *options, const struct error *error);
    /* Draw the result as text on standard output. NULL when run() gives no result. */
    void (*print)(const struct options *options, const json_t *result);
};

extern const struct verb verb_init, verb_writers, verb_providers, verb_inspect, verb_backup,
    verb_list, verb_show, verb_diff, verb_restore, verb_verify, verb_recover, verb_run, verb_config,
    verb_forget, verb_watchdog;

extern const struct verb verb_complete;

/* All of them, in the order of --help; ends with NULL. */
extern const struct verb *const verbs[];
/* NULL when there is none of that name. */
const struct verb *verb_find(const char *name);

#endif
