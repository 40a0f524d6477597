/* A run: what backup and restore have in common. Connection, undo with its watchdog, coordinator
 * with the VM writer and the qemu provider, one session, and the record of what happened.
 *
 *   run_open ─► run_begin (undo known from here) ─► run_start_session ─► ... ─► run_close
 *
 * run_close() undoes what is still open, in any state.
 */
#ifndef REQUESTER_RUN_H
#define REQUESTER_RUN_H

#include "hypervisor/instant.h"
#include "hypervisor/undo-kinds.h"
#include "providers/qemu/qemu-provider.h"
#include "requester/requester.h"
#include "requester/selection.h"
#include "undo/undo.h"
#include "vss/session.h"
#include "writers/vm/vm-writer.h"

#include <pthread.h>

struct run {
    const struct requester_host *host;
    struct hypervisor *hypervisor;
    struct undo_pool *pool;
    struct undo_table table;
    struct undo *undo;
    struct instants *instants;
    struct vm_writer *writer;
    struct qemu_provider *provider;
    struct coordinator *coordinator;
    struct session *session;
    struct id writer_instance;
    pthread_mutex_t lock;
    json_t *events; /* guarded by lock */
    char **blocked; /* UUIDs of VMs for which an interrupted run left something open */
    size_t blocked_count;
    struct selected selected;             /* by run_select() */
    struct vm_writer_location *locations; /* what run_writer_settings() refers to */
};

#define RUN_INIT                                                                                   \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                          \
    }

const char *run_state_directory(const struct requester_host *host);
const char *run_default_location(const struct requester_host *host);
/* The kinds of all rooms; context is `pool`. Used by runs, the watchdog and recover. */
struct undo_table run_undo_table(struct undo_pool *pool);

/* Connect and put right what dead runs left behind. */
int run_open(struct run *run, const struct requester_host *host, struct error *error);
/* undo_lock_vm(), and refuses a VM for which an earlier run left something open. */
int run_lock_vm(struct run *run, const char *uuid, const char *name, struct error *error);
/* Journal and watchdog. */
int run_begin(struct run *run, const char *description, struct error *error);
/* Coordinator, writer, provider, session. `instants` may be NULL (restore). */
int run_start_session(struct run *run, const struct vm_writer_settings *writer,
                      const struct instants_settings *instants, struct error *error);
/* Which VMs the selection means; after run_open() or with `hypervisor` and `host` set.
 * ERROR_NOT_FOUND, ERROR_REFUSED: see requester/selection.h. */
int run_select(struct run *run, const struct requester_selection *selection, struct error *error);
/* The writer's settings for a selection (run_select() first, unless it is `all`); valid as long as
 * the run. */
struct vm_writer_settings run_writer_settings(struct run *run,
                                              const struct requester_selection *selection);
/* The same with what the options of a backup say: limits of a pause, the directory of memory
 * images, whether a VM may be paused at all. */
struct vm_writer_settings run_backup_settings(struct run *run,
                                              const struct requester_backup_options *options);
/* GatherWriterMetadata; a VM writer that failed in it is an error in its own words. */
int run_gather(struct run *run, struct error *error);
void run_close(struct run *run);
static inline void run_closep(struct run *run)
{
    run_close(run);
}

/* Has the run been voided by the watchdog or interrupted by the user? As transfer_check. */
int run_check(void *run, struct error *error);
/* A failed VSS call, or a failed writer after it: -1 with the writer's own words first. */
int run_check_writers(struct run *run, struct error *error);
void run_notice(const struct requester_host *host, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Keep the whole record of the run on this host: STATE/records/KIND-TIME-BACKUP.json. A backup
 * stores its events up to its commit; BackupComplete and BackupShutdown come after it and are only
 * here. The newest 100 of each kind are kept. Takes over `record`; failing is a notice. */
void run_keep_record(struct run *run, const char *kind, const char *backup, json_t *record);
/* Record something that is no VSS event: the copy of a disk. */
void run_record_copy(struct run *run, const char *vm, const char *disk, int64_t start, int64_t end,
                     const char *message);

#endif
