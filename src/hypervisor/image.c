/* One call of qemu-img per layer instead of its --backing-chain, which probes a layer whose format
 * is not written down: a guest with a raw disk could write a header there that names any file of
 * the host. */
#include "hypervisor/image.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/process.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define TIME_LIMIT (20 * CLOCK_SECOND)

void image_clear(struct image *image)
{
    free(image->backing);
    free(image->backing_format);
    *image = (struct image){.size = 0};
}

/* vmdk lists its extents, the file itself among them. */
static bool extents_outside(const json_t *data, const char *path)
{
    const json_t *extents = json_object_get(data, "extents");
    size_t index;
    json_t *extent;
    json_array_foreach(extents, index, extent)
    {
        const char *name = json_string_or(extent, "filename", "");
        if (!path || strcmp(name, path) != 0)
            return true;
    }
    return false;
}

int image_read_json(const char *text, struct image *ret_image, struct error *error)
{
    CLEANUP_JSON json_t *info = json_parse(text, strlen(text), "the answer of qemu-img", error);
    CLEANUP_IMAGE struct image image = {.size = 0};
    if (!info ||
        json_get_integer(info, "virtual-size", "the answer of qemu-img", &image.size, error) != 0)
        return -1;
    if (image.size < 0)
        return error_set(error, ERROR_DAMAGED, "qemu-img tells a negative size");
    image.allocation = json_integer_or(info, "actual-size", 0);
    image.encrypted = json_boolean_or(info, "encrypted", false);
    const char *backing = json_string_or(info, "full-backing-filename", NULL);
    if (!backing)
        backing = json_string_or(info, "backing-filename", NULL);
    image.backing = memory_copy_string(backing);
    image.backing_format =
        memory_copy_string(json_string_or(info, "backing-filename-format", NULL));
    const json_t *data = json_object_get(json_object_get(info, "format-specific"), "data");
    image.other_files = json_object_get(data, "data-file") ||
                        extents_outside(data, json_string_or(info, "filename", NULL));
    *ret_image = image;
    image = (struct image){.size = 0};
    return 0;
}

int image_read(const char *path, const char *format, struct image *ret_image, struct error *error)
{
    struct stat status;
    if (path[0] != '/')
        return error_set(error, ERROR_FAILED, "image %s is no absolute path", path);
    if (stat(path, &status) != 0)
        return error_errno(error, errno, "image %s", path);
    const char *const arguments[] = {"qemu-img", "info", "-U", "--output=json",
                                     "-f",       format, path, NULL};
    CLEANUP_FREE char *output = NULL;
    if (process_run((char *const *)arguments, TIME_LIMIT, &output, error) != 0 ||
        image_read_json(output, ret_image, error) != 0)
        return error_prefix(error, "image %s: ", path);
    return 0;
}

int image_read_options(const char *options, struct image *ret_image, struct error *error)
{
    const char *const arguments[] = {"qemu-img", "info", "--output=json", options, NULL};
    CLEANUP_FREE char *output = NULL;
    if (process_run((char *const *)arguments, TIME_LIMIT, &output, error) != 0)
        return -1;
    return image_read_json(output, ret_image, error);
}

/* "nbd://host", "json:{...}", "rbd:pool/image": what QEMU would not take as a file name. */
static bool is_file_name(const char *name)
{
    return name[0] == '/';
}

static int add_backing(struct disk *disk, const struct image *image, struct error *error)
{
    if (disk->layer_count >= DOMAIN_XML_LAYERS)
        return error_set(error, ERROR_DAMAGED, "disk %s: its chain has more than %d layers",
                         disk->target, DOMAIN_XML_LAYERS);
    struct disk_layer layer = {
        .path = is_file_name(image->backing) ? memory_copy_string(image->backing) : NULL,
        .format = memory_copy_string(image->backing_format),
    };
    ARRAY_APPEND(disk->layers, disk->layer_count, layer);
    return 0;
}

/* Is the file alone the image, readable without a key? */
static int check_alone(const char *path, const struct image *image, struct error *error)
{
    if (image->encrypted) {
        (void)error_set(error, ERROR_REFUSED, "image %s is encrypted by QEMU", path);
        return error_advise(error, "vm-refused", "leave the disk out (--exclude-disk)");
    }
    if (!image->other_files)
        return 0;
    (void)error_set(error, ERROR_REFUSED,
                    "image %s keeps its data in another file: it can be read only while the VM "
                    "runs",
                    path);
    return error_advise(error, "disk-needs-running-vm",
                        "start the VM for the backup, or leave it out");
}

int image_complete_chain(struct disk *disk, const struct disk_facts *facts, struct error *error)
{
    int result = 0;
    for (size_t index = 0; index < disk->layer_count; index++) {
        bool last = index + 1 == disk->layer_count;
        const struct disk_layer *layer = &disk->layers[index];
        if (!layer->path || !layer->format)
            break;
        CLEANUP_IMAGE struct image image = {.size = 0};
        if (image_read(layer->path, layer->format, &image, error) != 0)
            return -1;
        if (index == 0) {
            disk->size = image.size;
            disk->allocation = image.allocation;
        }
        if (result == 0) /* the chain is completed all the same */
            result = check_alone(layer->path, &image, error);
        if (last && !facts->chain_complete && image.backing &&
            add_backing(disk, &image, error) != 0)
            return -1;
    }
    return result;
}
