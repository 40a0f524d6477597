/* vss: what a session refuses, which writers it knows, and what they get to see. */
#include "kit/vss_kit.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

struct world {
    struct kit kit;
    struct kit_writer w, other;
    struct kit_provider p;
};

static void open_world(struct world *world, const char *lock_path)
{
    world->w.name = "w";
    world->other.name = "other";
    world->p.name = "p";
    world->p.prefix = "v";
    kit_open(&world->kit, lock_path);
    kit_add_writer(&world->kit, &world->w);
    kit_add_writer(&world->kit, &world->other);
    kit_add_provider(&world->kit, &world->p);
}

static void close_world(struct world *world)
{
    assert_int_equal(kit_close(&world->kit, KIT_WRITERS(&world->w, &world->other)), 0);
}

static struct session *prepared(struct world *world)
{
    return kit_prepared(&world->kit, KIT_WRITERS(&world->w, &world->other), KIT_VOLUMES("v/a"));
}

static void row_08_session_is_usable_once(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    struct error error = ERROR_INIT;
    open_world(&world, NULL);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_backup_complete(session, NULL), VSS_S_OK);
    assert_int_equal(session_initialize_for_backup(session, &error), VSS_E_BAD_STATE);
    assert_int_equal(error.number, (int)VSS_E_BAD_STATE);
    assert_int_equal(session_gather_writer_metadata(session, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_start_snapshot_set(session, NULL, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_prepare_for_backup(session, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_backup_complete(session, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_initialize_for_restore(session, components_new(), NULL),
                     VSS_E_BAD_STATE);
    session_release(session);
    assert_int_equal(kit_entry(&world.kit, "w", "BackupComplete", 1).start, 0);
    close_world(&world);
}

static void row_09_do_snapshot_set_out_of_order(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    open_world(&world, NULL);
    struct session *session = session_new(world.kit.coordinator);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_initialize_for_backup(session, NULL), VSS_S_OK);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_start_snapshot_set(session, NULL, NULL), VSS_E_BAD_STATE);
    assert_string_equal(kit_story(&world.kit, "w"), "");
    session_release(session);

    session = kit_gathered(&world.kit, true);
    kit_select(session, &world.w);
    assert_int_equal(session_prepare_for_backup(session, NULL), VSS_S_OK);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_E_BAD_STATE);
    session_release(session);
    assert_string_equal(kit_story(&world.kit, "w"), "Identify PrepareForBackup BackupShutdown");
    assert_string_equal(kit_story(&world.kit, "p"), "");
    close_world(&world);
}

/* Rows 10 and 11: a context without writers, a context twice, too late, unknown. */
static void row_11_context(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    open_world(&world, NULL);
    struct session *session = session_new(world.kit.coordinator);
    assert_int_equal(session_initialize_for_backup(session, NULL), VSS_S_OK);
    assert_int_equal(session_set_context(session, 0x40000, NULL), VSS_E_UNSUPPORTED_CONTEXT);
    assert_int_equal(session_set_context(session, VSS_CTX_FILE_SHARE_BACKUP, NULL), VSS_S_OK);
    assert_int_equal(session_set_context(session, VSS_CTX_BACKUP, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_gather_writer_metadata(session, NULL), VSS_E_BAD_STATE);
    kit_start_set(session, KIT_VOLUMES("v/a"));
    assert_int_equal(session_prepare_for_backup(session, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(session_backup_complete(session, NULL), VSS_E_BAD_STATE);
    session_release(session);
    assert_string_equal(kit_story(&world.kit, "w"), "");
    session = kit_gathered(&world.kit, true);
    assert_int_equal(session_set_context(session, VSS_CTX_BACKUP, NULL), VSS_E_BAD_STATE);
    session_release(session);
    close_world(&world);
}

static void assert_in_progress(struct world *world)
{
    struct error error = ERROR_INIT;
    struct session *second = kit_gathered(&world->kit, true);
    assert_int_equal(session_start_snapshot_set(second, NULL, &error),
                     VSS_E_SNAPSHOT_SET_IN_PROGRESS);
    assert_int_equal(error.kind, ERROR_BUSY);
    session_release(second);
}

static void assert_free(struct world *world)
{
    struct session *next = kit_gathered(&world->kit, true);
    assert_int_equal(session_start_snapshot_set(next, NULL, NULL), VSS_S_OK);
    session_release(next);
}

static void try_one_set_at_a_time(const char *lock_path)
{
    struct world world = {.w = {.flags = 0}};
    open_world(&world, lock_path);
    struct session *session = prepared(&world);
    assert_in_progress(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_free(&world); /* the first has its copies: others may begin while it reads them */
    session_release(session);
    session = prepared(&world);
    assert_in_progress(&world);
    assert_int_equal(session_abort_backup(session, NULL), VSS_S_OK);
    assert_free(&world);
    session_release(session);
    session = prepared(&world);
    session_release(session);
    assert_free(&world);
    close_world(&world);
}

static char *lock_name(void)
{
    return memory_format("/tmp/vmshadow-test-%d.lock", (int)getpid());
}

static void row_12_one_set_at_a_time(void **state)
{
    (void)state;
    CLEANUP_FREE char *path = lock_name();
    try_one_set_at_a_time(NULL);
    try_one_set_at_a_time(path);
    (void)unlink(path);
}

/* A client in another process that begins a set and stays. */
static pid_t start_client(const char *path)
{
    int ready[2];
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct coordinator *coordinator = coordinator_new(path, NULL, NULL);
        struct session *session = session_new(coordinator);
        bool began = session_initialize_for_backup(session, NULL) == VSS_S_OK &&
                     session_gather_writer_metadata(session, NULL) == VSS_S_OK &&
                     session_start_snapshot_set(session, NULL, NULL) == VSS_S_OK;
        (void)!write(ready[1], began ? "y" : "n", 1);
        for (;;)
            (void)pause();
    }
    char answer = 0;
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &answer, 1), 1);
    (void)close(ready[0]);
    assert_int_equal(answer, 'y');
    return child;
}

static void row_12_first_client_dies(void **state)
{
    (void)state;
    CLEANUP_FREE char *path = lock_name();
    pid_t client = start_client(path);
    struct world world = {.w = {.flags = 0}};
    open_world(&world, path);
    assert_in_progress(&world);
    assert_int_equal(kill(client, SIGKILL), 0);
    assert_int_equal(waitpid(client, NULL, 0), client);
    assert_free(&world);
    close_world(&world);
    (void)unlink(path);
}

static void row_13_sixty_fifth_volume(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    open_world(&world, NULL);
    struct session *session = kit_gathered(&world.kit, true);
    kit_select(session, &world.w);
    kit_start_set(session, NULL, 0);
    for (unsigned i = 0; i < 65; i++) {
        CLEANUP_FREE char *volume = memory_format("v/%u", i);
        assert_int_equal(session_add_to_snapshot_set(session, volume, NULL, NULL, NULL),
                         i < 64 ? VSS_S_OK : VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED);
    }
    assert_int_equal(session_prepare_for_backup(session, NULL), VSS_S_OK);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(session_components(session)->snapshot_count, 64);
    session_release(session);
    close_world(&world);
}

static void row_14_volume_twice(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    struct error error = ERROR_INIT;
    open_world(&world, NULL);
    struct session *session = prepared(&world);
    session_release(session);
    session = kit_gathered(&world.kit, true);
    kit_start_set(session, KIT_VOLUMES("v/a", "v/b"));
    assert_int_equal(session_add_to_snapshot_set(session, "v/a", NULL, NULL, &error),
                     VSS_E_OBJECT_ALREADY_EXISTS);
    assert_int_equal(error.kind, ERROR_EXISTS);
    session_release(session);
    close_world(&world);
}

static void row_15_unknown_and_unsupported_volumes(void **state)
{
    (void)state;
    struct world world = {.p = {.cannot = "v/bad"}};
    struct id id = id_new();
    open_world(&world, NULL);
    struct session *session = kit_gathered(&world.kit, true);
    kit_start_set(session, NULL, 0);
    assert_int_equal(session_add_to_snapshot_set(session, "no-such/a", NULL, NULL, NULL),
                     VSS_E_OBJECT_NOT_FOUND);
    assert_int_equal(session_add_to_snapshot_set(session, "v/bad", NULL, NULL, NULL),
                     VSS_E_VOLUME_NOT_SUPPORTED);
    assert_int_equal(session_add_to_snapshot_set(session, "v/bad", &world.p.id, NULL, NULL),
                     VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER);
    assert_int_equal(session_add_to_snapshot_set(session, "v/a", &id, NULL, NULL),
                     VSS_E_PROVIDER_NOT_REGISTERED);
    assert_int_equal(session_add_to_snapshot_set(session, "v/a", &world.p.id, NULL, NULL),
                     VSS_S_OK);
    session_release(session);
    close_world(&world);
}

static void row_16_provider_selection(void **state)
{
    (void)state;
    struct world world = {.p = {.type = VSS_PROV_SYSTEM}};
    struct kit_provider software = {.name = "s", .prefix = "v", .type = VSS_PROV_SOFTWARE};
    struct kit_provider hardware = {.name = "h", .prefix = "v/hard", .type = VSS_PROV_HARDWARE};
    open_world(&world, NULL);
    kit_add_provider(&world.kit, &software);
    kit_add_provider(&world.kit, &hardware);
    struct session *session = kit_gathered(&world.kit, true);
    kit_start_set(session, KIT_VOLUMES("v/hard", "v/soft"));
    assert_int_equal(session_add_to_snapshot_set(session, "v/named", &world.p.id, NULL, NULL),
                     VSS_S_OK);
    assert_int_equal(session_prepare_for_backup(session, NULL), VSS_S_OK);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    const struct components *components = session_components(session);
    assert_true(id_equal(&components->snapshots[0].provider, &hardware.id));
    assert_true(id_equal(&components->snapshots[1].provider, &software.id));
    assert_true(id_equal(&components->snapshots[2].provider, &world.p.id));
    session_release(session);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_12_first_client_dies), /* forks: before any thread was made */
        cmocka_unit_test(row_08_session_is_usable_once),
        cmocka_unit_test(row_09_do_snapshot_set_out_of_order),
        cmocka_unit_test(row_11_context),
        cmocka_unit_test(row_12_one_set_at_a_time),
        cmocka_unit_test(row_13_sixty_fifth_volume),
        cmocka_unit_test(row_14_volume_twice),
        cmocka_unit_test(row_15_unknown_and_unsupported_volumes),
        cmocka_unit_test(row_16_provider_selection),
    };
    return cmocka_run_group_tests_name("vss_session", tests, NULL, NULL);
}
