/* writers/vm: NVRAM and emulated-TPM state are copied into memory whole, and only what is theirs
 * (row B1: every file of the VM). */
#include "writers/vm/vm-writer-private.h"

#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { NVRAM_SIZE = 540672, TPM_SIZE = 6137 };

/* A directory with the files of a VM, and the VM. */
struct place {
    char directory[64];
    char *nvram, *state, *inner;
    struct domain domain;
    struct plan plan;
    struct vm vm;
};

static void fill(unsigned char *data, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)((i * 31 + (i >> 8) + seed) % 251);
}

static void write_file(const char *path, size_t size, unsigned seed)
{
    CLEANUP_FREE unsigned char *data = memory_new(1, size + 1);
    fill(data, size, seed);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, data, size), size);
    assert_int_equal(close(file), 0);
}

static int set_up(void **state)
{
    struct place *place = NEW(struct place);
    (void)snprintf(place->directory, sizeof place->directory, "/tmp/vmshadow-capture.XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    place->nvram = memory_format("%s/web_VARS.fd", place->directory);
    place->state = memory_format("%s/swtpm", place->directory);
    place->inner = memory_format("%s/tpm2", place->state);
    assert_int_equal(mkdir(place->state, 0700), 0);
    assert_int_equal(mkdir(place->inner, 0700), 0);
    place->domain = (struct domain){
        .name = (char *)"web", .nvram = place->nvram, .tpm_state_directory = place->state};
    place->plan.domain = &place->domain;
    place->vm.plan = &place->plan;
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    place->vm.plan = NULL; /* not on the heap */
    vm_clear(&place->vm);
    CLEANUP_FREE char *command = memory_format("rm -rf %s", place->directory);
    assert_int_equal(system(command), 0);
    free(place->nvram);
    free(place->state);
    free(place->inner);
    free(place);
    return 0;
}

static char *state_file(const struct place *place, const char *name)
{
    return memory_format("%s/%s", place->inner, name);
}

static const struct vm_capture *find(const struct place *place, const char *role)
{
    for (size_t i = 0; i < place->vm.capture_count; i++)
        if (strcmp(place->vm.captures[i].role, role) == 0)
            return &place->vm.captures[i];
    return NULL;
}

static void assert_capture(const struct place *place, const char *role, const char *path,
                           size_t size, unsigned seed)
{
    const struct vm_capture *capture = find(place, role);
    assert_non_null(capture);
    assert_string_equal(capture->path, path);
    assert_int_equal(capture->size, size);
    CLEANUP_FREE unsigned char *expected = memory_new(1, size);
    fill(expected, size, seed);
    assert_memory_equal(capture->data, expected, size);
}

static void assert_refused(struct place *place, const char *part, const char *path)
{
    struct error error = ERROR_INIT;
    assert_int_equal(vm_capture_files(&place->vm, &error), -1);
    assert_non_null(strstr(error.message, "VM web"));
    assert_non_null(strstr(error.message, part));
    assert_non_null(strstr(error.message, path));
    error_clear(&error);
}

/* What is written afterwards is not in the copy. */
static void both_are_taken_as_they_are(void **state)
{
    struct place *place = *state;
    struct error error = ERROR_INIT;
    CLEANUP_FREE char *permanent = state_file(place, "tpm2-00.permall");
    CLEANUP_FREE char *lock = state_file(place, ".lock");
    CLEANUP_FREE char *unfinished = state_file(place, "TMP2-00.permall");
    write_file(place->nvram, NVRAM_SIZE, 1);
    write_file(permanent, TPM_SIZE, 2);
    write_file(lock, 0, 0);
    write_file(unfinished, TPM_SIZE / 2, 5);
    assert_int_equal(vm_capture_files(&place->vm, &error), 0);
    write_file(place->nvram, NVRAM_SIZE, 3);
    write_file(permanent, TPM_SIZE, 4);
    assert_int_equal(place->vm.capture_count, 2);
    assert_capture(place, "nvram", place->nvram, NVRAM_SIZE, 1);
    assert_capture(place, "tpm", permanent, TPM_SIZE, 2);
}

/* libvirt makes both at the first start. */
static void a_vm_that_never_ran_has_neither(void **state)
{
    struct place *place = *state;
    struct error error = ERROR_INIT;
    assert_int_equal(rmdir(place->inner), 0);
    assert_int_equal(rmdir(place->state), 0);
    assert_int_equal(vm_capture_files(&place->vm, &error), 0);
    assert_int_equal(place->vm.capture_count, 0);
    assert_int_equal(mkdir(place->state, 0700), 0);
}

static void a_link_is_refused(void **state)
{
    struct place *place = *state;
    CLEANUP_FREE char *name = state_file(place, "tpm2-00.permall");
    assert_int_equal(symlink("/etc/passwd", name), 0);
    assert_refused(place, "TPM state", name);
    assert_int_equal(place->vm.capture_count, 0);
    assert_int_equal(symlink("/etc/passwd", place->nvram), 0);
    assert_refused(place, "NVRAM", place->nvram);
}

static void what_is_too_large_or_no_file_is_refused(void **state)
{
    struct place *place = *state;
    write_file(place->nvram, 1, 0);
    assert_int_equal(truncate(place->nvram, (64 << 20) + 1), 0);
    assert_refused(place, "64 MiB", place->nvram);
    assert_int_equal(unlink(place->nvram), 0);
    assert_int_equal(mkdir(place->nvram, 0700), 0);
    assert_refused(place, "no regular file", place->nvram);
    assert_int_equal(rmdir(place->nvram), 0);
}

static void too_many_state_files_are_refused(void **state)
{
    struct place *place = *state;
    for (unsigned i = 0; i < 65; i++) {
        CLEANUP_FREE char *number = memory_format("%02u", i);
        CLEANUP_FREE char *path = state_file(place, number);
        write_file(path, 1, i);
    }
    assert_refused(place, "TPM state", "more than 64");
}

#define PLACED(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(both_are_taken_as_they_are),
        PLACED(a_vm_that_never_ran_has_neither),
        PLACED(a_link_is_refused),
        PLACED(what_is_too_large_or_no_file_is_refused),
        PLACED(too_many_state_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
