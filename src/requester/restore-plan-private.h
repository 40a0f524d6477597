/* Shared by the files that make the plan of a restore. */
#ifndef REQUESTER_RESTORE_PLAN_PRIVATE_H
#define REQUESTER_RESTORE_PLAN_PRIVATE_H

#include "requester/restore-plan.h"

struct planning {
    struct hypervisor *hypervisor;
    struct repository *repository;
    const struct requester_host *host;
    const struct requester_restore_options *options;
    struct domain **domains; /* all that are defined now */
    size_t domain_count;
};

void planned_vm_add_notice(struct planned_vm *vm, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* restore-plan-files.c: which disks and files go where. */
int plan_disks(const struct planning *planning, struct planned_vm *vm, struct error *error);
int plan_file(const struct planning *planning, struct planned_vm *vm, const json_t *entry,
              struct error *error);
/* Is there room for all disks beside the old files? */
int plan_check_room(const struct planning *planning, const struct restore_plan *plan,
                    struct error *error);

#endif
