/* Transfer, faults: a server that fails, dies, hangs or is not what was expected, and an end from
 * outside: each ends the transfer soon, with an error that says which disk and where, and leaves
 * nothing behind (the sanitizers look). */
#include "transfer_kit.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What a check does, in the thread that asks. */
struct script {
    struct transfer_disk *disk; /* `act` happens when so much of it is done */
    uint64_t done;
    void (*act)(struct script *script);
    const struct server *server;
    const char *path;
    bool stop; /* fail from then on */
    atomic_bool acted;
    int64_t acted_at; /* monotonic; set before acted */
    pthread_mutex_t lock;
};

static int run_script(void *context, struct error *error)
{
    struct script *script = context;
    pthread_mutex_lock(&script->lock);
    if (!atomic_load(&script->acted) && atomic_load(&script->disk->bytes_done) >= script->done) {
        script->acted_at = clock_monotonic();
        if (script->act)
            script->act(script);
        atomic_store(&script->acted, true);
    }
    pthread_mutex_unlock(&script->lock);
    if (script->stop && atomic_load(&script->acted))
        return error_set(error, ERROR_INTERRUPTED, "the user ended it");
    return 0;
}

/* A second is promised. Machines that test may be busy, and what this guards against takes 30 s or
 * more. */
#define SOON 3

static double seconds_since(int64_t start)
{
    return (double)(clock_monotonic() - start) / CLOCK_SECOND;
}

/* Back up one disk; it must fail. Returns how long it took after the script has acted. */
static double fail_backup(struct transfer_disk *disk, struct script *script, int64_t time_limit,
                          struct error *error)
{
    struct repository *repository = kit_repository();
    struct repository_writer *writer = kit_writer(repository);
    struct transfer_settings settings = {.time_limit = time_limit};
    struct script none = {.disk = disk, .done = UINT64_MAX};
    struct script *used = script ? script : &none;
    int64_t start = clock_monotonic();
    pthread_mutex_init(&used->lock, NULL);
    *error = ERROR_INIT;
    assert_int_equal(transfer_backup(writer, CHUNK, disk, 1, &settings, run_script, used, error),
                     -1);
    double seconds = seconds_since(atomic_load(&used->acted) ? used->acted_at : start);
    pthread_mutex_destroy(&used->lock);
    repository_writer_free(writer);
    repository_free(repository);
    return seconds;
}

static void a_wrong_export_is_refused(void **state)
{
    (void)state;
    struct error error;
    CLEANUP_SERVER struct server server = server_nbdkit("--readonly", "memory", "1M", NULL);
    struct transfer_disk disk = disk_of(&server, MIB + 1);
    (void)fail_backup(&disk, NULL, 0, &error);
    assert_error(&error, ERROR_REFUSED, "1048576 bytes, 1048577 were expected");
    assert_int_equal(disk.bytes_read, 0);
}

static void no_server_is_a_connection_error(void **state)
{
    (void)state;
    struct error error;
    struct transfer_disk disk = {.label = "VM web1, disk vda",
                                 .nbd_uri = "nbd+unix:///?socket=/nonexistent/socket",
                                 .size = MIB};
    assert_true(fail_backup(&disk, NULL, 0, &error) < SOON);
    assert_error(&error, ERROR_CONNECTION, "cannot connect to nbd+unix:///?socket=/nonexistent");
    disk.nbd_uri = "gopher://example";
    (void)fail_backup(&disk, NULL, 0, &error);
    assert_error(&error, ERROR_CONNECTION, "gopher");
}

/* It listens, and says nothing. */
static void a_silent_listener_times_out(void **state)
{
    (void)state;
    struct error error;
    CLEANUP_FREE char *path = kit_path("silent");
    CLEANUP_FREE char *uri = memory_format("nbd+unix:///?socket=%s", path);
    CLEANUP_CLOSE int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    struct transfer_disk disk = {.label = "VM web1, disk vda", .nbd_uri = uri, .size = MIB};
    double seconds = fail_backup(&disk, NULL, 300 * CLOCK_MILLISECOND, &error);
    assert_error(&error, ERROR_TIMEOUT, "has not answered for");
    assert_true(seconds >= 0.3 && seconds < SOON);
}

static void touch(struct script *script)
{
    close(open(script->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static void a_read_error_names_the_place(void **state)
{
    (void)state;
    struct error error;
    CLEANUP_FREE char *trigger = kit_path("trigger");
    CLEANUP_FREE char *option = memory_format("error-pread-file=%s", trigger);
    CLEANUP_SERVER struct server server =
        server_nbdkit("--readonly", "--filter=error", "--filter=rate", "pattern", "64M",
                      "rate=400M", "error-pread=EIO", "error-pread-rate=100%", option, NULL);
    struct transfer_disk disk = disk_of(&server, 64 * MIB);
    struct script script = {.disk = &disk, .done = MIB, .act = touch, .path = trigger};
    assert_true(fail_backup(&disk, &script, 0, &error) < SOON);
    assert_error(&error, ERROR_FAILED, "cannot read 65536 bytes at offset ");
    assert_int_equal(error.number, EIO);
    assert_true(atol(strstr(error.message, "offset ") + 7) >= (long)MIB);
}

/* A chunk that needs several commands, of which only the first fails. */
static void a_fault_in_a_part_is_a_fault(void **state)
{
    (void)state;
    struct error error;
    CLEANUP_SERVER struct server server = server_nbdkit(
        "--filter=blocksize-policy", "eval", "blocksize-maximum=32K",
        "blocksize-error-policy=error", "get_size=echo 256K",
        "pread=if [ $4 -eq 131072 ]; then echo EIO >&2; exit 1; fi; head -c $3 /dev/zero", NULL);
    struct transfer_disk disk = disk_of(&server, 256 * KIB);
    (void)fail_backup(&disk, NULL, 0, &error);
    assert_error(&error, ERROR_FAILED, "cannot read 65536 bytes at offset 131072: ");
}

static void send_kill(struct script *script)
{
    kill(process_id(script->server->process), SIGKILL);
}

static void send_stop(struct script *script)
{
    kill(process_id(script->server->process), SIGSTOP);
}

static void a_killed_server_ends_it_within_a_second(void **state)
{
    (void)state;
    struct error error;
    CLEANUP_FREE char *path = kit_image("victim", 64 * MIB);
    kit_fill(path, 0, 64 * MIB, 1);
    struct server servers[] = {
        server_qemu(path, "raw", "--read-only"),
        server_nbdkit("--readonly", "--filter=rate", "file", path, "rate=400M", NULL)};
    for (size_t i = 0; i < ARRAY_SIZE(servers); i++) {
        struct transfer_disk disk = disk_of(&servers[i], 64 * MIB);
        struct script script = {.disk = &disk, .act = send_kill, .server = &servers[i]};
        assert_true(fail_backup(&disk, &script, 0, &error) < SOON);
        assert_error(&error, ERROR_CONNECTION, "");
        server_stop(&servers[i]);
    }
}

static void a_hanging_server_times_out(void **state)
{
    (void)state;
    struct error error;
    CLEANUP_SERVER struct server server =
        server_nbdkit("--readonly", "--filter=rate", "pattern", "64M", "rate=400M", NULL);
    struct transfer_disk disk = disk_of(&server, 64 * MIB);
    struct script script = {.disk = &disk, .done = MIB, .act = send_stop, .server = &server};
    double seconds = fail_backup(&disk, &script, CLOCK_SECOND, &error);
    kill(process_id(server.process), SIGCONT);
    assert_error(&error, ERROR_TIMEOUT, "has not answered for");
    assert_true(seconds >= 0.9 && seconds < 1 + SOON);
    /* What came before has been counted and the rest has not. */
    assert_true(disk.bytes_done >= MIB && disk.bytes_done < disk.size);
}

/* Slow is not hanging: it always owes answers, one comes every 250 ms, and all together take longer
 * than the limit. */
static void a_slow_server_does_not(void **state)
{
    (void)state;
    const uint64_t size = 6 * CHUNK;
    struct repository *repository = kit_repository();
    struct repository_writer *writer = kit_writer(repository);
    CLEANUP_SERVER struct server server =
        server_nbdkit("--readonly", "--filter=noparallel", "--filter=delay", "pattern", "384K",
                      "serialize=all-requests", "rdelay=250ms", NULL);
    struct transfer_settings settings = {.time_limit = CLOCK_SECOND};
    struct transfer_disk disk = disk_of(&server, size);
    struct error error = ERROR_INIT;
    int64_t start = clock_monotonic();
    if (transfer_backup(writer, CHUNK, &disk, 1, &settings, NULL, NULL, &error) != 0)
        fail_msg("%s", error.message);
    assert_true(seconds_since(start) > 1.2);
    repository_writer_free(writer);
    repository_free(repository);
}

static void the_check_stops_it_while_nothing_comes(void **state)
{
    (void)state;
    struct error error;
    CLEANUP_SERVER struct server server =
        server_nbdkit("--readonly", "--filter=delay", "pattern", "64M", "rdelay=30", NULL);
    struct transfer_disk disk = disk_of(&server, 64 * MIB);
    struct script script = {.disk = &disk, .stop = true};
    assert_true(fail_backup(&disk, &script, 0, &error) < SOON);
    assert_error(&error, ERROR_INTERRUPTED, "the user ended it");
    kill(process_id(server.process), SIGKILL); /* it would wait for its delay */
}

struct calls {
    int64_t first, last, longest_gap, stop_after;
};

static int count_calls(void *context, struct error *error)
{
    struct calls *calls = context;
    int64_t now = clock_monotonic();
    if (!calls->first)
        calls->first = now;
    else if (now - calls->last > calls->longest_gap)
        calls->longest_gap = now - calls->last;
    calls->last = now;
    return now - calls->first < calls->stop_after ? 0
                                                  : error_set(error, ERROR_INTERRUPTED, "enough");
}

static void the_check_is_asked_often(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    struct calls calls = {.stop_after = 400 * CLOCK_MILLISECOND};
    struct repository *repository = kit_repository();
    struct repository_writer *writer = kit_writer(repository);
    CLEANUP_SERVER struct server server =
        server_nbdkit("--readonly", "--filter=delay", "pattern", "64M", "rdelay=30", NULL);
    struct transfer_disk disk = disk_of(&server, 64 * MIB);
    assert_int_equal(transfer_backup(writer, CHUNK, &disk, 1, NULL, count_calls, &calls, &error),
                     -1);
    assert_error(&error, ERROR_INTERRUPTED, "enough");
    /* 100 ms are promised; a busy machine may be late. */
    assert_true(calls.longest_gap < 500 * CLOCK_MILLISECOND);
    kill(process_id(server.process), SIGKILL);
    repository_writer_free(writer);
    repository_free(repository);
}

/* Interrupted at the first call of the check, the second, ... until it gets through: every stage is
 * hit once. */
struct countdown {
    atomic_int calls;
    int fail_at;
};

static int count_down(void *context, struct error *error)
{
    struct countdown *countdown = context;
    if (atomic_fetch_add(&countdown->calls, 1) + 1 == countdown->fail_at)
        return error_set(error, ERROR_INTERRUPTED, "call %d", countdown->fail_at);
    return 0;
}

/* The result of a backup that ends at the n-th call. A server for each: nbdkit 1.32 may itself end
 * when a client goes in the middle of its answers. */
static int end_at(int n)
{
    CLEANUP_SERVER struct server server =
        server_nbdkit("--readonly", "--filter=rate", "pattern", "10M", "rate=800M", NULL);
    struct error error = ERROR_INIT;
    struct countdown countdown = {.fail_at = n};
    struct repository *repository = kit_repository();
    struct repository_writer *writer = kit_writer(repository);
    struct transfer_disk disks[2] = {disk_of(&server, 10 * MIB), disk_of(&server, 10 * MIB)};
    int result = transfer_backup(writer, CHUNK, disks, 2, NULL, count_down, &countdown, &error);
    if (result != 0)
        assert_error(&error, ERROR_INTERRUPTED, "call ");
    else
        assert_true(atomic_load(&countdown.calls) < n);
    repository_writer_free(writer);
    repository_free(repository);
    return result;
}

static void an_end_at_any_time_is_clean(void **state)
{
    (void)state;
    int n = 1;
    while (end_at(n) != 0)
        n++;
    assert_true(n > 3);
}

/* One disk fails, and another is healthy but slow: it is stopped, too, and the error is the
 * cause's. */
static void one_disk_stops_the_others(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    struct repository *repository = kit_repository();
    struct repository_writer *writer = kit_writer(repository);
    CLEANUP_SERVER struct server bad = server_nbdkit("--readonly", "--filter=error", "pattern",
                                                     "64M", "error-pread-rate=100%", NULL);
    CLEANUP_SERVER struct server slow =
        server_nbdkit("--readonly", "--filter=delay", "pattern", "64M", "rdelay=30", NULL);
    struct transfer_disk disks[2] = {disk_of(&slow, 64 * MIB), disk_of(&bad, 64 * MIB)};
    disks[0].label = "VM web2, disk vda";
    int64_t start = clock_monotonic();
    assert_int_equal(transfer_backup(writer, CHUNK, disks, 2, NULL, NULL, NULL, &error), -1);
    assert_true(seconds_since(start) < SOON);
    assert_error(&error, ERROR_FAILED, "cannot read");
    assert_true(object_id_is_zero(&disks[0].root) && object_id_is_zero(&disks[1].root));
    kill(process_id(slow.process), SIGKILL);
    repository_writer_free(writer);
    repository_free(repository);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_export_is_refused),
        cmocka_unit_test(no_server_is_a_connection_error),
        cmocka_unit_test(a_silent_listener_times_out),
        cmocka_unit_test(a_read_error_names_the_place),
        cmocka_unit_test(a_fault_in_a_part_is_a_fault),
        cmocka_unit_test(a_killed_server_ends_it_within_a_second),
        cmocka_unit_test(a_hanging_server_times_out),
        cmocka_unit_test(a_slow_server_does_not),
        cmocka_unit_test(the_check_stops_it_while_nothing_comes),
        cmocka_unit_test(the_check_is_asked_often),
        cmocka_unit_test(an_end_at_any_time_is_clean),
        cmocka_unit_test(one_disk_stops_the_others),
    };
    return cmocka_run_group_tests_name("transfer: faults", tests, kit_make_folder,
                                       kit_remove_folder);
}
