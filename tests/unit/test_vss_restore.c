/* vss: a restore's sequence. */
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
    struct components *saved; /* the document of a backup of both */
};

static void open_world(struct world *world)
{
    world->w.name = "w";
    world->other.name = "other";
    world->p.name = "p";
    world->p.prefix = "v";
    kit_open(&world->kit, NULL);
    kit_add_writer(&world->kit, &world->w);
    kit_add_writer(&world->kit, &world->other);
    kit_add_provider(&world->kit, &world->p);
    struct session *session =
        kit_prepared(&world->kit, KIT_WRITERS(&world->w, &world->other), KIT_VOLUMES("v/a"));
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    assert_int_equal(session_backup_complete(session, NULL), VSS_S_OK);
    world->saved = components_copy(session_components(session));
    session_release(session);
}

static void close_world(struct world *world)
{
    components_free(world->saved);
    assert_int_equal(kit_close(&world->kit, KIT_WRITERS(&world->w, &world->other)), 0);
}

static struct session *restore_of(struct world *world)
{
    struct session *session = session_new(world->kit.coordinator);
    assert_int_equal(session_initialize_for_restore(session, components_copy(world->saved), NULL),
                     VSS_S_OK);
    assert_int_equal(session_gather_writer_metadata(session, NULL), VSS_S_OK);
    return session;
}

static vss_code choose(struct session *session, const struct kit_writer *writer)
{
    return session_set_selected_for_restore(session, &writer->class_id, "", writer->name, NULL,
                                            NULL);
}

static void set_status(struct session *session, const struct kit_writer *writer,
                       enum vss_file_restore_status status)
{
    assert_int_equal(
        session_set_file_restore_status(session, &writer->class_id, "", writer->name, status, NULL),
        VSS_S_OK);
}

static void row_72_pre_restore_before_the_first_file(void **state)
{
    (void)state;
    struct world world = {.w = {.hyperv = true}};
    world.w.plan[VSS_EVENT_PRE_RESTORE].delay = KIT_MS(60);
    open_world(&world);
    struct session *session = restore_of(&world);
    assert_int_equal(choose(session, &world.w), VSS_S_OK);
    assert_int_equal(choose(session, &world.other), VSS_S_OK);
    assert_int_equal(session_pre_restore(session, NULL), VSS_S_OK);
    int64_t first_file = clock_monotonic();
    set_status(session, &world.w, VSS_RS_ALL);
    set_status(session, &world.other, VSS_RS_ALL);
    int64_t last_file = clock_monotonic();
    assert_int_equal(session_post_restore(session, NULL), VSS_S_OK);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_STABLE);
    static const char *const parties[] = {"w", "other"};
    for (size_t i = 0; i < 2; i++) {
        struct kit_entry pre = kit_entry(&world.kit, parties[i], "PreRestore", 0);
        struct kit_entry post = kit_entry(&world.kit, parties[i], "PostRestore", 0);
        assert_true(pre.end > 0 && pre.end <= first_file);
        assert_true(post.start >= last_file);
    }
    assert_true(world.w.registered);
    session_release(session);
    close_world(&world);
}

static void row_73_restore_needs_the_running_writer(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    struct error error = ERROR_INIT;
    open_world(&world);
    struct kit second; /* another host, where only `other` runs */
    struct kit_writer there = {.name = "other", .class_id = world.other.class_id};
    kit_open(&second, NULL);
    kit_add_writer(&second, &there);
    struct session *session = session_new(second.coordinator);
    assert_int_equal(session_initialize_for_restore(session, components_copy(world.saved), NULL),
                     VSS_S_OK);
    assert_int_equal(choose(session, &world.w), VSS_E_BAD_STATE); /* before it has looked */
    assert_int_equal(session_gather_writer_metadata(session, NULL), VSS_S_OK);
    assert_int_equal(
        session_set_selected_for_restore(session, &world.w.class_id, "", "w", NULL, &error),
        VSS_E_OBJECT_NOT_FOUND);
    assert_int_equal(error.kind, ERROR_NOT_FOUND);
    assert_int_equal(
        session_set_selected_for_restore(session, &world.other.class_id, "", "unknown", NULL, NULL),
        VSS_E_OBJECT_NOT_FOUND);
    assert_int_equal(choose(session, &there), VSS_S_OK); /* another instance of the class */
    assert_int_equal(session_pre_restore(session, NULL), VSS_S_OK);
    assert_string_equal(kit_story(&second, "other"), "Identify PreRestore");
    session_release(session);
    assert_int_equal(kit_close(&second, KIT_WRITERS(&there)), 0);
    close_world(&world);
}

static void row_74_no_other_events_in_a_restore(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    open_world(&world);
    size_t before = world.kit.logged;
    struct session *session = restore_of(&world);
    assert_int_equal(choose(session, &world.w), VSS_S_OK);
    assert_int_equal(session_pre_restore(session, NULL), VSS_S_OK);
    size_t during = world.kit.logged;
    set_status(session, &world.w, VSS_RS_ALL);
    assert_int_equal(session_gather_writer_status(session, NULL), VSS_S_OK);
    assert_int_equal(world.kit.logged, during);
    assert_int_equal(session_abort_backup(session, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_start_snapshot_set(session, NULL, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_prepare_for_backup(session, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_backup_complete(session, NULL), VSS_E_BAD_STATE);
    assert_int_equal(session_post_restore(session, NULL), VSS_S_OK);
    session_release(session);
    static const char *const expected[] = {"Identify", "Identify", "PreRestore", "PostRestore"};
    assert_int_equal(world.kit.logged - before, ARRAY_SIZE(expected));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        assert_string_equal(world.kit.log[before + i].name, expected[i]);
    close_world(&world);
}

/* A restore of w with this status; UNDEFINED = none is set. */
static void try_status(enum vss_file_restore_status status, bool registers)
{
    struct world world = {.w = {.hyperv = true}};
    open_world(&world);
    struct session *session = restore_of(&world);
    assert_int_equal(choose(session, &world.w), VSS_S_OK);
    assert_int_equal(session_pre_restore(session, NULL), VSS_S_OK);
    if (status != VSS_RS_UNDEFINED)
        set_status(session, &world.w, status);
    assert_int_equal(session_post_restore(session, NULL), VSS_S_OK);
    struct session_writer_status after = kit_status(session, &world.w);
    assert_int_equal(after.state, registers ? VSS_WS_STABLE : VSS_WS_FAILED_AT_POST_RESTORE);
    assert_int_equal(after.failure, registers ? VSS_S_OK : VSS_E_WRITERERROR_NONRETRYABLE);
    assert_int_equal(world.w.registered, registers);
    session_release(session);
    close_world(&world);
}

static void row_75_missing_status_is_undefined(void **state)
{
    (void)state;
    try_status(VSS_RS_UNDEFINED, false);
}

static void row_76_only_all_registers(void **state)
{
    (void)state;
    try_status(VSS_RS_ALL, true);
    try_status(VSS_RS_NONE, false);
    try_status(VSS_RS_FAILED, false);
}

/* The statuses of an earlier restore of the same document do not count. */
static void old_status_in_the_document_is_ignored(void **state)
{
    (void)state;
    struct world world = {.w = {.hyperv = true}};
    open_world(&world);
    world.saved->sets[0].components[0].file_restore_status = VSS_RS_ALL;
    world.saved->sets[1].components[0].selected_for_restore = true;
    struct session *session = restore_of(&world);
    assert_int_equal(choose(session, &world.w), VSS_S_OK);
    assert_int_equal(session_pre_restore(session, NULL), VSS_S_OK);
    assert_int_equal(session_post_restore(session, NULL), VSS_S_OK);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_FAILED_AT_POST_RESTORE);
    assert_int_equal(kit_entry(&world.kit, "other", "PreRestore", 0).start, 0);
    session_release(session);
    close_world(&world);
}

static void writer_that_failed_pre_restore_hears_no_post_restore(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    world.w.plan[VSS_EVENT_PRE_RESTORE] =
        (struct kit_plan){.code = VSS_E_WRITERERROR_RETRYABLE, .count = 1};
    open_world(&world);
    struct session *session = restore_of(&world);
    assert_int_equal(choose(session, &world.w), VSS_S_OK);
    assert_int_equal(choose(session, &world.other), VSS_S_OK);
    assert_int_equal(session_pre_restore(session, NULL), VSS_S_OK);
    assert_int_equal(kit_status(session, &world.w).state, VSS_WS_FAILED_AT_PRE_RESTORE);
    assert_int_equal(kit_status(session, &world.other).state, VSS_WS_STABLE);
    set_status(session, &world.other, VSS_RS_ALL);
    assert_int_equal(session_post_restore(session, NULL), VSS_S_OK);
    assert_int_equal(kit_entry(&world.kit, "w", "PostRestore", 0).start, 0);
    assert_true(kit_entry(&world.kit, "other", "PostRestore", 0).end > 0);
    session_release(session);
    close_world(&world);
}

/* A new target needs a writer that says it can. */
static void new_target_needs_the_schema_bit(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    open_world(&world);
    for (unsigned can = 0; can < 2; can++) {
        world.saved->sets[0].backup_schema = can ? 0x100 : 0;
        struct session *session = restore_of(&world);
        assert_int_equal(session_add_new_target(session, &world.w.class_id, "", "w", "/data/w", "*",
                                                false, "/elsewhere", NULL),
                         can ? VSS_S_OK : VSS_E_NOT_SUPPORTED);
        assert_int_equal(session_components(session)->sets[0].components[0].new_target_count, can);
        session_release(session);
    }
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_72_pre_restore_before_the_first_file),
        cmocka_unit_test(row_73_restore_needs_the_running_writer),
        cmocka_unit_test(row_74_no_other_events_in_a_restore),
        cmocka_unit_test(row_75_missing_status_is_undefined),
        cmocka_unit_test(row_76_only_all_registers),
        cmocka_unit_test(old_status_in_the_document_is_ignored),
        cmocka_unit_test(writer_that_failed_pre_restore_hears_no_post_restore),
        cmocka_unit_test(new_target_needs_the_schema_bit),
    };
    return cmocka_run_group_tests_name("vss_restore", tests, NULL, NULL);
}
