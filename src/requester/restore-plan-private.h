/* Shared by the files that make the plan of a restore. */
#ifndef REQUESTER_RESTORE_PLAN_PRIVATE_H
#define REQUESTER_RESTORE_PLAN_PRIVATE_H

#include "requester/restore-plan.h"

struct planning {
    struct hypervisor *hypervisor;
    struct repository *repository;
    const struct requester_host *host;
    const struct requester_restore_options *options;
    char *directory;                 /* real path of where all disks go; NULL = where they were */
    const struct restore_plan *plan; /* what was planned so far, for all its VMs */
    struct domain **domains;         /* all that are defined now */
    size_t domain_count;
};

void planned_vm_add_notice(struct planned_vm *vm, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* restore-plan-definition.c: the definition, beside what else the backup says of the VM. */

/* Loads it and checks that it is of this VM. */
int plan_definition(const struct planning *planning, struct planned_vm *vm, struct error *error);
/* Is it a kind of file, beside disks, that a VM has? */
bool plan_is_file_role(const char *role);
/* Does the definition want a file of this kind here? TPM state: anywhere below its directory, but
 * not through a symbolic link that leads out of it. `path` has no "..". */
bool plan_names_file(const struct domain *definition, const char *role, const char *path);
/* A notice for each disk that only the VM as it ran had, or only its definition. */
void plan_name_differences(struct planned_vm *vm);

/* restore-plan-files.c: which disks and files go where. */
int plan_disks(const struct planning *planning, struct planned_vm *vm, struct error *error);
/* After plan_memory(): the saved state may name files that the definition does not. */
int plan_files(const struct planning *planning, struct planned_vm *vm, struct error *error);
/* restore-plan-room.c */

/* What it takes to import a saved state: the image as it comes from the backup, and the one that
 * libvirt then writes in the format of this host: compressed or not, so up to all of the memory. */
uint64_t plan_import_room(uint64_t image, uint64_t memory);
/* Is there room for all disks beside the old files, and for saved states? */
int plan_check_room(const struct planning *planning, const struct restore_plan *plan,
                    struct error *error);

/* restore-plan-networks.c: what becomes of network adapters. */

/* Decides about all adapters in a domain XML of the VM, each source once, with its notices, and
 * carries it out in *ret_xml (to be freed). Added to what was decided for the VM before. */
int plan_interfaces(const struct planning *planning, struct planned_vm *vm, const char *xml,
                    char **ret_xml, struct error *error);
/* The VM's definition with what was decided, and the adapters of the plan's JSON. */
int plan_networks(const struct planning *planning, struct planned_vm *vm, struct error *error);

/* restore-plan-memory.c: does it come back saved? Fills vm->memory when it does. */
int plan_memory(const struct planning *planning, struct planned_vm *vm, struct error *error);

/* restore-plan-places.c: whose a file is. */

/* Do both paths name one file or device, there or not? */
bool plan_same_file(const char *left, const char *right);
/* Does the file, there or not, lie in the directory or deeper? `directory` may be NULL. */
bool plan_is_below(const char *path, const char *directory);
/* Is there an entry of this target in a list of a manifest ("disks", "left_out")? NULL is empty. */
bool plan_has_target(const json_t *list, const char *target);
/* Another VM that has the file in any layer of a disk, as NVRAM, kernel, initrd or device tree, or
 * in its TPM's state. */
const struct domain *plan_other_user(const struct planning *planning, const struct planned_vm *vm,
                                     const char *path);
/* May a disk be restored here? Refuses (ERROR_REFUSED) what is there and is not the VM's own; a
 * file where a VM that is gone had its disk is taken for it, with a notice. */
int plan_check_place(const struct planning *planning, struct planned_vm *vm, const char *path,
                     struct error *error);
/* The place of a disk that is restored onto the block device it was on; with a notice. */
int plan_device(const struct planning *planning, struct planned_vm *vm, struct planned_disk *disk,
                const char *path, struct error *error);
/* Refuses a path where a disk of any VM of the plan would be restored. */
int plan_check_claims(const struct planning *planning, const char *path, struct error *error);
/* The other file that the plan would write here, and its VM; NULL when there is none. */
const struct planned_file *plan_find_claim(const struct planning *planning, const char *path,
                                           const struct planned_vm **ret_vm);
/* The present VM's file for a disk that comes back elsewhere, to be freed. NULL when there is none,
 * and, with a notice, when it must stay. */
char *plan_old_path(const struct planning *planning, struct planned_vm *vm,
                    const struct planned_disk *disk);
/* A notice for each disk that the VM has got since the backup. */
void plan_name_lost_disks(struct planned_vm *vm);
/* The VM's name in the default location must be free, or a link of ours. */
int plan_check_link(const struct planning *planning, const struct planned_vm *vm,
                    struct error *error);

#endif
