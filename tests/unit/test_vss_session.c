/* vss: what a session refuses, which writers it knows, and what they get to see. */
#include "kit/vss_kit.h"

#include "base/process.h"

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

static void row_20_failed_identify_is_absent(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    world.w.plan[VSS_EVENT_IDENTIFY] =
        (struct kit_plan){.code = VSS_E_WRITERERROR_RETRYABLE, .count = 1};
    open_world(&world, NULL);
    struct session *session = kit_gathered(&world.kit, true);
    assert_int_equal(session_writer_metadata_count(session), 1);
    assert_string_equal(session_writer_metadata(session, 0)->name, "other");
    assert_null(session_writer_metadata(session, 1));
    assert_int_equal(
        session_add_component(session, &world.w.instance_id, VSS_CT_DATABASE, "", "w", NULL),
        VSS_E_OBJECT_NOT_FOUND);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_COUNT);
    assert_int_equal(kit_status(session, &world.other).state, VSS_WS_STABLE);
    session_release(session);
    session = kit_gathered(&world.kit, true); /* the second time it answers */
    assert_int_equal(session_writer_metadata_count(session), 2);
    session_release(session);
    close_world(&world);
}

static void look_while_frozen(struct kit_provider *provider, enum vss_stage stage)
{
    if (stage != VSS_STAGE_COMMIT_SNAPSHOTS)
        return;
    struct kit_writer *writer = provider->hook_data;
    struct session *second = kit_gathered(provider->kit, true);
    assert_int_equal(session_writer_metadata_count(second), 2);
    assert_int_equal(kit_shown(provider->kit, writer).state, VSS_WS_WAITING_FOR_THAW);
    assert_string_equal(vss_writer_state_word(kit_shown(provider->kit, writer).state), "Frozen");
    session_release(second);
}

static void row_21_identify_in_the_middle(void **state)
{
    (void)state;
    struct world world = {.p = {.hook = look_while_frozen}};
    world.p.hook_data = &world.w;
    open_world(&world, NULL);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_WAITING_FOR_BACKUP_COMPLETE);
    assert_int_equal(session_backup_complete(session, NULL), VSS_S_OK);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_STABLE);
    session_release(session);
    assert_string_equal(kit_story(&world.kit, "w"),
                        "Identify PrepareForBackup PrepareForSnapshot Freeze Identify Thaw "
                        "PostSnapshot BackupComplete BackupShutdown");
    close_world(&world);
}

static void row_22_metadata_is_immutable(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    char name[] = "before";
    world.w.component = name;
    open_world(&world, NULL);
    struct session *session = kit_gathered(&world.kit, true);
    memcpy(name, "after!", sizeof name); /* the writer's own memory changes */
    const struct metadata *metadata = session_writer_metadata(session, 0);
    assert_string_equal(metadata->components[0].name, "before");
    struct session *second = kit_gathered(&world.kit, true);
    assert_string_equal(session_writer_metadata(second, 0)->components[0].name, "after!");
    assert_string_equal(metadata->components[0].name, "before");
    assert_true(id_equal(&metadata->instance_id, &world.w.instance_id));
    session_release(second);
    session_release(session);
    close_world(&world);
}

static void row_23_veto_in_prepare_for_backup(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    struct error error = ERROR_INIT;
    world.w.plan[VSS_EVENT_PREPARE_FOR_BACKUP] =
        (struct kit_plan){.code = VSS_E_WRITERERROR_RETRYABLE, .count = 1};
    open_world(&world, NULL);
    struct session *session = prepared(&world);
    struct session_writer_status status = kit_status(session, &world.w);
    assert_int_equal(status.state, VSS_WS_FAILED_AT_PREPARE_BACKUP);
    assert_int_equal(status.failure, VSS_E_WRITERERROR_RETRYABLE);
    assert_string_equal(status.message, "planned failure of w in PrepareForBackup");
    assert_int_equal(kit_status(session, &world.other).state, VSS_WS_STABLE);
    assert_int_equal(session_check_writers(session, &error), -1);
    assert_int_equal(error.number, (int)VSS_E_WRITERERROR_RETRYABLE);
    assert_non_null(strstr(error.message, "planned failure of w"));
    session_release(session);
    close_world(&world);
}

static void row_24_veto_stays_when_the_requester_goes_on(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    world.w.plan[VSS_EVENT_PREPARE_FOR_BACKUP] =
        (struct kit_plan){.code = VSS_E_WRITERERROR_RETRYABLE, .count = 1};
    open_world(&world, NULL);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_FAILED_AT_PREPARE_BACKUP);
    assert_int_equal(session_backup_complete(session, NULL), VSS_S_OK);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_FAILED_AT_PREPARE_BACKUP);
    assert_int_equal(kit_status(session, &world.other).state, VSS_WS_STABLE);
    session_release(session);
    assert_string_equal(kit_story(&world.kit, "w"), "Identify PrepareForBackup BackupShutdown");
    close_world(&world);
}

static void row_38_abort_needs_prepare_for_backup(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    open_world(&world, NULL);
    struct session *session = kit_gathered(&world.kit, true);
    kit_select(session, &world.w);
    kit_start_set(session, KIT_VOLUMES("v/a"));
    assert_int_equal(session_abort_backup(session, NULL), VSS_E_BAD_STATE);
    session_release(session);
    session_release(prepared(&world)); /* released without a word: no Abort either */
    assert_string_equal(kit_story(&world.kit, "w"),
                        "Identify BackupShutdown Identify PrepareForBackup BackupShutdown");
    session = prepared(&world);
    assert_int_equal(session_abort_backup(session, NULL), VSS_S_OK);
    assert_true(kit_entry(&world.kit, "w", "Abort", 0).end > 0);
    session_release(session);
    close_world(&world);
}

static void row_39_nothing_after_abort(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    open_world(&world, NULL);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(session_abort_backup(session, NULL), VSS_S_OK);
    assert_int_equal(session_backup_complete(session, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_abort_backup(session, NULL), VSS_E_BAD_STATE);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_STABLE);
    session_release(session);
    assert_int_equal(kit_entry(&world.kit, "w", "BackupComplete", 0).start, 0);
    assert_int_equal(kit_copies(&world.p), 0);
    close_world(&world);
}

/* The type of the backup, and whether it is said to have succeeded. */
static bool truncates(enum vss_backup_type type, bool succeeded, bool complete)
{
    struct world world = {.w = {.flags = 0}};
    open_world(&world, NULL);
    struct session *session = session_new(world.kit.coordinator);
    assert_int_equal(session_initialize_for_backup(session, NULL), VSS_S_OK);
    assert_int_equal(session_set_backup_state(session, true, false, type, false, NULL), VSS_S_OK);
    assert_int_equal(session_gather_writer_metadata(session, NULL), VSS_S_OK);
    kit_select(session, &world.w);
    kit_start_set(session, KIT_VOLUMES("v/a"));
    assert_int_equal(session_prepare_for_backup(session, NULL), VSS_S_OK);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(
        session_set_backup_succeeded(session, &world.w.class_id, "", "w", succeeded, NULL),
        VSS_S_OK);
    if (complete)
        assert_int_equal(session_backup_complete(session, NULL), VSS_S_OK);
    session_release(session);
    bool truncated = world.w.logs_truncated;
    close_world(&world);
    return truncated;
}

static void row_45_log_truncation(void **state)
{
    (void)state;
    assert_true(truncates(VSS_BT_FULL, true, true));
    assert_true(truncates(VSS_BT_INCREMENTAL, true, true));
    assert_true(truncates(VSS_BT_LOG, true, true));
    assert_false(truncates(VSS_BT_COPY, true, true));
    assert_false(truncates(VSS_BT_FULL, false, true));
    assert_false(truncates(VSS_BT_FULL, true, false)); /* BackupShutdown only */
}

static void row_46_backup_succeeded_is_visible_and_read_only(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    open_world(&world, NULL);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(session_set_backup_succeeded(session, &world.w.class_id, "", "w", true, NULL),
                     VSS_S_OK);
    assert_int_equal(
        session_set_backup_succeeded(session, &world.other.class_id, "", "other", false, NULL),
        VSS_S_OK);
    assert_int_equal(session_backup_complete(session, NULL), VSS_S_OK);
    assert_true(world.w.saw_succeeded);
    assert_false(world.other.saw_succeeded);
    assert_true(world.w.set_was_refused);
    const struct component *component = &session_components(session)->sets[0].components[0];
    assert_string_equal(component->backup_metadata, "set in PostSnapshot");
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
        cmocka_unit_test(row_20_failed_identify_is_absent),
        cmocka_unit_test(row_21_identify_in_the_middle),
        cmocka_unit_test(row_22_metadata_is_immutable),
        cmocka_unit_test(row_23_veto_in_prepare_for_backup),
        cmocka_unit_test(row_24_veto_stays_when_the_requester_goes_on),
        cmocka_unit_test(row_38_abort_needs_prepare_for_backup),
        cmocka_unit_test(row_39_nothing_after_abort),
        cmocka_unit_test(row_45_log_truncation),
        cmocka_unit_test(row_46_backup_succeeded_is_visible_and_read_only),
    };
    return cmocka_run_group_tests_name("vss_session", tests, NULL, NULL);
}
