/* Shared by the files of writers/vm: the writer's state and the parts of its callbacks. */
#ifndef WRITERS_VM_VM_WRITER_PRIVATE_H
#define WRITERS_VM_VM_WRITER_PRIVATE_H

#include "hypervisor/image-state.h"
#include "hypervisor/saved-state.h"
#include "writers/vm/vm-writer.h"

/* One VM of the backup that is under way. */
struct vm {
    struct plan *plan; /* of PrepareForBackup */
    char **targets;    /* its disks in the set, NULL-terminated */
    uint64_t thaw_step;
    bool asked_to_freeze, frozen, thawed, prepared;
    bool left_to_watchdog;                   /* its agent does not answer: asked no more by us */
    bool thaw_known;                         /* thaw_step is open */
    int frozen_count;                        /* file systems, as the guest says */
    int64_t frozen_from, instant, thawed_at; /* monotonic ns */
    struct saved_state *saved; /* method saved state: from PrepareForSnapshot to the end */
    struct error error;
    struct vm_capture *captures;
    size_t capture_count;
    struct vm_memory managed_save;     /* of a VM that was saved already; path NULL = it was not */
    struct image_state managed_before; /* its image, when it was taken */
};

/* One VM of a restore: owned copies of struct vm_restore. */
struct restored_file {
    char *role, *target, *original, *path, *format, *old_path;
    struct file_identity found, old_found;
    bool in_place;
};
struct restored_vm {
    char *uuid, *name, *xml;
    bool autostart, exists;
    enum domain_state state;
    struct restored_file *files;
    size_t file_count;
    char *memory_image, *memory_xml; /* NULL = it comes back off */
    char *memory_load_xml;           /* NULL = the same */
    bool memory_paused;
    char *old_memory_aside; /* the name that its present save image gets; NULL = it has none */
    char **asides;          /* names given to files of the old VM, and what else goes in the end */
    size_t aside_count;
};

struct vm_writer {
    /* Set at creation, never changed. */
    struct vm_writer_settings settings;
    /* Touched by the writer's thread, and by the requester between events. */
    struct plan **plans;
    size_t plan_count;
    struct vm *vms;
    size_t vm_count;
    uint64_t image_rate; /* bytes per second of the directory of memory images; 0 = not measured */
    char set[id_text_size];
    struct restored_vm *restores;
    size_t restore_count;
    uint64_t aside_size; /* vm_restore_aside_size() of all their files */
};

/* plans.c: plans of the VMs wanted, asked for in parallel. */
int vm_writer_make_plans(struct vm_writer *writer, struct plan ***ret_plans, size_t *ret_count,
                         struct error *error);
void vm_writer_free_plans(struct plan **plans, size_t count);
int vm_writer_describe(const struct plan *plan, struct metadata *metadata, struct error *error);
/* -1 when what `planned` stands on is not so any more: the VM (now NULL = it is gone), its state,
 * method, conditions, and the included disks with their images and block jobs. */
int vm_writer_compare_plans(const struct plan *planned, const struct plan *now,
                            struct error *error);

/* snapshot.c: PrepareForSnapshot, and back to normal work from wherever it stands. */
vss_code vm_writer_take_snapshot(struct vm_writer *writer, const struct writer_event *event,
                                 struct error *error);
/* Thaws every guest that was asked to freeze and ends the instants; idempotent. */
void vm_writer_undo_snapshot(struct vm_writer *writer);
/* After the instants and the return of the saved VMs: every guest that was frozen says thawed, and
 * its step is struck out. -1 when one does not: the set is void. */
int vm_writer_confirm_thawed(struct vm_writer *writer, struct error *error);
void vm_clear(struct vm *vm);

/* record.c: what was found out about a VM, as the component's backup metadata. */
void vm_record(const struct vm *vm, const struct writer_event *event);
static inline bool vm_is_child(const struct vm *vm)
{
    return vm->plan->method == PLAN_CHILD_SNAPSHOT;
}
static inline bool vm_is_saved(const struct vm *vm)
{
    return vm->plan->method == PLAN_SAVED_STATE;
}
static inline const char *vm_uuid(const struct vm *vm)
{
    return vm->plan->domain->uuid;
}

/* save.c: the saved-state VMs of the set. */
struct saved_state_settings vm_writer_saved_state_settings(const struct vm_writer *writer);
/* Room, directories and undo steps; nothing is changed in a VM yet. */
int vm_writer_prepare_saves(struct vm_writer *writer, struct error *error);
/* Pause each and write its memory, NVRAM and TPM state; all stand still when it returns 0. */
int vm_writer_take_saves(struct vm_writer *writer, struct error *error);
/* PostSnapshot: each VM back to what it was, every frozen guest says thawed, what was found out. */
vss_code vm_writer_post_snapshot(void *object, const struct writer_event *event,
                                 struct error *error);
/* estimate.c: how long each VM would be paused; refuses those that shall not be. */
void vm_writer_estimate(struct vm_writer *writer, struct plan *const *plans, size_t count);
/* Parts of it that ask nobody: the pause of `count` VMs with so many bytes in use, which are
 * written with `rate` bytes per second; and why this plan is not to be carried out, NULL = it may
 * be (to be freed). */
int vm_writer_pause_of(const uint64_t *in_use, size_t count, uint64_t rate, int64_t *ret_pause,
                       struct error *error);
char *vm_writer_refuse_pause(const struct vm_writer_settings *settings, const struct plan *plan);

/* capture.c: small files into memory, bounded. */
int vm_capture_files(struct vm *vm, struct error *error);

/* memory.c: a VM that is saved already: its image becomes
 * vm->managed_save. Nothing for others. */
int vm_find_managed_save(struct vm *vm, struct error *error);

/* restore.c */
vss_code vm_writer_pre_restore(void *object, const struct writer_event *event, struct error *error);
vss_code vm_writer_post_restore(void *object, const struct writer_event *event,
                                struct error *error);
/* A domain XML of the VM (its definition, or that of its saved state) with its disks as restored;
 * to be freed (row R6). */
int restored_vm_edit_disks(const struct restored_vm *vm, const char *xml, char **ret_xml,
                           struct error *error);
void restored_vm_clear(struct restored_vm *vm);

/* restore-memory.c: the save image of the VM that is replaced gets a name aside. The step is known
 * before the one of the VM's definition, so that it is undone after it. Nothing when `old` is not
 * saved. */
int vm_writer_note_old_memory(struct vm_writer *writer, struct restored_vm *vm,
                              const struct domain *old, struct error *error);
int vm_writer_set_old_memory_aside(struct restored_vm *vm, const struct domain *old,
                                   struct error *error);
/* A registered VM gets its saved state. Nothing for one that comes back off. */
int vm_writer_restore_memory(struct vm_writer *writer, struct restored_vm *vm, struct error *error);

#endif
