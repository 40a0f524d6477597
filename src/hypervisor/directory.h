/* Directories for sockets and scratch files: QEMU's user must get in, nobody else. Private to the
 * room. */
#ifndef HYPERVISOR_DIRECTORY_H
#define HYPERVISOR_DIRECTORY_H

#include "base/error.h"
#include "hypervisor/connection.h"

#include <stdint.h>

/* The directory part of a path, to be freed. */
char *directory_of(const char *path);

/* Where sockets, scratch and memory images of runs go unless `chosen` (or NULL) says so: where
 * QEMU's user may make sockets. To be freed. */
char *directory_for_run(const struct hypervisor *hypervisor, const char *chosen);
/* What is there of a path that will be made, to be freed. */
char *directory_existing_part(const char *path);

/* Make `path` (0711) with missing parents. One that is there is fine. */
int directory_make(const char *path, struct error *error);
/* Make `path` (0700, owned by whoever owns `model`); it must not exist. */
int directory_make_private(const char *path, const char *model, struct error *error);

/* Bytes that are free there for everybody. */
int directory_get_room(const char *path, uint64_t *ret_room, struct error *error);
/* Refuse (ERROR_REFUSED) a file system of the network. */
int directory_check_local(const char *path, struct error *error);

/* DIRECTORY.void, to be freed. */
char *directory_aside(const char *path);
/* Rename DIRECTORY to DIRECTORY.void, so that nothing more can be made under its old name. A
 * missing one is fine. */
int directory_set_aside(const char *path, struct error *error);
/* Remove DIRECTORY.void with the files in it. A missing one is fine. */
int directory_remove_aside(const char *path, struct error *error);

#endif
