/* vmshadow writers: writers and providers as `vssadmin list writers` and `list providers` show
 * them. */
#include "base/memory.h"
#include "cli/observer.h"
#include "cli/output.h"
#include "cli/verb.h"
#include "vss/codes.h"

static int run(const struct options *options, json_t **ret_result, struct error *error)
{
    struct observer *observer = NULL;
    if (observer_open(options, NULL, &observer, error) < 0)
        return -1;
    struct requester_host host = observer_host(observer);
    int result = requester_writers(&host, ret_result, error);
    return observer_close(observer, error) < 0 ? -1 : result;
}

static void print_writer(const json_t *writer)
{
    int64_t state = json_integer_or(writer, "state_number", VSS_WS_UNKNOWN);
    output_line(stdout, "Writer name: '%s'", json_string_or(writer, "name", ""));
    output_line(stdout, "   Writer Id: {%s}", json_string_or(writer, "id", ""));
    output_line(stdout, "   Writer Instance Id: {%s}", json_string_or(writer, "instance_id", ""));
    output_line(stdout, "   State: [%d] %s", (int)state,
                vss_writer_state_word((enum vss_writer_state)state));
    output_line(stdout, "   Last error: %s", json_string_or(writer, "last_error", "No error"));
    (void)putchar('\n');
}

static void print_provider(const json_t *provider)
{
    output_line(stdout, "Provider name: '%s'", json_string_or(provider, "name", ""));
    output_line(stdout, "   Provider type: %s", json_string_or(provider, "type", ""));
    output_line(stdout, "   Provider Id: {%s}", json_string_or(provider, "id", ""));
    output_line(stdout, "   Version: %s", json_string_or(provider, "version", ""));
    (void)putchar('\n');
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(result, "writers"), index, item)
    {
        print_writer(item);
    }
    json_array_foreach(json_object_get(result, "providers"), index, item)
    {
        print_provider(item);
    }
}

const struct verb verb_writers = {
    .name = "writers",
    .operands = "",
    .summary = "list writers and providers with their states",
    .description = "Asks every writer to identify itself and lists it with its state and last "
                   "error, and the providers that can make shadow copies. No VM is changed.",
    .size = sizeof(struct options),
    .run = run,
    .print = print,
};
