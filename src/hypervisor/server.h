/* qemu-nbd serving one image read-only over a unix socket, every layer of its chain opened with an
 * explicit format and nothing probed. Private to the room. */
#ifndef HYPERVISOR_SERVER_H
#define HYPERVISOR_SERVER_H

#include "hypervisor/domain-xml.h"
#include "hypervisor/launcher.h"

struct server; /* one running qemu-nbd */

/* The chain as QEMU's block options, in JSON. `force_share`: take no lock, so that a VM that starts
 * meanwhile can open the image. `facts` is for a network source (layers[0].path is NULL), else may
 * be NULL. ERROR_REFUSED names what cannot be opened this way. */
int server_options(const struct disk_layer *layers, size_t count, const struct disk_facts *facts,
                   bool force_share, char **ret_options, struct error *error);

/* Start it and wait until it listens (10 s). `name` is the export's. */
int server_start(struct launcher *launcher, const char *options, const char *socket,
                 const char *name, struct server **ret_server, struct error *error);
/* Does it still run? -1 with what it said. */
int server_check(struct server *server, struct error *error);
/* NULL allowed. */
void server_stop(struct server *server);

#endif
