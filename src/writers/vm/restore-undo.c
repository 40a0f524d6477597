/* Both kinds look at what is there and do only what is left to do, so they may run twice. */
#include "writers/vm/restore-undo.h"

#include "base/memory.h"
#include "base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

json_t *vm_restore_file_arguments(const char *original, const char *aside)
{
    json_t *arguments = json_object();
    json_set_string(arguments, "original", original);
    json_set_string(arguments, "aside", aside);
    return arguments;
}

json_t *vm_restore_link_arguments(const char *path, const char *target)
{
    json_t *arguments = json_object();
    json_set_string(arguments, "path", path);
    json_set_string(arguments, "target", target);
    return arguments;
}

uint64_t vm_restore_aside_size(const char *path)
{
    enum { OF_A_BYTE = 6, SUFFIX = 32 }; /* a control character is \uXXXX; quotes, comma, suffix */
    return path ? OF_A_BYTE * ((uint64_t)strlen(path) + SUFFIX) : 0;
}

static int put_back_file(void *context, const json_t *arguments, struct error *error)
{
    (void)context;
    const char *original = json_get_string(arguments, "original", "undo step", error);
    const char *aside = json_get_string(arguments, "aside", "undo step", error);
    if (!original || !aside)
        return -1;
    struct stat facts;
    struct io *io = io_real();
    if (io->stat_at(io, AT_FDCWD, aside, &facts, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : error_errno(error, errno, "cannot examine %s", aside);
    if (publish_rename(io, AT_FDCWD, aside, original, PUBLISH_NEW_ONLY, error) == 0)
        return 0;
    return error_advise(error, "old-file-not-put-back",
                        "the old file is %s; the one that has its name now is left alone", aside);
}

static int put_back_link(void *context, const json_t *arguments, struct error *error)
{
    (void)context;
    const char *path = json_get_string(arguments, "path", "undo step", error);
    const char *target = json_string_or(arguments, "target", NULL);
    if (!path)
        return -1;
    char now[4096];
    ssize_t size = readlink(path, now, sizeof now - 1);
    if (size < 0 && errno != ENOENT)
        return error_errno(error, errno, "cannot read the symbolic link %s", path);
    if (size >= 0) {
        now[size] = '\0';
        if (target && strcmp(now, target) == 0)
            return 0;
        if (publish_remove(io_real(), AT_FDCWD, path, error) != 0)
            return -1;
    }
    if (target && symlink(target, path) != 0)
        return error_errno(error, errno, "cannot make the symbolic link %s", path);
    return 0;
}

static int remove_set_aside(void *context, const json_t *arguments, struct error *error)
{
    (void)context;
    int result = 0;
    size_t index;
    json_t *path;
    json_array_foreach(json_object_get(arguments, "paths"), index, path)
    {
        if (publish_remove(io_real(), AT_FDCWD, json_string_value(path), error) != 0)
            result = -1;
    }
    return result;
}

const struct undo_kind vm_restore_put_back_file = {
    .name = "put-back-file", .undo = put_back_file, .deliberate = true};
const struct undo_kind vm_restore_put_back_link = {
    .name = "put-back-link", .undo = put_back_link, .deliberate = true};
const struct undo_kind vm_restore_remove_set_aside = {.name = "remove-set-aside",
                                                      .undo = remove_set_aside};
