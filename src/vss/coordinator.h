/* The coordinator: where writers and providers are known, and one session per operation.
 *
 * One process links it as a library; the host's and the guest's program use the same code. A
 * session (vss/session.h) drives the events. The record of every event and stage goes to an
 * observer, for --events and for storage with the backup.
 */
#ifndef VSS_COORDINATOR_H
#define VSS_COORDINATOR_H

#include "vss/provider.h"
#include "vss/writer.h"

struct coordinator;

/* One finished event of one writer or stage of one provider. Times are monotonic ns. */
struct coordinator_record {
    const char *kind;   /* "event" or "stage" */
    const char *name;   /* vss_event_name() / vss_stage_name() */
    const char *party;  /* writer's or provider's name */
    struct id party_id; /* writer instance / provider id */
    struct id session, snapshot_set;
    const char *volume; /* of a stage that is about one; NULL when it is about the set */
    int64_t start, end;
    vss_code code;
    const char *message; /* of the failure; "" when it went well */
};
typedef void coordinator_observer(void *context, const struct coordinator_record *record);

/* `lock_path`: a file whose lock makes StartSnapshotSet..DoSnapshotSet exclusive on the machine
 * (released by the kernel when the process dies); NULL = within this process only. The observer is
 * called from any thread, one call at a time; may be NULL. It may run while writers are frozen: it
 * must not wait for a disk that could be theirs, nor call the coordinator or a session. */
struct coordinator *coordinator_new(const char *lock_path, coordinator_observer *observer,
                                    void *context);
/* Sessions must be released first. Waits for the writers' threads (a blocked one is left behind
 * and reported with -1). NULL allowed. */
int coordinator_free(struct coordinator *coordinator);

/* Strings are copied; callbacks and object must outlive the coordinator. The instance id is made
 * here. VSS_E_WRITER_ALREADY_SUBSCRIBED is not possible: several instances of a class are allowed.
 * An empty id: no thread could be made. */
struct id coordinator_subscribe(struct coordinator *coordinator,
                                const struct writer_description *writer);
/* VSS_E_PROVIDER_ALREADY_REGISTERED for a known id. */
vss_code coordinator_register_provider(struct coordinator *coordinator,
                                       const struct provider_description *provider,
                                       struct error *error);

/* For `vmshadow writers` and tests: state of all writers as of now. */
struct coordinator_writer {
    struct id class_id, instance_id;
    char name[128];
    enum vss_writer_state state;
    vss_code failure;
    char message[1024];
};
/* Fills at most `size`; returns how many there are. Any thread. */
size_t coordinator_writers(struct coordinator *coordinator, struct coordinator_writer *writers,
                           size_t size);

#endif
