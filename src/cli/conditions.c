#include "cli/conditions.h"

#include "cli/output.h"

#include <string.h>

void conditions_print(const json_t *vm, const char *indent)
{
    const json_t *conditions = json_object_get(vm, "conditions");
    if (!json_array_size(conditions))
        return;
    output_line(stdout, "%sConditions of a child VM snapshot:", indent);
    size_t index;
    json_t *condition;
    json_array_foreach(conditions, index, condition)
    {
        output_line(stdout, "%s   [%d] %-3s  %s", indent,
                    (int)json_integer_or(condition, "number", 0),
                    json_boolean_or(condition, "holds", false) ? "yes" : "NO",
                    json_string_or(condition, "text", ""));
        output_line(stdout, "%s            %s", indent, json_string_or(condition, "fact", ""));
    }
}

const char *conditions_method(const char *method)
{
    if (strcmp(method, "child-snapshot") == 0)
        return "child VM snapshot: the guest runs on, its file systems are frozen for an instant";
    if (strcmp(method, "saved-state") == 0)
        return "saved state: the VM is paused while its memory is written out";
    if (strcmp(method, "offline") == 0)
        return "offline: the VM does not run and is not started";
    return method;
}
