/* One disk from its NBD export into the repository. Private to the room. */
#ifndef TRANSFER_TRANSFER_READ_H
#define TRANSFER_TRANSFER_READ_H

#include "transfer/job.h"

/* Runs in the disk's own thread until the disk is stored or the transfer has failed; its own
 * failure goes to job_fail(). When it returns no worker has anything of the disk. */
void transfer_read_disk(struct job *job, struct repository_writer *writer,
                        struct transfer_disk *disk, struct object_id *ret_root);
/* The workers' task (context: job, task: buffer): store a chunk that was read. */
int transfer_read_work(void *context, void *task, struct error *error);

#endif
