#include "transfer/job.h"

void job_fail(struct job *job, const struct error *error)
{
    pthread_mutex_lock(&job->lock);
    if (!error_is_set(&job->error))
        job->error = *error;
    pthread_mutex_unlock(&job->lock);
    atomic_store(&job->stopped, true);
    workers_fail(job->workers, error);
}

int job_check(struct job *job, int64_t now, int64_t *asked, struct error *error)
{
    if (atomic_load(&job->stopped)) /* loses against the error that stopped it */
        return error_set(error, ERROR_INTERRUPTED, "stopped because another disk failed");
    if (!job->check || now - *asked < JOB_TICK)
        return 0;
    *asked = now;
    if (job->check(job->check_context, error) == 0)
        return 0;
    (void)error_set(error, ERROR_INTERRUPTED, "stopped"); /* unless it gave its reason */
    job_fail(job, error); /* here, before a disk puts its label to what is not its fault */
    return -1;
}
