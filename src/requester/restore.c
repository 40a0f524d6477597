/* Restore (design.md section 5): the published sequence around one copy, with the old VMs set aside
 * until the new ones are registered.
 *
 *   plan ─ undo ─ lock VMs ─ PreRestore (off, aside, undefined) ─ status ─ disks and files to
 *   temporary names, published ─ file restore status ─ PostRestore (registered) ─ status ─
 *   point of no return ─ what was set aside is removed
 *
 * Any failure before the point of no return puts all old VMs back (run_close undoes what is open).
 */
#include "requester/restore-plan.h"

#include "base/clock.h"
#include "base/point.h"
#include "base/publish.h"
#include "documents/backup-components-document.h"
#include "requester/copy.h"
#include "requester/restore-image.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>

struct restore {
    const struct requester_restore_options *options;
    struct repository *repository;
    struct run run;
    struct restore_plan plan;
    struct copy copy;
    struct restore_image *images; /* one a disk of the copy */
    size_t image_count;
    struct id writer;
    uint64_t aside_step; /* removes the old VMs' files */
};

/* ---- Before ---- */

static int lock_and_plan(struct restore *restore, struct error *error)
{
    struct run *run = &restore->run;
    CLEANUP_FREE char *description =
        memory_format("restore of backup %s", restore->options->backup);
    if (run_begin(run, description, error) != 0)
        return -1;
    if (restore_plan_make(&restore->plan, run->hypervisor, restore->repository, run->host,
                          restore->options, error) != 0)
        return -1;
    for (size_t i = 0; i < restore->plan.count; i++) {
        const struct planned_vm *vm = &restore->plan.vms[i];
        size_t index;
        json_t *notice;
        if (vm->running && !restore->options->yes) {
            (void)error_set(error, ERROR_REFUSED,
                            "VM %s is %s; a restore powers it off and replaces "
                            "it",
                            vm->name, domain_state_name(vm->state));
            return error_advise(error, "restore-unconfirmed",
                                "say --yes to do it; nothing was changed");
        }
        if (run_lock_vm(run, vm->uuid, vm->name, error) != 0)
            return -1;
        json_array_foreach(vm->notices, index, notice)
        {
            run_notice(run->host, "VM %s: %s", vm->name, json_string_value(notice));
        }
    }
    return 0;
}

static int load_components(const struct restore *restore, struct components **ret_components,
                           struct error *error)
{
    struct object_id root;
    CLEANUP_FREE char *xml = NULL;
    size_t size;
    if (manifest_get_root(json_object_get(restore->plan.manifest, "documents"),
                          "backup-components.xml", "the backup", &root, error) != 0 ||
        repository_get_document(restore->repository, &root, &xml, &size, error) != 0)
        return -1;
    return components_document_read(xml, size, ret_components, error);
}

static int add_restore(struct restore *restore, const struct planned_vm *vm, struct error *error)
{
    CLEANUP_FREE struct vm_restore_file *files =
        NEW_ARRAY(struct vm_restore_file, vm->disk_count + vm->file_count);
    size_t count = 0;
    for (size_t i = 0; i < vm->disk_count; i++)
        files[count++] = (struct vm_restore_file){
            .role = "disk",
            .target = vm->disks[i].target,
            .original = json_string_or(vm->disks[i].entry, "path", ""),
            .path = vm->disks[i].path,
            .old_path = vm->disks[i].old_path,
            .found = vm->disks[i].found,
            .old_found = vm->disks[i].old_found,
            .format = vm->disks[i].format,
            .in_place = vm->disks[i].device,
        };
    for (size_t i = 0; i < vm->file_count; i++)
        if (!vm->files[i].keep)
            files[count++] = (struct vm_restore_file){
                .role = vm->files[i].role,
                .original = vm->files[i].path,
                .path = vm->files[i].path,
                .found = vm->files[i].found,
            };
    struct vm_restore_memory memory = {vm->memory.path, vm->memory.xml, vm->memory.load_xml,
                                       vm->memory.paused};
    struct vm_restore entry = {
        .uuid = vm->uuid,
        .name = vm->name,
        .xml = vm->xml,
        .autostart = json_boolean_or(vm->entry, "autostart", false),
        .exists = vm->exists,
        .state = vm->state,
        .files = files,
        .file_count = count,
        .memory = vm->memory.path ? &memory : NULL,
    };
    return vm_writer_add_restore(restore->run.writer, &entry, error);
}

static int select_vm(struct restore *restore, const struct planned_vm *vm, struct error *error)
{
    struct session *session = restore->run.session;
    if (session_set_selected_for_restore(session, &restore->writer, "", vm->uuid, NULL, error) !=
        VSS_S_OK)
        return -1;
    for (size_t i = 0; restore->options->directory && i < vm->disk_count; i++) {
        CLEANUP_FREE char *from =
            memory_copy_string(json_string_or(vm->disks[i].entry, "path", ""));
        CLEANUP_FREE char *name = memory_copy_string(from);
        CLEANUP_FREE char *to = memory_copy_string(vm->disks[i].path);
        if (session_add_new_target(session, &restore->writer, "", vm->uuid, dirname(from),
                                   basename(name), false, dirname(to), error) != VSS_S_OK)
            return -1;
    }
    return add_restore(restore, vm, error);
}

static int start_session(struct restore *restore, struct error *error)
{
    struct run *run = &restore->run;
    struct requester_selection all = {.all = true};
    CLEANUP(components_freep) struct components *components = NULL;
    CLEANUP_FREE const char **uuids = NEW_ARRAY(const char *, restore->plan.count);
    struct vm_writer_settings settings = run_writer_settings(run, &all);
    settings.no_estimate = true;
    if (load_components(restore, &components, error) != 0 ||
        run_start_session(run, &settings, NULL, error) != 0 ||
        session_initialize_for_restore(run->session, TAKE_PTR(components), error) != VSS_S_OK ||
        run_gather(run, error) != 0)
        return -1;
    for (size_t i = 0; i < restore->plan.count; i++)
        if (select_vm(restore, &restore->plan.vms[i], error) != 0)
            return -1;
    return 0;
}

/* ---- Files ---- */

/* The save images come after all disks. */
static int create_memories(struct restore *restore, struct error *error)
{
    const char *state = run_state_directory(restore->run.host);
    for (size_t v = 0; v < restore->plan.count; v++) {
        const struct planned_vm *vm = &restore->plan.vms[v];
        const struct planned_memory *memory = &vm->memory;
        if (!memory->path)
            continue;
        struct restore_image *image = &restore->images[restore->image_count++];
        char *uri;
        if (restore_image_create(image, restore->run.undo, vm->uuid, memory->path, "raw",
                                 memory->padded_size, state, &uri, error) != 0)
            return error_prefix(error, "VM %s, saved state: ", vm->name);
        image->cut = memory->size;
        copy_add(&restore->copy, vm->name, COPY_MEMORY, uri, memory->padded_size);
        restore->copy.disks[restore->copy.count - 1].root = memory->root;
        restore->copy.disks[restore->copy.count - 1].target_is_zero = true;
    }
    return 0;
}

static int create_image(struct restore *restore, const struct planned_vm *vm,
                        const struct planned_disk *disk, struct restore_image *image,
                        char **ret_uri, struct error *error)
{
    const char *state = run_state_directory(restore->run.host);
    struct undo *undo = restore->run.undo;
    return disk->device ? restore_image_open_device(image, undo, vm->uuid, disk->path, disk->size,
                                                    state, ret_uri, error)
                        : restore_image_create(image, undo, vm->uuid, disk->path, disk->format,
                                               disk->size, state, ret_uri, error);
}

static int create_images(struct restore *restore, struct error *error)
{
    for (size_t v = 0; v < restore->plan.count; v++) {
        const struct planned_vm *vm = &restore->plan.vms[v];
        for (size_t d = 0; d < vm->disk_count; d++) {
            const struct planned_disk *disk = &vm->disks[d];
            struct restore_image *image = &restore->images[restore->image_count++];
            char *uri;
            if (create_image(restore, vm, disk, image, &uri, error) != 0)
                return error_prefix(error, "VM %s, disk %s: ", vm->name, disk->target);
            copy_add(&restore->copy, vm->name, disk->target, uri, disk->size);
            restore->copy.disks[restore->copy.count - 1].root = disk->root;
            restore->copy.disks[restore->copy.count - 1].target_is_zero = !disk->device;
        }
    }
    return 0;
}

static int publish_images(struct restore *restore, struct error *error)
{
    size_t next = 0;
    for (size_t v = 0; v < restore->plan.count; v++)
        for (size_t d = 0; d < restore->plan.vms[v].disk_count; d++) {
            const json_t *entry = restore->plan.vms[v].disks[d].entry;
            if (restore_image_publish(&restore->images[next++], restore->run.undo,
                                      json_object_get(entry, "owner"), error) != 0)
                return error_prefix(error, "VM %s: ", restore->plan.vms[v].name);
        }
    for (; next < restore->image_count; next++) /* save images: root's, as libvirt makes them */
        if (restore_image_publish(&restore->images[next], restore->run.undo, NULL, error) != 0)
            return error_prefix(error, "saved state: ");
    return 0;
}

/* The backup says the mode; none of these files is for others to write, or runs as somebody else.
 */
enum { FILE_MODE = 0755 };

static int write_part(void *context, const void *data, size_t size, uint64_t offset,
                      struct error *error)
{
    int *file = context;
    if (io_write_all(io_real(), *file, data, size, (off_t)offset) != 0)
        return error_errno(error, errno, "cannot write");
    return 0;
}

/* TPM state may lie in directories that went with the old definition. They get the owners and modes
 * they had: the TPM's emulator must come through. */
static int make_parents(struct restore *restore, const struct planned_vm *vm,
                        const struct planned_file *file, const char *path, struct error *error)
{
    CLEANUP_FREE char *copy = memory_copy_string(path);
    const char *parent = dirname(copy);
    uint64_t step;
    if (access(parent, F_OK) == 0 || strcmp(parent, "/") == 0)
        return 0;
    if (make_parents(restore, vm, file, parent, error) != 0 ||
        undo_add(restore->run.undo, vm->uuid, undo_remove_directory.name,
                 undo_path_arguments(parent), &step, error) != 0 ||
        publish_directory(io_real(), AT_FDCWD, parent, error) != 0)
        return -1;
    return manifest_apply_owner(manifest_directory(file->entry, parent), parent, FILE_MODE, error);
}

static int write_file(struct restore *restore, const struct planned_vm *vm,
                      const struct planned_file *file, struct error *error)
{
    CLEANUP_FREE char *copy = memory_copy_string(file->path);
    CLEANUP_FREE char *temporary =
        memory_format("%s/.vmshadow-%s.tmp", dirname(copy), id_new().text);
    struct undo *undo = restore->run.undo;
    uint64_t step;
    struct file_identity made;
    if (make_parents(restore, vm, file, file->path, error) != 0 ||
        undo_add(undo, vm->uuid, undo_remove_file.name, undo_path_arguments(temporary), &step,
                 error) != 0)
        return -1;
    CLEANUP_CLOSE int output =
        io_real()->open_at(io_real(), AT_FDCWD, temporary, O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (output < 0)
        return error_errno(error, errno, "cannot create a file for %s", file->path);
    if (file_identity_get(temporary, &made, error) != 0 ||
        undo_add(undo, vm->uuid, undo_remove_file.name, undo_file_arguments(file->path, &made),
                 &step, error) != 0)
        return -1;
    if (manifest_write_parts(restore->repository, vm->entry, file->entry, write_part, &output,
                             error) != 0 ||
        manifest_apply_owner(json_object_get(file->entry, "owner"), temporary, FILE_MODE, error) !=
            0)
        return error_prefix(error, "%s: ", file->path);
    return publish_rename(io_real(), AT_FDCWD, temporary, file->path, PUBLISH_NEW_ONLY, error);
}

static int write_files(struct restore *restore, struct error *error)
{
    for (size_t v = 0; v < restore->plan.count; v++) {
        const struct planned_vm *vm = &restore->plan.vms[v];
        for (size_t i = 0; i < vm->file_count; i++)
            if (!vm->files[i].keep && write_file(restore, vm, &vm->files[i], error) != 0)
                return error_prefix(error, "VM %s: ", vm->name);
    }
    return 0;
}

static int copy_files(struct restore *restore, struct error *error)
{
    size_t disks = 0;
    for (size_t v = 0; v < restore->plan.count; v++)
        disks += restore->plan.vms[v].disk_count + 1; /* its memory */
    restore->images = NEW_ARRAY(struct restore_image, disks);
    if (create_images(restore, error) != 0 || create_memories(restore, error) != 0 ||
        copy_restore(&restore->copy, restore->repository, restore->options->workers, error) != 0 ||
        publish_images(restore, error) != 0)
        return -1;
    return write_files(restore, error);
}

/* ---- The sequence ---- */

static int set_status(struct restore *restore, enum vss_file_restore_status status,
                      struct error *error)
{
    for (size_t i = 0; i < restore->plan.count; i++)
        if (session_set_file_restore_status(restore->run.session, &restore->writer, "",
                                            restore->plan.vms[i].uuid, status, error) != VSS_S_OK)
            return -1;
    return 0;
}

/* The copy failed: the writer is told so, as the published sequence wants, and registers nothing.
 */
static void tell_failed(struct restore *restore)
{
    if (set_status(restore, VSS_RS_FAILED, NULL) == 0)
        (void)session_post_restore(restore->run.session, NULL);
}

static int run_sequence(struct restore *restore, struct error *error)
{
    struct run *run = &restore->run;
    while (point_holds("restore planned") && run_check(run, error) == 0)
        clock_sleep(10 * CLOCK_MILLISECOND);
    vss_code code = session_pre_restore(run->session, error);
    if (run_check_writers(run, error) != 0 || code != VSS_S_OK || run_check(run, error) != 0)
        return -1;
    if (copy_files(restore, error) != 0) {
        tell_failed(restore);
        return -1;
    }
    if (run_check(run, error) != 0 || set_status(restore, VSS_RS_ALL, error) != 0)
        return -1;
    code = session_post_restore(run->session, error);
    if (run_check_writers(run, error) != 0 || code != VSS_S_OK || run_check(run, error) != 0)
        return -1;
    point_reached("VMs registered");
    int result = vm_writer_finish_restore(run->writer, &restore->aside_step, error);
    point_reached("past the point of no return");
    return result;
}

/* What no undo brings back. */
static void tell_of_devices(const struct restore *restore)
{
    for (size_t i = 0; i < restore->image_count; i++)
        if (restore->images[i].in_place)
            run_notice(restore->run.host,
                       "block device %s was being overwritten: its old content is lost, and its VM "
                       "stays off; restore again before it is started",
                       restore->images[i].path);
}

static int run_restore(struct restore *restore, struct error *error)
{
    struct run *run = &restore->run;
    if (lock_and_plan(restore, error) != 0 || start_session(restore, error) != 0)
        return -1;
    if (run_sequence(restore, error) != 0) {
        struct error left = ERROR_INIT;
        for (size_t i = 0; i < restore->image_count; i++)
            process_stop(TAKE_PTR(restore->images[i].server), CLOCK_SECOND);
        if (undo_all(run->undo, &left) != 0)
            run_notice(
                run->host,
                "not everything could be put back yet: %s; the watchdog goes on with it, and "
                "vmshadow recover tells what is left",
                left.message);
        tell_of_devices(restore);
        return -1;
    }
    struct error late = ERROR_INIT;
    if (undo_run(run->undo, restore->aside_step, &late) != 0)
        run_notice(run->host, "the restore is complete, but old files could not be removed: %s",
                   late.message);
    run_keep_record(run, "restore", json_string_or(restore->plan.manifest, "id", ""),
                    restore_plan_json(&restore->plan));
    return 0;
}

static json_t *make_result(const struct restore *restore, int64_t begin)
{
    json_t *result = restore_plan_json(&restore->plan);
    size_t next = 0;
    for (size_t v = 0; v < restore->plan.count; v++) {
        json_t *disks = json_object_get(json_array_get(json_object_get(result, "vms"), v), "disks");
        for (size_t d = 0; d < restore->plan.vms[v].disk_count; d++)
            json_set_integer(json_array_get(disks, d), "bytes_written",
                             (int64_t)atomic_load(&restore->copy.disks[next++].bytes_read));
    }
    json_set(result, "seconds", json_real((double)(clock_monotonic() - begin) / CLOCK_SECOND));
    return result;
}

int requester_restore(const struct requester_host *host, struct repository *repository,
                      const struct requester_restore_options *options, json_t **ret_result,
                      struct error *error)
{
    int64_t begin = clock_monotonic();
    struct restore restore = {.options = options, .repository = repository, .run = RUN_INIT};
    (void)id_parse(VM_WRITER_ID, &restore.writer);
    restore.copy.run = &restore.run;
    int result = run_open(&restore.run, host, error);
    if (result == 0)
        result = run_restore(&restore, error);
    if (result == 0)
        *ret_result = make_result(&restore, begin);
    for (size_t i = 0; i < restore.image_count; i++)
        restore_image_clear(&restore.images[i]);
    run_close(&restore.run);
    free(restore.images);
    copy_clear(&restore.copy);
    restore_plan_clear(&restore.plan);
    return result;
}

int requester_plan_restore(const struct requester_host *host, struct repository *repository,
                           const struct requester_restore_options *options, json_t **ret_result,
                           struct error *error)
{
    struct restore_plan plan = {0};
    struct hypervisor *hypervisor;
    if (hypervisor_open(host->uri, &hypervisor, error) != 0)
        return -1;
    int result = restore_plan_make(&plan, hypervisor, repository, host, options, error);
    if (result == 0)
        *ret_result = restore_plan_json(&plan);
    hypervisor_close(hypervisor);
    restore_plan_clear(&plan);
    return result;
}
