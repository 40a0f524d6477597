/* Plan: how one VM would be backed up now, and why (rows B3, B4, B5, B10).
 *
 *   running, all five conditions hold ─► child-snapshot      running, one does not ─► saved-state
 *   paused ─► saved-state                                    off, saved ─► offline
 *
 * The five conditions are those of the published Hyper-V writer; a fact that cannot be obtained
 * counts as not holding. Making a plan changes nothing in the VM.
 */
#ifndef WRITERS_VM_PLAN_H
#define WRITERS_VM_PLAN_H

#include "hypervisor/agent.h"
#include "hypervisor/domain.h"

enum plan_method { PLAN_CHILD_SNAPSHOT, PLAN_SAVED_STATE, PLAN_OFFLINE };
/* "child-snapshot", "saved-state", "offline": the words of JSON and documents. */
const char *plan_method_name(enum plan_method method);

enum { PLAN_CONDITIONS = 5 };

struct plan_condition {
    bool holds;
    char *fact; /* what was found: "the agent answers", "vdb (/data): ntfs-3g cannot be frozen" */
};

struct plan {
    struct domain *domain;
    enum plan_method method;
    struct plan_condition conditions[PLAN_CONDITIONS]; /* [0] is condition 1 */
    char *caption; /* "Backup Using Child Partition Snapshot\web1" */
    char *refused; /* why this VM cannot be backed up, NULL = it can */
    /* Saved state of a running VM: ns that it would be paused among the VMs that are planned
     * together, about; -1 = not estimated. */
    int64_t pause_estimate;
    /* What it is estimated from: bytes of host memory that the VM has in use, and bytes per second
     * that the directory of memory images takes. 0 = not estimated. */
    uint64_t memory_in_use, image_rate;
    char *pause_unknown; /* why it could not be estimated; NULL = it was, or there is no pause */
    char *location; /* snapshot file location set by the administrator, NULL = beside each disk */
};

/* The condition in words, number 1..5. */
const char *plan_condition_text(unsigned number);

/* `domain` is taken over; `location` (may be NULL) is copied; the agent is asked for at most
 * `agent_limit` ns per question. Cannot fail: what cannot be found out is a fact, too. */
struct plan *plan_new(struct hypervisor *hypervisor, struct domain *domain, const char *location,
                      int64_t agent_limit);
void plan_free(struct plan *plan); /* NULL allowed */
DEFINE_CLEANUP(plan)

/* The first condition that does not hold, with its fact, as the reason for an administrator; ""
 * when all hold. To be freed. */
char *plan_failing_condition(const struct plan *plan);

/* Parts of plan_new() that judge facts without asking anybody; for tests and plan.c. */
void plan_judge_location(const struct domain *domain, const char *location,
                         struct plan_condition *ret_condition);
void plan_judge_basic_disks(const struct domain *domain, const struct agent_volumes *volumes,
                            struct plan_condition *ret_condition);
void plan_judge_file_systems(const struct domain *domain, const struct agent_volumes *volumes,
                             struct plan_condition *ret_condition);

#endif
