#include "cli/output.h"

#include "base/memory.h"
#include "cli/exit-code.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* Length of the UTF-8 sequence at `bytes` that may be shown, 0 when it may not: controls (C0, DEL,
 * C1), overlong forms, surrogates, stray and missing bytes. */
static size_t shown_length(const unsigned char *bytes)
{
    if (bytes[0] < 0x80)
        return bytes[0] >= 0x20 && bytes[0] != 0x7f;
    size_t length = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
    if (bytes[0] < 0xc2 || bytes[0] > 0xf4)
        return 0;
    unsigned point = bytes[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (bytes[i] & 0x3f);
    }
    static const unsigned smallest[] = {0, 0, 0xa0, 0x800, 0x10000};
    bool wrong =
        point < smallest[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff);
    return wrong ? 0 : length;
}

char *output_safe(const char *text)
{
    char *safe = memory_new(4 * strlen(text) + 1, 1), *to = safe;
    for (const unsigned char *from = (const unsigned char *)text; *from;) {
        size_t length = shown_length(from);
        if (length) {
            memcpy(to, from, length);
            to += length;
            from += length;
        } else {
            to += snprintf(to, 5, "\\x%02x", *from++);
        }
    }
    *to = '\0';
    return safe;
}

size_t output_width(const char *safe)
{
    size_t width = 0;
    for (; *safe; safe++)
        width += ((unsigned char)*safe & 0xc0) != 0x80;
    return width;
}

void output_line(FILE *file, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    CLEANUP_FREE char *text = memory_vformat(format, arguments);
    va_end(arguments);
    CLEANUP_FREE char *safe = output_safe(text);
    (void)fprintf(file, "%s\n", safe);
}

enum { COLUMNS_LIMIT = 12 };

struct output_table {
    size_t columns, count, width[COLUMNS_LIMIT];
    bool right[COLUMNS_LIMIT];
    const char *indent;
    char **cells;
};

struct output_table *output_table_new(size_t columns, const char *indent)
{
    if (columns > COLUMNS_LIMIT)
        abort();
    struct output_table *table = NEW(struct output_table);
    *table = (struct output_table){.columns = columns, .indent = indent};
    return table;
}

void output_table_add(struct output_table *table, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    CLEANUP_FREE char *text = memory_vformat(format, arguments);
    va_end(arguments);
    char *safe = output_safe(text);
    size_t column = table->count % table->columns, width = output_width(safe);
    if (width > table->width[column])
        table->width[column] = width;
    ARRAY_APPEND(table->cells, table->count, safe);
}

void output_table_align_right(struct output_table *table, size_t column)
{
    table->right[column] = true;
}

static void print_cell(const struct output_table *table, size_t index, FILE *file)
{
    size_t column = index % table->columns;
    const char *cell = table->cells[index];
    int padding = (int)(table->width[column] - output_width(cell));
    bool last = column + 1 == table->columns;
    if (table->right[column])
        (void)fprintf(file, "%*s%s", padding, "", cell);
    else
        (void)fprintf(file, "%s%*s", cell, last ? 0 : padding, "");
    (void)fputs(last ? "\n" : "  ", file);
}

void output_table_print(struct output_table *table, FILE *file)
{
    for (size_t i = 0; i < table->count; i++) {
        if (i % table->columns == 0)
            (void)fputs(table->indent, file);
        print_cell(table, i, file);
        free(table->cells[i]);
    }
    free(table->cells);
    free(table);
}

json_t *output_add_error(json_t *result, const struct error *error)
{
    json_t *object = json_object();
    json_set_string(object, "kind", error_kind_name(error->kind));
    json_set_string(object, "id", error_id(error));
    json_set_string(object, "message", error->message);
    json_set_string(object, "hint", error->hint);
    json_set_integer(object, "exit_code", exit_code_of(error->kind));
    json_t *whole = result ? result : json_object();
    json_set(whole, "error", object);
    return whole;
}

void output_json(const json_t *object)
{
    CLEANUP_FREE char *text = json_text(object);
    (void)printf("%s\n", text);
}

void output_error(const struct error *error)
{
    (void)fflush(stdout);
    output_line(stderr, "vmshadow: error: %s", error->message);
    output_line(stderr, "vmshadow: hint: %s [%s]",
                error->hint[0] ? error->hint : "see vmshadow-troubleshooting(7)", error_id(error));
}

int output_finish(struct error *error)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    return error_errno(error, errno, "standard output: the result could not be written");
}
