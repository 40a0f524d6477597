/* libvirt's pull-mode backup job: its XML, whose it is, its end. Private to the room.
 *
 * A VM has one backup job at most. Ours is told from another tool's by the NBD socket that its XML
 * names: the path is new for every instant.
 */
#ifndef HYPERVISOR_BACKUP_JOB_H
#define HYPERVISOR_BACKUP_JOB_H

#include "hypervisor/call.h"

struct backup_job_disk {
    const char *target, *scratch;
};

/* The XML for virDomainBackupBegin(): the disks listed and no other one; to be freed. */
char *backup_job_xml(const char *socket, const struct backup_job_disk *disks, size_t count);

enum backup_job_state {
    BACKUP_JOB_NONE,
    BACKUP_JOB_OURS,
    BACKUP_JOB_FOREIGN,
    BACKUP_JOB_STARTING, /* libvirt works on a virDomainBackupBegin(): nobody's yet */
};

/* Look. `socket` NULL = none is ours. */
int backup_job_look(virDomainPtr domain, const char *socket, enum backup_job_state *ret_state,
                    struct error *error);

/* Abort our job and wait until there is none of ours; then, with `resume_vm`, let the VM go on if
 * QEMU has paused it for an I/O error (scratch full). 0 also when the VM is off or gone, or the job
 * is another's. Repeats through a restart of libvirtd. -1 at `deadline` (monotonic ns); after 2 s
 * while libvirt only begins a job: that cannot be aborted, and a frozen guest may wait. */
int backup_job_end(struct hypervisor *hypervisor, const char *uuid, const char *socket, bool resume,
                   int64_t deadline, struct error *error);

#endif
