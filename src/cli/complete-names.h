/* Names that a word of a command line may become; see complete.c. Nobody is asked for anything and
 * nothing is told: what cannot be found out is no candidate.
 *
 * Each function returns a new array of {"value","text"}, text = what it is. They may block on
 * libvirt or on the storage; the caller limits that.
 */
#ifndef CLI_COMPLETE_NAMES_H
#define CLI_COMPLETE_NAMES_H

#include "base/json.h"

/* As the words before, the environment and the configuration say; NULL = not said. */
struct complete_place {
    const char *connect, *repository, *passphrase_file;
};

/* VMs that libvirt knows. */
json_t *complete_vms(const struct complete_place *place);
/* Backups of the repository and "latest". Without the passphrase only their ids are known. */
json_t *complete_backups(const struct complete_place *place);
/* VMs of a backup; where it cannot be read, those that libvirt knows. */
json_t *complete_vms_of(const struct complete_place *place, const char *backup);
/* Jobs of the configuration. */
json_t *complete_jobs(void);

#endif
