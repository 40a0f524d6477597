/* Output: what goes to standard output, and the one place where an error is printed.
 *
 * Names of VMs, paths and messages of others may hold any bytes. On text output every control
 * character and every byte that is not UTF-8 is written as \xNN, so that no name can move the
 * cursor, forge a line or break a table.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdio.h>

/* Safe for a terminal; to be freed. */
char *output_safe(const char *text);
/* Columns that safe text takes: one per code point. */
size_t output_width(const char *safe);

/* One line, made safe, with a newline after it. */
void output_line(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A table: columns as wide as their widest cell, two spaces apart; the last one is not padded. */
struct output_table;
struct output_table *output_table_new(size_t columns, const char *indent);
/* Cells from left to right, row after row. */
void output_table_add(struct output_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* This column is padded on its left side. */
void output_table_align_right(struct output_table *table, size_t column);
/* Print and free. */
void output_table_print(struct output_table *table, FILE *file);

/* {"error":{"kind","id","message","hint","exit_code"}}: set in `result`, or in a new object where
 * it is NULL. Takes over `result`. */
json_t *output_add_error(json_t *result, const struct error *error);
/* The object and a newline on standard output. */
void output_json(const json_t *object);
/* "vmshadow: error: ..." and "vmshadow: hint: ... [id]" on standard error. */
void output_error(const struct error *error);
/* Was everything that was written to standard output really taken? (A full disk, a closed pipe.) */
int output_finish(struct error *error);

#endif
