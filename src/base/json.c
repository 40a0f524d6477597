/* Words around jansson; a failing allocation inside it ends the process like any other. */
#include "base/json.h"

#include "base/memory.h"

#include <string.h>

json_t *json_parse(const char *text, size_t size, const char *what, struct error *error)
{
    json_error_t fault;
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES, &fault);
    if (!value)
        (void)error_set(error, ERROR_DAMAGED, "%s is not valid JSON (line %d: %s)", what,
                        fault.line, fault.text);
    return value;
}

char *json_text(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        abort();
    return text;
}

static json_t *member(const json_t *object, const char *name, json_type type, const char *type_name,
                      const char *what, struct error *error)
{
    json_t *value = json_object_get(object, name);
    if (value && json_typeof(value) == type)
        return value;
    (void)error_set(error, ERROR_DAMAGED, "%s: \"%s\" is %s %s", what, name,
                    value ? "not" : "missing; it should be", type_name);
    return NULL;
}

const char *json_get_string(const json_t *object, const char *name, const char *what,
                            struct error *error)
{
    return json_string_value(member(object, name, JSON_STRING, "a string", what, error));
}

int json_get_integer(const json_t *object, const char *name, const char *what, int64_t *ret_value,
                     struct error *error)
{
    json_t *value = member(object, name, JSON_INTEGER, "an integer", what, error);
    if (!value)
        return -1;
    *ret_value = json_integer_value(value);
    return 0;
}

json_t *json_get_array(const json_t *object, const char *name, const char *what,
                       struct error *error)
{
    return member(object, name, JSON_ARRAY, "an array", what, error);
}

json_t *json_get_object(const json_t *object, const char *name, const char *what,
                        struct error *error)
{
    return member(object, name, JSON_OBJECT, "an object", what, error);
}

const char *json_string_or(const json_t *object, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : otherwise;
}

int64_t json_integer_or(const json_t *object, const char *name, int64_t otherwise)
{
    json_t *value = json_object_get(object, name);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool json_boolean_or(const json_t *object, const char *name, bool otherwise)
{
    json_t *value = json_object_get(object, name);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

void json_set(json_t *object, const char *name, json_t *value)
{
    if (!value || json_object_set_new(object, name, value) != 0)
        abort();
}

void json_append(json_t *array, json_t *value)
{
    if (!value || json_array_append_new(array, value) != 0)
        abort();
}

/* A string value from bytes that may not be UTF-8 (libvirt's messages, guest's answers). */
static json_t *string_value(const char *text)
{
    json_t *value = json_string(text);
    if (value)
        return value;
    CLEANUP_FREE char *clean = memory_copy_string(text);
    for (char *c = clean; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return json_string(clean);
}

void json_set_string(json_t *object, const char *name, const char *text)
{
    json_set(object, name, text ? string_value(text) : json_null());
}

void json_append_string(json_t *array, const char *text)
{
    json_append(array, text ? string_value(text) : json_null());
}

bool json_holds(const char *text, size_t size)
{
    CLEANUP_JSON json_t *value = json_stringn(text, size);
    return value != NULL;
}

void json_set_integer(json_t *object, const char *name, int64_t value)
{
    json_set(object, name, json_integer(value));
}

void json_set_boolean(json_t *object, const char *name, bool value)
{
    json_set(object, name, json_boolean(value));
}
