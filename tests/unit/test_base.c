/* base: errors keep the first fault, ids and times parse what they print, files are published
 * whole or not at all, children are bounded, workers stop at the first error. */
#include "base/clock.h"
#include "base/error.h"
#include "base/file-identity.h"
#include "base/id.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/publish.h"
#include "base/workers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void error_keeps_the_first(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    assert_int_equal(error_set(&error, ERROR_REFUSED, "first %d", 1), -1);
    error_errno(&error, ENOSPC, "second");
    error_prefix(&error, "VM %s: ", "web1");
    error_advise(&error, "that-way", "do this");
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_string_equal(error.message, "VM web1: first 1");
    assert_string_equal(error.hint, "do this");
    assert_string_equal(error_id(&error), "that-way");
    struct error other = ERROR_INIT;
    error_errno(&other, ENOSPC, "disk vda");
    assert_int_equal(other.kind, ERROR_SPACE);
    assert_int_equal(other.number, ENOSPC);
    assert_string_equal(error_id(&other), "space");
    error_move(&error, &other);
    assert_string_equal(error.message, "VM web1: first 1");
    assert_false(error_is_set(&other));
}

static void error_never_overflows(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    error_set(&error, ERROR_FAILED, "%s", text);
    error_prefix(&error, "%s", text);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
}

static void id_round_trip(void **state)
{
    (void)state;
    struct id a = id_new(), b = id_new(), c;
    assert_false(id_equal(&a, &b));
    assert_int_equal(id_parse("{66841CD4-6ded-4f4b-8f17-fd23f8ddc3de}", &c), 0);
    assert_string_equal(c.text, "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de");
    assert_int_equal(id_parse("66841cd4x6ded-4f4b-8f17-fd23f8ddc3de", &c), -1);
    assert_int_equal(id_parse("", &c), -1);
    assert_int_equal(id_parse(a.text, &c), 0);
    assert_true(id_equal(&a, &c));
}

static void clock_round_trip(void **state)
{
    (void)state;
    char text[clock_text_size];
    int64_t wall;
    clock_format(INT64_C(1795443485) * CLOCK_SECOND, text);
    assert_string_equal(text, "2026-11-23T14:18:05Z");
    assert_int_equal(clock_parse(text, &wall), 0);
    assert_true(wall == INT64_C(1795443485) * CLOCK_SECOND);
    assert_int_equal(clock_parse("yesterday", &wall), -1);
}

static void json_names_the_fault(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    CLEANUP_JSON json_t *value = json_parse("{\"a\":1}", 7, "the thing", &error);
    assert_non_null(value);
    int64_t number;
    assert_int_equal(json_get_integer(value, "a", "the thing", &number, &error), 0);
    assert_int_equal(number, 1);
    assert_null(json_get_string(value, "b", "the thing", &error));
    assert_int_equal(error.kind, ERROR_DAMAGED);
    assert_non_null(strstr(error.message, "\"b\""));
    error_clear(&error);
    assert_null(json_parse("{\"a\":1} x", 9, "the thing", &error));
    error_clear(&error);
    assert_null(json_parse("{\"a\":1,\"a\":2}", 13, "the thing", &error));
}

static void json_takes_any_bytes(void **state)
{
    (void)state;
    CLEANUP_JSON json_t *list = json_array();
    json_append_string(list, "gr\xc3\xbcn");
    json_append_string(list, "gr\xfcn");
    json_append_string(list, NULL);
    CLEANUP_FREE char *text = json_text(list);
    assert_string_equal(text, "[\"gr\xc3\xbcn\",\"gr?n\",null]");
    assert_true(json_holds("gr\xc3\xbcn", 5));
    assert_false(json_holds("gr\xfcn", 4));
    assert_false(json_holds("gr\xc3\xbcn", 3));
    assert_true(json_holds("", 0));
}

static int temporary_directory(char *path)
{
    strcpy(path, "/tmp/vmshadow-unit-XXXXXX");
    assert_non_null(mkdtemp(path));
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(directory >= 0);
    return directory;
}

static unsigned count_entries(const char *path)
{
    unsigned count = 0;
    DIR *stream = opendir(path);
    assert_non_null(stream);
    while (readdir(stream))
        count++;
    closedir(stream);
    return count - 2;
}

static void read_back(int directory, const char *name, char *text, size_t size)
{
    int file = openat(directory, name, O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    ssize_t got = read(file, text, size - 1);
    assert_true(got >= 0);
    text[got] = '\0';
    close(file);
}

/* Every counted call fails once, in turn: the name shows the old bytes or the new ones, whole. */
static void publish_is_all_or_nothing(void **state)
{
    (void)state;
    char path[64], text[64];
    int directory = temporary_directory(path);
    struct iovec old = {(void *)"old", 3},
                 new_pieces[] = {{(void *)"brand ", 6}, {(void *)"new", 3}};
    assert_int_equal(publish_file(io_real(), directory, "file", &old, 1, 0, NULL), 0);
    unsigned runs = 0;
    for (uint64_t n = 1;; n++) {
        struct io *io = io_fault_new((struct io_fault){.fail_at = n, .number = EIO});
        struct error error = ERROR_INIT;
        int result = publish_file(io, directory, "file", new_pieces, 2, 0, &error);
        bool fired = io_fault_fired(io);
        io_fault_free(io);
        read_back(directory, "file", text, sizeof text);
        if (fired) {
            assert_int_equal(result, -1);
            assert_true(error_is_set(&error));
            assert_true(strcmp(text, "old") == 0 || strcmp(text, "brand new") == 0);
            assert_int_equal(count_entries(path), 1);
            assert_int_equal(publish_file(io_real(), directory, "file", &old, 1, 0, NULL), 0);
            runs++;
            continue;
        }
        assert_int_equal(result, 0);
        assert_string_equal(text, "brand new");
        break;
    }
    assert_int_equal(runs, 6); /* create, two writes, fsync, rename, fsync of the directory */
    unlinkat(directory, "file", 0);
    close(directory);
    rmdir(path);
}

static void publish_new_only_and_sweep(void **state)
{
    (void)state;
    char path[64];
    int directory = temporary_directory(path);
    struct iovec piece = {(void *)"x", 1};
    struct error error = ERROR_INIT;
    assert_int_equal(publish_directory(io_real(), directory, "sub", &error), 0);
    assert_int_equal(publish_directory(io_real(), directory, "sub", &error), 0);
    assert_int_equal(
        publish_file(io_real(), directory, "sub/a", &piece, 1, PUBLISH_NEW_ONLY, &error), 0);
    assert_int_equal(
        publish_file(io_real(), directory, "sub/a", &piece, 1, PUBLISH_NEW_ONLY, &error), -1);
    assert_int_equal(error.kind, ERROR_EXISTS);
    int left = openat(directory, ".vmshadow-1234.tmp", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(left);
    assert_int_equal(count_entries(path), 2);
    assert_int_equal(publish_sweep(io_real(), directory, NULL), 0);
    assert_int_equal(count_entries(path), 1);
    assert_int_equal(publish_remove(io_real(), directory, "sub/a", NULL), 0);
    assert_int_equal(publish_remove(io_real(), directory, "sub/a", NULL), 0);
    unlinkat(directory, "sub", AT_REMOVEDIR);
    close(directory);
    rmdir(path);
}

static void the_sweep_passes_pipes_by(void **state)
{
    (void)state;
    char path[64];
    int directory = temporary_directory(path);
    assert_int_equal(mkfifoat(directory, ".vmshadow-1234.tmp", 0600), 0);
    (void)alarm(60); /* it would wait for a writer for ever */
    assert_int_equal(publish_sweep(io_real(), directory, NULL), 0);
    (void)alarm(0);
    assert_int_equal(count_entries(path), 1);
    unlinkat(directory, ".vmshadow-1234.tmp", 0);
    close(directory);
    rmdir(path);
}

static void append(const char *path, const char *text)
{
    int file = open(path, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
}

static void file_identity_follows_the_file(void **state)
{
    (void)state;
    char path[64];
    close(temporary_directory(path));
    CLEANUP_FREE char *one = memory_format("%s/one", path);
    CLEANUP_FREE char *two = memory_format("%s/two", path);
    CLEANUP_FREE char *below = memory_format("%s/one/below", path);
    struct file_identity nothing, first, now;
    assert_int_equal(file_identity_get(one, &nothing, NULL), 0);
    assert_false(nothing.exists);
    append(one, "text");
    assert_int_equal(file_identity_get(one, &first, NULL), 0);
    assert_true(first.exists && first.size == 4);
    assert_false(file_identity_is_same(&nothing, &first));
    assert_int_equal(file_identity_get(below, &now, NULL), 0);
    assert_true(file_identity_is_unchanged(&nothing, &now));
    assert_int_equal(rename(one, two), 0);
    assert_int_equal(file_identity_get(two, &now, NULL), 0);
    assert_true(file_identity_is_unchanged(&first, &now));
    append(two, "more");
    assert_int_equal(file_identity_get(two, &now, NULL), 0);
    assert_true(file_identity_is_same(&first, &now));
    assert_false(file_identity_is_unchanged(&first, &now));
    /* Another file under the name: a link to it is not followed. */
    assert_int_equal(symlink(two, one), 0);
    assert_int_equal(file_identity_get(one, &now, NULL), 0);
    assert_true(now.exists);
    assert_false(file_identity_is_same(&first, &now));
    unlink(one);
    unlink(two);
    rmdir(path);
}

static void process_runs_and_is_bounded(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    char *output = NULL;
    char *good[] = {(char *)"printf", (char *)"a b", NULL};
    assert_int_equal(process_run(good, 10 * CLOCK_SECOND, &output, &error), 0);
    assert_string_equal(output, "a b");
    free(output);
    char *bad[] = {(char *)"ls", (char *)"/does-not-exist", NULL};
    assert_int_equal(process_run(bad, 10 * CLOCK_SECOND, NULL, &error), -1);
    assert_non_null(strstr(error.message, "/does-not-exist"));
    error_clear(&error);
    char *slow[] = {(char *)"sleep", (char *)"100", NULL};
    int64_t before = clock_monotonic();
    assert_int_equal(process_run(slow, CLOCK_SECOND / 10, NULL, &error), -1);
    assert_int_equal(error.kind, ERROR_TIMEOUT);
    assert_true(clock_monotonic() - before < 5 * CLOCK_SECOND);
    error_clear(&error);
    char *missing[] = {(char *)"vmshadow-no-such-program", NULL};
    assert_int_equal(process_run(missing, CLOCK_SECOND, NULL, &error), -1);
}

struct tally {
    atomic_uint ran, discarded;
};

static int run_task(void *context, void *task, struct error *error)
{
    struct tally *tally = context;
    atomic_fetch_add(&tally->ran, 1);
    return (uintptr_t)task == 5 ? error_set(error, ERROR_FAILED, "task five") : 0;
}

static void discard_task(void *context, void *task)
{
    (void)task;
    atomic_fetch_add(&((struct tally *)context)->discarded, 1);
}

static void workers_stop_at_the_first_error(void **state)
{
    (void)state;
    struct tally tally = {0};
    struct workers *workers =
        workers_new(3, 2, (struct workers_task){run_task, discard_task, &tally});
    struct error error = ERROR_INIT;
    uintptr_t submitted = 0; /* how many the others run before it fails is up to the scheduler */
    while (submitted < 10000000 && workers_submit(workers, (void *)++submitted, NULL) == 0)
        ;
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(workers_submit(workers, (void *)++submitted, NULL), -1);
    assert_int_equal(workers_finish(workers, &error), -1);
    assert_string_equal(error.message, "task five");
    assert_int_equal(tally.ran + tally.discarded, submitted);
    assert_true(tally.discarded > 50);
}

static int odd_fails(void *context, unsigned index)
{
    atomic_fetch_add((atomic_uint *)context, 1);
    return index % 2 ? -1 : 0;
}

static void workers_each_runs_all(void **state)
{
    (void)state;
    atomic_uint ran = 0;
    assert_int_equal(workers_each(9, 4, odd_fails, &ran), 4);
    assert_int_equal(ran, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_keeps_the_first),
        cmocka_unit_test(error_never_overflows),
        cmocka_unit_test(id_round_trip),
        cmocka_unit_test(clock_round_trip),
        cmocka_unit_test(json_names_the_fault),
        cmocka_unit_test(json_takes_any_bytes),
        cmocka_unit_test(publish_is_all_or_nothing),
        cmocka_unit_test(publish_new_only_and_sweep),
        cmocka_unit_test(the_sweep_passes_pipes_by),
        cmocka_unit_test(file_identity_follows_the_file),
        cmocka_unit_test(process_runs_and_is_bounded),
        cmocka_unit_test(workers_stop_at_the_first_error),
        cmocka_unit_test(workers_each_runs_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
