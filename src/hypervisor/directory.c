/* Who owns what is made here: what lies under a directory of QEMU's user could be replaced by a
 * QEMU that a guest has broken into, so only the innermost directory is given to it, and removing
 * follows no symbolic link. */
#include "hypervisor/directory.h"

#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return memory_copy_string(".");
    return slash == path ? memory_copy_string("/") : strndup(path, (size_t)(slash - path));
}

char *directory_for_run(const struct hypervisor *hypervisor, const char *chosen)
{
    if (chosen)
        return memory_copy_string(chosen);
    if (!strstr(hypervisor_uri(hypervisor), "/session"))
        return memory_copy_string("/var/lib/libvirt/qemu/vmshadow");
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    return cache ? memory_format("%s/vmshadow", cache)
                 : memory_format("%s/.cache/vmshadow", home ? home : "/tmp");
}

char *directory_existing_part(const char *path)
{
    char *part = memory_copy_string(path);
    while (access(part, F_OK) != 0 && strcmp(part, "/") != 0 && strcmp(part, ".") != 0) {
        char *parent = directory_of(part);
        free(part);
        part = parent;
    }
    return part;
}

static int make_one(const char *path, struct error *error)
{
    if (mkdir(path, 0700) == 0)
        return chmod(path, 0711) == 0 /* whatever the umask is: QEMU's user goes through it */
                   ? 0
                   : error_errno(error, errno, "cannot let QEMU's user through %s", path);
    if (errno == EEXIST)
        return 0;
    return error_errno(error, errno, "cannot make directory %s", path);
}

int directory_make(const char *path, struct error *error)
{
    CLEANUP_FREE char *copy = memory_copy_string(path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (make_one(copy, error) != 0)
            return -1;
        *slash = '/';
    }
    return make_one(copy, error);
}

int directory_make_private(const char *path, const char *model, struct error *error)
{
    struct stat owner;
    if (mkdir(path, 0700) != 0)
        return error_errno(error, errno, "cannot make directory %s", path);
    /* Only root gives away; a user's own QEMU (qemu:///session) runs as that user. */
    if (geteuid() == 0 && stat(model, &owner) == 0 &&
        (owner.st_uid != geteuid() || owner.st_gid != getegid()) &&
        lchown(path, owner.st_uid, owner.st_gid) != 0)
        return error_errno(error, errno, "cannot give directory %s to QEMU's user", path);
    return 0;
}

int directory_get_room(const char *path, uint64_t *ret_room, struct error *error)
{
    struct statvfs status;
    if (statvfs(path, &status) != 0)
        return error_errno(error, errno, "cannot tell the room in %s", path);
    *ret_room = (uint64_t)status.f_bavail * status.f_frsize;
    return 0;
}

int directory_check_local(const char *path, struct error *error)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } remote[] = {{NFS_SUPER_MAGIC, "NFS"}, {CIFS_SUPER_MAGIC, "CIFS"},
                  {SMB_SUPER_MAGIC, "SMB"}, {SMB2_SUPER_MAGIC, "SMB"},
                  {V9FS_MAGIC, "9p"},       {CEPH_SUPER_MAGIC, "CephFS"},
                  {AFS_SUPER_MAGIC, "AFS"}, {CODA_SUPER_MAGIC, "Coda"}};
    struct statfs status;
    if (statfs(path, &status) != 0)
        return error_errno(error, errno, "cannot look at %s", path);
    for (size_t i = 0; i < ARRAY_SIZE(remote); i++)
        if (((unsigned long)status.f_type & 0xffffffffUL) == remote[i].magic) {
            (void)error_set(error, ERROR_REFUSED,
                            "directory %s lies on a file system of the network (%s)", path,
                            remote[i].name);
            return error_advise(error, "directory-not-local",
                                "choose a directory on a local disk with --scratch or "
                                "--saved-state-dir: guests wait for every write there");
        }
    return 0;
}

char *directory_aside(const char *path)
{
    return memory_format("%s.void", path);
}

int directory_set_aside(const char *path, struct error *error)
{
    CLEANUP_FREE char *aside = directory_aside(path);
    if (rename(path, aside) == 0 || errno == ENOENT)
        return 0;
    return error_errno(error, errno, "cannot rename %s", path);
}

int directory_remove_aside(const char *path, struct error *error)
{
    CLEANUP_FREE char *aside = directory_aside(path);
    int file = open(aside, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0 : error_errno(error, errno, "cannot open %s", aside);
    DIR *entries = fdopendir(file);
    if (!entries) {
        (void)error_errno(error, errno, "cannot read %s", aside);
        (void)close(file);
        return -1;
    }
    for (struct dirent *entry; (entry = readdir(entries));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(entries), entry->d_name, 0);
    (void)closedir(entries);
    if (rmdir(aside) == 0 || errno == ENOENT)
        return 0;
    return error_errno(error, errno, "cannot remove %s", aside);
}
