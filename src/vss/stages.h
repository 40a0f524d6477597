/* The one place that calls providers (vss/provider.h). Private to vss/.
 *
 * All calls run in the session's thread. A stage is called on every provider of the set before the
 * next stage on any. A call that takes longer than its limit fails when it returns: CommitSnapshots
 * with VSS_E_HOLD_WRITES_TIMEOUT, the others with VSS_E_UNEXPECTED_PROVIDER_ERROR.
 */
#ifndef VSS_STAGES_H
#define VSS_STAGES_H

#include "vss/coordinator.h"
#include "vss/dispatcher.h"

struct stages_provider {
    struct provider_description description;
    char *name, *version;
};

struct stages_snapshot {
    struct id id;
    char *volume;
    struct stages_provider *provider;
    enum vss_snapshot_state state; /* changed by stages.c only */
    int64_t created;               /* wall clock; the instant */
};

struct stages_set {
    struct dispatcher *dispatcher; /* for the records */
    struct id session, id;
    uint32_t context;
    struct stages_snapshot *snapshots;
    size_t count;
};

vss_code stages_is_supported(struct stages_provider *provider, uint32_t context, const char *volume,
                             bool *ret_supported, struct error *error);
/* One stage, Begin to PostFinalCommit, on all providers; stops at the first failure. */
vss_code stages_run(struct stages_set *set, enum vss_stage stage, struct error *error);
/* AbortSnapshots, once per provider that has reached EndPrepareSnapshots; copies that a provider
 * has finished already are deleted: no part of a failed set stays. */
void stages_abort(struct stages_set *set);
/* DeleteSnapshots for everything begun; with `keep_created` only what was not finished. */
void stages_delete(struct stages_set *set, bool keep_created);
vss_code stages_open(const struct stages_snapshot *snapshot, struct provider_source *ret_source,
                     struct error *error);

#endif
