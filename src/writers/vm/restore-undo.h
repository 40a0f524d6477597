/* How the changes that a restore makes to files are undone, by whoever is left to do it.
 *
 *   "put-back-file" {original, aside}: when `aside` exists it gets its old name back; what the
 * restore made there is gone by then, so anything else is somebody's: both are kept, the step stays
 * open and says so "put-back-link" {path, target or null}: the symbolic link in the default
 * location as it was (null = there was none) "remove-set-aside" {paths}: files of the old VMs, once
 * the new ones are registered
 */
#ifndef WRITERS_VM_RESTORE_UNDO_H
#define WRITERS_VM_RESTORE_UNDO_H

#include "undo/undo.h"

extern const struct undo_kind vm_restore_put_back_file, vm_restore_put_back_link,
    vm_restore_remove_set_aside;
json_t *vm_restore_file_arguments(const char *original, const char *aside);
json_t *vm_restore_link_arguments(const char *path, const char *target);

/* What the new name of a file that is set aside takes among the arguments of "remove-set-aside", at
 * most: their limit (UNDO_ARGUMENT_LIMIT) is to be known before anything is done. `path` may be
 * NULL. */
uint64_t vm_restore_aside_size(const char *path);

#endif
