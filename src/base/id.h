/* Ids: random UUIDs in the usual lower-case text form, as VSS (GUIDs) and libvirt use them. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>

enum { id_text_size = 37 };

struct id {
    char text[id_text_size]; /* "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de"; empty = no id */
};

/* A new random (version 4) id. */
struct id id_new(void);
/* The id a text stands for (either case, with or without braces); -1 when it is none. */
int id_parse(const char *text, struct id *ret_id);
bool id_equal(const struct id *left, const struct id *right);
bool id_is_empty(const struct id *id);

#endif
