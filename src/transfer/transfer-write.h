/* One disk from the repository to its NBD export. Private to the room. */
#ifndef TRANSFER_TRANSFER_WRITE_H
#define TRANSFER_TRANSFER_WRITE_H

#include "transfer/job.h"

/* Runs in the disk's own thread until the disk is written and flushed or the transfer has failed;
 * its own failure goes to job_fail(). When it returns no worker has anything of the disk. */
void transfer_write_disk(struct job *job, struct repository *repository,
                         struct transfer_disk *disk);
/* The workers' task (context: job, task: buffer): get and authenticate a chunk. */
int transfer_write_work(void *context, void *task, struct error *error);

#endif
