/* Directory: each name is a file below one directory, made durable by publish_file().
 *
 * Folders are made when the first file is put into them, and remembered, so that a put costs no
 * more than its own three system calls. Symbolic links in the place of files are not followed, and
 * a pipe in the place of a file does not block: the storage is not trusted.
 */
#include "repository/backend.h"

#include "base/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

enum { depth_max = 3 };

struct directory_backend {
    struct backend backend; /* first: the table is the object */
    /* Set at creation, never changed. */
    struct io *io;
    int root;
    char *description;
    pthread_mutex_t lock;
    /* Guarded by lock: folders that are known to be there and durable. */
    char **folders;
    size_t folder_count;
};

static struct directory_backend *directory_of(struct backend *backend)
{
    return (struct directory_backend *)backend;
}

static bool is_known_folder(struct directory_backend *directory, const char *folder)
{
    bool known = false;
    pthread_mutex_lock(&directory->lock);
    for (size_t i = 0; i < directory->folder_count && !known; i++)
        known = strcmp(directory->folders[i], folder) == 0;
    pthread_mutex_unlock(&directory->lock);
    return known;
}

static void remember_folder(struct directory_backend *directory, const char *folder)
{
    pthread_mutex_lock(&directory->lock);
    ARRAY_APPEND(directory->folders, directory->folder_count, memory_copy_string(folder));
    pthread_mutex_unlock(&directory->lock);
}

/* Every folder on the way to `name`. Two threads may make the same one: that is harmless. */
static int make_folders(struct directory_backend *directory, const char *name, struct error *error)
{
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        CLEANUP_FREE char *folder = memory_format("%.*s", (int)(slash - name), name);
        if (is_known_folder(directory, folder))
            continue;
        if (publish_directory(directory->io, directory->root, folder, error) != 0)
            return -1;
        remember_folder(directory, folder);
    }
    return 0;
}

static int directory_put(struct backend *backend, const char *name, const struct iovec *pieces,
                         int count, struct error *error)
{
    struct directory_backend *directory = directory_of(backend);
    if (make_folders(directory, name, error) != 0 ||
        publish_file(directory->io, directory->root, name, pieces, count, PUBLISH_NEW_ONLY,
                     error) != 0)
        return error_prefix(error, "%s: ", directory->description);
    return 0;
}

static int read_exactly(struct directory_backend *directory, int file, const char *name,
                        uint64_t offset, void *buffer, size_t size, struct error *error)
{
    struct io *io = directory->io;
    for (size_t done = 0; done < size;) {
        ssize_t got =
            io->pread(io, file, (char *)buffer + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(error, errno, "%s: cannot read %s", directory->description, name);
        if (got == 0)
            return error_set(error, ERROR_DAMAGED, "%s: %s is too short", directory->description,
                             name);
        done += (size_t)got;
    }
    return 0;
}

static int directory_get(struct backend *backend, const char *name, uint64_t offset, void *buffer,
                         size_t size, struct error *error)
{
    struct directory_backend *directory = directory_of(backend);
    struct io *io = directory->io;
    if (offset > INT64_MAX - size)
        return error_set(error, ERROR_DAMAGED, "%s is too short", name);
    int file = io->open_at(io, directory->root, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (file < 0)
        return error_errno(error, errno, "%s: cannot open %s", directory->description, name);
    int result = read_exactly(directory, file, name, offset, buffer, size, error);
    (void)io->close(io, file);
    return result;
}

static int directory_size(struct backend *backend, const char *name, uint64_t *ret_size,
                          struct error *error)
{
    struct directory_backend *directory = directory_of(backend);
    struct stat stat;
    if (directory->io->stat_at(directory->io, directory->root, name, &stat, AT_SYMLINK_NOFOLLOW) !=
        0)
        return error_errno(error, errno, "%s: cannot look at %s", directory->description, name);
    if (!S_ISREG(stat.st_mode))
        return error_set(error, ERROR_DAMAGED, "%s: %s is not a file", directory->description,
                         name);
    *ret_size = (uint64_t)stat.st_size;
    return 0;
}

struct listing {
    struct directory_backend *directory;
    int (*each)(void *context, const char *name, struct error *error);
    void *context;
};

static DIR *open_stream(struct directory_backend *directory, const char *folder)
{
    struct io *io = directory->io;
    int file = io->open_at(io, directory->root, *folder ? folder : ".",
                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (file < 0)
        return NULL;
    DIR *stream = fdopendir(file);
    if (!stream)
        (void)io->close(io, file);
    return stream;
}

static int list_folder(const struct listing *listing, const char *folder, unsigned depth,
                       struct error *error);

static int list_entry(const struct listing *listing, const char *path, unsigned depth,
                      struct error *error)
{
    struct directory_backend *directory = listing->directory;
    struct stat stat;
    if (directory->io->stat_at(directory->io, directory->root, path, &stat, AT_SYMLINK_NOFOLLOW) !=
        0) {
        if (errno == ENOENT)
            return 0; /* removed while it was listed */
        return error_errno(error, errno, "%s: cannot look at %s", directory->description, path);
    }
    if (S_ISDIR(stat.st_mode) && depth < depth_max)
        return list_folder(listing, path, depth + 1, error);
    return listing->each(listing->context, path, error);
}

/* Names that begin with a dot are temporary ones of publish_file(). */
static int list_folder(const struct listing *listing, const char *folder, unsigned depth,
                       struct error *error)
{
    DIR *stream = open_stream(listing->directory, folder);
    if (!stream && errno == ENOENT)
        return 0;
    if (!stream)
        return error_errno(error, errno, "%s: cannot list %s", listing->directory->description,
                           folder);
    int result = 0;
    while (result == 0) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (!entry && errno)
            result = error_errno(error, errno, "%s: cannot list %s",
                                 listing->directory->description, folder);
        if (!entry)
            break;
        if (entry->d_name[0] == '.')
            continue;
        CLEANUP_FREE char *path = *folder ? memory_format("%s/%s", folder, entry->d_name)
                                          : memory_copy_string(entry->d_name);
        result = list_entry(listing, path, depth, error);
    }
    (void)closedir(stream);
    return result;
}

static int directory_list(struct backend *backend, const char *prefix,
                          int (*each)(void *context, const char *name, struct error *error),
                          void *context, struct error *error)
{
    struct listing listing = {directory_of(backend), each, context};
    size_t length = strlen(prefix);
    CLEANUP_FREE char *folder =
        memory_format("%.*s", (int)(length ? length - 1 : 0), prefix); /* without its slash */
    return list_folder(&listing, folder, 0, error);
}

static int directory_remove(struct backend *backend, const char *name, struct error *error)
{
    struct directory_backend *directory = directory_of(backend);
    if (publish_remove(directory->io, directory->root, name, error) != 0)
        return error_prefix(error, "%s: ", directory->description);
    return 0;
}

static void directory_free(struct backend *backend)
{
    struct directory_backend *directory = directory_of(backend);
    if (directory->root >= 0)
        (void)directory->io->close(directory->io, directory->root);
    for (size_t i = 0; i < directory->folder_count; i++)
        free(directory->folders[i]);
    free(directory->folders);
    free(directory->description);
    pthread_mutex_destroy(&directory->lock);
    free(directory);
}

/* What a run of init that was cut short leaves behind, and what an empty ext4 holds, is no reason
 * to refuse a directory; anything else is. */
static int refuse_entry(void *context, const char *name, struct error *error)
{
    const char *path = context;
    if (strncmp(name, "keys/", 5) == 0 || strncmp(name, "lost+found", 10) == 0)
        return 0;
    if (strcmp(name, "vmshadow-repository") == 0) {
        (void)error_set(error, ERROR_EXISTS, "there is a repository in %s already", path);
        return error_advise(error, "repository-exists", "use it, or choose an empty directory");
    }
    (void)error_set(error, ERROR_EXISTS, "the directory %s is not empty", path);
    return error_advise(error, "directory-not-empty", "choose an empty directory");
}

static int make_root(struct directory_backend *directory, const char *path, struct error *error)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    CLEANUP_FREE char *trimmed = memory_format("%.*s", (int)length, path);
    if (publish_directory(directory->io, AT_FDCWD, trimmed, error) == 0)
        return 0;
    if (error && error->kind == ERROR_NOT_FOUND)
        (void)error_advise(error, "repository-directory", "make the directory above it first");
    return -1;
}

int backend_directory_new(struct io *io, const char *path, bool create,
                          struct backend **ret_backend, struct error *error)
{
    struct directory_backend *directory = NEW(struct directory_backend);
    CLEANUP(backend_freep) struct backend *backend = &directory->backend;
    directory->io = io;
    directory->root = -1;
    directory->description = memory_format("directory %s", path);
    pthread_mutex_init(&directory->lock, NULL);
    *backend = (struct backend){
        .put = directory_put,
        .get = directory_get,
        .size = directory_size,
        .list = directory_list,
        .remove = directory_remove,
        .free = directory_free,
        .description = directory->description,
    };
    if (create && make_root(directory, path, error) != 0)
        return -1;
    directory->root = io->open_at(io, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (directory->root < 0)
        return error_errno(error, errno, "cannot open the repository's directory %s", path);
    if (create && directory_list(backend, "", refuse_entry, (void *)path, error) != 0)
        return -1;
    *ret_backend = TAKE_PTR(backend);
    return 0;
}
