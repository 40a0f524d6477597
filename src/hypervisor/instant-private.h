/* What the files of the instant share: instant.c (table, states, steps), instant-running.c (backup
 * jobs) and instant-stopped.c (images of VMs that are off). */
#ifndef HYPERVISOR_INSTANT_PRIVATE_H
#define HYPERVISOR_INSTANT_PRIVATE_H

#include "hypervisor/domain-xml.h"
#include "hypervisor/image-state.h"
#include "hypervisor/instant.h"
#include "hypervisor/launcher.h"
#include "hypervisor/lifecycle.h"
#include "hypervisor/server.h"

#include <pthread.h>

/* One image of a stopped VM's chain. */
struct instant_layer {
    char *path;  /* NULL = a network source */
    char *clone; /* where its clone goes; NULL = it is read in place */
    char *format;
    struct image_state before; /* when the instant began */
};

struct instant_disk {
    char *target;
    int64_t size;
    char *scratch; /* running VM: libvirt makes and removes this file */

    /* Stopped VM: */
    char *socket;
    struct disk_facts *facts; /* of this disk only */
    struct instant_layer *layers;
    size_t layer_count;
    struct server *server; /* from the first instants_open() to the end */
};

/* PREPARED ─instants_begin─► BEGUN ─instants_end─► ENDED
 *     └──────────────────instants_end───────────────► */
enum instant_state { INSTANT_PREPARED, INSTANT_BEGUN, INSTANT_ENDED };

struct instant {
    /* Set by instants_prepare(), never changed. */
    struct instants *owner;
    char *set, *uuid, *name;
    bool running;
    bool was_paused; /* QEMU is not to be resumed at the end */
    char *directory; /* sockets; and scratch unless it was given a place */
    char *scratch;   /* directory of scratch files */
    char *socket;    /* running VM: of its job */
    struct instant_disk *disks;
    size_t disk_count;

    pthread_mutex_t lock; /* held by each operation on this instant from begin to end */
    /* Guarded by lock. */
    enum instant_state state;
    uint64_t *steps; /* of undo, in the order they were added */
    size_t step_count;
};

struct instants {
    /* Set by instants_new(), never changed. */
    struct hypervisor *hypervisor;
    struct undo *undo;
    char *base;    /* directory for sockets */
    char *scratch; /* directory for scratch */
    uint64_t reserve;
    bool hold_stopped;
    char run[9]; /* in the names of all that is made */

    pthread_mutex_t lock;
    /* Guarded by lock. */
    struct instant **items;
    size_t count;
    struct launcher *launcher;   /* made with the first stopped VM */
    struct lifecycle *lifecycle; /* likewise; never replaced */
};

/* Bytes that must stay free in the scratch directory. */
uint64_t instants_reserve(const struct instants *instants);

/* Make a step known to undo; it is struck when the instant ends. Takes over `arguments`. */
int instant_add_step(struct instant *instant, const char *kind, json_t *arguments,
                     struct error *error);

int instant_running_prepare(struct instant *instant, struct error *error);
int instant_running_begin(struct instant *instant, struct error *error);
int instant_running_check(struct instant *instant, struct error *error);
int instant_running_get_size(struct instant *instant, struct instant_disk *disk,
                             struct error *error);

int instant_stopped_prepare(struct instant *instant, const struct domain *domain,
                            struct error *error);
int instant_stopped_begin(struct instant *instant, struct error *error);
/* Its server, unless it runs already. */
int instant_stopped_open(struct instant *instant, struct instant_disk *disk, struct error *error);
int instant_stopped_check(struct instant *instant, struct error *error);
void instant_stopped_end(struct instant *instant);

#endif
