/* Only lower-case digits are accepted: one name has one text, so a changed bit is another name. */
#include "repository/name.h"

#include "repository/repository.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

void name_format_hex(const uint8_t *bytes, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = '\0';
}

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return -1;
}

int name_parse_hex(const char *text, size_t length, uint8_t *bytes, size_t size)
{
    if (length != 2 * size)
        return -1;
    for (size_t i = 0; i < size; i++) {
        int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

struct file_name name_new(void)
{
    struct file_name name;
    if (getrandom(name.bytes, sizeof name.bytes, 0) != sizeof name.bytes)
        abort(); /* cannot happen for 16 bytes once the kernel's pool is up */
    return name;
}

void name_pack_path(const struct file_name *name, char path[name_path_size])
{
    char text[name_text_size];
    name_format_hex(name->bytes, sizeof name->bytes, text);
    (void)snprintf(path, name_path_size, "packs/%.2s/%s", text, text);
}

void name_index_path(const struct file_name *name, char path[name_path_size])
{
    char text[name_text_size];
    name_format_hex(name->bytes, sizeof name->bytes, text);
    (void)snprintf(path, name_path_size, "index/%s", text);
}

void name_backup_path(const struct file_name *name, char path[name_path_size])
{
    struct id id = name_to_id(name);
    (void)snprintf(path, name_path_size, "backups/%s", id.text);
}

/* The path that the name stands for must be the path it was read from. */
static int check_path(const char *path, const struct file_name *name,
                      void (*format)(const struct file_name *name, char path[name_path_size]),
                      struct file_name *ret_name)
{
    char expected[name_path_size];
    format(name, expected);
    if (strcmp(path, expected) != 0)
        return -1;
    *ret_name = *name;
    return 0;
}

static int parse_last_part(const char *path, struct file_name *ret_name)
{
    const char *slash = strrchr(path, '/');
    const char *text = slash ? slash + 1 : path;
    return name_parse_hex(text, strlen(text), ret_name->bytes, sizeof ret_name->bytes);
}

int name_parse_pack_path(const char *path, struct file_name *ret_name)
{
    struct file_name name;
    return parse_last_part(path, &name) == 0 ? check_path(path, &name, name_pack_path, ret_name)
                                             : -1;
}

int name_parse_index_path(const char *path, struct file_name *ret_name)
{
    struct file_name name;
    return parse_last_part(path, &name) == 0 ? check_path(path, &name, name_index_path, ret_name)
                                             : -1;
}

int name_parse_backup_path(const char *path, struct file_name *ret_name)
{
    const char *slash = strrchr(path, '/');
    struct id id;
    struct file_name name;
    if (!slash || id_parse(slash + 1, &id) != 0 || name_from_id(&id, &name) != 0)
        return -1;
    return check_path(path, &name, name_backup_path, ret_name);
}

int name_from_id(const struct id *id, struct file_name *ret_name)
{
    char digits[name_text_size];
    size_t used = 0;
    for (const char *c = id->text; *c && used < sizeof digits - 1; c++)
        if (*c != '-')
            digits[used++] = *c;
    digits[used] = '\0';
    return name_parse_hex(digits, used, ret_name->bytes, sizeof ret_name->bytes);
}

struct id name_to_id(const struct file_name *name)
{
    char digits[name_text_size];
    struct id id;
    name_format_hex(name->bytes, sizeof name->bytes, digits);
    (void)snprintf(id.text, sizeof id.text, "%.8s-%.4s-%.4s-%.4s-%.12s", digits, digits + 8,
                   digits + 12, digits + 16, digits + 20);
    return id;
}

bool object_id_is_zero(const struct object_id *id)
{
    static const struct object_id zero;
    return memcmp(id, &zero, sizeof zero) == 0;
}

void object_id_format(const struct object_id *id, char text[2 * REPOSITORY_ID_SIZE + 1])
{
    name_format_hex(id->bytes, sizeof id->bytes, text);
}

int object_id_parse(const char *text, struct object_id *ret_id)
{
    struct object_id id;
    if (name_parse_hex(text, strlen(text), id.bytes, sizeof id.bytes) != 0)
        return -1;
    *ret_id = id;
    return 0;
}
