/* Memory: a sorted array of named buffers under one lock. For tests and measurements. */
#include "repository/backend.h"

#include <pthread.h>
#include <string.h>

struct file {
    char *name;
    uint8_t *data;
    size_t size;
};

struct memory_backend {
    struct backend backend; /* first: the table is the object */
    pthread_mutex_t lock;
    /* Guarded by lock. */
    struct file *files; /* sorted by name */
    size_t count;
};

static struct memory_backend *memory_of(struct backend *backend)
{
    return (struct memory_backend *)backend;
}

/* First position whose name is not before `name`. */
static size_t position(const struct memory_backend *memory, const char *name)
{
    size_t low = 0, high = memory->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(memory->files[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct file *find(struct memory_backend *memory, const char *name, struct error *error)
{
    size_t at = position(memory, name);
    if (at < memory->count && strcmp(memory->files[at].name, name) == 0)
        return &memory->files[at];
    (void)error_set(error, ERROR_NOT_FOUND, "there is no %s", name);
    return NULL;
}

static void insert(struct memory_backend *memory, struct file file)
{
    size_t at = position(memory, file.name);
    ARRAY_APPEND(memory->files, memory->count, file);
    memmove(&memory->files[at + 1], &memory->files[at],
            (memory->count - 1 - at) * sizeof *memory->files);
    memory->files[at] = file;
}

static int memory_put(struct backend *backend, const char *name, const struct iovec *pieces,
                      int count, struct error *error)
{
    struct memory_backend *memory = memory_of(backend);
    struct file file = {0};
    for (int i = 0; i < count; i++)
        file.size += pieces[i].iov_len;
    file.data = memory_try_new(file.size, 1);
    if (!file.data)
        return error_set(error, ERROR_SPACE, "no memory for %s", name);
    for (size_t i = 0, used = 0; i < (size_t)count; used += pieces[i++].iov_len)
        memcpy(file.data + used, pieces[i].iov_base, pieces[i].iov_len);
    pthread_mutex_lock(&memory->lock);
    bool exists = find(memory, name, NULL) != NULL;
    if (!exists) {
        file.name = memory_copy_string(name);
        insert(memory, file);
    }
    pthread_mutex_unlock(&memory->lock);
    if (!exists)
        return 0;
    free(file.data);
    return error_set(error, ERROR_EXISTS, "%s exists already", name);
}

static int memory_get(struct backend *backend, const char *name, uint64_t offset, void *buffer,
                      size_t size, struct error *error)
{
    struct memory_backend *memory = memory_of(backend);
    pthread_mutex_lock(&memory->lock);
    struct file *file = find(memory, name, error);
    int result = file ? 0 : -1;
    if (file && (offset > file->size || size > file->size - offset))
        result = error_set(error, ERROR_DAMAGED, "%s is too short", name);
    else if (file && size)
        memcpy(buffer, file->data + offset, size);
    pthread_mutex_unlock(&memory->lock);
    return result;
}

static int memory_size(struct backend *backend, const char *name, uint64_t *ret_size,
                       struct error *error)
{
    struct memory_backend *memory = memory_of(backend);
    pthread_mutex_lock(&memory->lock);
    struct file *file = find(memory, name, error);
    if (file)
        *ret_size = file->size;
    pthread_mutex_unlock(&memory->lock);
    return file ? 0 : -1;
}

/* Names are copied first, so that `each` may call the backend. */
static int memory_list(struct backend *backend, const char *prefix,
                       int (*each)(void *context, const char *name, struct error *error),
                       void *context, struct error *error)
{
    struct memory_backend *memory = memory_of(backend);
    char **names = NULL;
    size_t count = 0;
    pthread_mutex_lock(&memory->lock);
    for (size_t i = position(memory, prefix); i < memory->count; i++) {
        if (strncmp(memory->files[i].name, prefix, strlen(prefix)) != 0)
            break;
        ARRAY_APPEND(names, count, memory_copy_string(memory->files[i].name));
    }
    pthread_mutex_unlock(&memory->lock);
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        if (result == 0)
            result = each(context, names[i], error);
        free(names[i]);
    }
    free(names);
    return result;
}

static int memory_remove(struct backend *backend, const char *name, struct error *error)
{
    struct memory_backend *memory = memory_of(backend);
    pthread_mutex_lock(&memory->lock);
    struct file *file = find(memory, name, error);
    if (file) {
        free(file->name);
        free(file->data);
        size_t at = (size_t)(file - memory->files);
        memmove(file, file + 1, (memory->count - 1 - at) * sizeof *file);
        memory->count--;
    }
    pthread_mutex_unlock(&memory->lock);
    return file ? 0 : -1;
}

static void memory_backend_free(struct backend *backend)
{
    struct memory_backend *memory = memory_of(backend);
    for (size_t i = 0; i < memory->count; i++) {
        free(memory->files[i].name);
        free(memory->files[i].data);
    }
    free(memory->files);
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

struct backend *backend_memory_new(void)
{
    struct memory_backend *memory = NEW(struct memory_backend);
    memory->backend = (struct backend){
        .put = memory_put,
        .get = memory_get,
        .size = memory_size,
        .list = memory_list,
        .remove = memory_remove,
        .free = memory_backend_free,
        .description = "memory",
    };
    pthread_mutex_init(&memory->lock, NULL);
    return &memory->backend;
}
