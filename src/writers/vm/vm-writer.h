/* The Hyper-V VSS writer for libvirt's VMs (vss.md section 5; rows B1, B2, B4, B7, B9, B10, R2-R6).
 *
 * | event              | what it does                                                          |
 * |--------------------|-----------------------------------------------------------------------|
 * | Identify           | a plan for each VM; one selectable component per VM, with its files   |
 * | PrepareForBackup   | the plans of the chosen VMs again; refuses what cannot be done        |
 * | PrepareForSnapshot | plans once more (a method lost since fails the set); saves all VMs of |
 * |                    | the saved-state method, which stand still then; freezes all guests,   |
 * |                    | then begins all instants, copies NVRAM and TPM state, thaws           |
 * | Freeze, Thaw       | nothing: no libvirt call is made                                      |
 * | PostSnapshot       | saved VMs return; nothing to roll back: an instant is the guest's     |
 * | Abort, Shutdown    | thaws what is frozen, ends the instants, returns what is saved and    |
 * |                    | removes the memory images; idempotent                                 |
 * | PreRestore         | powers off, sets files aside, undefines                               |
 * | PostRestore        | asks for every component's file restore status, then registers        |
 *
 * All callbacks run in the writer's own thread. What a backup found out is written to the
 * component's backup metadata as JSON: {"method","frozen_ms","paused_ms","frozen_from","instant"}.
 */
#ifndef WRITERS_VM_VM_WRITER_H
#define WRITERS_VM_VM_WRITER_H

#include "hypervisor/instant.h"
#include "undo/undo.h"
#include "vss/writer.h"
#include "writers/vm/plan.h"

#define VM_WRITER_NAME "Microsoft Hyper-V VSS Writer"
#define VM_WRITER_ID "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de"

struct vm_writer;

struct vm_writer_location {
    const char *vm; /* name or UUID */
    const char *directory;
};

struct vm_writer_settings {
    struct hypervisor *hypervisor;
    struct undo *undo;         /* NULL: Identify only */
    struct instants *instants; /* NULL: Identify only; shared with the provider */
    /* Only these VMs (names or UUIDs) are looked at; count 0 = all. Guests that nobody asked for
     * are left alone. */
    const char *const *vms;
    size_t vm_count;
    /* "VM:TARGET": disks that are left out beyond row B10. VM is a name, a UUID or a pattern of
     * names, TARGET a target or a pattern of targets (fnmatch(3)). */
    const char *const *exclude_disks;
    size_t exclude_disk_count;
    const struct vm_writer_location *locations;
    size_t location_count;
    const char *default_location; /* R5 */
    int64_t agent_limit;          /* ns per question to an agent; 0 = 5 s */
    int64_t freeze_limit;         /* ns until the last guest is frozen; 0 = 60 s */
    int64_t hold_limit;           /* ns from last guest frozen to first thaw; 0 = 10 s */
    const char *image_directory;  /* of memory images; NULL = default; see saved-state.h */
    uint64_t image_reserve;       /* bytes that stay free there; 0 = default */
    int64_t pause_limit;          /* ns that a VM may be paused; 0 = 10 min */
    bool pause_limit_chosen;      /* set by vm_writer_new(): a pause limit was given, so a pause
                                     that cannot be estimated is refused */
    bool refuse_saved_state;      /* plans refuse to pause a running VM */
    bool no_estimate;             /* nobody asks how long a pause would be: to tell that, some MiB
                                     are written into the image directory */
    /* false: each VM is frozen, taken and thawed by itself, so that a test can see that the test of
     * the common instant fails without the barrier. */
    bool barrier;
};

/* Settings are copied; strings and objects in it must outlive the writer. ERROR_NOT_FOUND when a
 * VM or the VM of a location does not exist. */
int vm_writer_new(const struct vm_writer_settings *settings, struct vm_writer **ret_writer,
                  struct error *error);
void vm_writer_free(struct vm_writer *writer); /* NULL allowed */
/* For coordinator_subscribe(). */
struct writer_description vm_writer_description(struct vm_writer *writer);

/* The plans of the last Identify or PrepareForBackup, by name. Owned by the writer, valid until the
 * next of these events. Call it between events only. */
size_t vm_writer_plans(const struct vm_writer *writer, const struct plan *const **ret_plans);

/* Is there room for the memory of all VMs that these plans would save? ERROR_SPACE with figures.
 * Call it between events only. */
int vm_writer_check_room(const struct vm_writer *writer, struct error *error);

/* A small file taken at the instant (NVRAM, TPM state). Owned by the writer. */
struct vm_capture {
    const char *role; /* "nvram", "tpm" */
    char *path;
    void *data;
    size_t size;
};
size_t vm_writer_captures(const struct vm_writer *writer, const char *uuid,
                          const struct vm_capture **ret_captures);

/* The memory of a VM of the set, as a libvirt save image of the set's instant. */
struct vm_memory {
    const char *path;
    bool paused; /* it continues paused */
};
/* false = it has none (off, or child snapshot). Valid from PostSnapshot until BackupShutdown; owned
 * by the writer. Call it between events only. */
bool vm_writer_memory(const struct vm_writer *writer, const char *uuid,
                      struct vm_memory *ret_memory);
/* After the copy: is what lies there still the image of the instant? ERROR_FAILED when a VM that
 * was saved already was started meanwhile, or saved again. 0 also when the VM has no memory. */
int vm_writer_check_memory(const struct vm_writer *writer, const char *uuid, struct error *error);

/* The volume of the set that a disk is: "UUID/target", to be freed; and back. */
char *vm_writer_volume(const char *uuid, const char *target);
int vm_writer_parse_volume(const char *volume, char uuid[id_text_size], const char **ret_target);

/* ---- Restore: what the requester restored and where. Given before PreRestore; copied. ---- */

struct vm_restore_file {
    const char *role;     /* "disk", "nvram", "tpm", "kernel", ... */
    const char *target;   /* "vda" for a disk, else NULL */
    const char *original; /* path in the configuration */
    const char *path;     /* where it is restored to */
    const char *format;   /* disks: the image's format now */
    /* Disks: the present VM's file for the same target, elsewhere, which goes with it. NULL: there
     * is none, or it stays; whoever plans the restore decides that. */
    const char *old_path;
    /* What the plan found at path and at old_path. PreRestore refuses (ERROR_BUSY) when it finds
     * another file there, or one where none was, and, while no QEMU works on the VM, when the file
     * was written to since. */
    struct file_identity found, old_found;
    /* A block device that is written in place: it is not set aside, and the definition keeps it. A
     * restore that fails leaves the VM off, since nobody knows what is on it. */
    bool in_place;
};
/* The VM comes back saved. */
struct vm_restore_memory {
    const char *image;    /* a save image that the requester restored; it goes in the end */
    const char *xml;      /* the XML in it, adapted to this host but for the disks */
    const char *load_xml; /* the same for loading it now; NULL = no other */
    bool paused;          /* the VM is paused once it is started */
};
struct vm_restore {
    const char *uuid, *name;
    const char *xml; /* inactive definition from the backup */
    bool autostart;
    bool exists;             /* as planned: is there a VM with this UUID now, */
    enum domain_state state; /* and what is it doing? Otherwise PreRestore fails. */
    const struct vm_restore_file *files;
    size_t file_count;
    const struct vm_restore_memory *memory; /* NULL = it comes back off */
};
/* ERROR_REFUSED: the files of all VMs of the restore have too long names in all (16 MiB, some ten
 * thousand files) for the one record that makes it final. */
int vm_writer_add_restore(struct vm_writer *writer, const struct vm_restore *restore,
                          struct error *error);

/* The point of no return: all that was changed is final, in one record; what is left to do is the
 * removal of what was set aside, as the open step *ret_step (undo_run() does it). */
int vm_writer_finish_restore(struct vm_writer *writer, uint64_t *ret_step, struct error *error);

#endif
