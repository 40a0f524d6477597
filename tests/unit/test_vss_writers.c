/* vss: which writers a session knows, what they get to see, and what stays of their failures. */
#include "kit/vss_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

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
    assert_string_equal(error.hint, "what to do about w");
    assert_string_equal(error_id(&error), "planned-failure");
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

/* Another requester's sequence does not show in one's own status. */
static void row_67_own_status(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    world.w.plan[VSS_EVENT_PREPARE_FOR_BACKUP] =
        (struct kit_plan){.code = VSS_E_WRITERERROR_RETRYABLE, .count = 1};
    open_world(&world, NULL);
    struct session *first = prepared(&world);
    assert_int_equal(session_do_snapshot_set(first, NULL), VSS_S_OK);
    struct session *second = prepared(&world);
    assert_int_equal(session_do_snapshot_set(second, NULL), VSS_S_OK);
    assert_int_equal(kit_status(first, &world.w).state, VSS_WS_FAILED_AT_PREPARE_BACKUP);
    assert_int_equal(kit_status(second, &world.w).state, VSS_WS_WAITING_FOR_BACKUP_COMPLETE);
    assert_int_equal(session_backup_complete(second, NULL), VSS_S_OK);
    assert_int_equal(kit_status(second, &world.w).state, VSS_WS_STABLE);
    assert_int_equal(kit_status(first, &world.other).state, VSS_WS_WAITING_FOR_BACKUP_COMPLETE);
    session_release(second);
    session_release(first);
    assert_int_equal(kit_shown(&world.kit, &world.w).state, VSS_WS_STABLE);
    close_world(&world);
}

/* One requester's whole backup, tried again while others make their sets. NULL = it went well. */
static void *back_up(void *argument)
{
    struct world *world = argument;
    struct session *session = session_new(world->kit.coordinator);
    vss_code code = session_initialize_for_backup(session, NULL);
    code |= session_set_backup_state(session, true, false, VSS_BT_COPY, false, NULL);
    code |= session_gather_writer_metadata(session, NULL);
    code |= session_add_component(session, &world->w.instance_id, VSS_CT_DATABASE, "", "w", NULL);
    vss_code started;
    while ((started = session_start_snapshot_set(session, NULL, NULL)) ==
           VSS_E_SNAPSHOT_SET_IN_PROGRESS)
        clock_sleep(KIT_MS(1));
    code |= started | session_add_to_snapshot_set(session, "v/a", NULL, NULL, NULL);
    code |= session_prepare_for_backup(session, NULL);
    code |= session_do_snapshot_set(session, NULL);
    code |= session_gather_writer_status(session, NULL);
    if (session_check_writers(session, NULL) != 0)
        code = VSS_E_UNEXPECTED;
    code |= session_backup_complete(session, NULL);
    session_release(session);
    return code == VSS_S_OK ? NULL : argument;
}

static void requesters_in_parallel(void **state)
{
    (void)state;
    enum { requesters = 8 };
    struct world world = {.w = {.flags = 0}};
    pthread_t threads[requesters];
    open_world(&world, NULL);
    for (unsigned i = 0; i < requesters; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, back_up, &world), 0);
    for (unsigned i = 0; i < requesters; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(world.w.calls[VSS_EVENT_BACKUP_COMPLETE], requesters);
    assert_int_equal(kit_copies(&world.p), 0);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_20_failed_identify_is_absent),
        cmocka_unit_test(row_21_identify_in_the_middle),
        cmocka_unit_test(row_22_metadata_is_immutable),
        cmocka_unit_test(row_23_veto_in_prepare_for_backup),
        cmocka_unit_test(row_24_veto_stays_when_the_requester_goes_on),
        cmocka_unit_test(row_38_abort_needs_prepare_for_backup),
        cmocka_unit_test(row_39_nothing_after_abort),
        cmocka_unit_test(row_45_log_truncation),
        cmocka_unit_test(row_46_backup_succeeded_is_visible_and_read_only),
        cmocka_unit_test(row_67_own_status),
        cmocka_unit_test(requesters_in_parallel),
    };
    return cmocka_run_group_tests_name("vss_writers", tests, NULL, NULL);
}
