/* NVRAM and emulated-TPM state belong to the same instant as the disks, so they are copied while
 * the guest is frozen: into memory, because nothing may be written to a disk then. They are small;
 * the bound is there because their size comes from outside. */
#include "writers/vm/vm-writer-private.h"

#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { CAPTURE_LIMIT = 64 << 20, CAPTURE_FILES = 64, CAPTURE_DEPTH = 4 };

static int read_file(int file, struct vm_capture *capture, struct error *error)
{
    struct stat facts;
    if (fstat(file, &facts) != 0)
        return error_errno(error, errno, "cannot examine %s", capture->path);
    if (!S_ISREG(facts.st_mode) || facts.st_size > CAPTURE_LIMIT)
        return error_set(error, ERROR_FAILED, "%s is no regular file of at most %d MiB",
                         capture->path, CAPTURE_LIMIT >> 20);
    capture->size = (size_t)facts.st_size;
    capture->data = memory_new(1, capture->size);
    if (io_read_all(io_real(), file, capture->data, capture->size, 0) != 0)
        return error_errno(error, errno, "cannot read %s", capture->path);
    return 0;
}

static int capture_file(struct vm *vm, const char *role, const char *path, struct error *error)
{
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0 && errno == ENOENT && strcmp(role, "nvram") == 0)
        return 0; /* made by libvirt at the first start: there is none yet */
    if (file < 0)
        return error_errno(error, errno, "cannot open %s", path);
    if (vm->capture_count == CAPTURE_FILES)
        return error_set(error, ERROR_FAILED, "more than %d state files", CAPTURE_FILES);
    struct vm_capture capture = {.role = role, .path = memory_copy_string(path)};
    int result = read_file(file, &capture, error);
    ARRAY_APPEND(vm->captures, vm->capture_count, capture);
    return result;
}

/* Hidden files: swtpm's lock. TMP2-00.permall and the like: what swtpm is writing, before it gives
 * it its name by a rename; it may be gone at any moment, and the whole state is under the name. */
static bool is_state(const char *name)
{
    return name[0] != '.' && strncmp(name, "TMP", 3) != 0;
}

static int capture_directory(struct vm *vm, const char *path, unsigned depth, struct error *error)
{
    DIR *stream = opendir(path);
    if (!stream)
        return errno == ENOENT ? 0 : error_errno(error, errno, "cannot list %s", path);
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(stream));) {
        if (!is_state(entry->d_name))
            continue;
        CLEANUP_FREE char *inner = memory_format("%s/%s", path, entry->d_name);
        struct stat facts;
        if (lstat(inner, &facts) != 0)
            result = error_errno(error, errno, "cannot examine %s", inner);
        else if (S_ISDIR(facts.st_mode) && depth < CAPTURE_DEPTH)
            result = capture_directory(vm, inner, depth + 1, error);
        else if (S_ISREG(facts.st_mode))
            result = capture_file(vm, "tpm", inner, error);
        else if (S_ISDIR(facts.st_mode) || S_ISLNK(facts.st_mode))
            result = error_set(error, ERROR_FAILED, "%s is a link, or lies too deep", inner);
    }
    (void)closedir(stream);
    return result;
}

int vm_capture_files(struct vm *vm, struct error *error)
{
    const struct domain *domain = vm->plan->domain;
    if (domain->nvram && capture_file(vm, "nvram", domain->nvram, error) != 0)
        return error_prefix(error, "VM %s: NVRAM: ", domain->name);
    if (domain->tpm_state_directory &&
        capture_directory(vm, domain->tpm_state_directory, 0, error) != 0)
        return error_prefix(error, "VM %s: TPM state: ", domain->name);
    return vm_find_managed_save(vm, error);
}
