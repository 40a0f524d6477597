/* vss: failures at every point (vss.md 1.6), time limits, and what is left afterwards. */
#include "kit/vss_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct kit kit;
    struct kit_writer w, other;
    struct kit_provider p, q;
};

static void open_world(struct world *world)
{
    world->w.name = "w";
    world->other.name = "other";
    world->p.name = "p";
    world->p.prefix = "v";
    world->q.name = "q";
    world->q.prefix = "x";
    kit_open(&world->kit, NULL);
    kit_add_writer(&world->kit, &world->w);
    kit_add_writer(&world->kit, &world->other);
    kit_add_provider(&world->kit, &world->p);
    kit_add_provider(&world->kit, &world->q);
}

static void close_world(struct world *world)
{
    assert_int_equal(kit_close(&world->kit, KIT_WRITERS(&world->w, &world->other)), 0);
}

static struct session *prepared(struct world *world)
{
    return kit_prepared(&world->kit, KIT_WRITERS(&world->w, &world->other),
                        KIT_VOLUMES("v/a", "x/a"));
}

static struct kit_plan once(vss_code code)
{
    return (struct kit_plan){.code = code, .count = 1};
}

static unsigned times(struct world *world, const char *party, const char *name)
{
    unsigned count = 0;
    while (kit_entry(&world->kit, party, name, count).start > 0)
        count++;
    return count;
}

static void row_25_prepare_snapshot_failure_sends_no_abort(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    world.w.plan[VSS_EVENT_PREPARE_FOR_SNAPSHOT] = once(VSS_E_WRITERERROR_NONRETRYABLE);
    open_world(&world);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    struct session_writer_status status = kit_status(session, &world.w);
    assert_int_equal(status.state, 8);
    assert_int_equal(status.state, VSS_WS_FAILED_AT_PREPARE_SNAPSHOT);
    assert_int_equal(status.failure, VSS_E_WRITERERROR_NONRETRYABLE);
    assert_int_equal(times(&world, "w", "Abort"), 0);
    assert_int_equal(times(&world, "other", "Abort"), 0);
    assert_int_equal(times(&world, "w", "Freeze"), 0);
    assert_int_equal(times(&world, "other", "PostSnapshot"), 1);
    assert_int_equal(session_abort_backup(session, NULL), VSS_S_OK);
    assert_int_equal(times(&world, "w", "Abort"), 1);
    assert_int_equal(times(&world, "other", "Abort"), 1);
    session_release(session);
    close_world(&world);
}

static void row_26_freeze_failure_aborts_all(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    struct error error = ERROR_INIT;
    world.w.plan[VSS_EVENT_FREEZE] = once(VSS_E_WRITERERROR_RETRYABLE);
    open_world(&world);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, &error), VSS_E_WRITERERROR_RETRYABLE);
    assert_non_null(strstr(error.message, "planned failure of w in Freeze"));
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_FAILED_AT_FREEZE);
    assert_int_equal(kit_status(session, &world.other).state, VSS_WS_STABLE);
    assert_int_equal(times(&world, "w", "Abort"), 1);
    assert_int_equal(times(&world, "other", "Abort"), 1);
    assert_false(kit_frozen(&world.other));
    assert_int_equal(times(&world, "p", "AbortSnapshots"), 1);
    assert_int_equal(times(&world, "q", "AbortSnapshots"), 1);
    assert_int_equal(times(&world, "p", "CommitSnapshots"), 0);
    session_release(session);
    close_world(&world);
}

/* Every stage in turn fails on the second volume's provider. */
static void row_32_provider_failure_fails_the_set(void **state)
{
    (void)state;
    for (int stage = 0; stage <= VSS_STAGE_POST_FINAL_COMMIT_SNAPSHOTS; stage++) {
        struct world world = {.w = {.flags = 0}};
        struct error error = ERROR_INIT;
        world.q.plan[stage] = once(VSS_E_INSUFFICIENT_STORAGE);
        open_world(&world);
        struct session *session = prepared(&world);
        assert_int_equal(session_do_snapshot_set(session, &error), VSS_E_INSUFFICIENT_STORAGE);
        assert_non_null(strstr(error.message, vss_stage_name((enum vss_stage)stage)));
        assert_int_equal(kit_copies(&world.p), 0);
        assert_int_equal(kit_copies(&world.q), 0);
        assert_int_equal(session_components(session)->snapshot_count, 0);
        assert_int_equal(times(&world, "w", "Abort"), 1);
        assert_false(kit_frozen(&world.w));
        assert_int_equal(kit_status(session, &world.w).state, VSS_WS_STABLE);
        session_release(session);
        close_world(&world);
    }
}

static void row_33_abort_snapshots_after_end_prepare(void **state)
{
    (void)state;
    for (int stage = 0; stage <= VSS_STAGE_POST_FINAL_COMMIT_SNAPSHOTS; stage++) {
        struct world world = {.w = {.flags = 0}};
        world.p.plan[stage] = once(VSS_E_PROVIDER_VETO);
        open_world(&world);
        struct session *session = prepared(&world);
        assert_int_equal(session_do_snapshot_set(session, NULL), VSS_E_PROVIDER_VETO);
        bool reached = stage >= VSS_STAGE_END_PREPARE_SNAPSHOTS;
        assert_int_equal(times(&world, "p", "AbortSnapshots"), reached ? 1 : 0);
        bool other_reached = stage > VSS_STAGE_END_PREPARE_SNAPSHOTS;
        assert_int_equal(times(&world, "q", "AbortSnapshots"), other_reached ? 1 : 0);
        session_release(session);
        assert_int_equal(times(&world, "p", "AbortSnapshots"), reached ? 1 : 0);
        close_world(&world);
    }
}

static void row_34_new_set_after_an_unfinished_one(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    world.q.plan[VSS_STAGE_BEGIN_PREPARE_SNAPSHOT] = once(VSS_E_PROVIDER_VETO);
    open_world(&world);
    struct session *unfinished = prepared(&world);
    assert_int_equal(session_do_snapshot_set(unfinished, NULL), VSS_E_PROVIDER_VETO);
    assert_int_equal(times(&world, "p", "BeginPrepareSnapshot"), 1);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(world.p.dropped_sets, 1);
    assert_int_equal(kit_copies(&world.p), 1);
    session_release(unfinished); /* late: it takes nothing from the new set */
    assert_int_equal(kit_copies(&world.p), 1);
    session_release(session);
    assert_int_equal(kit_copies(&world.p), 0);
    close_world(&world);
}

static void row_35_provider_codes(void **state)
{
    (void)state;
    static const struct {
        vss_code returned, seen;
    } codes[] = {
        {VSS_E_PROVIDER_VETO, VSS_E_PROVIDER_VETO},
        {E_OUTOFMEMORY, E_OUTOFMEMORY},
        {VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED, VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED},
        {UINT32_C(0x80070057), E_INVALIDARG},
        {UINT32_C(0x80004005), VSS_E_UNEXPECTED_PROVIDER_ERROR},
        {VSS_E_WRITERERROR_RETRYABLE, VSS_E_UNEXPECTED_PROVIDER_ERROR},
        {1, VSS_E_UNEXPECTED_PROVIDER_ERROR},
    };
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        struct world world = {.w = {.flags = 0}};
        struct error error = ERROR_INIT;
        world.p.plan[VSS_STAGE_COMMIT_SNAPSHOTS] = once(codes[i].returned);
        open_world(&world);
        struct session *session = prepared(&world);
        assert_int_equal(session_do_snapshot_set(session, &error), codes[i].seen);
        assert_int_equal(error.number, (int)codes[i].seen);
        assert_int_equal(kit_record(&world.kit, "p", "CommitSnapshots", 0).code, codes[i].seen);
        session_release(session);
        close_world(&world);
    }
}

static void row_36_post_snapshot_failure_keeps_the_copy(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    struct provider_source source = {.nbd_uri = NULL};
    const struct component_snapshot *properties = NULL;
    world.w.plan[VSS_EVENT_POST_SNAPSHOT] = once(VSS_E_WRITERERROR_RECOVERY_FAILED);
    open_world(&world);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_FAILED_AT_POST_SNAPSHOT);
    assert_int_equal(times(&world, "w", "Abort"), 0);
    assert_int_equal(times(&world, "other", "Abort"), 0);
    assert_int_equal(kit_copies(&world.p), 1);
    const struct id id = session_components(session)->snapshots[0].id;
    assert_int_equal(session_snapshot_properties(session, &id, &properties, NULL), VSS_S_OK);
    assert_string_equal(properties->original, "v/a");
    assert_int_equal(session_open_snapshot(session, &id, &source, NULL), VSS_S_OK);
    free(source.nbd_uri);
    session_release(session);
    close_world(&world);
}

static void row_37_several_aborts(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    world.p.plan[VSS_STAGE_COMMIT_SNAPSHOTS] = once(VSS_E_PROVIDER_VETO);
    open_world(&world);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_E_PROVIDER_VETO);
    assert_int_equal(session_abort_backup(session, NULL), VSS_S_OK);
    assert_int_equal(times(&world, "w", "Abort"), 2);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_STABLE);
    assert_int_equal(kit_status(session, &world.w).failure, VSS_S_OK);
    session_release(session);
    close_world(&world);
}

static void row_40_no_backup_complete_after_a_failed_set(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    world.p.plan[VSS_STAGE_PRE_COMMIT_SNAPSHOTS] = once(VSS_E_PROVIDER_VETO);
    open_world(&world);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_E_PROVIDER_VETO);
    assert_int_equal(session_backup_complete(session, NULL), VSS_E_BAD_STATE);
    session_release(session);
    assert_int_equal(times(&world, "w", "BackupComplete"), 0);
    close_world(&world);
}

static void row_66_failure_sticks_until_the_next_sequence(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    world.w.plan[VSS_EVENT_FREEZE] = once(VSS_E_WRITERERROR_NONRETRYABLE);
    open_world(&world);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_E_WRITERERROR_NONRETRYABLE);
    assert_int_equal(session_abort_backup(session, NULL), VSS_S_OK);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_FAILED_AT_FREEZE);
    session_release(session);
    struct coordinator_writer shown = kit_shown(&world.kit, &world.w);
    assert_int_equal(shown.state, VSS_WS_FAILED_AT_FREEZE);
    assert_int_equal(shown.failure, VSS_E_WRITERERROR_NONRETRYABLE);
    assert_string_equal(shown.message, "planned failure of w in Freeze");
    session = kit_gathered(&world.kit, true); /* looking does not clear it */
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_FAILED_AT_FREEZE);
    session_release(session);
    session = prepared(&world);
    assert_int_equal(kit_shown(&world.kit, &world.w).state, VSS_WS_STABLE);
    assert_int_equal(kit_shown(&world.kit, &world.w).failure, VSS_S_OK);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    session_release(session);
    close_world(&world);
}

static void row_68_writer_process_is_killed_in_freeze(void **state)
{
    (void)state;
    struct world world = {.w = {.child = true}};
    world.w.plan[VSS_EVENT_FREEZE].kill = true;
    open_world(&world);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_E_WRITER_NOT_RESPONDING);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_FAILED_AT_FREEZE);
    assert_int_equal(kit_status(session, &world.w).failure, VSS_E_WRITER_NOT_RESPONDING);
    assert_int_equal(kit_status(session, &world.other).state, VSS_WS_STABLE);
    assert_false(kit_frozen(&world.other));
    assert_int_equal(times(&world, "other", "Freeze"), 1);
    assert_int_equal(times(&world, "other", "Abort"), 1);
    assert_int_equal(kit_copies(&world.p), 0);
    session_release(session);
    close_world(&world);
}

/* A recorded failure counts whatever is returned; an unknown code is NONRETRYABLE. */
static void writer_codes(void **state)
{
    (void)state;
    static const struct {
        vss_code planned, seen;
        bool says_only;
    } codes[] = {
        {VSS_E_WRITERERROR_OUTOFRESOURCES, VSS_E_WRITERERROR_OUTOFRESOURCES, false},
        {VSS_E_WRITERERROR_OUTOFRESOURCES, VSS_E_WRITERERROR_OUTOFRESOURCES, true},
        {UINT32_MAX, VSS_E_WRITERERROR_NONRETRYABLE, false},
        {VSS_E_PROVIDER_VETO, VSS_E_WRITERERROR_NONRETRYABLE, false},
        {5, VSS_E_WRITERERROR_NONRETRYABLE, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        struct world world = {.w = {.says_only = codes[i].says_only}};
        world.w.plan[VSS_EVENT_PREPARE_FOR_BACKUP] = once(codes[i].planned);
        open_world(&world);
        struct session *session = prepared(&world);
        assert_int_equal(kit_status(session, &world.w).failure, codes[i].seen);
        session_release(session);
        close_world(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_68_writer_process_is_killed_in_freeze), /* forks: first */
        cmocka_unit_test(row_25_prepare_snapshot_failure_sends_no_abort),
        cmocka_unit_test(row_26_freeze_failure_aborts_all),
        cmocka_unit_test(row_32_provider_failure_fails_the_set),
        cmocka_unit_test(row_33_abort_snapshots_after_end_prepare),
        cmocka_unit_test(row_34_new_set_after_an_unfinished_one),
        cmocka_unit_test(row_35_provider_codes),
        cmocka_unit_test(row_36_post_snapshot_failure_keeps_the_copy),
        cmocka_unit_test(row_37_several_aborts),
        cmocka_unit_test(row_40_no_backup_complete_after_a_failed_set),
        cmocka_unit_test(row_66_failure_sticks_until_the_next_sequence),
        cmocka_unit_test(writer_codes),
    };
    return cmocka_run_group_tests_name("vss_failure", tests, NULL, NULL);
}
