/* Test kit for the vss room: a coordinator with writers and providers that do what a test plans and
 * keep a merged log with monotonic times, and a scripted requester.
 *
 * A writer fails event E the first n times with code C, delays it, or lives in a child process that
 * is killed in the middle of it. A provider does the same by stage and knows which copies exist.
 * Objects are plain structures that the test fills before kit_add_*(); counters and log are read
 * after the calls have returned, through functions that take the log's lock.
 */
#ifndef KIT_VSS_KIT_H
#define KIT_VSS_KIT_H

#include "base/clock.h"
#include "vss/session.h"

#include <pthread.h>
#include <sys/types.h>

enum { kit_log_size = 512, kit_copies_size = 16 };
#define KIT_MS(n) ((int64_t)(n)*CLOCK_MILLISECOND)

struct kit_entry {
    char party[32], name[32];
    int64_t start, end; /* 0 = not ended */
    vss_code code;
    struct id session, snapshot_set;
};

struct kit {
    struct coordinator *coordinator;
    pthread_mutex_t lock;
    /* Guarded by lock. `log` is what the parties saw, `records` what the observer was told. */
    struct kit_entry log[kit_log_size], records[kit_log_size];
    size_t logged, recorded;
    int observers; /* inside the observer now; more than one is a fault */
    bool observer_overlap;
};

struct kit_plan {
    vss_code code;  /* to fail with */
    unsigned count; /* the first n times */
    int64_t delay;  /* ns, before it returns */
    bool kill;      /* child writers: SIGKILL the child in the middle */
};

struct kit_writer {
    const char *name;
    const char *component; /* one; NULL = the writer's name */
    uint32_t flags;
    enum vss_freeze_level level;
    struct writer_limits limits;
    bool child;     /* lives in a process of its own */
    bool hyperv;    /* PostRestore fails unless all statuses are ALL, else it registers */
    bool says_only; /* a failure is only recorded in the error; the callback returns 0 */
    struct kit_plan plan[VSS_EVENT_COUNT_];
    /* Extra script, in the writer's thread, after the log entry was begun. */
    void (*hook)(struct kit_writer *writer, const struct writer_event *event);
    void *hook_data;
    /* Filled by the kit. */
    struct kit *kit;
    struct id class_id, instance_id;
    pid_t child_pid;
    int child_socket;
    /* Guarded by kit->lock. */
    bool frozen, registered, logs_truncated, saw_succeeded, set_was_refused;
    unsigned calls[VSS_EVENT_COUNT_];
};

struct kit_provider {
    const char *name;
    const char *prefix; /* of the volumes it knows */
    const char *cannot; /* a known volume that it does not support */
    enum provider_type type;
    struct kit_plan plan[VSS_STAGE_COUNT_];
    int64_t stage_limit;
    void (*hook)(struct kit_provider *provider, enum vss_stage stage);
    void *hook_data;
    /* Filled by the kit. */
    struct kit *kit;
    struct id id;
    /* Guarded by kit->lock. */
    struct id set;
    unsigned dropped_sets;
    struct id begun[kit_copies_size], copies[kit_copies_size];
    size_t begun_count, copy_count;
    unsigned calls[VSS_STAGE_COUNT_];
};

void kit_open(struct kit *kit, const char *lock_path);
int kit_close(struct kit *kit, struct kit_writer *const *writers, size_t count);
void kit_add_writer(struct kit *kit, struct kit_writer *writer);
void kit_add_provider(struct kit *kit, struct kit_provider *provider);

/* The names a party logged, with one space between; static buffer. "" for none. */
const char *kit_story(struct kit *kit, const char *party);
/* The n-th (0 = first) entry of a party and name; a zeroed one when there is none. */
struct kit_entry kit_entry(struct kit *kit, const char *party, const char *name, unsigned nth);
struct kit_entry kit_record(struct kit *kit, const char *party, const char *name, unsigned nth);
size_t kit_copies(struct kit_provider *provider);
bool kit_frozen(struct kit_writer *writer);
/* Wait (at most 5 s) until the party has ended `name` n times; true when it has. */
bool kit_wait_for(struct kit *kit, const char *party, const char *name, unsigned times);

/* ---- The scripted requester: each step asserts that it works ---- */

/* Initialized, FULL, gathered. */
struct session *kit_gathered(struct kit *kit, bool select_components);
void kit_select(struct session *session, const struct kit_writer *writer);
void kit_start_set(struct session *session, const char *const *volumes, size_t count);
/* All writers given selected, set started with the volumes, PrepareForBackup done. */
struct session *kit_prepared(struct kit *kit, struct kit_writer *const *writers,
                             size_t writer_count, const char *const *volumes, size_t volume_count);
/* The status of a writer after a fresh gather; state VSS_WS_COUNT when it is not listed. */
struct session_writer_status kit_status(struct session *session, const struct kit_writer *writer);
/* The writer's state as anybody sees it. */
struct coordinator_writer kit_shown(struct kit *kit, const struct kit_writer *writer);

#define KIT_WRITERS(...)                                                                           \
    ((struct kit_writer *const[]){__VA_ARGS__}),                                                   \
        sizeof((struct kit_writer *const[]){__VA_ARGS__}) / sizeof(struct kit_writer *)
#define KIT_VOLUMES(...)                                                                           \
    ((const char *const[]){__VA_ARGS__}),                                                          \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)

#endif
