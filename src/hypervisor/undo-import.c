/* The undo of what a restore does with saved states; see undo-kinds.h.
 *
 * An old saved state comes back the way a new one comes: libvirt does not notice a file that is put
 * where it keeps its images, unless it still takes the VM for saved.
 *
 * Whoever was killed may have left his call in libvirtd, begun or not: the image is removed first,
 * so that a restore that comes late fails, and after a pause there is a second look. What libvirt
 * works on is ended with QEMU. An import never lets the VM run: one that runs was started by
 * somebody else, or is the old one, which an attempt that was cut short has put back.
 */
#include "hypervisor/undo-kinds.h"

#include "base/point.h"
#include "base/publish.h"
#include "hypervisor/call.h"
#include "hypervisor/domain-private.h"
#include "hypervisor/interface-edit.h"
#include "hypervisor/network.h"
#include "hypervisor/save-image.h"
#include "hypervisor/saved-state-import.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define LATE_CALL (1 * CLOCK_SECOND)

static int remove_saved_state(struct hypervisor *hypervisor, const char *uuid, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    if (call_begin_domain(hypervisor, CALL_PLAIN, uuid, &call, error) != 0)
        return -1;
    if (VIR(virDomainManagedSaveRemove(call.domain, 0)) == 0 ||
        VIR(virDomainHasManagedSaveImage(call.domain, 0)) == 0)
        return 0;
    return call_error(error, "its saved state cannot be removed");
}

static int refuse_running(struct error *error)
{
    (void)error_set(error, ERROR_BUSY,
                    "it runs: somebody has started it since, and it is left alone");
    return error_advise(error, "vm-changed-by-hand",
                        "if that is how it shall stay, remove the journal that names it in "
                        "the state directory's runs/");
}

static int drop(struct hypervisor *hypervisor, const char *uuid, struct error *error)
{
    enum domain_state state;
    struct error fault = ERROR_INIT;
    if (domain_get_state(hypervisor, uuid, &state, &fault) != 0) {
        if (fault.kind == ERROR_NOT_FOUND)
            return 0;
        error_move(error, &fault);
        return -1;
    }
    switch (state) {
    case DOMAIN_OFF:
        return 0;
    case DOMAIN_RUNNING:
        return refuse_running(error);
    case DOMAIN_SAVED:
        return remove_saved_state(hypervisor, uuid, error);
    default:
        if (domain_destroy(hypervisor, uuid, error) != 0)
            return -1;
        /* It may have been saved just before. */
        return domain_get_state(hypervisor, uuid, &state, error) == 0 && state == DOMAIN_SAVED
                   ? remove_saved_state(hypervisor, uuid, error)
                   : 0;
    }
}

/* Nothing of the import is left to drop: the image is gone, which an earlier attempt has removed,
 * and the VM runs, which an import never lets it. It is the old VM, started again with its
 * definition by that attempt; restore-domain looks whether it is. */
static int look_for_old(struct hypervisor *hypervisor, const char *uuid, const char *image,
                        bool *ret_is_back, struct error *error)
{
    enum domain_state state;
    struct error fault = ERROR_INIT;
    bool gone = access(image, F_OK) != 0 && errno == ENOENT;
    bool runs = domain_get_state(hypervisor, uuid, &state, &fault) == 0 && state == DOMAIN_RUNNING;
    error_clear(&fault);
    *ret_is_back = runs && gone;
    return runs && !gone ? refuse_running(error) : 0;
}

/* The saved state that was set aside is back: what is there now is that one, not the import.
 * Undoing may be begun anew after it was done in part (undo/undo.h). */
static bool is_past(const json_t *arguments)
{
    const char *aside = json_string_or(arguments, "aside", "");
    return *aside && access(aside, F_OK) != 0 && errno == ENOENT;
}

static int undo_import(void *context, const json_t *arguments, struct error *error)
{
    const char *uuid = json_get_string(arguments, "uuid", "an undo step", error);
    const char *image = json_get_string(arguments, "image", "an undo step", error);
    struct hypervisor *hypervisor = uuid && image ? undo_pool_hypervisor(context, error) : NULL;
    bool is_back;
    if (!hypervisor)
        return -1;
    if (look_for_old(hypervisor, uuid, image, &is_back, error) != 0)
        return error_prefix(error, "VM %s: ", json_string_or(arguments, "name", uuid));
    if (publish_remove(io_real(), AT_FDCWD, image, error) != 0)
        return -1;
    for (int look = 0; look < 2 && !is_back && !is_past(arguments); look++) {
        if (look > 0)
            clock_sleep(LATE_CALL);
        if (drop(hypervisor, uuid, error) != 0)
            return error_prefix(error, "VM %s: ", json_string_or(arguments, "name", uuid));
    }
    return 0;
}

/* ---- put-back-saved ---- */

/* A network that was active when the VM was saved may not be any more. */
static int edit_for_loading(struct hypervisor *hypervisor, const char *xml, char **ret_xml,
                            struct error *error)
{
    struct interface_facts *adapters = NULL;
    size_t count = 0, decision_count = 0;
    if (interface_edit_list(xml, &adapters, &count, error) != 0)
        return -1;
    CLEANUP_FREE struct interface_decision *decisions =
        NEW_ARRAY(struct interface_decision, count + 1);
    int result = 0;
    for (size_t i = 0; result == 0 && i < count; i++) {
        int dormant = network_is_dormant(hypervisor, &adapters[i], error);
        if (dormant > 0)
            decisions[decision_count++] = (struct interface_decision){
                .type = adapters[i].type, .source = adapters[i].source, .dormant = true};
        result = dormant < 0 ? -1 : 0;
    }
    if (result == 0)
        result = interface_edit_for_loading(xml, decisions, decision_count, ret_xml, error);
    interface_facts_free(adapters, count);
    return result;
}

static int import_old(struct hypervisor *hypervisor, const json_t *arguments, const char *uuid,
                      const char *aside, struct error *error)
{
    CLEANUP_FREE char *xml = NULL;
    CLEANUP_FREE char *load_xml = NULL;
    if (save_image_read_xml(hypervisor, aside, &xml, error) != 0 ||
        edit_for_loading(hypervisor, xml, &load_xml, error) != 0)
        return -1;
    struct saved_state_import import = {
        .uuid = uuid,
        .image = aside,
        .xml = load_xml ? xml : NULL,
        .load_xml = load_xml,
        .paused = json_boolean_or(arguments, "paused", false),
    };
    if (saved_state_import(hypervisor, &import, error) == 0)
        return 0;
    (void)drop(hypervisor, uuid, NULL); /* what it has left half done is not the old state */
    return -1;
}

static int put_back(struct hypervisor *hypervisor, const json_t *arguments, const char *uuid,
                    enum domain_state state, struct error *error)
{
    const char *original = json_string_or(arguments, "original", "");
    const char *aside = json_string_or(arguments, "aside", "");
    if (state == DOMAIN_SAVED && access(original, F_OK) != 0) /* it was not undefined */
        return publish_rename(io_real(), AT_FDCWD, aside, original, PUBLISH_NEW_ONLY, error);
    if (state != DOMAIN_SAVED && (drop(hypervisor, uuid, error) != 0 ||
                                  import_old(hypervisor, arguments, uuid, aside, error) != 0))
        return -1;
    return publish_remove(io_real(), AT_FDCWD, aside, error);
}

static int put_back_saved(void *context, const json_t *arguments, struct error *error)
{
    const char *uuid = json_get_string(arguments, "uuid", "an undo step", error);
    const char *aside = json_get_string(arguments, "aside", "an undo step", error);
    enum domain_state state;
    struct stat facts;
    if (!uuid || !aside)
        return -1;
    if (io_real()->stat_at(io_real(), AT_FDCWD, aside, &facts, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : error_errno(error, errno, "cannot examine %s", aside);
    struct hypervisor *hypervisor = undo_pool_hypervisor(context, error);
    if (hypervisor && domain_get_state(hypervisor, uuid, &state, error) == 0 &&
        put_back(hypervisor, arguments, uuid, state, error) == 0) {
        point_reached("old saved state put back");
        return 0;
    }
    return error_prefix(error, "VM %s: its saved state, which is %s, cannot be put back: ",
                        json_string_or(arguments, "name", uuid), aside);
}

static int prepare(void *context, const json_t *arguments, struct error *error)
{
    (void)arguments;
    return undo_pool_hypervisor(context, error) ? 0 : -1;
}

const struct undo_kind hypervisor_drop_import = {
    .name = "drop-import", .prepare = prepare, .undo = undo_import, .deliberate = true};

const struct undo_kind hypervisor_put_back_saved = {
    .name = "put-back-saved", .prepare = prepare, .undo = put_back_saved, .deliberate = true};
