/* JSON: jansson with errors in our words and bounds on what comes from outside.
 *
 * Values are jansson's json_t; this header adds what every user of it would write again: parsing
 * with a size limit, members that must be there and of a type, and cleanup by scope.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/error.h"

#include <jansson.h>
#include <stdint.h>

#define CLEANUP_JSON __attribute__((cleanup(json_releasep)))
static inline void json_releasep(json_t **value)
{
    json_decref(*value);
}

/* Parse `size` bytes; duplicate names and trailing text are faults. `what` names the document in
 * the message. The result is a new reference. */
json_t *json_parse(const char *text, size_t size, const char *what, struct error *error);
/* One line, keys in the order they were set; to be freed. Never NULL. */
char *json_text(const json_t *value);

/* Members that must be there: NULL / -1 and ERROR_DAMAGED naming `what` and the member otherwise.
 * Strings are owned by the object. */
const char *json_get_string(const json_t *object, const char *name, const char *what,
                            struct error *error);
int json_get_integer(const json_t *object, const char *name, const char *what, int64_t *ret_value,
                     struct error *error);
json_t *json_get_array(const json_t *object, const char *name, const char *what,
                       struct error *error);
json_t *json_get_object(const json_t *object, const char *name, const char *what,
                        struct error *error);
/* Optional members: the default where missing or of another type. */
const char *json_string_or(const json_t *object, const char *name, const char *otherwise);
int64_t json_integer_or(const json_t *object, const char *name, int64_t otherwise);
bool json_boolean_or(const json_t *object, const char *name, bool otherwise);

/* Set a member; a NULL string becomes null; text that is not UTF-8 has its bad bytes replaced. */
void json_set_string(json_t *object, const char *name, const char *text);
void json_set_integer(json_t *object, const char *name, int64_t value);
void json_set_boolean(json_t *object, const char *name, bool value);
/* As json_set_string(), behind the last element. Text from outside never goes into jansson's own
 * json_string(), which returns NULL for what is not UTF-8. */
void json_append_string(json_t *array, const char *text);
/* Are these bytes text as JSON can hold it, that is UTF-8? Else a reader finds another text in it
 * than the one that was meant. */
bool json_holds(const char *text, size_t size);
/* Takes over the reference. */
void json_set(json_t *object, const char *name, json_t *value);
void json_append(json_t *array, json_t *value);

#endif
