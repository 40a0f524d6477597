/* The kinds that every table needs: files, directories and processes of the host. */
#include "undo/undo.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/memory.h"
#include "base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

static const int term_limit = 2000; /* ms after SIGTERM */
static const int kill_limit = 5000; /* ms after SIGKILL */

/* ---- Facts of /proc ------------------------------------------------------------------------- */

/* A small file of /proc as text; -1 when it is not there. */
static int read_proc(const char *path, char *text, size_t size)
{
    struct io *io = io_real();
    int file = io->open_at(io, AT_FDCWD, path, O_RDONLY, 0);
    if (file < 0)
        return -1;
    ssize_t got = io->pread(io, file, text, size - 1, 0);
    (void)io->close(io, file);
    if (got < 0)
        return -1;
    text[got] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return 0;
}

static void read_boot(char *text, size_t size)
{
    if (read_proc("/proc/sys/kernel/random/boot_id", text, size) != 0)
        text[0] = '\0';
}

/* ---- remove-file, remove-directory --------------------------------------------------------- */

json_t *undo_path_arguments(const char *path)
{
    /* The undo runs in another process with another working directory. */
    CLEANUP_FREE char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
    CLEANUP_FREE char *absolute =
        here ? memory_format("%s/%s", here, path) : memory_copy_string(path);
    json_t *arguments = json_object();
    json_set_string(arguments, "path", absolute);
    return arguments;
}

json_t *undo_file_arguments(const char *path, const struct file_identity *identity)
{
    char boot[64];
    read_boot(boot, sizeof boot);
    json_t *arguments = undo_path_arguments(path);
    json_set_integer(arguments, "device", (int64_t)identity->device);
    json_set_integer(arguments, "inode", (int64_t)identity->inode);
    json_set_integer(arguments, "born", identity->born);
    json_set_string(arguments, "boot", boot);
    return arguments;
}

static const char *path_of(const json_t *arguments, struct error *error)
{
    const char *path = json_get_string(arguments, "path", "an undo step", error);
    if (path && path[0] != '/') {
        (void)error_set(error, ERROR_DAMAGED, "an undo step: \"%s\" is not an absolute path", path);
        return NULL;
    }
    return path;
}

/* Is what is at `path` the file the step means? 1 = yes, 0 = no or nothing is there, -1. */
static int is_file_of_step(const char *path, const json_t *arguments, struct error *error)
{
    if (!json_object_get(arguments, "inode"))
        return 1;
    char boot[64];
    int64_t device, inode;
    read_boot(boot, sizeof boot);
    const char *then = json_get_string(arguments, "boot", "an undo step", error);
    if (!then || json_get_integer(arguments, "device", "an undo step", &device, error) != 0 ||
        json_get_integer(arguments, "inode", "an undo step", &inode, error) != 0)
        return -1;
    struct file_identity now;
    if (file_identity_get(path, &now, error) != 0)
        return -1;
    /* A file system may get another device number when the host starts anew. */
    bool same_device = strcmp(boot, then) != 0 || (int64_t)now.device == device;
    bool same_birth = now.born == json_integer_or(arguments, "born", now.born);
    return now.exists && (int64_t)now.inode == inode && same_device && same_birth;
}

static int remove_file(void *context, const json_t *arguments, struct error *error)
{
    (void)context;
    const char *path = path_of(arguments, error);
    if (!path)
        return -1;
    int ours = is_file_of_step(path, arguments, error);
    return ours > 0 ? publish_remove(io_real(), AT_FDCWD, path, error) : ours;
}

static int remove_directory(void *context, const json_t *arguments, struct error *error)
{
    (void)context;
    struct io *io = io_real();
    const char *path = path_of(arguments, error);
    if (!path)
        return -1;
    if (io->unlink_at(io, AT_FDCWD, path, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return error_errno(error, errno, "cannot remove the directory %s", path);
}

/* ---- end-process --------------------------------------------------------------------------- */

/* Field 22 of /proc/PID/stat: clock ticks from boot to the start of the process; 0 = no such
 * process. Field 2, the name, may hold spaces and brackets: count from the last bracket. */
static int64_t start_of(int64_t pid)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    if (read_proc(path, text, sizeof text) != 0)
        return 0;
    char *field = strrchr(text, ')');
    for (int i = 2; field && i < 22; i++)
        field = strchr(field + 1, ' ');
    return field ? strtoll(field + 1, NULL, 10) : 0;
}

json_t *undo_process_arguments(int pid)
{
    char boot[64];
    read_boot(boot, sizeof boot);
    json_t *arguments = json_object();
    json_set_integer(arguments, "pid", pid);
    json_set_integer(arguments, "start", start_of(pid));
    json_set_string(arguments, "boot", boot);
    return arguments;
}

/* The pidfd pins the process, so nothing can change between the look and the signal. */
static int end_pinned(int handle, int64_t pid, struct error *error)
{
    static const struct {
        int signal;
        const int *limit;
    } attempts[] = {{SIGTERM, &term_limit}, {SIGKILL, &kill_limit}};
    for (unsigned i = 0; i < ARRAY_SIZE(attempts); i++) {
        if (syscall(SYS_pidfd_send_signal, handle, attempts[i].signal, NULL, 0) != 0)
            return errno == ESRCH
                       ? 0
                       : error_errno(error, errno, "cannot end process %lld", (long long)pid);
        struct pollfd ended = {.fd = handle, .events = POLLIN};
        if (poll(&ended, 1, *attempts[i].limit) > 0)
            return 0;
    }
    return error_set(error, ERROR_TIMEOUT, "process %lld does not end, not even when killed",
                     (long long)pid);
}

static int end_process(void *context, const json_t *arguments, struct error *error)
{
    (void)context;
    char boot[64];
    int64_t pid, start;
    read_boot(boot, sizeof boot);
    const char *then = json_get_string(arguments, "boot", "an undo step", error);
    if (!then || json_get_integer(arguments, "pid", "an undo step", &pid, error) != 0 ||
        json_get_integer(arguments, "start", "an undo step", &start, error) != 0)
        return -1;
    if (pid <= 1 || pid > INT_MAX)
        return error_set(error, ERROR_DAMAGED, "an undo step: %lld is not a process of ours",
                         (long long)pid);
    if (strcmp(boot, then) != 0)
        return 0;
    CLEANUP_CLOSE int handle = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (handle < 0)
        return errno == ESRCH
                   ? 0
                   : error_errno(error, errno, "cannot look at process %lld", (long long)pid);
    if (start == 0 || start_of(pid) != start)
        return 0;
    return end_pinned(handle, pid, error);
}

const struct undo_kind undo_remove_file = {.name = "remove-file", .undo = remove_file};
const struct undo_kind undo_remove_directory = {.name = "remove-directory",
                                                .undo = remove_directory};
const struct undo_kind undo_end_process = {.name = "end-process", .undo = end_process};
