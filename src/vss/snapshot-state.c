/* The published numbers are not in the order of the states: POSTCOMMITTED is 15. Hence a table. */
#include "vss/snapshot-state.h"

#define IN(state) (1U << (state))

static const struct snapshot_state_step steps[] = {
    /* Already PREPARING while the call runs: what it began has to be deleted if it fails. */
    [VSS_STAGE_BEGIN_PREPARE_SNAPSHOT] = {VSS_SS_UNKNOWN, VSS_SS_PREPARING, VSS_SS_PREPARING},
    [VSS_STAGE_END_PREPARE_SNAPSHOTS] = {VSS_SS_PREPARING, VSS_SS_PROCESSING_PREPARE,
                                         VSS_SS_PREPARED},
    [VSS_STAGE_PRE_COMMIT_SNAPSHOTS] = {VSS_SS_PREPARED, VSS_SS_PROCESSING_PRECOMMIT,
                                        VSS_SS_PRECOMMITTED},
    [VSS_STAGE_COMMIT_SNAPSHOTS] = {VSS_SS_PRECOMMITTED, VSS_SS_PROCESSING_COMMIT,
                                    VSS_SS_COMMITTED},
    [VSS_STAGE_POST_COMMIT_SNAPSHOTS] = {VSS_SS_COMMITTED, VSS_SS_PROCESSING_POSTCOMMIT,
                                         VSS_SS_POSTCOMMITTED},
    [VSS_STAGE_PRE_FINAL_COMMIT_SNAPSHOTS] = {VSS_SS_POSTCOMMITTED,
                                              VSS_SS_PROCESSING_PREFINALCOMMIT,
                                              VSS_SS_PREFINALCOMMITTED},
    [VSS_STAGE_POST_FINAL_COMMIT_SNAPSHOTS] = {VSS_SS_PREFINALCOMMITTED,
                                               VSS_SS_PROCESSING_POSTFINALCOMMIT, VSS_SS_CREATED},
};

const struct snapshot_state_step *snapshot_state_step(enum vss_stage stage)
{
    return &steps[stage];
}

bool snapshot_state_hears_abort(enum vss_snapshot_state state)
{
    const unsigned begun = IN(VSS_SS_UNKNOWN) | IN(VSS_SS_PREPARING);
    const unsigned over = IN(VSS_SS_CREATED) | IN(VSS_SS_ABORTED) | IN(VSS_SS_DELETED);
    return !((begun | over) & IN(state));
}

bool snapshot_state_may_follow(enum vss_snapshot_state from, enum vss_snapshot_state to)
{
    if (to == VSS_SS_ABORTED)
        return snapshot_state_hears_abort(from);
    if (to == VSS_SS_DELETED)
        return from == VSS_SS_PREPARING || from == VSS_SS_CREATED || from == VSS_SS_ABORTED;
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if ((from == steps[i].from && to == steps[i].processing) ||
            (from == steps[i].processing && to == steps[i].done))
            return true;
    return false;
}
