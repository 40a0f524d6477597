/* The provider contract: the published stages (vss.md 1.7) plus `open` for reading.
 *
 * A stage is called on every provider of the set before the next stage on any. All calls come from
 * the session's thread, one at a time, each within a time limit. Only vss/stages.c calls these
 * pointers. "Volume" is what the requester added to the set: here "VM-UUID/disk target".
 *
 *   UNKNOWN ─BeginPrepare─► PREPARING ─EndPrepare─► PREPARED ─PreCommit─► PRECOMMITTED ─Commit─►
 *   COMMITTED ─PostCommit─► POSTCOMMITTED ─PreFinal─► PREFINALCOMMITTED ─PostFinal─► CREATED
 *   AbortSnapshots from PREPARED on ─► ABORTED (CREATED stays CREATED). Delete ─► DELETED.
 *
 * Allowed codes: VSS_S_OK, E_OUTOFMEMORY, E_INVALIDARG, E_ACCESSDENIED, VSS_E_BAD_STATE,
 * OBJECT_NOT_FOUND, INSUFFICIENT_STORAGE, VOLUME_NOT_SUPPORTED[_BY_PROVIDER],
 * MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED, PROVIDER_VETO; any other is mapped to
 * VSS_E_UNEXPECTED_PROVIDER_ERROR. Any failure fails the whole set. A NULL callback = VSS_S_OK
 * (is_volume_supported and open are required).
 */
#ifndef VSS_PROVIDER_H
#define VSS_PROVIDER_H

#include "base/error.h"
#include "base/id.h"
#include "vss/codes.h"

#include <stdbool.h>
#include <stdint.h>

enum provider_type { VSS_PROV_SYSTEM = 1, VSS_PROV_SOFTWARE = 2, VSS_PROV_HARDWARE = 3 };

/* Where to read a snapshot. */
struct provider_source {
    char *nbd_uri; /* "nbd+unix:///vda?socket=/run/..." or NULL; to be freed by the caller */
    int64_t size;  /* bytes */
};

struct provider_callbacks {
    /* Can this provider copy the volume? Never claim what cannot be kept. *ret_supported is set.
     * VSS_E_OBJECT_NOT_FOUND: there is no such volume. */
    vss_code (*is_volume_supported)(void *provider, uint32_t context, const char *volume,
                                    bool *ret_supported, struct error *error);
    /* Per volume, at AddToSnapshotSet time or at the start of DoSnapshotSet. A new set id drops an
     * unfinished older set. Start work, return quickly. */
    vss_code (*begin_prepare)(void *provider, const struct id *set, const struct id *snapshot,
                              const char *volume, uint32_t context, struct error *error);
    /* Rendezvous: space is allocated, everything that can fail early has. */
    vss_code (*end_prepare)(void *provider, const struct id *set, struct error *error);
    vss_code (*pre_commit)(void *provider, const struct id *set, struct error *error);
    /* THE INSTANT. Well under a second. */
    vss_code (*commit)(void *provider, const struct id *set, struct error *error);
    vss_code (*post_commit)(void *provider, const struct id *set, struct error *error);
    vss_code (*pre_final_commit)(void *provider, const struct id *set, struct error *error);
    vss_code (*post_final_commit)(void *provider, const struct id *set, struct error *error);
    /* Only once EndPrepare was reached. Cannot fail; idempotent. */
    void (*abort)(void *provider, const struct id *set);
    /* Release what is not persistent; idempotent, unknown ids are ignored. Also called for a
     * snapshot whose set failed before EndPrepare or was aborted, when the session ends. */
    vss_code (*delete_snapshot)(void *provider, const struct id *snapshot, struct error *error);
    /* After CREATED: where to read it; valid until delete. VMs run again: a program that serves the
     * copy is started here, not in Commit. */
    vss_code (*open)(void *provider, const struct id *snapshot, struct provider_source *ret_source,
                     struct error *error);
};

struct provider_description {
    struct id id;
    const char *name, *version;
    enum provider_type type;
    const struct provider_callbacks *callbacks;
    void *provider;
    int64_t stage_limit; /* ns, 0 = 10 s for Commit (the published hold), 15 min for the others */
};

#endif
