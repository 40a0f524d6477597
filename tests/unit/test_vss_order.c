/* vss: the order of events and stages, and who waits for whom (checklist rows by number). */
#include "kit/vss_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A whole backup of the writers given, to its release. */
static void run_backup(struct kit *kit, struct kit_writer *const *writers, size_t writer_count,
                       const char *const *volumes, size_t volume_count)
{
    struct session *session = kit_prepared(kit, writers, writer_count, volumes, volume_count);
    struct error error = ERROR_INIT;
    assert_int_equal(session_do_snapshot_set(session, &error), VSS_S_OK);
    assert_int_equal(session_gather_writer_status(session, &error), VSS_S_OK);
    assert_int_equal(session_check_writers(session, &error), 0);
    for (size_t i = 0; i < writer_count; i++)
        assert_int_equal(session_set_backup_succeeded(session, &writers[i]->class_id, "",
                                                      writers[i]->name, true, &error),
                         VSS_S_OK);
    assert_int_equal(session_backup_complete(session, &error), VSS_S_OK);
    session_release(session);
}

#define WHOLE_STORY                                                                                \
    "Identify PrepareForBackup PrepareForSnapshot Freeze Thaw PostSnapshot BackupComplete "        \
    "BackupShutdown"

static void row_01_events_in_order(void **state)
{
    (void)state;
    struct kit kit;
    struct kit_writer w = {.name = "w"};
    struct kit_provider p = {.name = "p", .prefix = "v"};
    kit_open(&kit, NULL);
    kit_add_writer(&kit, &w);
    kit_add_provider(&kit, &p);
    run_backup(&kit, KIT_WRITERS(&w), KIT_VOLUMES("v/a"));
    assert_string_equal(kit_story(&kit, "w"), WHOLE_STORY);
    assert_int_equal(kit_shown(&kit, &w).state, VSS_WS_STABLE);
    assert_int_equal(kit_close(&kit, KIT_WRITERS(&w)), 0);
}

/* The observer is told the same, with times, codes and ids. */
static void records_match_what_happened(void **state)
{
    (void)state;
    struct kit kit;
    struct kit_writer w = {.name = "w"};
    struct kit_provider p = {.name = "p", .prefix = "v"};
    kit_open(&kit, NULL);
    kit_add_writer(&kit, &w);
    kit_add_provider(&kit, &p);
    run_backup(&kit, KIT_WRITERS(&w), KIT_VOLUMES("v/a"));
    assert_int_equal(kit.recorded, kit.logged);
    for (size_t i = 0; i < kit.logged; i++) {
        const struct kit_entry *did = &kit.log[i];
        struct kit_entry told = kit_record(&kit, did->party, did->name, 0);
        assert_true(told.start > 0 && told.start <= did->start && told.end >= did->end);
        assert_int_equal(told.code, VSS_S_OK);
        assert_false(id_is_empty(&told.session));
    }
    assert_false(id_is_empty(&kit.records[kit.recorded - 1].snapshot_set));
    assert_int_equal(kit_close(&kit, KIT_WRITERS(&w)), 0);
}

static void row_02_provider_stages_in_order(void **state)
{
    (void)state;
    struct kit kit;
    struct kit_writer w = {.name = "w"};
    struct kit_provider p = {.name = "p", .prefix = "v"};
    kit_open(&kit, NULL);
    kit_add_writer(&kit, &w);
    kit_add_provider(&kit, &p);
    run_backup(&kit, KIT_WRITERS(&w), KIT_VOLUMES("v/a", "v/b", "v/c"));
    assert_string_equal(kit_story(&kit, "p"),
                        "BeginPrepareSnapshot BeginPrepareSnapshot BeginPrepareSnapshot "
                        "EndPrepareSnapshots PreCommitSnapshots CommitSnapshots "
                        "PostCommitSnapshots PreFinalCommitSnapshots PostFinalCommitSnapshots "
                        "DeleteSnapshots DeleteSnapshots DeleteSnapshots");
    assert_int_equal(kit_close(&kit, KIT_WRITERS(&w)), 0);
}

/* Assert that one thing ended before another began. */
static void assert_before(struct kit *kit, const char *party, const char *name, const char *later,
                          const char *later_name)
{
    struct kit_entry a = kit_entry(kit, party, name, 0), b = kit_entry(kit, later, later_name, 0);
    assert_true(a.end > 0);
    assert_true(b.start > 0);
    assert_true(a.end <= b.start);
}

static void row_03_events_between_stages(void **state)
{
    (void)state;
    struct kit kit;
    struct kit_writer w = {.name = "w"};
    struct kit_provider p = {.name = "p", .prefix = "v"};
    kit_open(&kit, NULL);
    kit_add_writer(&kit, &w);
    kit_add_provider(&kit, &p);
    run_backup(&kit, KIT_WRITERS(&w), KIT_VOLUMES("v/a"));
    assert_before(&kit, "w", "Freeze", "p", "PreCommitSnapshots");
    assert_before(&kit, "p", "PostCommitSnapshots", "w", "Thaw");
    assert_before(&kit, "p", "PreFinalCommitSnapshots", "w", "PostSnapshot");
    assert_before(&kit, "w", "PostSnapshot", "p", "PostFinalCommitSnapshots");
    assert_int_equal(kit_close(&kit, KIT_WRITERS(&w)), 0);
}

static void row_04_end_prepare_before_freeze(void **state)
{
    (void)state;
    struct kit kit;
    struct kit_writer w = {.name = "w"};
    struct kit_provider p = {.name = "p", .prefix = "v"};
    p.plan[VSS_STAGE_END_PREPARE_SNAPSHOTS].delay = KIT_MS(60);
    kit_open(&kit, NULL);
    kit_add_writer(&kit, &w);
    kit_add_provider(&kit, &p);
    run_backup(&kit, KIT_WRITERS(&w), KIT_VOLUMES("v/a"));
    assert_before(&kit, "p", "EndPrepareSnapshots", "w", "Freeze");
    assert_before(&kit, "w", "PrepareForSnapshot", "p", "EndPrepareSnapshots");
    assert_int_equal(kit_close(&kit, KIT_WRITERS(&w)), 0);
}

static void row_05_stage_barrier_over_writers(void **state)
{
    (void)state;
    struct kit kit;
    struct kit_writer slow = {.name = "slow"}, quick = {.name = "quick"};
    struct kit_provider p = {.name = "p", .prefix = "v"};
    slow.plan[VSS_EVENT_PREPARE_FOR_SNAPSHOT].delay = KIT_MS(80);
    kit_open(&kit, NULL);
    kit_add_writer(&kit, &slow);
    kit_add_writer(&kit, &quick);
    kit_add_provider(&kit, &p);
    run_backup(&kit, KIT_WRITERS(&slow, &quick), KIT_VOLUMES("v/a"));
    assert_before(&kit, "slow", "PrepareForSnapshot", "quick", "Freeze");
    /* and within the event they run at the same time */
    struct kit_entry a = kit_entry(&kit, "slow", "PrepareForSnapshot", 0);
    struct kit_entry b = kit_entry(&kit, "quick", "PrepareForSnapshot", 0);
    assert_true(b.start < a.end);
    assert_int_equal(kit_close(&kit, KIT_WRITERS(&slow, &quick)), 0);
}

static void row_06_stage_barrier_over_providers(void **state)
{
    (void)state;
    struct kit kit;
    struct kit_writer w = {.name = "w"};
    struct kit_provider p = {.name = "p", .prefix = "v"}, q = {.name = "q", .prefix = "x"};
    p.plan[VSS_STAGE_PRE_COMMIT_SNAPSHOTS].delay = KIT_MS(60);
    q.plan[VSS_STAGE_PRE_COMMIT_SNAPSHOTS].delay = KIT_MS(60);
    kit_open(&kit, NULL);
    kit_add_writer(&kit, &w);
    kit_add_provider(&kit, &p);
    kit_add_provider(&kit, &q);
    run_backup(&kit, KIT_WRITERS(&w), KIT_VOLUMES("v/a", "x/a"));
    static const char *const stages[] = {"EndPrepareSnapshots",     "PreCommitSnapshots",
                                         "CommitSnapshots",         "PostCommitSnapshots",
                                         "PreFinalCommitSnapshots", "PostFinalCommitSnapshots"};
    for (size_t i = 0; i + 1 < ARRAY_SIZE(stages); i++) {
        assert_before(&kit, "p", stages[i], "q", stages[i + 1]);
        assert_before(&kit, "q", stages[i], "p", stages[i + 1]);
    }
    assert_int_equal(kit_close(&kit, KIT_WRITERS(&w)), 0);
}

static void row_07_freeze_by_level(void **state)
{
    (void)state;
    struct kit kit;
    struct kit_writer system = {.name = "system", .level = VSS_APP_SYSTEM};
    struct kit_writer back = {.name = "back", .level = VSS_APP_BACK_END};
    struct kit_writer front = {.name = "front"}; /* the default is FRONT_END */
    struct kit_provider p = {.name = "p", .prefix = "v"};
    system.plan[VSS_EVENT_FREEZE].delay = back.plan[VSS_EVENT_FREEZE].delay = KIT_MS(20);
    front.plan[VSS_EVENT_FREEZE].delay = KIT_MS(20);
    kit_open(&kit, NULL);
    kit_add_writer(&kit, &system);
    kit_add_writer(&kit, &back);
    kit_add_writer(&kit, &front);
    kit_add_provider(&kit, &p);
    run_backup(&kit, KIT_WRITERS(&system, &back, &front), KIT_VOLUMES("v/a"));
    assert_before(&kit, "front", "Freeze", "back", "Freeze");
    assert_before(&kit, "back", "Freeze", "system", "Freeze");
    assert_int_equal(kit_close(&kit, KIT_WRITERS(&system, &back, &front)), 0);
}

static void row_17_two_providers_share_one_set(void **state)
{
    (void)state;
    struct kit kit;
    struct kit_writer w = {.name = "w"};
    struct kit_provider p = {.name = "p", .prefix = "v"}, q = {.name = "q", .prefix = "x"};
    struct error error = ERROR_INIT;
    kit_open(&kit, NULL);
    kit_add_writer(&kit, &w);
    kit_add_provider(&kit, &p);
    kit_add_provider(&kit, &q);
    struct session *session = kit_prepared(&kit, KIT_WRITERS(&w), KIT_VOLUMES("v/a", "x/a"));
    assert_int_equal(session_do_snapshot_set(session, &error), VSS_S_OK);
    const struct components *components = session_components(session);
    assert_int_equal(components->snapshot_count, 2);
    assert_true(id_equal(&components->snapshots[0].provider, &p.id));
    assert_true(id_equal(&components->snapshots[1].provider, &q.id));
    struct kit_entry commit_p = kit_entry(&kit, "p", "CommitSnapshots", 0);
    struct kit_entry commit_q = kit_entry(&kit, "q", "CommitSnapshots", 0);
    assert_true(id_equal(&commit_p.snapshot_set, &commit_q.snapshot_set));
    assert_true(id_equal(&commit_p.snapshot_set, &components->snapshot_set));
    assert_before(&kit, "w", "Freeze", "p", "CommitSnapshots");
    assert_before(&kit, "w", "Freeze", "q", "CommitSnapshots");
    assert_before(&kit, "p", "CommitSnapshots", "w", "Thaw");
    assert_before(&kit, "q", "CommitSnapshots", "w", "Thaw");
    session_release(session);
    assert_int_equal(kit_close(&kit, KIT_WRITERS(&w)), 0);
}

static void row_18_writer_without_component_hears_nothing(void **state)
{
    (void)state;
    struct kit kit;
    struct kit_writer in = {.name = "in"}, out = {.name = "out"};
    struct kit_provider p = {.name = "p", .prefix = "v"};
    kit_open(&kit, NULL);
    kit_add_writer(&kit, &in);
    kit_add_writer(&kit, &out);
    kit_add_provider(&kit, &p);
    run_backup(&kit, KIT_WRITERS(&in), KIT_VOLUMES("v/a"));
    assert_string_equal(kit_story(&kit, "in"), WHOLE_STORY);
    assert_string_equal(kit_story(&kit, "out"), "Identify");
    assert_int_equal(kit_close(&kit, KIT_WRITERS(&in, &out)), 0);
}

static void row_19_volume_mode(void **state)
{
    (void)state;
    struct kit kit;
    /* by the volume's name, by a file below the volume, and not at all */
    struct kit_writer named = {.name = "named", .component = "v"};
    struct kit_writer below = {.name = "below"}, apart = {.name = "apart"};
    struct kit_provider p = {.name = "p", .prefix = "v"}, q = {.name = "q", .prefix = "/data"};
    kit_open(&kit, NULL);
    kit_add_writer(&kit, &named);
    kit_add_writer(&kit, &below);
    kit_add_writer(&kit, &apart);
    kit_add_provider(&kit, &p);
    kit_add_provider(&kit, &q);
    struct session *session = kit_gathered(&kit, false);
    kit_start_set(session, KIT_VOLUMES("v/vda", "/data/below"));
    assert_int_equal(session_prepare_for_backup(session, NULL), VSS_S_OK);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(session_backup_complete(session, NULL), VSS_S_OK);
    session_release(session);
    assert_string_equal(kit_story(&kit, "named"), WHOLE_STORY);
    assert_string_equal(kit_story(&kit, "below"), WHOLE_STORY);
    assert_string_equal(kit_story(&kit, "apart"), "Identify");
    assert_int_equal(kit_close(&kit, KIT_WRITERS(&named, &below, &apart)), 0);
}

/* Released at different points, always with the set's id. */
static void row_44_shutdown_after_every_session(void **state)
{
    (void)state;
    struct kit kit;
    struct kit_writer w = {.name = "w"};
    struct kit_provider p = {.name = "p", .prefix = "v"};
    kit_open(&kit, NULL);
    kit_add_writer(&kit, &w);
    kit_add_provider(&kit, &p);
    for (unsigned point = 0; point < 4; point++) {
        struct session *session = kit_gathered(&kit, true);
        struct id set;
        kit_select(session, &w);
        assert_int_equal(session_start_snapshot_set(session, &set, NULL), VSS_S_OK);
        assert_int_equal(session_add_to_snapshot_set(session, "v/a", NULL, NULL, NULL), VSS_S_OK);
        if (point > 0)
            assert_int_equal(session_prepare_for_backup(session, NULL), VSS_S_OK);
        if (point > 1)
            assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
        if (point > 2)
            assert_int_equal(session_backup_complete(session, NULL), VSS_S_OK);
        session_release(session);
        struct kit_entry shutdown = kit_entry(&kit, "w", "BackupShutdown", point);
        assert_true(shutdown.start > 0);
        assert_true(id_equal(&shutdown.snapshot_set, &set));
    }
    /* a session that only looked has nothing to shut down */
    session_release(kit_gathered(&kit, true));
    assert_int_equal(kit_entry(&kit, "w", "BackupShutdown", 4).start, 0);
    assert_int_equal(kit_close(&kit, KIT_WRITERS(&w)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_01_events_in_order),
        cmocka_unit_test(records_match_what_happened),
        cmocka_unit_test(row_02_provider_stages_in_order),
        cmocka_unit_test(row_03_events_between_stages),
        cmocka_unit_test(row_04_end_prepare_before_freeze),
        cmocka_unit_test(row_05_stage_barrier_over_writers),
        cmocka_unit_test(row_06_stage_barrier_over_providers),
        cmocka_unit_test(row_07_freeze_by_level),
        cmocka_unit_test(row_17_two_providers_share_one_set),
        cmocka_unit_test(row_18_writer_without_component_hears_nothing),
        cmocka_unit_test(row_19_volume_mode),
        cmocka_unit_test(row_44_shutdown_after_every_session),
    };
    return cmocka_run_group_tests_name("vss_order", tests, NULL, NULL);
}
