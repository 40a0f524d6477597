/* Journal: the open steps of a run on disk (docs/format/journal.md).
 *
 * One writer appends and fsyncs line by line; after the first failed write it takes nothing more,
 * because what reached the disk is then unknown. The watchdog and recover never append: they read,
 * and settle the file at the end (removed, or replaced by one with what is left).
 */
#ifndef UNDO_JOURNAL_H
#define UNDO_JOURNAL_H

#include "base/error.h"
#include "base/io.h"
#include "base/json.h"
#include "base/memory.h"
#include "undo/steps.h"

enum {
    JOURNAL_LINE_LIMIT = 24 << 20, /* bytes of a line, LF included */
    JOURNAL_FILE_LIMIT = 256 << 20,
};

/* Where a line is. */
struct journal_place {
    off_t offset;
    size_t size; /* LF included */
};

/* What the first line says. */
struct journal_header {
    char *run, *description, *time;
    int64_t process;
};
void journal_header_clear(struct journal_header *header);

struct journal;

/* A new locked journal in `directory` (absolute). The io table must outlive it. */
int journal_create(struct io *io, const char *directory, const char *description,
                   struct journal **ret_journal, struct error *error);
/* Close; the file stays, and stays locked while another process shares journal_file(). */
void journal_free(struct journal *journal);
DEFINE_CLEANUP(journal)

const char *journal_path(const struct journal *journal);
int journal_file(const struct journal *journal);
const struct journal_header *journal_header(const struct journal *journal);

/* Append and fsync. After one failure every later call fails, too. Any thread. */
int journal_add(struct journal *journal, const char *lane, const char *kind, json_t *arguments,
                uint64_t *ret_step, struct journal_place *ret_place, struct error *error);
int journal_strike(struct journal *journal, const uint64_t *steps, size_t count,
                   struct error *error);
/* Both in one line. */
int journal_replace(struct journal *journal, const uint64_t *steps, size_t count, const char *lane,
                    const char *kind, json_t *arguments, uint64_t *ret_step,
                    struct journal_place *ret_place, struct error *error);

/* Open the journal of a run that no process holds, and lock it. 1 = it is held by a live run or
 * gone: leave it alone. */
int journal_take(struct io *io, const char *path, int *ret_file, struct error *error);

/* Read a whole journal; open steps go to `steps` (their kinds looked up in `table`, NULL where the
 * table has none). ERROR_DAMAGED names the line; then both outputs are empty. */
int journal_read(struct io *io, int file, const char *path, const struct undo_table *table,
                 struct journal_header *ret_header, struct steps *steps, struct error *error);

/* The arguments of a step whose line is at `place`. ERROR_DAMAGED when it is not. */
int journal_read_arguments(struct io *io, int file, const char *path, uint64_t step,
                           const struct journal_place *place, json_t **ret_arguments,
                           struct error *error);

/* The end: remove the file when no step is open, else replace it by one with the open steps. */
int journal_settle(struct io *io, const char *path, const struct journal_header *header,
                   struct steps *steps, struct error *error);

#endif
