/* The requester: one workflow per verb of the command line (design.md sections 4 and 5).
 *
 * Every workflow returns its result as one JSON object with stable names (docs/json.md): the
 * command line prints it (--json) or draws text from it. Nothing here prints. While it runs, a
 * workflow reports through `struct requester_observer`.
 */
#ifndef REQUESTER_REQUESTER_H
#define REQUESTER_REQUESTER_H

#include "base/error.h"
#include "base/json.h"
#include "repository/repository.h"
#include "requester/retention.h"
#include "vss/coordinator.h"

#include <signal.h>

/* Told while a workflow runs; any thread, one call at a time; members may be NULL. */
struct requester_observer {
    void *context;
    /* Each finished VSS event and provider stage, and the copy of each disk (kind "copy"). */
    void (*record)(void *context, const struct coordinator_record *record, const char *vm,
                   const char *disk);
    /* About ten times a second for each disk that is being copied; `done` of `total` bytes,
     * `rate` in bytes per second. The last call for a disk has done == total. */
    void (*progress)(void *context, const char *vm, const char *disk, uint64_t done, uint64_t total,
                     uint64_t rate);
    /* Something the administrator should know: "VM db1: network br9 is not there: ...". */
    void (*notice)(void *context, const char *text);
};

/* Where it runs. */
struct requester_host {
    const char *uri; /* libvirt; NULL = LIBVIRT_DEFAULT_URI or qemu:///system */
    const char
        *state_directory; /* journals, locks; NULL = VMSHADOW_STATE_DIR or /var/lib/vmshadow */
    const char *default_location; /* R5; NULL = /var/lib/libvirt/images */
    struct requester_observer observer;
    /* Set by a signal handler: the workflow ends soon with ERROR_INTERRUPTED, undoing all. */
    const volatile sig_atomic_t *interrupted;
};

/* Where a VM's snapshot files would be made, other than beside each disk (condition 3). */
struct requester_location {
    const char *vm, *directory;
    bool optional; /* no error when there is no such VM: files are written for several hosts */
};

struct requester_selection {
    const char *const *vms; /* names, UUIDs, or patterns of names with * ? [...] */
    size_t count;
    bool all;
    const char *const *tags; /* words of the VMs' own definitions (hypervisor/domain-names.h) */
    size_t tag_count;
    const char *const *exclude_vms; /* as vms; one that is named *and* excluded is refused */
    size_t exclude_vm_count;
    const char *const *exclude_disks; /* "VM:TARGET", each a name or pattern */
    size_t exclude_disk_count;
    const struct requester_location *locations;
    size_t location_count;
};

/* {"writers":[{"name","id","instance_id","state","state_number","last_error"}],
 *  "providers":[{"name","id","type","version"}]} */
int requester_writers(const struct requester_host *host, json_t **ret_result, struct error *error);

/* Which VMs a selection means on this host now, by name: {"vms":[{"name","uuid"}],"missing":[]};
 * what is said by name or UUID and is no VM is in "missing". ERROR_REFUSED: a VM is named and
 * excluded. */
int requester_select(const struct requester_host *host, const struct requester_selection *selection,
                     json_t **ret_result, struct error *error);

struct requester_backup_options {
    struct requester_selection selection;
    const char *scratch_directory; /* NULL = /var/lib/libvirt/qemu/vmshadow */
    uint64_t scratch_reserve;      /* bytes; 0 = default */
    int64_t freeze_limit;          /* ns until the last guest is frozen; 0 = 60 s */
    int64_t hold_limit;            /* ns from last guest frozen to first thaw; 0 = 10 s */
    const char *image_directory;   /* of memory images; NULL = the scratch directory */
    int64_t max_pause;             /* ns that a VM may be paused; 0 = 10 min */
    bool refuse_saved_state;       /* no running VM may be paused: planning refuses it */
    bool hold_stopped;             /* keep the images of stopped VMs locked during the copy */
    bool no_auto_recovery;         /* context with NO_AUTORECOVERY: refused for child snapshots */
    const char *job;               /* of which it is a backup; NULL = of none */
    bool separate;                 /* that job makes a set per VM */
    bool full;                     /* backup type FULL instead of COPY */
    unsigned workers;              /* 0 = one per processor */
};
/* What a backup with these options would do, and would refuse: {"vms":[{"name","uuid","state",
 *   "method","caption","refused" (reason or null),
 *   "pause_estimate_ms","memory_in_use","write_rate" (or null),
 *   "conditions":[{"number","text","holds","fact"}],
 *   "disks":[{"target","device","source","format","size","included","reason"}],
 *   "files":[{"role","path"}]}]} : no VM is changed. */
int requester_inspect(const struct requester_host *host,
                      const struct requester_backup_options *options, json_t **ret_result,
                      struct error *error);

/* {"backup": id, "time", "vms":[{"name","uuid","method","frozen_ms","paused_ms",
 *   "disks":[{"target","size","bytes_read","bytes_stored"}],
 *   "left_out":[{"target","reason","path"}]}], "bytes_read","bytes_stored","seconds"} */
int requester_backup(const struct requester_host *host, struct repository *repository,
                     const struct requester_backup_options *options, json_t **ret_result,
                     struct error *error);

/* Which backups to list. */
struct requester_list_options {
    const char *vm;       /* those with a VM of this name, a shell pattern, or UUID; NULL = all */
    int64_t since, until; /* those of an instant from..to, wall ns, both included */
};
/* {"backups":[{"id","time","host","vms":[{"name","uuid","method"}],"size","bytes_stored"}],
 *  "damaged":[{"file","message"}]} ; ERROR_DAMAGED after the result is set when something is, also
 * when what is chosen is whole: nobody knows what the damaged one is. `options` NULL = all. */
int requester_list(struct repository *repository, const struct requester_list_options *options,
                   json_t **ret_result, struct error *error);
/* The manifest with its "events" (record of the run): see docs/json.md. */
int requester_show(struct repository *repository, const char *backup, json_t **ret_result,
                   struct error *error);

/* What changed between two backups, named as for show: {"from":{"id","time"},"to":{"id","time"},
 *  "chunk_size","vms":[{"name","uuid","disks":[{"target","change","size_from","size_to" (null where
 *   it is not),"changed_bytes"}],"change" (same, changed, added, removed),"changed_bytes"}],
 *  "changed_bytes"}. VMs are paired by UUID, disks by target. ERROR_DAMAGED, ERROR_NOT_FOUND. */
int requester_diff(struct repository *repository, const char *from, const char *to,
                   json_t **ret_result, struct error *error);

struct requester_retention {
    const char *job, *host; /* whose backups; others are not touched */
    struct retention_policy policy;
    const char *const *new_backups; /* ids of those just made: they stay, and are read back first */
    size_t new_count;
};
/* Take older backups of a job off the list, those that the rules need for none of the VMs and disks
 * in them, each by itself: {"kept","removed":[{"id","time"}],"stopped"}. "stopped"
 * says why nothing (more) went, which is no error: a backup is dated in the future, or one cannot
 * be read. Never goes the newest backup of a VM or of a disk. ERROR_*: of the repository; the
 * result is set all the same. */
int requester_retain(const struct requester_host *host, struct repository *repository,
                     const struct requester_retention *retention, json_t **ret_result,
                     struct error *error);

/* Take one backup, named as for show, off the list: {"backup","time"}. ERROR_REFUSED, unless
 * `newest`: it is the newest one of a VM or of a disk. ERROR_DAMAGED: it cannot be read; with
 * `newest` and its whole id it goes all the same, and "time" is null. Its data stays. */
int requester_forget(struct repository *repository, const char *backup, bool newest,
                     json_t **ret_result, struct error *error);

struct requester_restore_options {
    const char *backup;     /* id, beginning of one, "latest" */
    const char *const *vms; /* names or UUIDs in the backup; count 0 = all */
    size_t count;
    bool yes;              /* may power off and replace a running VM */
    bool continue_saved;   /* a saved VM comes back saved although a disk was left out */
    bool discard_saved;    /* saved VMs come back off */
    bool overwrite_block;  /* disks on block devices are written in place: not undone */
    const char *directory; /* put all disks here; NULL = where they were */
    unsigned workers;
};
/* Plan only, nothing is changed: {"backup","vms":[{"name","uuid","replaces" (state of the VM that
 * is there now, or
 * null),"comes_back","continues","disks":[{"target","path","format","size"}],"networks":[{"mac","source",
 *   "connected"}],"notices":[]}]} */
int requester_plan_restore(const struct requester_host *host, struct repository *repository,
                           const struct requester_restore_options *options, json_t **ret_result,
                           struct error *error);
/* The whole restore, all or nothing. ERROR_REFUSED ("--yes") when a running VM would be replaced
 * and `yes` is not set. The plan's object with "seconds" and per disk "bytes_written". */
int requester_restore(const struct requester_host *host, struct repository *repository,
                      const struct requester_restore_options *options, json_t **ret_result,
                      struct error *error);

/* {"runs":[{"description","undone","left","message"}]} ; -1 when something is left. */
int requester_recover(const struct requester_host *host, json_t **ret_result, struct error *error);

/* A record as the JSON object of --events and of stored backups (docs/json.md, "events"). */
json_t *requester_record_json(const struct coordinator_record *record, const char *vm,
                              const char *disk);

/* The watchdog process: `vmshadow watchdog --connect URI --socket N --journal PATH`. */
int requester_watchdog(const char *uri, int socket, const char *journal);

#endif
