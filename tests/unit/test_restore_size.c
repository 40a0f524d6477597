/* writers/vm: a restore that is too large for the record that makes it final is refused before
 * anything is done. */
#include "writers/vm/vm-writer.h"

#include "base/memory.h"
#include "undo/undo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define UUID "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de"
#define XML                                                                                        \
    "<domain type='qemu'><name>web1</name><uuid>" UUID "</uuid><memory>1</memory>"                 \
    "<os><type>hvm</type></os></domain>"

enum { FILES = 1000 };

static int add(struct vm_writer *writer, char *path, struct error *error)
{
    struct vm_restore_file files[FILES];
    for (unsigned i = 0; i < FILES; i++)
        files[i] = (struct vm_restore_file){
            .role = "disk", .target = "vda", .original = path, .path = path, .format = "qcow2"};
    files[0].old_path = path;
    struct vm_restore restore = {
        .uuid = UUID, .name = "web1", .xml = XML, .files = files, .file_count = FILES};
    return vm_writer_add_restore(writer, &restore, error);
}

static void too_many_files_are_refused_before(void **state)
{
    (void)state;
    struct vm_writer_settings settings = {.barrier = true};
    struct vm_writer *writer;
    struct error error = ERROR_INIT;
    char path[100];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(vm_writer_new(&settings, &writer, &error), 0);
    unsigned added = 0;
    while (added < 1000 && add(writer, path, &error) == 0)
        added++;
    vm_writer_free(writer);
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_string_equal(error.id, "restore-too-large");
    /* What was taken fits, whatever characters the names have. */
    assert_true(added >= 10);
    assert_true(added * FILES * 6 * sizeof path < UNDO_ARGUMENT_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(too_many_files_are_refused_before)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
