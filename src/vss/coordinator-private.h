/* What sessions see of the coordinator. Private to vss/. */
#ifndef VSS_COORDINATOR_PRIVATE_H
#define VSS_COORDINATOR_PRIVATE_H

#include "vss/coordinator.h"
#include "vss/dispatcher.h"
#include "vss/stages.h"

struct dispatcher *coordinator_dispatcher(struct coordinator *coordinator);
const char *coordinator_lock_path(const struct coordinator *coordinator);
/* The registered providers, hardware before software before system, then in the order of their
 * registration: the array is to be freed, its elements live as long as the coordinator. */
size_t coordinator_providers(struct coordinator *coordinator,
                             struct stages_provider ***ret_providers);

#endif
