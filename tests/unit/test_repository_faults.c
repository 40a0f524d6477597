/* repository: each I/O call fails in turn, or is the last that a killed process makes; afterwards
 * the repository opens, and every backup that is listed reads byte for byte. */
#include "repository-kit.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { IMAGES = 2 };
static struct kit_image images[IMAGES];
static const char *const times[IMAGES + 1] = {"2026-11-23T14:18:00Z", "2026-11-23T14:18:01Z",
                                              "2026-11-23T14:18:00Z"};

/* What a run reports to have done. */
struct progress {
    bool made;
    unsigned committed;
    bool uncertain; /* one more may be listed: it died on the way, or said so */
};

/* init, first backup, second backup; ends at the first failure. */
static int run_all(struct io *io, const char *path, struct progress *progress, struct error *error)
{
    CLEANUP(backend_freep) struct backend *backend = NULL;
    struct repository *repository;
    if (backend_directory_new(io, path, true, &backend, error) != 0 ||
        kit_init(backend, NULL, error) != 0)
        return -1;
    progress->made = true;
    if (repository_open(backend, NULL, &repository, error) != 0)
        return -1;
    backend = NULL;
    kit_shrink(repository);
    int result = 0;
    for (unsigned i = 0; i < IMAGES && result == 0; i++) {
        result = kit_backup(repository, &images[i], times[i], NULL, NULL, error);
        if (result == 0)
            progress->committed++;
    }
    repository_free(repository);
    return result;
}

struct reading {
    struct repository *repository;
    unsigned count;
};

static int read_backup(void *context, const json_t *manifest, struct error *error)
{
    struct reading *reading = context;
    unsigned which = (unsigned)atoi(json_string_or(manifest, "time", "") + 17);
    assert_good(kit_compare(reading->repository, manifest, &images[which], error), error);
    reading->count++;
    return 0;
}

static void no_damage(void *context, const char *name, const struct error *error)
{
    (void)context;
    fail_msg("%s: %s", name, error->message);
}

static unsigned read_all(struct repository *repository)
{
    struct reading reading = {repository, 0};
    struct error error = ERROR_INIT;
    assert_good(repository_list(repository, read_backup, no_damage, &reading, &error), &error);
    return reading.count;
}

/* After the fault, with good storage: what was reported as done is there, nothing is between, and
 * the next backup works. */
static void check_after(const char *path, const struct progress *progress)
{
    struct backend *backend;
    struct repository *repository;
    struct error error = ERROR_INIT;
    if (backend_directory_new(io_real(), path, false, &backend, &error) != 0) {
        assert_false(progress->made);
        return;
    }
    if (repository_open(backend, NULL, &repository, &error) != 0) {
        assert_int_equal(error.kind, ERROR_NOT_FOUND);
        assert_false(progress->made);
        backend_free(backend);
        error_clear(&error);
        struct progress again = {0}; /* what is left of init is no obstacle to another */
        assert_good(run_all(io_real(), path, &again, &error), &error);
        return;
    }
    kit_shrink(repository);
    unsigned count = read_all(repository);
    if (count != progress->committed) {
        assert_int_equal(count, progress->committed + 1);
        assert_true(progress->uncertain);
    }
    kit_assert_clean(repository);
    assert_good(kit_backup(repository, &images[0], times[IMAGES], NULL, NULL, &error), &error);
    assert_int_equal(read_all(repository), count + 1);
    repository_free(repository);
}

/* Returns whether the fault was reached. */
static bool fail_at(struct io_fault plan)
{
    char path[64], inner[80];
    struct progress progress = {0};
    struct error error = ERROR_INIT;
    kit_folder(path);
    (void)snprintf(inner, sizeof inner, "%s/repository", path);
    struct io *io = io_fault_new(plan);
    int result = run_all(io, inner, &progress, &error);
    bool fired = io_fault_fired(io);
    io_fault_free(io);
    if (!fired)
        assert_good(result, &error);
    if (result != 0)
        assert_true(error_is_set(&error));
    progress.uncertain = result != 0 && strstr(error.message, "may be listed all the same");
    if (!plan.sticky) /* what failed once is withdrawn */
        assert_false(progress.uncertain);
    if (fired && plan.sticky)
        assert_int_equal(result, -1);
    if (fired && plan.number == ENOSPC && result != 0)
        assert_int_equal(error.kind, ERROR_SPACE);
    check_after(inner, &progress);
    kit_remove_tree(path);
    return fired;
}

static void loop(int number, bool sticky, bool reads)
{
    unsigned n = 1;
    while (fail_at(
        (struct io_fault){.fail_at = n, .number = number, .sticky = sticky, .reads = reads}))
        n++;
    print_message("%u calls failed in turn\n", n - 1);
    assert_true(n > 40);
}

static void an_error_once(void **state)
{
    (void)state;
    loop(EIO, false, false);
}

static void an_error_for_good(void **state)
{
    (void)state;
    loop(EIO, true, false);
}

static void no_space_once(void **state)
{
    (void)state;
    loop(ENOSPC, false, false);
}

static void no_space_for_good(void **state)
{
    (void)state;
    loop(ENOSPC, true, false);
}

static void reads_fail_once(void **state)
{
    (void)state;
    loop(EIO, false, true);
}

static void reads_fail_for_good(void **state)
{
    (void)state;
    loop(EIO, true, true);
}

/* ---- Killed at each call ------------------------------------------------------------------- */

/* The kernel's calls, but the process ends before the n-th that changes something. */
static struct io killing;
static atomic_uint calls_left;

static void count_down(void)
{
    if (atomic_fetch_sub(&calls_left, 1) == 1)
        _exit(1);
}

static int killing_open_at(struct io *io, int directory, const char *path, int flags, mode_t mode)
{
    (void)io;
    if (flags & O_CREAT)
        count_down();
    return io_real()->open_at(io_real(), directory, path, flags, mode);
}

static ssize_t killing_pwrite(struct io *io, int file, const void *buffer, size_t size,
                              off_t offset)
{
    (void)io;
    if (atomic_load(&calls_left) == 1) /* a torn write */
        (void)!io_real()->pwrite(io_real(), file, buffer, size / 2, offset);
    count_down();
    return io_real()->pwrite(io_real(), file, buffer, size, offset);
}

static int killing_fsync(struct io *io, int file)
{
    (void)io;
    count_down();
    return io_real()->fsync(io_real(), file);
}

static int killing_rename_at(struct io *io, int from_directory, const char *from, int to_directory,
                             const char *to, unsigned flags)
{
    (void)io;
    count_down();
    return io_real()->rename_at(io_real(), from_directory, from, to_directory, to, flags);
}

static int killing_mkdir_at(struct io *io, int directory, const char *path, mode_t mode)
{
    (void)io;
    count_down();
    return io_real()->mkdir_at(io_real(), directory, path, mode);
}

/* In the child; tells each step through the pipe. Ends with 0 when it was not killed. */
static void run_and_die(const char *path, unsigned n, int report)
{
    struct progress progress = {0};
    struct error error = ERROR_INIT;
    killing = *io_real();
    killing.open_at = killing_open_at;
    killing.pwrite = killing_pwrite;
    killing.fsync = killing_fsync;
    killing.rename_at = killing_rename_at;
    killing.mkdir_at = killing_mkdir_at;
    atomic_store(&calls_left, n);
    struct backend *backend;
    struct repository *repository;
    if (backend_directory_new(&killing, path, true, &backend, &error) != 0 ||
        kit_init(backend, NULL, &error) != 0 || write(report, "i", 1) != 1 ||
        repository_open(backend, NULL, &repository, &error) != 0)
        _exit(2);
    kit_shrink(repository);
    for (unsigned i = 0; i < IMAGES; i++) {
        if (kit_backup(repository, &images[i], times[i], NULL, NULL, &error) != 0 ||
            write(report, "b", 1) != 1)
            _exit(2);
        progress.committed++;
    }
    _exit(0);
}

static bool kill_at(unsigned n)
{
    char path[64], inner[80], steps[8];
    int pipes[2], status;
    struct progress progress = {0};
    kit_folder(path);
    (void)snprintf(inner, sizeof inner, "%s/repository", path);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        run_and_die(inner, n, pipes[1]);
    close(pipes[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    ssize_t got = read(pipes[0], steps, sizeof steps);
    close(pipes[0]);
    assert_true(got >= 0);
    progress.made = got > 0;
    progress.committed = got > 1 ? (unsigned)got - 1 : 0;
    progress.uncertain = WEXITSTATUS(status) == 1;
    check_after(inner, &progress);
    kit_remove_tree(path);
    return WEXITSTATUS(status) == 1;
}

static void killed_at_each_call(void **state)
{
    (void)state;
    unsigned n = 1;
    while (kill_at(n))
        n++;
    print_message("killed at each of %u calls\n", n - 1);
    assert_true(n > 40);
}

/* ---- Two processes ------------------------------------------------------------------------- */

static void back_up_often(const char *path, unsigned which, unsigned rounds)
{
    struct backend *backend;
    struct repository *repository;
    struct error error = ERROR_INIT;
    for (unsigned i = 0; i < rounds; i++) {
        if (backend_directory_new(io_real(), path, false, &backend, &error) != 0 ||
            repository_open(backend, NULL, &repository, &error) != 0)
            _exit(2);
        kit_shrink(repository);
        unsigned image = (which + i) % IMAGES;
        if (kit_backup(repository, &images[image], times[image], NULL, NULL, &error) != 0) {
            print_message("%s\n", error.message);
            _exit(2);
        }
        repository_free(repository);
    }
    _exit(0);
}

/* Both begin with an empty repository, so they store the same chunks at the same time. */
static void two_processes_write_at_once(void **state)
{
    (void)state;
    enum { rounds = 15 };
    char path[64];
    struct backend *backend;
    struct repository *repository;
    struct error error = ERROR_INIT;
    pid_t children[2];
    kit_folder(path);
    assert_good(backend_directory_new(io_real(), path, true, &backend, &error), &error);
    assert_good(kit_init(backend, NULL, &error), &error);
    for (unsigned i = 0; i < 2; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            back_up_often(path, i, rounds);
    }
    for (unsigned i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_good(repository_open(backend, NULL, &repository, &error), &error);
    assert_int_equal(read_all(repository), 2 * rounds);
    kit_assert_clean(repository);
    repository_free(repository);
    kit_remove_tree(path);
}

/* ---- Directories --------------------------------------------------------------------------- */

static void directories_are_checked(void **state)
{
    (void)state;
    char path[64], inner[80];
    struct backend *backend;
    struct error error = ERROR_INIT;
    kit_folder(path);
    (void)snprintf(inner, sizeof inner, "%s/a/b", path);
    assert_int_equal(backend_directory_new(io_real(), inner, true, &backend, &error), -1);
    assert_int_equal(error.kind, ERROR_NOT_FOUND);
    error_clear(&error);
    assert_int_equal(backend_directory_new(io_real(), inner, false, &backend, &error), -1);
    assert_int_equal(error.kind, ERROR_NOT_FOUND);
    error_clear(&error);
    (void)snprintf(inner, sizeof inner, "%s/file", path);
    assert_int_equal(close(open(inner, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    assert_int_equal(backend_directory_new(io_real(), path, true, &backend, &error), -1);
    assert_int_equal(error.kind, ERROR_EXISTS);
    error_clear(&error);
    assert_int_equal(unlink(inner), 0);
    assert_good(backend_directory_new(io_real(), path, true, &backend, &error), &error);
    (void)snprintf(inner, sizeof inner, "%s/pipe", path);
    assert_int_equal(mkfifo(inner, 0600), 0);
    char byte;
    assert_int_equal(backend->get(backend, "pipe", 0, &byte, 1, &error), -1); /* does not block */
    uint64_t size;
    error_clear(&error);
    assert_int_equal(backend->size(backend, "pipe", &size, &error), -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    error_clear(&error);
    struct iovec data = {(void *)"abc", 3};
    assert_good(backend->put(backend, "packs/ab/cd", &data, 1, &error), &error);
    assert_int_equal(backend->put(backend, "packs/ab/cd", &data, 1, &error), -1);
    assert_int_equal(error.kind, ERROR_EXISTS);
    error_clear(&error);
    char text[4];
    assert_int_equal(backend->get(backend, "packs/ab/cd", 1, text, 3, &error), -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    error_clear(&error);
    assert_int_equal(
        symlink("cd", (snprintf(inner, sizeof inner, "%s/packs/ab/link", path), inner)), 0);
    assert_int_equal(backend->get(backend, "packs/ab/link", 0, text, 3, &error), -1);
    error_clear(&error);
    assert_good(backend->remove(backend, "packs/ab/cd", &error), &error);
    assert_int_equal(backend->get(backend, "packs/ab/cd", 0, text, 3, &error), -1);
    assert_int_equal(error.kind, ERROR_NOT_FOUND);
    backend_free(backend);
    kit_remove_tree(path);
}

/* As on NFS: rename never looks whether the name is taken. */
static int careless_rename_at(struct io *io, int from_directory, const char *from, int to_directory,
                              const char *to, unsigned flags)
{
    (void)io;
    if (flags) {
        errno = EINVAL;
        return -1;
    }
    return io_real()->rename_at(io_real(), from_directory, from, to_directory, to, flags);
}

static void a_name_is_never_replaced_on_nfs(void **state)
{
    (void)state;
    char path[64], inner[80];
    struct io io = *io_real();
    struct backend *backend;
    struct progress progress = {0};
    struct error error = ERROR_INIT;
    io.rename_at = careless_rename_at;
    kit_folder(path);
    (void)snprintf(inner, sizeof inner, "%s/repository", path);
    assert_good(run_all(&io, inner, &progress, &error), &error);
    check_after(inner, &progress);
    assert_good(backend_directory_new(&io, inner, false, &backend, &error), &error);
    struct kit_files all = kit_files_of(backend);
    struct kit_file *file = kit_file(&all, "backups/", 0);
    struct iovec piece = {(void *)"x", 1};
    assert_int_equal(backend->put(backend, file->name, &piece, 1, &error), -1);
    assert_int_equal(error.kind, ERROR_EXISTS);
    uint64_t size;
    error_clear(&error);
    assert_good(backend->size(backend, file->name, &size, &error), &error);
    assert_true(size == file->size);
    kit_free_files(&all);
    backend_free(backend);
    kit_remove_tree(path);
}

static int make_images(void **state)
{
    (void)state;
    images[0] = kit_image_new(9 * KIT_CHUNK, 4);
    images[1] = kit_image_new(9 * KIT_CHUNK, 4);
    kit_fill(images[1].data, KIT_CHUNK, 77, 0);
    kit_fill(images[1].data + 5 * KIT_CHUNK, KIT_CHUNK, 78, 2);
    return 0;
}

static int free_images(void **state)
{
    (void)state;
    free(images[0].data);
    free(images[1].data);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_once),
        cmocka_unit_test(an_error_for_good),
        cmocka_unit_test(no_space_once),
        cmocka_unit_test(no_space_for_good),
        cmocka_unit_test(reads_fail_once),
        cmocka_unit_test(reads_fail_for_good),
        cmocka_unit_test(killed_at_each_call),
        cmocka_unit_test(two_processes_write_at_once),
        cmocka_unit_test(directories_are_checked),
        cmocka_unit_test(a_name_is_never_replaced_on_nfs),
    };
    return cmocka_run_group_tests(tests, make_images, free_images);
}
