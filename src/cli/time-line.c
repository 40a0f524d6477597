/* Rows are gathered from the events and from the VMs, then sorted: an event ends after what
 * happened within it, so the record itself, which is in the order of the ends, does not read well.
 */
#include "cli/time-line.h"

#include "base/clock.h"
#include "base/memory.h"
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

struct row {
    int64_t start, end;
    size_t order; /* as recorded: decides between equal starts */
    const char *kind, *name, *result;
    char *who;
};

struct rows {
    struct row *rows;
    size_t count;
};

static void add(struct rows *rows, struct row row)
{
    row.order = rows->count;
    ARRAY_APPEND(rows->rows, rows->count, row);
}

static void add_event(struct rows *rows, const json_t *event)
{
    const char *vm = json_string_or(event, "vm", ""), *disk = json_string_or(event, "disk", ""),
               *party = json_string_or(event, "party", ""),
               *message = json_string_or(event, "message", "");
    int64_t start = json_integer_or(event, "start_ns", 0);
    bool is_memory = strcmp(disk, "saved state") == 0;
    add(rows, (struct row){
                  .start = start,
                  .end = json_integer_or(event, "end_ns", start),
                  .kind = json_string_or(event, "kind", ""),
                  .name = json_string_or(event, "name", ""),
                  .result = json_string_or(event, "result", ""),
                  .who = memory_format("%s%s%s%s%s%s%s%s%s", party, *party && *vm ? ", " : "",
                                       *vm ? "VM " : "", vm, *disk ? ", " : "",
                                       *disk && !is_memory ? "disk " : "", disk,
                                       *message ? ": " : "", message),
              });
}

static void add_span(struct rows *rows, const char *vm, const char *what, int64_t start,
                     int64_t end)
{
    if (start <= 0 || end < start)
        return;
    add(rows, (struct row){.start = start,
                           .end = end,
                           .kind = "vm",
                           .name = what,
                           .result = "",
                           .who = memory_format("VM %s", vm)});
}

/* What the writer told of a VM: from when on its guest was frozen, or it was saved and paused, and
 * the instant in it, which a saved VM stays at until it returns. */
static void add_vm(struct rows *rows, const json_t *vm)
{
    const char *name = json_string_or(vm, "name", "");
    const json_t *pause = json_object_get(vm, "pause");
    int64_t instant = json_integer_or(vm, "instant_ns", 0),
            paused = json_integer_or(pause, "paused_ns", 0),
            saved = json_integer_or(pause, "saved_ns", 0);
    add_span(rows, name, "paused", paused, json_integer_or(pause, "returned_ns", 0));
    add_span(rows, name, "memory saved", paused, saved);
    add_span(rows, name, "frozen", json_integer_or(vm, "frozen_from_ns", 0),
             json_integer_or(vm, "thawed_ns", 0));
    add_span(rows, name, "instant", instant, instant);
    add_span(rows, name, "instant", saved, json_integer_or(pause, "returning_ns", 0));
}

static int by_start(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

static struct rows gather(const json_t *backup)
{
    struct rows rows = {0};
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(backup, "events"), index, item) add_event(&rows, item);
    if (!rows.count)
        return rows;
    json_array_foreach(json_object_get(backup, "vms"), index, item) add_vm(&rows, item);
    qsort(rows.rows, rows.count, sizeof *rows.rows, by_start);
    return rows;
}

static void print_heading(const json_t *backup, int64_t first, const char *indent)
{
    int64_t offset = json_integer_or(backup, "clock_ns", 0);
    char time[clock_text_size];
    clock_format(first + offset, time);
    output_line(stdout, "%sTime line, in milliseconds%s%s:", indent, offset > 0 ? " from " : "",
                offset > 0 ? time : "");
}

static double milliseconds(int64_t nanoseconds)
{
    return (double)nanoseconds / CLOCK_MILLISECOND;
}

void time_line_print(const json_t *backup, const char *indent)
{
    static const char *const headings[] = {"START", "TOOK", "KIND", "NAME", "RESULT", "PARTY"};
    struct rows rows = gather(backup);
    if (!rows.count)
        return;
    print_heading(backup, rows.rows[0].start, indent);
    struct output_table *table = output_table_new(ARRAY_SIZE(headings), indent);
    output_table_align_right(table, 0);
    output_table_align_right(table, 1);
    for (size_t i = 0; i < ARRAY_SIZE(headings); i++)
        output_table_add(table, "%s", headings[i]);
    for (size_t i = 0; i < rows.count; i++) {
        struct row *row = &rows.rows[i];
        output_table_add(table, "%.1f", milliseconds(row->start - rows.rows[0].start));
        output_table_add(table, "%.1f", milliseconds(row->end - row->start));
        output_table_add(table, "%s", row->kind);
        output_table_add(table, "%s", row->name);
        output_table_add(table, "%s", row->result);
        output_table_add(table, "%s", row->who);
        free(row->who);
    }
    free(rows.rows);
    output_table_print(table, stdout);
}
