/* PreRestore and PostRestore (rows R2 to R6, X4).
 *
 *   PreRestore: definition known to the undo ─► power off ─► files that will be replaced get a name
 *   aside ─► undefine.   PostRestore: every component's status must be ALL ─► disk locations in the
 *   definition ─► define ─► autostart ─► symbolic link ─► looked at again ─► saved states, once all
 *   VMs are registered.
 *
 * Nothing of the old VM is deleted here: that is the one step that vm_writer_finish_restore()
 * leaves open at the point of no return. A disk that the VM has got since the backup has no
 * successor in it: it stays where it is.
 */
#include "writers/vm/vm-writer-private.h"

#include "base/point.h"
#include "base/publish.h"
#include "hypervisor/domain-edit.h"
#include "hypervisor/undo-kinds.h"
#include "writers/vm/restore-undo.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

/* ---- What is to be restored ---- */

void restored_vm_clear(struct restored_vm *vm)
{
    for (size_t i = 0; i < vm->file_count; i++) {
        free(vm->files[i].role);
        free(vm->files[i].target);
        free(vm->files[i].original);
        free(vm->files[i].path);
        free(vm->files[i].format);
        free(vm->files[i].old_path);
    }
    for (size_t i = 0; i < vm->aside_count; i++)
        free(vm->asides[i]);
    free(vm->files);
    free(vm->asides);
    free(vm->memory_image);
    free(vm->memory_xml);
    free(vm->memory_load_xml);
    free(vm->old_memory_aside);
    free(vm->uuid);
    free(vm->name);
    free(vm->xml);
}

/* vm_writer_finish_restore() must not fail for it after all is done. */
static int check_names(struct vm_writer *writer, const struct vm_restore *restore,
                       struct error *error)
{
    /* The old VM's saved state lies in libvirt's own directory under the VM's name. */
    writer->aside_size += 2 * vm_restore_aside_size(restore->name);
    for (size_t i = 0; i < restore->file_count; i++)
        writer->aside_size += vm_restore_aside_size(restore->files[i].path) +
                              vm_restore_aside_size(restore->files[i].old_path);
    if (writer->aside_size <= UNDO_ARGUMENT_LIMIT - 1024)
        return 0;
    (void)error_set(error, ERROR_REFUSED,
                    "VM %s: there are too many files for one restore that can be undone as a whole",
                    restore->name);
    return error_advise(error, "restore-too-large", "restore fewer VMs at once");
}

int vm_writer_add_restore(struct vm_writer *writer, const struct vm_restore *restore,
                          struct error *error)
{
    CLEANUP_FREE char *uuid = NULL;
    CLEANUP_FREE char *name = NULL;
    if (check_names(writer, restore, error) != 0)
        return -1;
    if (domain_edit_identity(restore->xml, &uuid, &name, error) != 0)
        return error_prefix(error, "VM %s: ", restore->name);
    if (strcmp(uuid, restore->uuid) != 0)
        return error_set(error, ERROR_DAMAGED,
                         "VM %s: its definition in the backup has another "
                         "UUID",
                         restore->name);
    struct restored_vm vm = {
        .uuid = memory_copy_string(restore->uuid),
        .name = TAKE_PTR(name),
        .xml = memory_copy_string(restore->xml),
        .autostart = restore->autostart,
        .exists = restore->exists,
        .state = restore->state,
        .files = NEW_ARRAY(struct restored_file, restore->file_count),
        .file_count = restore->file_count,
    };
    for (size_t i = 0; i < restore->file_count; i++)
        vm.files[i] = (struct restored_file){
            .role = memory_copy_string(restore->files[i].role),
            .target = memory_copy_string(restore->files[i].target),
            .original = memory_copy_string(restore->files[i].original),
            .path = memory_copy_string(restore->files[i].path),
            .format = memory_copy_string(restore->files[i].format),
            .old_path = memory_copy_string(restore->files[i].old_path),
            .found = restore->files[i].found,
            .old_found = restore->files[i].old_found,
            .in_place = restore->files[i].in_place,
        };
    if (restore->memory) {
        vm.memory_image = memory_copy_string(restore->memory->image);
        vm.memory_xml = memory_copy_string(restore->memory->xml);
        vm.memory_load_xml = memory_copy_string(restore->memory->load_xml);
        vm.memory_paused = restore->memory->paused;
    }
    ARRAY_APPEND(writer->restores, writer->restore_count, vm);
    return 0;
}

static bool is_disk(const struct restored_file *file)
{
    return strcmp(file->role, "disk") == 0;
}

static bool has_device(const struct restored_vm *vm)
{
    for (size_t i = 0; i < vm->file_count; i++)
        if (vm->files[i].in_place)
            return true;
    return false;
}

/* ---- PreRestore ---- */

/* A QEMU, and the emulator of its TPM, may write to the files of the VM between plan and power off.
 */
static bool has_qemu(const struct restored_vm *vm)
{
    return vm->exists && vm->state != DOMAIN_OFF && vm->state != DOMAIN_SAVED;
}

static bool is_as_found(const struct restored_vm *vm, const struct restored_file *file,
                        const struct file_identity *found, const struct file_identity *now)
{
    if (!has_qemu(vm))
        return file_identity_is_unchanged(found, now);
    /* The emulator does not write to its files, it replaces them. */
    return strcmp(file->role, "tpm") == 0 || file_identity_is_same(found, now);
}

/* The plan decided, and the user agreed, that the file which was at `path` then may go, no other.
 * Is it the one that is at `place` now? */
static int check_found(const struct restored_vm *vm, const struct restored_file *file,
                       const char *path, const struct file_identity *found, const char *place,
                       struct error *error)
{
    struct file_identity now;
    if (file_identity_get(place, &now, error) != 0)
        return -1;
    if (is_as_found(vm, file, found, &now))
        return 0;
    (void)error_set(error, ERROR_BUSY, "%s %s since the restore was planned", path,
                    !found->exists                       ? "has appeared"
                    : !now.exists                        ? "has gone"
                    : file_identity_is_same(found, &now) ? "was written to"
                                                         : "was replaced by another file");
    return error_advise(error, "file-changed-since-planning",
                        "see who works on it, then restore again: it is planned anew");
}

static int check_files(const struct restored_vm *vm, struct error *error)
{
    for (size_t i = 0; i < vm->file_count; i++) {
        const struct restored_file *file = &vm->files[i];
        const char *old = file->old_path;
        if (file->in_place)
            continue; /* looked at again before it is written */
        if (check_found(vm, file, file->path, &file->found, file->path, error) != 0 ||
            (old && check_found(vm, file, old, &file->old_found, old, error) != 0))
            return -1;
    }
    return 0;
}

static int set_aside(struct vm_writer *writer, struct restored_vm *vm,
                     const struct restored_file *file, const char *path,
                     const struct file_identity *found, struct error *error)
{
    struct stat facts;
    /* Gone: one disk's old file may be another one's place, and aside already. */
    if (lstat(path, &facts) != 0)
        return errno == ENOENT ? 0 : error_errno(error, errno, "cannot examine %s", path);
    if (!S_ISREG(facts.st_mode) && !S_ISLNK(facts.st_mode))
        return error_set(error, ERROR_FAILED, "%s is no regular file and cannot be set aside",
                         path);
    CLEANUP_FREE char *aside = memory_format("%s.vmshadow-aside-%.8s", path, id_new().text);
    uint64_t step;
    if (undo_add(writer->settings.undo, vm->uuid, vm_restore_put_back_file.name,
                 vm_restore_file_arguments(path, aside), &step, error) != 0 ||
        publish_rename(io_real(), AT_FDCWD, path, aside, PUBLISH_NEW_ONLY, error) != 0)
        return error_prefix(error, "setting %s aside: ", path);
    /* Between look and rename it may have been replaced: then the undo gives it its name back. */
    if (check_found(vm, file, path, found, aside, error) != 0)
        return -1;
    ARRAY_APPEND(vm->asides, vm->aside_count, TAKE_PTR(aside));
    point_reached("file set aside");
    return 0;
}

static int set_files_aside(struct vm_writer *writer, struct restored_vm *vm, struct error *error)
{
    for (size_t i = 0; i < vm->file_count; i++) {
        const struct restored_file *file = &vm->files[i];
        if (file->in_place)
            continue;
        if (set_aside(writer, vm, file, file->path, &file->found, error) != 0 ||
            (file->old_path &&
             set_aside(writer, vm, file, file->old_path, &file->old_found, error) != 0))
            return -1;
    }
    return 0;
}

int restored_vm_edit_disks(const struct restored_vm *vm, const char *xml, char **ret_xml,
                           struct error *error)
{
    CLEANUP_FREE struct domain_edit_disk *disks =
        NEW_ARRAY(struct domain_edit_disk, vm->file_count);
    size_t count = 0;
    unsigned changes;
    /* Disks of the running VM, of its definition and of its saved state may differ. */
    for (size_t i = 0; i < vm->file_count; i++)
        if (is_disk(&vm->files[i]) && !vm->files[i].in_place &&
            domain_edit_has_disk(xml, vm->files[i].target))
            disks[count++] = (struct domain_edit_disk){vm->files[i].target, vm->files[i].path,
                                                       vm->files[i].format};
    return domain_edit_disks(xml, disks, count, ret_xml, &changes, error);
}

/* The plan was made, and the user asked, for the VM as it was then. */
static int check_as_planned(const struct restored_vm *vm, const struct domain *old,
                            struct error *error)
{
    if (vm->exists != (old != NULL)) {
        (void)error_set(error, ERROR_BUSY, "it was %s since the restore was planned",
                        old ? "defined" : "undefined");
        return error_advise(error, "vm-changed-since-planning",
                            "look at the VM, then restore again");
    }
    if (old && (old->state != vm->state || !old->persistent)) {
        (void)error_set(error, ERROR_BUSY, "it was %s when the restore was planned and is %s now",
                        domain_state_name(vm->state), domain_state_name(old->state));
        return error_advise(error, "vm-changed-since-planning",
                            "look at the VM, then restore again");
    }
    return 0;
}

static int look_up_old(struct vm_writer *writer, const struct restored_vm *vm,
                       struct domain **ret_old, struct error *error)
{
    struct error lookup = ERROR_INIT;
    CLEANUP(domain_freep) struct domain *old = NULL;
    if (domain_lookup(writer->settings.hypervisor, vm->uuid, &old, &lookup) != 0 &&
        lookup.kind != ERROR_NOT_FOUND) {
        error_move(error, &lookup);
        return -1;
    }
    if (check_as_planned(vm, old, error) != 0)
        return -1;
    *ret_old = TAKE_PTR(old);
    return 0;
}

static int remove_old(struct vm_writer *writer, struct restored_vm *vm, struct error *error)
{
    struct hypervisor *hypervisor = writer->settings.hypervisor;
    CLEANUP(domain_freep) struct domain *old = NULL;
    CLEANUP_FREE char *new_xml = NULL;
    uint64_t step;
    if (look_up_old(writer, vm, &old, error) != 0 || check_files(vm, error) != 0 ||
        restored_vm_edit_disks(vm, vm->xml, &new_xml, error) != 0)
        return -1;
    struct hypervisor_before before = {
        .uuid = vm->uuid,
        .name = old ? old->name : vm->name,
        .xml = old ? old->inactive_xml : NULL,
        .new_xml = new_xml,
        .autostart = old && old->autostart,
        .state = domain_state_name(old && !has_device(vm) ? old->state : DOMAIN_OFF),
    };
    if (vm_writer_note_old_memory(writer, vm, old, error) != 0 ||
        undo_add(writer->settings.undo, vm->uuid, hypervisor_restore_domain.name,
                 hypervisor_domain_arguments(&before), &step, error) != 0 ||
        (old && domain_destroy(hypervisor, vm->uuid, error) != 0))
        return -1;
    point_reached("old VM off");
    if (set_files_aside(writer, vm, error) != 0 ||
        vm_writer_set_old_memory_aside(vm, old, error) != 0)
        return -1;
    int result = old ? domain_undefine(hypervisor, vm->uuid, error) : 0;
    point_reached("old VM undefined");
    return result;
}

static struct restored_vm *find_restore(struct vm_writer *writer, const char *uuid)
{
    for (size_t i = 0; i < writer->restore_count; i++)
        if (strcmp(writer->restores[i].uuid, uuid) == 0)
            return &writer->restores[i];
    return NULL;
}

vss_code vm_writer_pre_restore(void *object, const struct writer_event *event, struct error *error)
{
    struct vm_writer *writer = object;
    for (size_t i = 0; i < event->components->count; i++) {
        const struct component *component = &event->components->components[i];
        if (!component->selected_for_restore)
            continue;
        struct restored_vm *vm = find_restore(writer, component->name);
        if (!vm) {
            (void)error_set(error, ERROR_FAILED, "VM %s was not given to the writer",
                            component->name);
            return VSS_E_WRITERERROR_NONRETRYABLE;
        }
        if (remove_old(writer, vm, error) != 0) {
            (void)error_prefix(error, "VM %s: ", vm->name);
            return VSS_E_WRITERERROR_NONRETRYABLE;
        }
    }
    return VSS_S_OK;
}

/* ---- PostRestore ---- */

/* R4: every component is asked for before the first VM is registered. */
static vss_code check_status(struct vm_writer *writer, const struct writer_event *event,
                             struct error *error)
{
    for (size_t i = 0; i < event->components->count; i++) {
        struct component *component = &event->components->components[i];
        if (!component->selected_for_restore || component->file_restore_status == VSS_RS_ALL)
            continue;
        const struct restored_vm *vm = find_restore(writer, component->name);
        const char *text = "not all of its files were restored";
        (void)component_set_failure_message(event->components, component, VSS_EVENT_POST_RESTORE,
                                            text);
        (void)error_set(error, ERROR_FAILED, "VM %s: %s: no VM of the set is registered",
                        vm ? vm->name : component->name, text);
        return VSS_E_WRITERERROR_NONRETRYABLE;
    }
    return VSS_S_OK;
}

static int register_vm(struct vm_writer *writer, const struct restored_vm *vm, struct error *error)
{
    CLEANUP_FREE char *xml = NULL;
    struct hypervisor *hypervisor = writer->settings.hypervisor;
    if (restored_vm_edit_disks(vm, vm->xml, &xml, error) != 0 ||
        domain_define(hypervisor, xml, error) != 0)
        return -1;
    point_reached("new VM defined");
    return domain_set_autostart(hypervisor, vm->uuid, vm->autostart, error);
}

/* R5: a VM that lies elsewhere is found from the default location by a link with its name. */
static int make_link(struct vm_writer *writer, const struct restored_vm *vm, struct error *error)
{
    const struct restored_file *first = NULL;
    for (size_t i = 0; i < vm->file_count && !first; i++)
        if (is_disk(&vm->files[i]) && !vm->files[i].in_place)
            first = &vm->files[i];
    if (!first)
        return 0;
    CLEANUP_FREE char *copy = memory_copy_string(first->path);
    const char *directory = dirname(copy);
    const char *place = writer->settings.default_location;
    if (strcmp(directory, place) == 0)
        return 0;
    CLEANUP_FREE char *link = memory_format("%s/%s", place, vm->name);
    char old[4096];
    ssize_t size = readlink(link, old, sizeof old - 1);
    old[size > 0 ? size : 0] = '\0';
    if (size > 0 && strcmp(old, directory) == 0)
        return 0;
    uint64_t step;
    if (undo_add(writer->settings.undo, vm->uuid, vm_restore_put_back_link.name,
                 vm_restore_link_arguments(link, size > 0 ? old : NULL), &step, error) != 0 ||
        publish_directory(io_real(), AT_FDCWD, place, error) != 0 ||
        (size > 0 && publish_remove(io_real(), AT_FDCWD, link, error) != 0))
        return -1;
    if (symlink(directory, link) != 0)
        return error_errno(error, errno, "cannot make the symbolic link %s", link);
    return 0;
}

/* A disk that was attached to the running VM only came back as a file. */
static bool is_registered(const struct restored_vm *vm, const struct restored_file *file,
                          const struct domain *domain)
{
    if (!is_disk(file) || !domain_edit_has_disk(vm->xml, file->target))
        return true;
    const struct disk *disk = domain_find_disk(domain, file->target);
    return disk && disk->layer_count && disk->layers[0].path &&
           strcmp(disk->layers[0].path, file->path) == 0;
}

/* Is what was registered what was restored? */
static int check_registered(struct vm_writer *writer, const struct restored_vm *vm,
                            struct error *error)
{
    CLEANUP(domain_freep) struct domain *domain = NULL;
    if (domain_lookup(writer->settings.hypervisor, vm->uuid, &domain, error) != 0)
        return -1;
    for (size_t i = 0; i < vm->file_count; i++) {
        const struct restored_file *file = &vm->files[i];
        if (!is_registered(vm, file, domain))
            return error_set(error, ERROR_FAILED, "libvirt registered disk %s at another place",
                             file->target);
        if (access(file->path, F_OK) != 0)
            return error_errno(error, errno, "%s is not there after the restore", file->path);
    }
    return 0;
}

vss_code vm_writer_post_restore(void *object, const struct writer_event *event, struct error *error)
{
    struct vm_writer *writer = object;
    vss_code code = check_status(writer, event, error);
    for (size_t i = 0; code == VSS_S_OK && i < event->components->count; i++) {
        const struct component *component = &event->components->components[i];
        const struct restored_vm *vm =
            component->selected_for_restore ? find_restore(writer, component->name) : NULL;
        if (vm && (register_vm(writer, vm, error) != 0 || make_link(writer, vm, error) != 0 ||
                   check_registered(writer, vm, error) != 0)) {
            (void)error_prefix(error, "VM %s: ", vm->name);
            code = VSS_E_WRITERERROR_NONRETRYABLE;
        }
    }
    for (size_t i = 0; code == VSS_S_OK && i < writer->restore_count; i++)
        if (vm_writer_restore_memory(writer, &writer->restores[i], error) != 0) {
            (void)error_prefix(error, "VM %s: ", writer->restores[i].name);
            code = VSS_E_WRITERERROR_NONRETRYABLE;
        }
    return code;
}

int vm_writer_finish_restore(struct vm_writer *writer, uint64_t *ret_step, struct error *error)
{
    json_t *paths = json_array();
    for (size_t i = 0; i < writer->restore_count; i++)
        for (size_t a = 0; a < writer->restores[i].aside_count; a++)
            json_append_string(paths, writer->restores[i].asides[a]);
    json_t *arguments = json_object();
    json_set(arguments, "paths", paths);
    return undo_replace_all(writer->settings.undo, "", vm_restore_remove_set_aside.name, arguments,
                            ret_step, error);
}
