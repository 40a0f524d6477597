/* The state table of a snapshot (vss.md 1.9, provider.h has the diagram). Private to vss/. */
#ifndef VSS_SNAPSHOT_STATE_H
#define VSS_SNAPSHOT_STATE_H

#include "vss/codes.h"

#include <stdbool.h>

/* What a stage does to the state of each snapshot of the provider. Abort and Delete have no row. */
struct snapshot_state_step {
    enum vss_snapshot_state from, processing, done;
};
const struct snapshot_state_step *snapshot_state_step(enum vss_stage stage);

bool snapshot_state_may_follow(enum vss_snapshot_state from, enum vss_snapshot_state to);
/* Once EndPrepareSnapshots was reached, and not yet CREATED. */
bool snapshot_state_hears_abort(enum vss_snapshot_state state);

#endif
