/* vss: time limits, the freeze window, and writers that do not answer. */
#include "kit/vss_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
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

/* Frozen for too long because the provider is slow: the writer thaws itself, at the limit and not
 * when the provider is ready, and the set is void. */
static void row_27_freeze_window(void **state)
{
    (void)state;
    struct world world = {.w = {.limits = {.freeze_window = KIT_MS(250)}}};
    struct error error = ERROR_INIT;
    world.p.plan[VSS_STAGE_COMMIT_SNAPSHOTS].delay = KIT_MS(700);
    open_world(&world);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, &error), VSS_E_WRITERERROR_TIMEOUT);
    assert_int_equal(error.number, (int)0x800423F2);
    assert_int_equal(error.kind, ERROR_TIMEOUT);
    struct session_writer_status status = kit_status(session, &world.w);
    assert_int_equal(status.state, VSS_WS_FAILED_AT_FREEZE);
    assert_int_equal(status.failure, VSS_E_WRITERERROR_TIMEOUT);
    assert_false(kit_frozen(&world.w));
    struct kit_entry freeze = kit_entry(&world.kit, "w", "Freeze", 0);
    struct kit_entry abort_entry = kit_entry(&world.kit, "w", "Abort", 0);
    struct kit_entry commit = kit_entry(&world.kit, "p", "CommitSnapshots", 0);
    assert_true(abort_entry.start >= freeze.start + KIT_MS(200));
    assert_true(abort_entry.start < commit.end);
    assert_int_equal(times(&world, "w", "Thaw"), 0);
    assert_int_equal(times(&world, "p", "PostCommitSnapshots"), 0);
    session_release(session);
    close_world(&world);
}

/* The handler itself overruns: the coordinator does not wait for it, Abort comes behind it. */
static void row_27_freeze_handler_overruns(void **state)
{
    (void)state;
    struct world world = {.w = {.limits = {.freeze_window = KIT_MS(100)}}};
    world.w.plan[VSS_EVENT_FREEZE].delay = KIT_MS(700);
    open_world(&world);
    struct session *session = prepared(&world);
    int64_t start = clock_monotonic();
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_E_WRITERERROR_TIMEOUT);
    assert_true(clock_monotonic() - start < KIT_MS(500));
    assert_int_equal(kit_status(session, &world.w).failure, VSS_E_WRITERERROR_TIMEOUT);
    assert_int_equal(kit_status(session, &world.other).state, VSS_WS_STABLE);
    assert_true(kit_wait_for(&world.kit, "w", "Abort", 1));
    assert_true(kit_entry(&world.kit, "w", "Abort", 0).start >=
                kit_entry(&world.kit, "w", "Freeze", 0).end);
    session_release(session);
    assert_int_equal(kit_shown(&world.kit, &world.w).state, VSS_WS_FAILED_AT_FREEZE);
    close_world(&world);
    assert_false(world.w.frozen);
}

static void row_28_writers_own_window(void **state)
{
    (void)state;
    struct world world = {.w = {.limits = {.freeze_window = KIT_MS(250)}}};
    world.other.limits.freeze_window = KIT_MS(20000);
    world.p.plan[VSS_STAGE_COMMIT_SNAPSHOTS].delay = KIT_MS(400);
    open_world(&world);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_E_WRITERERROR_TIMEOUT);
    assert_int_equal(kit_status(session, &world.w).failure, VSS_E_WRITERERROR_TIMEOUT);
    struct session_writer_status status = kit_status(session, &world.other);
    assert_int_equal(status.state, VSS_WS_STABLE);
    assert_int_equal(status.failure, VSS_S_OK);
    /* its Abort came from the failed set, after the provider returned */
    assert_true(kit_entry(&world.kit, "other", "Abort", 0).start >=
                kit_entry(&world.kit, "p", "CommitSnapshots", 0).end);
    session_release(session);
    close_world(&world);
}

/* Thaw fails: the writer is aborted, the set stays; vss.md 1.6. */
static void thaw_failure_aborts_that_writer(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    world.w.plan[VSS_EVENT_THAW] = once(VSS_E_WRITERERROR_NONRETRYABLE);
    open_world(&world);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_FAILED_AT_THAW);
    assert_true(kit_wait_for(&world.kit, "w", "Abort", 1));
    assert_int_equal(times(&world, "other", "Abort"), 0);
    session_release(session);
    close_world(&world);
    assert_false(world.w.frozen);
}

/* The published hold of 10 s, shortened. */
static void commit_beyond_its_limit_is_a_hold_timeout(void **state)
{
    (void)state;
    struct world world = {.p = {.stage_limit = KIT_MS(250)}};
    world.p.plan[VSS_STAGE_COMMIT_SNAPSHOTS].delay = KIT_MS(350);
    open_world(&world);
    struct session *session = prepared(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_E_HOLD_WRITES_TIMEOUT);
    assert_int_equal(kit_copies(&world.p), 0);
    session_release(session);
    close_world(&world);
}

/* Held by a hook until the test lets go. */
static atomic_bool held;
static void hold(struct kit_writer *writer, const struct writer_event *event)
{
    while (event->event == VSS_EVENT_PREPARE_FOR_SNAPSHOT && atomic_load(&held))
        clock_sleep(KIT_MS(1));
    /* the writer's own copies are valid however late it is */
    assert_true(writer_event_has_volume(event, "v/a"));
    assert_string_equal(event->components->components[0].name, writer->name);
}

static void row_69_blocked_writer_blocks_nobody(void **state)
{
    (void)state;
    struct world world = {.w = {.hook = NULL}};
    world.w.limits.event[VSS_EVENT_PREPARE_FOR_SNAPSHOT] = KIT_MS(40);
    open_world(&world);
    struct session *session = prepared(&world);
    world.w.hook = hold;
    atomic_store(&held, true);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    struct session_writer_status status = kit_status(session, &world.w);
    assert_int_equal(status.state, VSS_WS_FAILED_AT_PREPARE_SNAPSHOT);
    assert_int_equal(status.failure, VSS_E_WRITER_NOT_RESPONDING);
    assert_int_equal(session_abort_backup(session, NULL), VSS_S_OK); /* queued behind */
    session_release(session);
    session = kit_gathered(&world.kit, true);
    assert_int_equal(session_writer_metadata_count(session), 1);
    session_release(session);
    assert_int_equal(times(&world, "w", "Abort"), 0);
    atomic_store(&held, false);
    assert_true(kit_wait_for(&world.kit, "w", "BackupShutdown", 1));
    assert_string_equal(kit_story(&world.kit, "w"),
                        "Identify PrepareForBackup PrepareForSnapshot Abort BackupShutdown");
    world.w.hook = NULL;
    session = kit_gathered(&world.kit, true); /* and it is back */
    assert_int_equal(session_writer_metadata_count(session), 2);
    session_release(session);
    close_world(&world);
}

/* What is left behind does not call the writer again and frees the rest itself. */
static void blocked_writer_is_left_behind(void **state)
{
    (void)state;
    static struct world world; /* outlives the coordinator, as the contract asks */
    world = (struct world){.w = {.hook = NULL}};
    world.w.limits.event[VSS_EVENT_PREPARE_FOR_SNAPSHOT] = KIT_MS(40);
    open_world(&world);
    struct session *session = prepared(&world);
    world.w.hook = hold;
    atomic_store(&held, true);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    session_release(session);
    assert_int_equal(kit_close(&world.kit, KIT_WRITERS(&world.w, &world.other)), -1);
    atomic_store(&held, false);
    assert_true(kit_wait_for(&world.kit, "w", "PrepareForSnapshot", 1));
    clock_sleep(KIT_MS(20)); /* time to do wrong */
    assert_int_equal(times(&world, "w", "Abort") + times(&world, "w", "BackupShutdown"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_27_freeze_window),
        cmocka_unit_test(row_27_freeze_handler_overruns),
        cmocka_unit_test(row_28_writers_own_window),
        cmocka_unit_test(thaw_failure_aborts_that_writer),
        cmocka_unit_test(commit_beyond_its_limit_is_a_hold_timeout),
        cmocka_unit_test(row_69_blocked_writer_blocks_nobody),
        cmocka_unit_test(blocked_writer_is_left_behind),
    };
    return cmocka_run_group_tests_name("vss_limits", tests, NULL, NULL);
}
