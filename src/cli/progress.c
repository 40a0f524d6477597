/* Each drawing is put together in memory and written with one write(2): no flicker, and no line of
 * the log in the middle of one. */
#include "cli/progress.h"

#include "base/clock.h"
#include "base/memory.h"
#include "cli/output.h"
#include "cli/values.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    DISKS_LIMIT = 4096,
    NAME_WIDTH = 20,
    NUMBERS_WIDTH = 58,
    PLAIN_WIDTH = 256,
    LINE_SIZE = 2048
};
#define DRAW_EVERY (100 * CLOCK_MILLISECOND)
#define PLAIN_EVERY (10 * CLOCK_SECOND)

struct line {
    char *vm, *disk, *label; /* label: safe text */
    uint64_t done, total, rate;
    int64_t told; /* plain: when it was last written */
    bool finished;
};

struct progress {
    int file;
    enum progress_kind kind;
    struct line *lines;
    size_t count;
    size_t widest;      /* label so far, with room for the memory of each VM */
    unsigned drawn;     /* lines on the terminal now, above the cursor */
    int64_t last_drawn; /* 0 = never */
};

struct progress *progress_new(int file, enum progress_kind kind)
{
    struct progress *progress = NEW(struct progress);
    *progress = (struct progress){.file = file, .kind = kind, .widest = NAME_WIDTH};
    return progress;
}

/* Memory follows the disks, so that its label would come too late to be as wide as theirs. */
static void widen(struct progress *progress, const struct progress_sample *sample,
                  const char *label)
{
    CLEANUP_FREE char *vm = output_safe(sample->vm);
    size_t width = output_width(label),
           memory = *sample->disk ? output_width(vm) + strlen(" saved state") : 0;
    width = width > memory ? width : memory;
    progress->widest = width > progress->widest ? width : progress->widest;
}

static struct line *find_line(struct progress *progress, const struct progress_sample *sample)
{
    for (size_t i = 0; i < progress->count; i++)
        if (strcmp(progress->lines[i].vm, sample->vm) == 0 &&
            strcmp(progress->lines[i].disk, sample->disk) == 0)
            return &progress->lines[i];
    if (progress->count == DISKS_LIMIT)
        return NULL;
    CLEANUP_FREE char *label =
        memory_format("%s%s%s", sample->vm, *sample->disk ? " " : "", sample->disk);
    struct line line = {
        .vm = memory_copy_string(sample->vm),
        .disk = memory_copy_string(sample->disk),
        .label = output_safe(label),
        .told = INT64_MIN,
    };
    widen(progress, sample, line.label);
    ARRAY_APPEND(progress->lines, progress->count, line);
    return &progress->lines[progress->count - 1];
}

/* The first `width` columns of a safe text. */
static int fitting_bytes(const char *text, size_t width)
{
    const char *end = text;
    for (size_t columns = 0; *end; end++)
        if (((unsigned char)*end & 0xc0) != 0x80 && columns++ == width)
            break;
    return (int)(end - text);
}

/* "web1 vda                   45%    1.2 GiB of   2.7 GiB  120.0 MiB/s 0:12 left": names give way
 * to numbers where `width` columns are not enough for both. */
static void format_line(const struct line *line, size_t widest, size_t width, char *text,
                        size_t size)
{
    char done[values_text_size], total[values_text_size], rate[values_text_size];
    char left[values_text_size], tail[values_text_size + 8] = "";
    unsigned percent =
        line->total ? (unsigned)((double)line->done * 100 / (double)line->total) : 100;
    if (line->finished)
        (void)snprintf(tail, sizeof tail, " done");
    else if (line->rate)
        (void)snprintf(tail, sizeof tail, " %s left",
                       values_format_clock((line->total - line->done) / line->rate, left));
    size_t limit = width > NAME_WIDTH + NUMBERS_WIDTH ? width - NUMBERS_WIDTH : NAME_WIDTH;
    size_t columns = output_width(line->label), all = widest < limit ? widest : limit;
    int padding = columns < all ? (int)(all - columns) : 0;
    (void)snprintf(text, size, "%.*s%*s %3u%% %10s of %10s %10s/s%s",
                   fitting_bytes(line->label, all), line->label, padding, "", percent,
                   values_format_size(line->done, done), values_format_size(line->total, total),
                   values_format_size(line->rate, rate), tail);
}

static void write_all(int file, const char *text, size_t size)
{
    while (size) {
        ssize_t written = write(file, text, size);
        if (written <= 0)
            return; /* progress is not worth a failure */
        text += written;
        size -= (size_t)written;
    }
}

static void put_erase(FILE *out, const struct progress *progress)
{
    if (progress->drawn)
        (void)fprintf(out, "\r\033[%uA\033[J", progress->drawn);
}

void progress_hide(struct progress *progress)
{
    if (!progress || !progress->drawn)
        return;
    char text[32];
    int size = snprintf(text, sizeof text, "\r\033[%uA\033[J", progress->drawn);
    write_all(progress->file, text, (size_t)size);
    progress->drawn = 0;
    progress->last_drawn = 0;
}

static void put_line(FILE *out, const struct line *line, size_t widest, size_t width)
{
    char text[LINE_SIZE];
    format_line(line, widest, width, text, sizeof text);
    (void)fprintf(out, "%.*s\n", fitting_bytes(text, width), text);
}

/* `finished` is drawn once, above the lines that move; NULL = none. */
static void draw(struct progress *progress, const struct line *finished)
{
    struct winsize window = {0};
    (void)ioctl(progress->file, TIOCGWINSZ, &window);
    size_t width = window.ws_col > 1 ? window.ws_col - 1u : 79;
    unsigned room = window.ws_row > 3 ? window.ws_row - 2u : 20, drawn = 0;

    CLEANUP_FREE char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        abort();
    put_erase(out, progress);
    if (finished)
        put_line(out, finished, progress->widest, width);
    for (size_t i = 0; i < progress->count && drawn < room; i++) {
        if (progress->lines[i].finished)
            continue;
        put_line(out, &progress->lines[i], progress->widest, width);
        drawn++;
    }
    (void)fclose(out);
    write_all(progress->file, text, size);
    progress->drawn = drawn;
}

static void tell(struct progress *progress, struct line *line, int64_t now)
{
    char text[LINE_SIZE];
    format_line(line, progress->widest, PLAIN_WIDTH, text, sizeof text - 1);
    size_t size = strlen(text);
    text[size++] = '\n';
    write_all(progress->file, text, size);
    line->told = now;
}

void progress_update(struct progress *progress, const struct progress_sample *sample)
{
    if (progress->kind == PROGRESS_NONE)
        return;
    struct line *line = find_line(progress, sample);
    if (!line || line->finished)
        return;
    line->total = sample->total;
    line->done = sample->done < sample->total ? sample->done : sample->total;
    line->rate = sample->rate;
    line->finished = line->done == line->total;
    if (progress->kind == PROGRESS_PLAIN) {
        if (line->finished || line->told == INT64_MIN || sample->now - line->told >= PLAIN_EVERY)
            tell(progress, line, sample->now);
    } else if (line->finished || progress->last_drawn == 0 ||
               sample->now - progress->last_drawn >= DRAW_EVERY) {
        draw(progress, line->finished ? line : NULL);
        progress->last_drawn = sample->now;
    }
}

void progress_free(struct progress *progress)
{
    if (!progress)
        return;
    progress_hide(progress);
    for (size_t i = 0; i < progress->count; i++) {
        free(progress->lines[i].vm);
        free(progress->lines[i].disk);
        free(progress->lines[i].label);
    }
    free(progress->lines);
    free(progress);
}
