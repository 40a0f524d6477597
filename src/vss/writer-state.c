/* The diagram of the header as a table. */
#include "vss/writer-state.h"

#include <assert.h>

#define IN(state) (1U << (state))
#define ANY (IN(VSS_WS_COUNT) - 1)
#define BACKUP_STATES                                                                              \
    (IN(VSS_WS_STABLE) | IN(VSS_WS_WAITING_FOR_FREEZE) | IN(VSS_WS_WAITING_FOR_THAW) |             \
     IN(VSS_WS_WAITING_FOR_POST_SNAPSHOT) | IN(VSS_WS_WAITING_FOR_BACKUP_COMPLETE))

/* In `success` and `failure`: the state stays as it is. */
#define KEEP VSS_WS_COUNT

static const struct {
    unsigned from;
    enum vss_writer_state success, failure;
} transitions[VSS_EVENT_COUNT_] = {
    [VSS_EVENT_IDENTIFY] = {ANY, KEEP, KEEP},
    [VSS_EVENT_PREPARE_FOR_BACKUP] = {IN(VSS_WS_STABLE), VSS_WS_STABLE,
                                      VSS_WS_FAILED_AT_PREPARE_BACKUP},
    [VSS_EVENT_PREPARE_FOR_SNAPSHOT] = {IN(VSS_WS_STABLE), VSS_WS_WAITING_FOR_FREEZE,
                                        VSS_WS_FAILED_AT_PREPARE_SNAPSHOT},
    [VSS_EVENT_FREEZE] = {IN(VSS_WS_WAITING_FOR_FREEZE), VSS_WS_WAITING_FOR_THAW,
                          VSS_WS_FAILED_AT_FREEZE},
    [VSS_EVENT_THAW] = {IN(VSS_WS_WAITING_FOR_THAW), VSS_WS_WAITING_FOR_POST_SNAPSHOT,
                        VSS_WS_FAILED_AT_THAW},
    [VSS_EVENT_POST_SNAPSHOT] = {IN(VSS_WS_WAITING_FOR_POST_SNAPSHOT),
                                 VSS_WS_WAITING_FOR_BACKUP_COMPLETE,
                                 VSS_WS_FAILED_AT_POST_SNAPSHOT},
    [VSS_EVENT_BACKUP_COMPLETE] = {IN(VSS_WS_STABLE) | IN(VSS_WS_WAITING_FOR_BACKUP_COMPLETE),
                                   VSS_WS_STABLE, VSS_WS_FAILED_AT_BACKUP_COMPLETE},
    [VSS_EVENT_BACKUP_SHUTDOWN] = {ANY, KEEP, VSS_WS_FAILED_AT_BACKUPSHUTDOWN},
    [VSS_EVENT_ABORT] = {ANY, VSS_WS_STABLE, VSS_WS_UNKNOWN},
    [VSS_EVENT_PRE_RESTORE] = {IN(VSS_WS_STABLE), VSS_WS_STABLE, VSS_WS_FAILED_AT_PRE_RESTORE},
    [VSS_EVENT_POST_RESTORE] = {IN(VSS_WS_STABLE), VSS_WS_STABLE, VSS_WS_FAILED_AT_POST_RESTORE},
};

bool writer_state_is_failed(enum vss_writer_state state)
{
    return !(BACKUP_STATES & IN(state));
}

bool writer_state_accepts(enum vss_writer_state state, enum vss_event event)
{
    return transitions[event].from & IN(state);
}

enum vss_writer_state writer_state_after(enum vss_writer_state state, enum vss_event event,
                                         bool succeeded)
{
    assert(writer_state_accepts(state, event));
    enum vss_writer_state next =
        succeeded ? transitions[event].success : transitions[event].failure;
    return next == KEEP || writer_state_is_failed(state) ? state : next;
}
