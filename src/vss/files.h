/* Files of a component: which files its list means on a given root (vss.md 1.11, 4.1).
 *
 * The list is evaluated on the copy, not on the live system, so the caller gives the directory
 * where the copy is mounted. Paths of the list are absolute; the root is put before them.
 *  - A name without wildcard that matches nothing fails the component.
 *  - A name with wildcards (`?` one character, `*` any number) may match nothing.
 *  - The writer's exclude list wins. It is compared with the original path, never with the
 *    alternate path (which says where to read the file at backup).
 * Directories are not listed, symbolic links are not followed below the named directory.
 */
#ifndef VSS_FILES_H
#define VSS_FILES_H

#include "vss/metadata.h"

struct files_entry {
    char *path;   /* original place, absolute, without the root */
    char *source; /* where to read it: root + alternate or original place */
};

struct files {
    struct files_entry *entries;
    size_t count;
};

/* 0 and the list (each path once, sorted by path), or -1: ERROR_NOT_FOUND with number
 * VSS_E_OBJECT_NOT_FOUND for a literal file that is missing, ERROR_FAILED when a directory cannot
 * be read, is nested deeper than 64 or more than a million files match. */
int files_evaluate(const char *root, const struct metadata *metadata,
                   const struct metadata_component *component, struct files **ret_files,
                   struct error *error);
void files_free(struct files *files); /* NULL allowed */
DEFINE_CLEANUP(files)

/* Does a file name match a pattern with ? and *? Characters are UTF-8's. */
bool files_match(const char *pattern, const char *name);

#endif
