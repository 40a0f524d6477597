/* vss: the copies of a set, and what others see of the writers while they are made. */
#include "kit/vss_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct kit kit;
    struct kit_writer w;
    struct kit_provider p;
    struct session *session;
    struct id snapshot;
    char seen[VSS_STAGE_COUNT_][32]; /* the word of w's state, in each stage */
    vss_code early[VSS_STAGE_COUNT_];
};

static void open_world(struct world *world)
{
    world->w.name = "w";
    world->p.name = "p";
    world->p.prefix = "v";
    world->p.hook_data = world;
    kit_open(&world->kit, NULL);
    kit_add_writer(&world->kit, &world->w);
    kit_add_provider(&world->kit, &world->p);
}

static void close_world(struct world *world)
{
    assert_int_equal(kit_close(&world->kit, KIT_WRITERS(&world->w)), 0);
}

/* Up to PrepareForBackup, with the copy's id kept. */
static void prepare(struct world *world, uint32_t context)
{
    struct session *session = world->session = session_new(world->kit.coordinator);
    assert_int_equal(session_initialize_for_backup(session, NULL), VSS_S_OK);
    assert_int_equal(session_set_context(session, context, NULL), VSS_S_OK);
    assert_int_equal(session_set_backup_state(session, true, false, VSS_BT_FULL, false, NULL),
                     VSS_S_OK);
    assert_int_equal(session_gather_writer_metadata(session, NULL), VSS_S_OK);
    kit_select(session, &world->w);
    assert_int_equal(session_start_snapshot_set(session, NULL, NULL), VSS_S_OK);
    assert_int_equal(session_add_to_snapshot_set(session, "v/a", NULL, &world->snapshot, NULL),
                     VSS_S_OK);
    assert_int_equal(session_prepare_for_backup(session, NULL), VSS_S_OK);
}

/* Who looks is another program: what it sees is the coordinator's, not the session's. */
static void look(struct kit_provider *provider, enum vss_stage stage)
{
    struct world *world = provider->hook_data;
    const struct component_snapshot *properties = NULL;
    struct coordinator_writer shown = kit_shown(provider->kit, &world->w);
    (void)snprintf(world->seen[stage], sizeof world->seen[stage], "%s",
                   vss_writer_state_word(shown.state));
    world->early[stage] =
        session_snapshot_properties(world->session, &world->snapshot, &properties, NULL);
}

static void row_63_no_properties_while_it_is_made(void **state)
{
    (void)state;
    struct world world = {.p = {.hook = look}};
    const struct component_snapshot *properties = NULL;
    open_world(&world);
    prepare(&world, VSS_CTX_BACKUP);
    assert_int_equal(session_do_snapshot_set(world.session, NULL), VSS_S_OK);
    for (int stage = VSS_STAGE_BEGIN_PREPARE_SNAPSHOT;
         stage <= VSS_STAGE_POST_FINAL_COMMIT_SNAPSHOTS; stage++)
        assert_int_equal(world.early[stage], VSS_E_OBJECT_NOT_FOUND);
    assert_int_equal(session_snapshot_properties(world.session, &world.snapshot, &properties, NULL),
                     VSS_S_OK);
    assert_string_equal(properties->original, "v/a");
    world.p.hook = NULL;
    session_release(world.session);
    close_world(&world);
}

static void row_65_words_at_each_stage(void **state)
{
    (void)state;
    static const char *const words[] = {
        [VSS_STAGE_BEGIN_PREPARE_SNAPSHOT] = "Stable",
        [VSS_STAGE_END_PREPARE_SNAPSHOTS] = "Waiting for freeze",
        [VSS_STAGE_PRE_COMMIT_SNAPSHOTS] = "Frozen",
        [VSS_STAGE_COMMIT_SNAPSHOTS] = "Frozen",
        [VSS_STAGE_POST_COMMIT_SNAPSHOTS] = "Frozen",
        [VSS_STAGE_PRE_FINAL_COMMIT_SNAPSHOTS] = "Waiting for completion",
        [VSS_STAGE_POST_FINAL_COMMIT_SNAPSHOTS] = "Waiting for completion",
    };
    struct world world = {.p = {.hook = look}};
    open_world(&world);
    prepare(&world, VSS_CTX_BACKUP);
    assert_int_equal(session_do_snapshot_set(world.session, NULL), VSS_S_OK);
    world.p.hook = NULL;
    for (size_t stage = 0; stage < ARRAY_SIZE(words); stage++)
        if (words[stage])
            assert_string_equal(world.seen[stage], words[stage]);
    assert_string_equal(vss_writer_state_word(kit_shown(&world.kit, &world.w).state),
                        "Waiting for completion");
    assert_int_equal(session_backup_complete(world.session, NULL), VSS_S_OK);
    session_release(world.session);
    assert_string_equal(vss_writer_state_word(kit_shown(&world.kit, &world.w).state), "Stable");
    close_world(&world);
}

static void row_43_only_persistent_copies_stay(void **state)
{
    (void)state;
    static const uint32_t contexts[] = {VSS_CTX_BACKUP, VSS_CTX_CLIENT_ACCESSIBLE_WRITERS};
    for (size_t i = 0; i < ARRAY_SIZE(contexts); i++) {
        struct world world = {.w = {.flags = 0}};
        open_world(&world);
        prepare(&world, contexts[i]);
        assert_int_equal(session_do_snapshot_set(world.session, NULL), VSS_S_OK);
        assert_int_equal(kit_copies(&world.p), 1);
        session_release(world.session);
        assert_int_equal(kit_copies(&world.p), i);
        close_world(&world);
    }
}

static uint32_t attributes_of(uint32_t component_flags, uint32_t context)
{
    struct world world = {.w = {.flags = component_flags}};
    const struct component_snapshot *properties = NULL;
    open_world(&world);
    prepare(&world, context);
    assert_int_equal(session_do_snapshot_set(world.session, NULL), VSS_S_OK);
    assert_int_equal(session_snapshot_properties(world.session, &world.snapshot, &properties, NULL),
                     VSS_S_OK);
    uint32_t attributes = properties->attributes;
    session_release(world.session);
    close_world(&world);
    return attributes;
}

static void row_61_recovery_only_where_a_component_asks(void **state)
{
    (void)state;
    assert_false(attributes_of(0, VSS_CTX_BACKUP) & VSS_VOLSNAP_ATTR_AUTORECOVER);
    assert_true(attributes_of(VSS_CF_BACKUP_RECOVERY, VSS_CTX_BACKUP) &
                VSS_VOLSNAP_ATTR_AUTORECOVER);
    assert_false(
        attributes_of(VSS_CF_BACKUP_RECOVERY, VSS_CTX_BACKUP | VSS_VOLSNAP_ATTR_NO_AUTORECOVERY) &
        VSS_VOLSNAP_ATTR_AUTORECOVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_43_only_persistent_copies_stay),
        cmocka_unit_test(row_61_recovery_only_where_a_component_asks),
        cmocka_unit_test(row_63_no_properties_while_it_is_made),
        cmocka_unit_test(row_65_words_at_each_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
