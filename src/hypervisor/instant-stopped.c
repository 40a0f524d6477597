/* VMs that are off (or saved): their images are served by qemu-nbd.
 *
 * Where the file system can, each image of the chain is cloned first (FICLONE: a few milliseconds,
 * no data copied) and the clone is read: whatever happens to the VM later is not seen. The whole
 * chain is cloned, not only its top: a block commit of the VM, once started, writes into backing
 * images. What cannot be cloned (another file system, a device, a backing image on read-only
 * storage) is read in place, without a lock (force-share), because a lock would make the VM's start
 * fail; then instants_check() tells whether it was written meanwhile.
 *
 * hold_stopped turns that round: nothing is cloned, QEMU's image lock is taken, the VM cannot be
 * started as long as the copy runs.
 */
#include "hypervisor/directory.h"
#include "hypervisor/domain-private.h"
#include "hypervisor/image.h"
#include "hypervisor/instant-private.h"
#include "hypervisor/undo-kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* ---- Prepare ---- */

/* May the image's file system clone? Only those that never do are told apart, to spare a step. */
static bool may_clone(const char *path)
{
    struct stat status;
    struct statfs system;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode) || statfs(path, &system) != 0)
        return false;
    return system.f_type != EXT4_SUPER_MAGIC && system.f_type != TMPFS_MAGIC;
}

static int add_clone_step(struct instant *instant, struct instant_layer *layer, size_t number,
                          struct error *error)
{
    if (instant->owner->hold_stopped || !may_clone(layer->path))
        return 0;
    CLEANUP_FREE char *directory = directory_of(layer->path);
    CLEANUP_FREE char *name = directory_of(instant->directory);
    const char *unique = instant->directory + strlen(name) + 1; /* "<run>.<n>" */
    layer->clone = memory_format("%s/.vmshadow-%s.%zu", directory, unique, number);
    return instant_add_step(instant, "remove-file", undo_path_arguments(layer->clone), error);
}

static struct disk_facts *take_facts(struct disk_facts *all, size_t index)
{
    struct disk_facts *one = NEW(struct disk_facts);
    *one = all[index];
    all[index] = (struct disk_facts){.protocol = NULL};
    return one;
}

static void take_layers(const struct disk *disk, struct instant_disk *into)
{
    into->layers = NEW_ARRAY(struct instant_layer, disk->layer_count + 1);
    into->layer_count = disk->layer_count;
    for (size_t i = 0; i < disk->layer_count; i++) {
        into->layers[i].path = memory_copy_string(disk->layers[i].path);
        into->layers[i].format = memory_copy_string(disk->layers[i].format);
    }
}

/* The first `count` layers, as clones or not, as server_options() takes them. The strings stay the
 * layers'. */
static int make_options(const struct instant *instant, const struct instant_disk *disk,
                        size_t count, bool clones, char **ret_options, struct error *error)
{
    struct disk_layer *layers = NEW_ARRAY(struct disk_layer, count + 1);
    for (size_t i = 0; i < count; i++) {
        const struct instant_layer *layer = &disk->layers[i];
        layers[i].path = clones && layer->clone ? layer->clone : layer->path;
        layers[i].format = layer->format;
    }
    int result = server_options(layers, count, disk->facts, !instant->owner->hold_stopped,
                                ret_options, error);
    free(layers);
    return result;
}

static int prepare_disk(struct instant *instant, struct instant_disk *disk,
                        const struct disk *described, size_t *clones, struct error *error)
{
    if (error_is_set(&described->obstacle)) {
        struct error obstacle = described->obstacle;
        error_move(error, &obstacle);
        return -1;
    }
    for (size_t i = 0; i < disk->layer_count; i++)
        if (disk->layers[i].path &&
            add_clone_step(instant, &disk->layers[i], (*clones)++, error) != 0)
            return -1;
    return instant_add_step(instant, "remove-file", undo_path_arguments(disk->socket), error);
}

static int take_disks(struct instant *instant, const struct domain *domain, struct error *error)
{
    struct domain *definition = NULL;
    struct disk_facts *facts = NULL;
    if (domain_xml_read(domain->inactive_xml, &definition, &facts, error) != 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < instant->disk_count && result == 0; i++) {
        const struct disk *described = domain_find_disk(domain, instant->disks[i].target);
        const struct disk *defined = domain_find_disk(definition, instant->disks[i].target);
        if (!defined) {
            result = error_set(error, ERROR_FAILED, "disk %s is not in the definition",
                               instant->disks[i].target);
            break;
        }
        take_layers(described, &instant->disks[i]);
        instant->disks[i].facts = take_facts(facts, (size_t)(defined - definition->disks));
    }
    disk_facts_free(facts, definition->disk_count);
    domain_free(definition);
    return result;
}

static int start_helpers(struct instants *instants, struct error *error)
{
    int result = 0;
    (void)pthread_mutex_lock(&instants->lock);
    if (!instants->launcher)
        instants->launcher = launcher_new();
    if (!instants->lifecycle)
        result = lifecycle_new(hypervisor_uri(instants->hypervisor), &instants->lifecycle, error);
    (void)pthread_mutex_unlock(&instants->lock);
    return result;
}

int instant_stopped_prepare(struct instant *instant, const struct domain *domain,
                            struct error *error)
{
    size_t clones = 0;
    if (take_disks(instant, domain, error) != 0 || start_helpers(instant->owner, error) != 0 ||
        directory_make(instant->owner->base, error) != 0 ||
        instant_add_step(instant, "remove-directory", undo_path_arguments(instant->directory),
                         error) != 0 ||
        directory_make_private(instant->directory, "/", error) != 0)
        return error_prefix(error, "VM %s: ", instant->name);
    for (size_t i = 0; i < instant->disk_count; i++) {
        struct instant_disk *disk = &instant->disks[i];
        const struct disk *described = domain_find_disk(domain, disk->target);
        if (prepare_disk(instant, disk, described, &clones, error) != 0)
            return error_prefix(error, "VM %s, disk %s: ", instant->name, disk->target);
    }
    return 0;
}

/* ---- Begin ---- */

/* 0 = cloned, 1 = it cannot be cloned, -1. */
static int clone_image(const char *path, const char *clone, struct error *error)
{
    CLEANUP_CLOSE int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return error_errno(error, errno, "image %s", path);
    CLEANUP_CLOSE int to = open(clone, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return errno == EROFS || errno == EACCES || errno == EPERM
                   ? 1
                   : error_errno(error, errno, "clone %s", clone);
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    int number = errno;
    (void)unlink(clone);
    switch (number) {
    case EOPNOTSUPP:
    case ENOTTY:
    case ENOSYS:
    case EXDEV:
    case EINVAL: /* swap file, or a file system made without reflinks */
    case ETXTBSY:
        return 1;
    default:
        return error_errno(error, number, "image %s cannot be cloned", path);
    }
}

static int each_layer(struct instant *instant,
                      int (*function)(struct instant_layer *layer, struct error *error),
                      struct error *error)
{
    for (size_t i = 0; i < instant->disk_count; i++)
        for (size_t k = 0; k < instant->disks[i].layer_count; k++)
            if (function(&instant->disks[i].layers[k], error) != 0)
                return error_prefix(error, "disk %s: ", instant->disks[i].target);
    return 0;
}

static int look_before(struct instant_layer *layer, struct error *error)
{
    return layer->path ? image_state_read(layer->path, &layer->before, error) : 0;
}

static int clone_layer(struct instant_layer *layer, struct error *error)
{
    if (!layer->clone)
        return 0;
    int result = clone_image(layer->path, layer->clone, error);
    if (result == 1)
        memory_set_string(&layer->clone, NULL); /* in place; its step removes nothing */
    return result < 0 ? -1 : 0;
}

static int compare(struct instant_layer *layer, struct error *error)
{
    struct image_state now;
    if (!layer->path)
        return 0;
    if (image_state_read(layer->path, &now, error) != 0)
        return -1;
    if (image_state_equal(&now, &layer->before))
        return 0;
    (void)error_set(error, ERROR_FAILED, "image %s was written meanwhile", layer->path);
    return error_advise(error, "image-written-meanwhile",
                        "see which program writes to it, then back up again");
}

static int compare_in_place(struct instant_layer *layer, struct error *error)
{
    return layer->clone ? 0 : compare(layer, error);
}

static int must_be_off(struct instant *instant, const char *when, struct error *error)
{
    enum domain_state state;
    if (domain_get_state(instant->owner->hypervisor, instant->uuid, &state, error) != 0)
        return -1;
    if (state == DOMAIN_OFF || state == DOMAIN_SAVED)
        return 0;
    (void)error_set(error, ERROR_FAILED, "it was started %s", when);
    return error_advise(error, "vm-started-meanwhile", "back it up again, now as a running VM");
}

/* All images are looked at, cloned and looked at again; equal looks mean that the clones of all
 * disks are of one moment. Nothing is started here: saved VMs stand still meanwhile. */
int instant_stopped_begin(struct instant *instant, struct error *error)
{
    lifecycle_reset(instant->owner->lifecycle, instant->uuid);
    if (each_layer(instant, look_before, error) != 0 ||
        must_be_off(instant, "since the backup was prepared", error) != 0 ||
        each_layer(instant, clone_layer, error) != 0 || each_layer(instant, compare, error) != 0 ||
        must_be_off(instant, "while its instant was taken", error) != 0)
        return error_prefix(error, "VM %s: ", instant->name);
    return 0;
}

/* ---- Open ---- */

/* qemu-img looks at a top layer without its backing, and refuses options for it. */
static int start_server(struct instant *instant, struct instant_disk *disk, struct error *error)
{
    CLEANUP_FREE char *top = NULL;
    CLEANUP_FREE char *chain = NULL;
    CLEANUP_IMAGE struct image image = {.size = 0};
    if (make_options(instant, disk, 1, true, &top, error) != 0 ||
        make_options(instant, disk, disk->layer_count, true, &chain, error) != 0 ||
        image_read_options(top, &image, error) != 0)
        return -1;
    disk->size = image.size;
    return server_start(instant->owner->launcher, chain, disk->socket, disk->target, &disk->server,
                        error);
}

static bool is_in_place(const struct instant_layer *layer)
{
    return !layer->clone;
}

/* An image that is read in place, and its VM, are still what they were at the instant: what
 * hold_stopped keeps from here on is that. */
static int check_opened(struct instant *instant, struct instant_disk *disk, struct error *error)
{
    bool in_place = false;
    for (size_t i = 0; i < disk->layer_count; i++) {
        in_place = in_place || is_in_place(&disk->layers[i]);
        if (compare_in_place(&disk->layers[i], error) != 0)
            return -1;
    }
    return in_place ? must_be_off(instant, "since its instant was taken", error) : 0;
}

int instant_stopped_open(struct instant *instant, struct instant_disk *disk, struct error *error)
{
    if (disk->server)
        return 0;
    /* Twice: before, since a lock that a started VM holds is a message of qemu-img's otherwise. */
    if (check_opened(instant, disk, error) == 0 && start_server(instant, disk, error) == 0 &&
        check_opened(instant, disk, error) == 0)
        return 0;
    server_stop(TAKE_PTR(disk->server));
    return error_prefix(error, "VM %s, disk %s: ", instant->name, disk->target);
}

/* ---- Check and end ---- */

static bool has_layer(const struct instant *instant, bool (*wanted)(const struct instant_layer *))
{
    for (size_t i = 0; i < instant->disk_count; i++)
        for (size_t k = 0; k < instant->disks[i].layer_count; k++)
            if (wanted(&instant->disks[i].layers[k]))
                return true;
    return false;
}

static bool is_network(const struct instant_layer *layer)
{
    return !layer->path;
}

static int check_in_place(struct instant *instant, struct error *error)
{
    struct lifecycle *lifecycle = instant->owner->lifecycle;
    /* The lock was held from instant_stopped_open() on: a start that was tried came to nothing,
     * although libvirt may have told of it. */
    if (instant->owner->hold_stopped && !has_layer(instant, is_network))
        return 0;
    if (must_be_off(instant, "during the copy", error) != 0)
        return -1;
    if (lifecycle_was_started(lifecycle, instant->uuid)) {
        (void)error_set(error, ERROR_FAILED, "it was started during the copy");
        return error_advise(error, "vm-started-meanwhile", "back it up again, now as a running VM");
    }
    if (has_layer(instant, is_network) && lifecycle_is_lost(lifecycle)) {
        (void)error_set(error, ERROR_FAILED,
                        "libvirt was restarted during the copy: whether the VM was started "
                        "meanwhile cannot be told");
        return error_advise(error, "vm-started-meanwhile", "back it up again");
    }
    return each_layer(instant, compare_in_place, error);
}

int instant_stopped_check(struct instant *instant, struct error *error)
{
    for (size_t i = 0; i < instant->disk_count; i++)
        if (instant->disks[i].server && server_check(instant->disks[i].server, error) != 0)
            return error_prefix(error, "VM %s, disk %s: ", instant->name, instant->disks[i].target);
    if (has_layer(instant, is_in_place) && check_in_place(instant, error) != 0)
        return error_prefix(error, "VM %s: ", instant->name);
    return 0;
}

void instant_stopped_end(struct instant *instant)
{
    for (size_t i = 0; i < instant->disk_count; i++) {
        server_stop(instant->disks[i].server);
        instant->disks[i].server = NULL;
    }
}
