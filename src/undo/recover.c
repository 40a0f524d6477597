/* Recovery is the watchdog's work done later: take a journal that nobody holds, take the locks of
 * its VMs (so that no new run touches them meanwhile), undo what is open, settle the journal. */
#include "undo/undo.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/publish.h"
#include "undo/journal.h"
#include "undo/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static const int64_t patience = 60 * CLOCK_SECOND; /* with persistent steps, per run */

struct recovery {
    /* Set by undo_recover(), never changed. */
    struct io *io;
    const struct undo_table *table;
    char *locks;
    void (*report)(void *context, const struct undo_report *report);
    void *context;
    bool in_passing;
    /* Results. */
    unsigned treated, left_journals;
    struct error first;
};

static void tell(struct recovery *recovery, struct undo_report *report)
{
    recovery->treated++;
    if (report->left > 0) {
        struct error copy = report->error;
        recovery->left_journals++;
        error_move(&recovery->first, &copy);
    }
    if (recovery->report)
        recovery->report(recovery->context, report);
}

struct held {
    int *files;
    size_t count;
};

static void held_clear(struct held *held)
{
    for (size_t i = 0; i < held->count; i++)
        (void)close(held->files[i]);
    free(held->files);
}

/* Lock the VM of each lane. Only its run's requester or watchdog may have touched it since. */
static int lock_lanes(struct recovery *recovery, const struct journal_header *header,
                      struct steps *steps, struct held *held, struct error *error)
{
    size_t count;
    CLEANUP_FREE struct step **open = steps_open(steps, &count);
    CLEANUP_FREE char *description = memory_format("recovery of \"%s\"", header->description);
    struct journal_header holder = {
        .run = header->run, .description = description, .process = getpid()};
    for (size_t i = 0; i < count; i++) {
        struct id id;
        bool seen = id_parse(open[i]->lane, &id) != 0; /* a lane without a VM needs no lock */
        for (size_t k = 0; k < i && !seen; k++)
            seen = strcmp(open[k]->lane, open[i]->lane) == 0;
        int file;
        if (seen)
            continue;
        if (lock_take(recovery->io, recovery->locks, open[i]->lane, open[i]->lane, &holder, &file,
                      error) != 0)
            return -1;
        ARRAY_APPEND(held->files, held->count, file);
    }
    return 0;
}

static int undo_open(struct recovery *recovery, const struct journal_header *header,
                     struct steps *steps, struct error *error)
{
    CLEANUP(held_clear) struct held held = {0};
    if (lock_lanes(recovery, header, steps, &held, error) != 0)
        return -1;
    struct steps_undoing undoing = {
        .steps = steps, .table = recovery->table, .give_up = clock_monotonic() + patience};
    return steps_undo_all(&undoing, error);
}

static bool is_deliberate(struct steps *steps)
{
    size_t count;
    CLEANUP_FREE struct step **open = steps_open(steps, &count);
    for (size_t i = 0; i < count; i++)
        if (open[i]->kind && open[i]->kind->deliberate)
            return true;
    return false;
}

static int undo_or_leave(struct recovery *recovery, const struct journal_header *header,
                         struct steps *steps, struct error *error)
{
    if (!recovery->in_passing || !is_deliberate(steps))
        return undo_open(recovery, header, steps, error);
    (void)error_set(error, ERROR_BUSY, "an interrupted run (%s) waits to be put right",
                    header->description);
    return error_advise(error, "interrupted-run",
                        "see that nobody has put it right by hand, then: vmshadow recover");
}

/* The journal is locked by this process now. */
static void treat(struct recovery *recovery, int file, const char *path)
{
    struct undo_report report = {.error = ERROR_INIT};
    struct journal_header header = {0};
    struct steps steps;
    steps_init(&steps);
    (void)snprintf(report.description, sizeof report.description, "%s", path);
    if (journal_read(recovery->io, file, path, recovery->table, &header, &steps, &report.error) !=
        0) {
        report.left = 1; /* how many is unknown */
    } else {
        (void)snprintf(report.description, sizeof report.description, "%s", header.description);
        unsigned before = (unsigned)steps_count_open(&steps);
        (void)undo_or_leave(recovery, &header, &steps, &report.error);
        report.left = (unsigned)steps_count_open(&steps);
        report.undone = before - report.left;
        if (journal_settle(recovery->io, path, &header, &steps, &report.error) != 0 && !report.left)
            report.left = 1;
    }
    size_t count;
    CLEANUP_FREE struct step **open = steps_open(&steps, &count);
    CLEANUP_FREE const char **lanes = NEW_ARRAY(const char *, count);
    for (size_t i = 0; i < count; i++)
        lanes[i] = open[i]->lane;
    report.lanes = lanes;
    report.lane_count = count;
    tell(recovery, &report);
    journal_header_clear(&header);
    steps_deinit(&steps);
}

static void recover_one(struct recovery *recovery, const char *directory, const char *name)
{
    CLEANUP_FREE char *path = memory_format("%s/%s", directory, name);
    struct undo_report report = {.left = 1, .error = ERROR_INIT};
    int file;
    switch (journal_take(recovery->io, path, &file, &report.error)) {
    case 0:
        treat(recovery, file, path);
        (void)recovery->io->close(recovery->io, file);
        break;
    case 1: /* alive, or gone */
        break;
    default:
        (void)snprintf(report.description, sizeof report.description, "%s", path);
        tell(recovery, &report);
    }
}

static bool is_journal(const char *name)
{
    static const char suffix[] = ".journal";
    size_t length = strlen(name);
    return name[0] != '.' && length > sizeof suffix - 1 &&
           strcmp(name + length - (sizeof suffix - 1), suffix) == 0;
}

static int recover_directory(struct recovery *recovery, const char *directory, struct error *error)
{
    DIR *stream = opendir(directory);
    if (!stream)
        return errno == ENOENT ? 0 : error_errno(error, errno, "cannot list %s", directory);
    for (struct dirent *entry; (entry = readdir(stream));)
        if (is_journal(entry->d_name))
            recover_one(recovery, directory, entry->d_name);
    int result = publish_sweep(recovery->io, dirfd(stream), error);
    (void)closedir(stream);
    return result;
}

static int recover(const char *state_directory, const struct undo_table *table, bool in_passing,
                   void (*report)(void *context, const struct undo_report *report), void *context,
                   struct error *error)
{
    CLEANUP_FREE char *runs = memory_format("%s/runs", state_directory);
    CLEANUP_FREE char *locks = memory_format("%s/locks", state_directory);
    struct recovery recovery = {.io = io_real(),
                                .table = table,
                                .locks = locks,
                                .report = report,
                                .context = context,
                                .in_passing = in_passing};
    if (recover_directory(&recovery, runs, error) != 0)
        return -1;
    if (recovery.left_journals > 0 && !in_passing) {
        error_move(error, &recovery.first);
        (void)error_set(error, ERROR_FAILED, "something is left that could not be undone");
        if (error->id[0] == '\0') /* what the first failure advises is nearer */
            (void)error_advise(
                error, "recovery-incomplete",
                "each line above says what and why; mend that, then vmshadow recover");
        return -1;
    }
    return (int)recovery.treated;
}

int undo_recover(const char *state_directory, const struct undo_table *table,
                 void (*report)(void *context, const struct undo_report *report), void *context,
                 struct error *error)
{
    return recover(state_directory, table, false, report, context, error);
}

int undo_recover_in_passing(const char *state_directory, const struct undo_table *table,
                            void (*report)(void *context, const struct undo_report *report),
                            void *context, struct error *error)
{
    return recover(state_directory, table, true, report, context, error);
}
