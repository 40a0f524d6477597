/* Undo: every change to a VM or host is a step with its undo, known to the journal on disk and to
 * the watchdog process before it is done.
 *
 *   requester                          watchdog (a process of its own, own session)
 *   undo_begin ── starts ────────────► opens the journal, waits
 *   undo_add ───── step ─────────────► prepares (own libvirt connection, domain looked up), answers
 *       (the act is done)
 *   undo_strike ── done ─────────────► forgets the step
 *   heartbeat ───────────────────────► requester dead or stalled (a stopped one, too): kills it, so
 *                                      that it never wakes up into a void run; undoes all open
 * steps undo_check ◄── void ────────────── a lease or a watched limit is passed: undoes all open
 * steps, tells the requester why and lets it live
 *
 * A step is data: a kind and JSON arguments, so that another process can act on it. Rooms register
 * a handler of each kind. Steps of one lane (one VM) are undone in reverse order; lanes do not wait
 * for each other. A handler is idempotent: it may run after the act never happened, happened in
 * part, or was undone already, and twice.
 *
 * Source: specification.md X2 and X5, design.md section 3 "Undo".
 */
#ifndef UNDO_UNDO_H
#define UNDO_UNDO_H

#include "base/error.h"
#include "base/file-identity.h"
#include "base/json.h"

#include <stdint.h>

/* ---- Kinds --------------------------------------------------------------------------------- */

struct undo_kind {
    const char *name; /* "thaw-guest", "end-backup-job", "remove-file", ... */
    /* OPTIONAL. Watchdog, when the step arrives, before the requester acts: open what the undo will
     * need. Its failure fails undo_add(). */
    int (*prepare)(void *context, const json_t *arguments, struct error *error);
    /* REQUIRED. Requester, watchdog or recover; any thread, one at a time per lane. 0 when nothing
     * is left to undo. -1: the error says what is left; called again after a pause while
     * `persistent`, else reported and kept in the journal for recover. When a limit is passed while
     * the requester is at it, the watchdog runs it at the same time. */
    int (*undo)(void *context, const json_t *arguments, struct error *error);
    /* OPTIONAL. Watchdog, about ten times a second while the step is open. 1 = a limit is passed:
     * `reason` is filled and the whole run is undone (the requester is told why, not killed). Runs
     * in the lane's thread: while it blocks, nothing of the lane is undone. */
    int (*watch)(void *context, const json_t *arguments, struct error *reason);
    /* Never give up: a guest must not stay frozen or paused. Repeated with pauses of up to 1 s. The
     * handler itself decides (returns 0) when there is nothing left, e.g. the VM is gone. Only the
     * watchdog has all the time: the requester leaves such a step to it after 3 `stall`s (15 s),
     * undo_recover() leaves it in the journal after 60 s; both do so at once when the handler says
     * ERROR_REFUSED, which means that a person has to decide.
     * While one is open, earlier steps of its lane that are not persistent wait: the files and
     * directories that it may need. Earlier persistent ones do not, each is tried in every round:
     * they must not need each other, and an attempt should end after about 10 s, for the next one
     * may be a guest that is frozen. */
    bool persistent;
    /* Undoing it later could destroy what an administrator has put right by hand in the meantime,
     * such as a VM's definition. The run itself, its watchdog and undo_recover() undo it, not
     * undo_recover_in_passing(). */
    bool deliberate;
};

/* The table given to every entry below; ends with a kind whose name is NULL. Static memory. */
struct undo_table {
    const struct undo_kind *kinds;
    void *context; /* handed to every handler, e.g. a struct hypervisor_pool */
};

/* Kinds of undo itself, to be put into every table: "remove-file" {path}, "remove-directory"
 * {path, empty directories only}, "end-process" {pid, start} (start = field 22 of /proc/PID/stat,
 * so that a reused pid is left alone). */
extern const struct undo_kind undo_remove_file, undo_remove_directory, undo_end_process;
json_t *undo_path_arguments(const char *path);
/* "remove-file" of `path` only while it is the file of `identity`, which a rename keeps: for a
 * place where somebody else may make a file before, instead of or after the run's. */
json_t *undo_file_arguments(const char *path, const struct file_identity *identity);
json_t *undo_process_arguments(int pid);

/* Bytes of a step's arguments as text: more than two definitions of a VM as libvirt carries them.
 */
enum { UNDO_ARGUMENT_LIMIT = 16 << 20 };

/* ---- A run (requester) --------------------------------------------------------------------- */

struct undo;

struct undo_settings {
    const char *state_directory; /* e.g. /var/lib/vmshadow; made when missing (0700) */
    const char *description;     /* "backup of web1, db1": shown by recover and ERROR_BUSY */
    const char *program;         /* executable to start as watchdog: /proc/self/exe */
    char *const *arguments;      /* its arguments, e.g. {"vmshadow", "watchdog", "--connect", URI,
                                    NULL}; "--socket N --journal PATH" is appended */
    int64_t stall;               /* ns without heartbeat = stalled; 0 = 5 s */
};

/* Start a run: make the journal, start the watchdog and wait until it answers (10 s). Call it
 * before the first change to anything. One thread per run drives it; the heartbeat has its own. */
int undo_begin(const struct undo_settings *settings, const struct undo_table *table,
               struct undo **ret_undo, struct error *error);

/* One run per VM at a time: take the VM's lock for this run (held by requester *and* watchdog, so
 * it is free only after the undo is done). ERROR_BUSY names the other run. */
int undo_lock_vm(struct undo *undo, const char *uuid, const char *name, struct error *error);

/* Make a step known: journal fsynced, watchdog prepared (30 s), then 0. Only then may the act be
 * done. Takes over `arguments` (an object, at most UNDO_ARGUMENT_LIMIT as text: ERROR_USAGE).
 * `lane` = the VM's UUID, or "" for steps of the run. Any thread; blocks for the disk, so not while
 * guests are frozen by this host's storage. */
int undo_add(struct undo *undo, const char *lane, const char *kind, json_t *arguments,
             uint64_t *ret_step, struct error *error);

/* The step is final (the change shall stay) or was undone by its owner: forget it. Any thread. A
 * failure to write the journal is an error; the step is then still forgotten by the watchdog. */
int undo_strike(struct undo *undo, uint64_t step, struct error *error);

/* The point of no return: every open step becomes final in *one* journal record, so that a crash
 * leaves either all of them to be undone or none. A restore of several VMs ends with it: after it
 * the new VMs stay, before it the old ones come back. */
int undo_strike_all(struct undo *undo, struct error *error);

/* The same with something left to do afterwards, e.g. removing what was set aside: in one journal
 * record every open step becomes final and one new step becomes open, so that after a crash either
 * the old steps are undone or the new one is. Takes over `arguments`. Between its begin and its
 * return the journal alone decides: should the requester die, the watchdog reads it again. */
int undo_replace_all(struct undo *undo, const char *lane, const char *kind, json_t *arguments,
                     uint64_t *ret_step, struct error *error);

/* Undo one open step here and now (one attempt), then strike it. -1: it stays open; ERROR_BUSY when
 * it has to wait for a later step of its lane (struct undo_kind.persistent). */
int undo_run(struct undo *undo, uint64_t step, struct error *error);

/* A time limit on an open step: the watchdog undoes the whole run when the step is still open at
 * `deadline` (monotonic ns). 0 lifts it. `what` is the reason told: "VM web1 was frozen for 10 s".
 * Neither journal nor disk is touched, so it may be called while guests are frozen. */
int undo_lease(struct undo *undo, uint64_t step, int64_t deadline, const char *what,
               struct error *error);

/* Has the watchdog voided the run (a limit, scratch short, ...)? 0 = no; -1 = yes, with the reason.
 * Also -1 when the watchdog has died: a run without watchdog must not go on. Cheap; any thread. */
int undo_check(struct undo *undo, struct error *error);

/* A descriptor that becomes readable when undo_check() will fail: for poll loops. */
int undo_event(struct undo *undo);

/* Undo all open steps, reverse per lane, lanes in parallel. When the watchdog has voided the run it
 * does the work and this waits for it (12 `stall`s). -1: something is left (it stays in the
 * journal, and the watchdog tries it again at the end). */
int undo_all(struct undo *undo, struct error *error);

/* End: undoes what is still open, ends the watchdog, removes the journal, releases the locks,
 * frees. A persistent step that still fails is left to the watchdog, which goes on by itself and
 * keeps the locks as long. NULL allowed. */
void undo_end(struct undo *undo);

/* ---- The watchdog and recovery ------------------------------------------------------------- */

/* Main loop of the watchdog process; `socket` is the requester's socketpair end. Returns the exit
 * code. Ignores SIGTERM, SIGINT and SIGHUP while a step is open. */
int undo_watchdog(int socket, const char *journal, const struct undo_table *table);

struct undo_report {
    char description[256];    /* of the run */
    unsigned undone, left;    /* steps */
    struct error error;       /* why something is left */
    const char *const *lanes; /* of the steps that are left; borrowed */
    size_t lane_count;
};

/* Undo what dead runs left behind: every journal in state_directory that no process holds. Returns
 * the number of journals treated or -1 (a report with `left` > 0 exists, or the directory cannot be
 * read). Live runs are left alone, and so are VMs that one of them has locked. A damaged journal is
 * reported (ERROR_DAMAGED, `left` 1) and nothing of it is undone. To be called before each
 * undo_begin(), too. */
int undo_recover(const char *state_directory, const struct undo_table *table,
                 void (*report)(void *context, const struct undo_report *report), void *context,
                 struct error *error);

/* What every new run does first: the same, but journals with an open deliberate step are left as
 * they are, and what is left is only reported. -1: the directory cannot be read. */
int undo_recover_in_passing(const char *state_directory, const struct undo_table *table,
                            void (*report)(void *context, const struct undo_report *report),
                            void *context, struct error *error);

#endif
