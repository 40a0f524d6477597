/* A session's inside, shared by its files: session.c (life, order, broadcasts, status),
 * session-backup.c, session-set.c (the shadow copy set), session-restore.c. Used by one thread. */
#ifndef VSS_SESSION_PRIVATE_H
#define VSS_SESSION_PRIVATE_H

#include "vss/coordinator-private.h"
#include "vss/session-phase.h"
#include "vss/session.h"
#include "vss/set-lock.h"

/* A writer that answered Identify in this session. */
struct session_member {
    struct dispatcher_writer *writer;
    struct metadata *metadata;
    struct enrolment *enrolment; /* NULL: it takes no part */
};

struct session {
    size_t volume_limit; /* of a set; 0 = as published */
    struct coordinator *coordinator;
    struct dispatcher *dispatcher;
    struct id id;
    enum session_phase phase; /* changed by session_advance() only */
    bool restore;
    struct components *components;
    struct session_member *members;
    size_t member_count;
    struct stages_set set;
    struct set_lock *set_lock; /* from StartSnapshotSet to the end of DoSnapshotSet */
    struct session_writer_status *statuses;
    struct error *failures; /* beside statuses, with kind and hint */
    size_t status_count;
};

/* VSS_S_OK when the call is allowed now; else VSS_E_BAD_STATE. */
vss_code session_check(const struct session *session, enum session_verb verb, struct error *error);
/* The call was done: go to the next phase. */
void session_advance(struct session *session, enum session_verb verb);

/* Let those members take part that have a component, or in volume mode data on a volume of the set;
 * in a restore those of a class with a selected component, one instance of each class. */
void session_enrol(struct session *session);

/* Send an event to the enrolled members that `wanted` chooses (NULL = all), wait for all, take over
 * what they wrote. */
typedef bool session_filter(const struct session_member *member, int argument);
void session_broadcast(struct session *session, enum vss_event event, session_filter *wanted,
                       int argument);
enum vss_writer_state session_member_state(const struct session_member *member,
                                           struct error *ret_failure);

/* VSS_E_OBJECT_NOT_FOUND when it is not in the document. */
vss_code session_find_component(const struct session *session, const struct id *writer,
                                const char *logical_path, const char *name,
                                struct component **ret_component, struct error *error);

/* The set is over, however: others may begin theirs. */
void session_release_set_lock(struct session *session);

#endif
