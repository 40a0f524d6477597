/* What QEMU's own tool says of one image file, opened with an explicit format: never probed.
 * Private to the room. */
#ifndef HYPERVISOR_IMAGE_H
#define HYPERVISOR_IMAGE_H

#include "base/error.h"
#include "hypervisor/domain-xml.h"

#include <stdbool.h>
#include <stdint.h>

struct image {
    int64_t size, allocation; /* virtual size and bytes on disk */
    char *backing;            /* backing image as the header names it, made absolute; or NULL */
    char *backing_format;     /* as the header tells; NULL = it does not */
    bool encrypted;
    bool other_files; /* a data file or extents outside: the file alone is not the image */
};
void image_clear(struct image *image);
#define CLEANUP_IMAGE CLEANUP(image_clear)

/* qemu-img info -U -f FORMAT PATH; PATH is absolute. ERROR_NOT_FOUND when it is not there. 20 s. */
int image_read(const char *path, const char *format, struct image *ret_image, struct error *error);

/* The same of what server_options() made of one layer, or of a network source. */
int image_read_options(const char *options, struct image *ret_image, struct error *error);

/* Read what qemu-img printed; for tests. */
int image_read_json(const char *text, struct image *ret_image, struct error *error);

/* Complete a disk's chain from the headers of its images, each opened with the format that the
 * layer above names (the first with the one of the VM's configuration). A layer whose header names
 * no format for its backing gets format NULL; a backing that is no file of this host, path NULL:
 * there the chain ends. Also sets disk->size and allocation. Every layer with path and format is
 * looked at: ERROR_NOT_FOUND names one that is not there, ERROR_REFUSED one that is
 * encrypted, or can be read only while the VM runs (its data is in another file). */
int image_complete_chain(struct disk *disk, const struct disk_facts *facts, struct error *error);

#endif
