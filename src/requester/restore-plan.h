/* The plan of a restore: what would be done, found out without changing anything (X4). */
#ifndef REQUESTER_RESTORE_PLAN_H
#define REQUESTER_RESTORE_PLAN_H

#include "hypervisor/interface-edit.h"
#include "requester/manifest.h"
#include "requester/run.h"

struct planned_disk {
    char *target, *path, *format;
    char *old_path; /* the present VM's file for it, elsewhere and nobody else's; NULL = none */
    struct file_identity found, old_found; /* what is at path and old_path now */
    uint64_t size;
    bool device; /* path is a block device, which is written in place */
    struct object_id root;
    const json_t *entry; /* in the manifest */
};

struct planned_file {
    char *role, *path;
    struct file_identity found; /* what is at path now */
    bool keep;                  /* it is there and stays, or another VM of the plan writes it */
    const json_t *entry;
};

/* The memory of a VM that comes back saved; path NULL = it comes back off. */
struct planned_memory {
    char *path;     /* where the save image is put until libvirt has taken it over */
    char *xml;      /* that in the image, with its adapters as planned */
    char *load_xml; /* for loading it now; NULL = the same */
    bool paused;
    uint64_t size, padded_size;
    uint64_t guest; /* bytes of memory that the VM has in it */
    struct object_id root;
};

struct planned_vm {
    char *name, *uuid;
    char *xml;                 /* the definition, with its adapters as planned */
    struct domain *definition; /* what it says */
    const json_t *entry;       /* in the manifest */
    const struct domain *now;  /* only while the plan is made */
    bool exists, running;      /* the VM that is there now */
    enum domain_state state;
    struct planned_disk *disks;
    size_t disk_count;
    struct planned_file *files;
    size_t file_count;
    struct planned_memory memory;
    struct interface_decision *interfaces; /* what becomes of its adapters (row R7) */
    size_t interface_count;
    json_t *networks, *notices; /* arrays */
};

struct restore_plan {
    json_t *manifest;
    struct planned_vm *vms;
    size_t count;
};

void restore_plan_clear(struct restore_plan *plan);
/* Everything that can be known beforehand is refused here (ERROR_REFUSED): a name that belongs to
 * another VM, a path that is used by another VM or holds a file that is not the VM's own, no
 * directory, no room, disks that are no files. */
int restore_plan_make(struct restore_plan *plan, struct hypervisor *hypervisor,
                      struct repository *repository, const struct requester_host *host,
                      const struct requester_restore_options *options, struct error *error);
/* As docs/json.md, "restore". New reference. */
json_t *restore_plan_json(const struct restore_plan *plan);

#endif
