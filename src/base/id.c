/* Ids are kept as text: they are compared, printed and stored, never computed with. */
#include "base/id.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct id id_new(void)
{
    uint8_t b[16];
    if (getrandom(b, sizeof b, 0) != sizeof b)
        abort(); /* cannot happen for 16 bytes once the kernel's pool is up */
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    struct id id;
    (void)snprintf(id.text, sizeof id.text,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                   b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                   b[14], b[15]);
    return id;
}

int id_parse(const char *text, struct id *ret_id)
{
    size_t length = strlen(text);
    if (length == id_text_size + 1 && text[0] == '{' && text[length - 1] == '}') {
        text++;
        length -= 2;
    }
    if (length != id_text_size - 1)
        return -1;
    struct id id = {{0}};
    for (size_t i = 0; i < length; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return -1;
        id.text[i] = (char)tolower((unsigned char)text[i]);
    }
    *ret_id = id;
    return 0;
}

bool id_equal(const struct id *left, const struct id *right)
{
    return strcmp(left->text, right->text) == 0;
}

bool id_is_empty(const struct id *id)
{
    return id->text[0] == '\0';
}
