/* vmshadow writers and vmshadow providers: what has enrolled with the coordinator, as `vssadmin
 * list writers` and `vssadmin list providers` show it. One workflow answers both, so they are one
 * file. */
#include "base/memory.h"
#include "cli/observer.h"
#include "cli/output.h"
#include "cli/verb.h"
#include "vss/codes.h"

#include <ctype.h>

static int ask(const struct options *options, json_t **ret_result, struct error *error)
{
    struct observer *observer = NULL;
    if (observer_open(options, NULL, &observer, error) < 0)
        return -1;
    struct requester_host host = observer_host(observer);
    int result = requester_writers(&host, ret_result, error);
    return observer_close(observer, error) < 0 ? -1 : result;
}

static int run_providers(const struct options *options, json_t **ret_result, struct error *error)
{
    int result = ask(options, ret_result, error);
    if (*ret_result)
        (void)json_object_del(*ret_result, "writers");
    return result;
}

/* The lines that both have, in the order of the original. */
static void print_all(const json_t *items, const char *kind,
                      void (*print_rest)(const json_t *item, const char *kind))
{
    size_t index;
    json_t *item;
    json_array_foreach(items, index, item)
    {
        output_line(stdout, "%s name: '%s'", kind, json_string_or(item, "name", ""));
        print_rest(item, kind);
        (void)putchar('\n');
    }
}

static void print_id(const json_t *item, const char *kind)
{
    output_line(stdout, "   %s Id: {%s}", kind, json_string_or(item, "id", ""));
}

static void print_writer(const json_t *writer, const char *kind)
{
    int64_t state = json_integer_or(writer, "state_number", VSS_WS_UNKNOWN);
    print_id(writer, kind);
    output_line(stdout, "   Writer Instance Id: {%s}", json_string_or(writer, "instance_id", ""));
    output_line(stdout, "   State: [%d] %s", (int)state,
                vss_writer_state_word((enum vss_writer_state)state));
    output_line(stdout, "   Last error: %s", json_string_or(writer, "last_error", "No error"));
}

static void print_provider(const json_t *provider, const char *kind)
{
    CLEANUP_FREE char *type = memory_copy_string(json_string_or(provider, "type", ""));
    type[0] = (char)toupper((unsigned char)type[0]);
    output_line(stdout, "   Provider type: %s", type);
    print_id(provider, kind);
    output_line(stdout, "   Version: %s", json_string_or(provider, "version", ""));
}

static void print_writers(const struct options *options, const json_t *result)
{
    (void)options;
    print_all(json_object_get(result, "writers"), "Writer", print_writer);
}

static void print_providers(const struct options *options, const json_t *result)
{
    (void)options;
    print_all(json_object_get(result, "providers"), "Provider", print_provider);
}

const struct verb verb_writers = {
    .name = "writers",
    .operands = "",
    .summary = "list writers with their states",
    .description = "Asks every writer to identify itself and lists it with its state and last "
                   "error, as `vssadmin list writers` does. No VM is changed.",
    .size = sizeof(struct options),
    .run = ask,
    .print = print_writers,
};

const struct verb verb_providers = {
    .name = "providers",
    .operands = "",
    .summary = "list providers of shadow copies",
    .description = "Lists the providers that can make shadow copies, as `vssadmin list providers` "
                   "does. No VM is changed.",
    .size = sizeof(struct options),
    .run = run_providers,
    .print = print_providers,
};
