/* documents: what is written is read back, what is unknown is kept, what is damaged is refused. */
#include "documents/backup-components-document.h"
#include "documents/writer-metadata-document.h"
#include "kit/vss_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Everything that XML makes difficult. */
#define NASTY "R&D <\"web'1\">\t\xC3\xA4\xE2\x82\xAC\xF0\x9F\x90\xA7 a\nb\rc"

static struct metadata *sample_metadata(void)
{
    struct metadata *metadata = metadata_new();
    metadata->writer_id = id_new();
    metadata->instance_id = id_new();
    memory_set_string(&metadata->name, "Microsoft Hyper-V VSS Writer");
    metadata->restore_method = VSS_RME_CUSTOM;
    metadata->writer_restore = VSS_WRE_ALWAYS;
    metadata->user_procedure = memory_copy_string(NASTY);
    metadata->backup_schema = 0x8101;
    metadata_add_exclude(metadata, "/vm", "*.pid", true);
    struct metadata_component *vm =
        metadata_add_component(metadata, VSS_CT_DATABASE, "", NASTY, "Online\\" NASTY, NULL);
    vm->selectable = true;
    vm->flags = VSS_CF_BACKUP_RECOVERY | VSS_CF_APP_ROLLBACK_RECOVERY;
    metadata_add_file(vm, "/vm/" NASTY, "a.qcow2", false);
    metadata_add_file(vm, "/vm", "log", false)->log = true;
    struct metadata_component *host =
        metadata_add_component(metadata, VSS_CT_FILEGROUP, "a\\b", "host", NULL, NULL);
    host->selectable_for_restore = host->restore_metadata = true;
    host->notify_on_backup_complete = true;
    struct metadata_file *file = metadata_add_file(host, "/etc", "*", true);
    file->alternate_path = memory_copy_string("/copy");
    file->backup_type = 0x101;
    struct id other = id_new();
    metadata_add_dependency(host, &other, "path", "name");
    return metadata;
}

static char *write_metadata(const struct metadata *metadata)
{
    struct error error = ERROR_INIT;
    char *xml = NULL;
    if (metadata_document_write(metadata, &xml, &error) != 0)
        fail_msg("%s", error.message);
    return xml;
}

static struct metadata *read_metadata(const char *xml)
{
    struct error error = ERROR_INIT;
    struct metadata *metadata = NULL;
    if (metadata_document_read(xml, strlen(xml), &metadata, &error) != 0)
        fail_msg("%s", error.message);
    return metadata;
}

static char *write_components(const struct components *components)
{
    struct error error = ERROR_INIT;
    char *xml = NULL;
    if (components_document_write(components, &xml, &error) != 0)
        fail_msg("%s", error.message);
    return xml;
}

static struct components *read_components(const char *xml)
{
    struct error error = ERROR_INIT;
    struct components *components = NULL;
    if (components_document_read(xml, strlen(xml), &components, &error) != 0)
        fail_msg("%s", error.message);
    return components;
}

static void compare_component(const struct metadata_component *a,
                              const struct metadata_component *b)
{
    assert_int_equal(a->type, b->type);
    assert_string_equal(a->logical_path, b->logical_path);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->selectable, b->selectable);
    assert_int_equal(a->selectable_for_restore, b->selectable_for_restore);
    assert_int_equal(a->restore_metadata, b->restore_metadata);
    assert_int_equal(a->notify_on_backup_complete, b->notify_on_backup_complete);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->file_count, b->file_count);
    for (size_t i = 0; i < a->file_count; i++) {
        assert_string_equal(a->files[i].path, b->files[i].path);
        assert_string_equal(a->files[i].filespec, b->files[i].filespec);
        assert_int_equal(a->files[i].log, b->files[i].log);
        assert_int_equal(a->files[i].recursive, b->files[i].recursive);
        assert_int_equal(a->files[i].backup_type, b->files[i].backup_type);
    }
    assert_int_equal(a->dependency_count, b->dependency_count);
}

static void row_49_metadata_round_trip(void **state)
{
    (void)state;
    CLEANUP(metadata_freep) struct metadata *metadata = sample_metadata();
    CLEANUP_FREE char *xml = write_metadata(metadata);
    CLEANUP(metadata_freep) struct metadata *back = read_metadata(xml);
    assert_true(id_equal(&back->writer_id, &metadata->writer_id));
    assert_true(id_equal(&back->instance_id, &metadata->instance_id));
    assert_string_equal(back->user_procedure, NASTY);
    assert_null(back->service);
    assert_int_equal(back->backup_schema, 0x8101);
    assert_int_equal(back->restore_method, VSS_RME_CUSTOM);
    assert_int_equal(back->writer_restore, VSS_WRE_ALWAYS);
    assert_int_equal(back->exclude_count, 1);
    assert_true(back->excludes[0].recursive);
    assert_int_equal(back->component_count, 2);
    for (size_t i = 0; i < 2; i++)
        compare_component(&back->components[i], &metadata->components[i]);
    assert_string_equal(back->components[0].caption, "Online\\" NASTY);
    assert_null(back->components[1].caption);
    assert_string_equal(back->components[1].files[0].alternate_path, "/copy");
    assert_string_equal(back->components[1].dependencies[0].component_name, "name");
    assert_null(back->extra);
    CLEANUP(metadata_freep) struct metadata *copy = metadata_copy(back);
    CLEANUP_FREE char *again = write_metadata(copy);
    assert_string_equal(again, xml);
}

static struct components *sample_components(void)
{
    struct components *components = components_new();
    components->backup_type = VSS_BT_COPY;
    components->bootable_system_state = true;
    components->context = VSS_CTX_APP_ROLLBACK;
    struct id writer = id_new(), instance = id_new();
    struct component_set *set = components_add_set(components, &writer, &instance);
    set->backup_schema = 0x100;
    struct component *vm = component_set_add(set, VSS_CT_DATABASE, "x", NASTY, NULL);
    vm->backup_succeeded = vm->additional_restores = true;
    vm->backup_stamp = memory_copy_string("stamp <1>");
    vm->previous_stamp = memory_copy_string("");
    vm->backup_metadata = memory_copy_string(NASTY);
    vm->restore_options = memory_copy_string("\"x\"=\"y\",");
    vm->restore_target = VSS_RT_ORIGINAL_LOCATION;
    vm->file_restore_status = VSS_RS_ALL;
    vm->failure_messages[VSS_EVENT_POST_SNAPSHOT] = memory_copy_string(NASTY);
    __typeof__(*vm->new_targets) target = {.path = memory_copy_string("/vm"),
                                           .filespec = memory_copy_string("*"),
                                           .new_path = memory_copy_string(NASTY),
                                           .recursive = true};
    ARRAY_APPEND(vm->new_targets, vm->new_target_count, target);
    components->snapshot_set = id_new();
    struct component_snapshot snapshot = {.id = id_new(),
                                          .original = memory_copy_string("u/vda"),
                                          .provider = id_new(),
                                          .created = INT64_C(1795444685123456789),
                                          .attributes = VSS_VOLSNAP_ATTR_AUTORECOVER};
    ARRAY_APPEND(components->snapshots, components->snapshot_count, snapshot);
    return components;
}

static void row_49_components_round_trip(void **state)
{
    (void)state;
    CLEANUP(components_freep) struct components *components = sample_components();
    CLEANUP_FREE char *xml = write_components(components);
    CLEANUP(components_freep) struct components *back = read_components(xml);
    const struct component *a = &components->sets[0].components[0];
    const struct component *b = &back->sets[0].components[0];
    assert_int_equal(back->backup_type, VSS_BT_COPY);
    assert_int_equal(back->context, VSS_CTX_APP_ROLLBACK);
    assert_true(back->bootable_system_state && back->select_components);
    assert_true(id_equal(&back->sets[0].instance_id, &components->sets[0].instance_id));
    assert_int_equal(back->sets[0].backup_schema, 0x100);
    assert_string_equal(b->name, a->name);
    assert_true(b->backup_succeeded && b->additional_restores && !b->selected_for_restore);
    assert_string_equal(b->backup_stamp, a->backup_stamp);
    assert_string_equal(b->previous_stamp, "");
    assert_string_equal(b->backup_metadata, NASTY);
    assert_null(b->restore_metadata);
    assert_string_equal(b->restore_options, a->restore_options);
    assert_int_equal(b->restore_target, VSS_RT_ORIGINAL_LOCATION);
    assert_int_equal(b->file_restore_status, VSS_RS_ALL);
    assert_string_equal(b->failure_messages[VSS_EVENT_POST_SNAPSHOT], NASTY);
    assert_int_equal(b->new_target_count, 1);
    assert_string_equal(b->new_targets[0].new_path, NASTY);
    assert_int_equal(back->snapshot_count, 1);
    assert_true(id_equal(&back->snapshot_set, &components->snapshot_set));
    assert_true(back->snapshots[0].created == components->snapshots[0].created);
    assert_null(back->snapshots[0].device);
    CLEANUP(components_freep) struct components *copy = components_copy(back);
    CLEANUP_FREE char *again = write_components(copy);
    assert_string_equal(again, xml);
}

#define W_ID "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de"
#define I_ID "11111111-2222-4333-8444-555555555555"

static const char newer_metadata[] =
    "<?xml version=\"1.0\"?>\n"
    "<WRITER_METADATA version=\"1.7\" xmlns=\"x-schema:#VssWriterMetadataInfo\" rootNew=\"r\""
    " xmlns:n=\"urn:new\" n:own=\"o\">\n"
    "<IDENTIFICATION writerId=\"" W_ID "\" instanceId=\"" I_ID "\" friendlyName=\"w\""
    " idNew=\"i\"><ID_CHILD/></IDENTIFICATION>\n"
    "<RESTORE_METHOD method=\"CUSTOM\"><ALTERNATE_LOCATION_MAPPING path=\"/vm\""
    " filespec=\"*\" alternatePath=\"/x\"/><ALTERNATE_LOCATION_MAPPING path=\"/vn\"/>"
    "</RESTORE_METHOD>\n"
    "<NEW_THING a=\"1\">text &amp; more<n:deep/></NEW_THING><NEW_THING a=\"2\"/>\n"
    "<BACKUP_LOCATIONS><DATABASE componentName=\"vm\" dbNew=\"d\"><DATABASE_FILES path=\"/p\""
    " filespec=\"f\" fileNew=\"x\"/><DB_CHILD b=\"3\"/></DATABASE><WHAT_IS_IT/>"
    "</BACKUP_LOCATIONS></WRITER_METADATA>";

static const char newer_components[] =
    "<BACKUP_COMPONENTS version=\"1.3\" backupType=\"full\" bNew=\"q\""
    " xmlns=\"x-schema:#VssComponentMetadata\">"
    "<WRITER_COMPONENTS writerId=\"" W_ID "\" instanceId=\"" I_ID "\" setNew=\"s\">"
    "<COMPONENT type=\"database\" componentName=\"vm\" compNew=\"c\">"
    "<BACKUP_METADATA enc=\"base64\">abc</BACKUP_METADATA>"
    "<PARTIAL_FILE path=\"/p\" filespec=\"f\" ranges=\"0:5,100:20\" metadata=\"\"/>"
    "<PARTIAL_FILE path=\"/q\" filespec=\"f\"/><DIRECTED_TARGET src=\"a\" dst=\"b\"/>"
    "</COMPONENT></WRITER_COMPONENTS>"
    "<SNAPSHOT_SET_DESCRIPTION snapshotSetId=\"" I_ID "\" descNew=\"t\"><LUN_MAPPING lun=\"9\"/>"
    "<SNAPSHOT snapshotId=\"" W_ID "\" original=\"o\" providerId=\"" W_ID "\" snapNew=\"u\"/>"
    "</SNAPSHOT_SET_DESCRIPTION></BACKUP_COMPONENTS>";

static void assert_has_all(const char *xml, const char *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strstr(xml, parts[i]))
            fail_msg("%s is missing in\n%s", parts[i], xml);
}

static void row_49_unknown_parts_are_kept(void **state)
{
    (void)state;
    static const char *const in_metadata[] = {
        "version=\"1.7\"", "rootNew=\"r\"", "n:own=\"o\"",     "idNew=\"i\"",  "<ID_CHILD",
        "<NEW_THING",      "a=\"2\"",       "text &amp; more", "<n:deep",      "dbNew=\"d\"",
        "fileNew=\"x\"",   "b=\"3\"",       "<WHAT_IS_IT",     "path=\"/vn\"", "path=\"/vm\""};
    CLEANUP(metadata_freep) struct metadata *metadata = read_metadata(newer_metadata);
    assert_int_equal(metadata->component_count, 1);
    CLEANUP_FREE char *once = write_metadata(metadata);
    assert_has_all(once, in_metadata, ARRAY_SIZE(in_metadata));
    CLEANUP(metadata_freep) struct metadata *back = read_metadata(once);
    CLEANUP_FREE char *twice = write_metadata(back);
    assert_string_equal(twice, once);

    static const char *const in_components[] = {
        "version=\"1.3\"", "bNew=\"q\"",  "setNew=\"s\"",          "compNew=\"c\"",
        "enc=\"base64\"",  "path=\"/q\"", "ranges=\"0:5,100:20\"", "<DIRECTED_TARGET",
        "descNew=\"t\"",   "lun=\"9\"",   "snapNew=\"u\"",         ">abc<"};
    CLEANUP(components_freep) struct components *components = read_components(newer_components);
    CLEANUP(components_freep) struct components *copy = components_copy(components);
    CLEANUP_FREE char *first = write_components(copy);
    assert_has_all(first, in_components, ARRAY_SIZE(in_components));
    CLEANUP(components_freep) struct components *again = read_components(first);
    CLEANUP_FREE char *second = write_components(again);
    assert_string_equal(second, first);
}

/* 0, or the code of the refusal by one of the readers. */
static vss_code refusal(const char *xml, size_t size, bool is_metadata)
{
    struct error error = ERROR_INIT;
    struct metadata *metadata = NULL;
    struct components *components = NULL;
    int result = is_metadata ? metadata_document_read(xml, size, &metadata, &error)
                             : components_document_read(xml, size, &components, &error);
    assert_int_equal(result != 0, error_is_set(&error));
    if (result != 0)
        assert_int_equal(error.kind, ERROR_DAMAGED);
    assert_true(result == 0 || (!metadata && !components));
    metadata_free(metadata);
    components_free(components);
    return result == 0 ? VSS_S_OK : (vss_code)error.number;
}

#define WMD(inner)                                                                                 \
    "<WRITER_METADATA version=\"1.0\" xmlns=\"x-schema:#VssWriterMetadataInfo\">" inner            \
    "</WRITER_METADATA>"
#define WMD_ID "<IDENTIFICATION writerId=\"" W_ID "\" instanceId=\"" I_ID "\" friendlyName=\"w\"/>"

static void row_50_damaged_and_foreign_documents(void **state)
{
    (void)state;
    static const struct {
        const char *xml;
        vss_code code;
    } cases[] = {
        {WMD(WMD_ID), VSS_S_OK},
        {"", VSS_E_CORRUPT_XML_DOCUMENT},
        {"not xml", VSS_E_CORRUPT_XML_DOCUMENT},
        {"<WRITER_METADATA", VSS_E_CORRUPT_XML_DOCUMENT},
        {"<WRITER_METADATA xmlns=\"x-schema:#Other\"/>", VSS_E_INVALID_XML_DOCUMENT},
        {"<WRITER_METADATA/>", VSS_E_INVALID_XML_DOCUMENT},
        {newer_components, VSS_E_INVALID_XML_DOCUMENT},
        {"<WRITER_METADATA version=\"2.0\" xmlns=\"x-schema:#VssWriterMetadataInfo\">" WMD_ID
         "</WRITER_METADATA>",
         VSS_E_INVALID_XML_DOCUMENT},
        {"<!DOCTYPE WRITER_METADATA [<!ENTITY x \"y\">]>" WMD(WMD_ID), VSS_E_INVALID_XML_DOCUMENT},
        {"<!DOCTYPE WRITER_METADATA SYSTEM \"file:///etc/passwd\">" WMD(WMD_ID),
         VSS_E_INVALID_XML_DOCUMENT},
        {WMD(WMD_ID "&x;"), VSS_E_CORRUPT_XML_DOCUMENT},
        {WMD(""), VSS_E_CORRUPT_XML_DOCUMENT},
        {WMD(WMD_ID WMD_ID), VSS_E_CORRUPT_XML_DOCUMENT},
        {WMD("<IDENTIFICATION writerId=\"x\" instanceId=\"" I_ID "\" friendlyName=\"w\"/>"),
         VSS_E_CORRUPT_XML_DOCUMENT},
        {WMD(WMD_ID "<BACKUP_SCHEMA value=\"-1\"/>"), VSS_E_CORRUPT_XML_DOCUMENT},
        {WMD(WMD_ID "<BACKUP_SCHEMA value=\"0x100000000\"/>"), VSS_E_CORRUPT_XML_DOCUMENT},
        {WMD(WMD_ID "<RESTORE_METHOD method=\"MAGIC\"/>"), VSS_E_CORRUPT_XML_DOCUMENT},
        {WMD(WMD_ID "<BACKUP_LOCATIONS><DATABASE componentName=\"a\"/>"
                    "<DATABASE componentName=\"a\"/></BACKUP_LOCATIONS>"),
         VSS_E_CORRUPT_XML_DOCUMENT},
        {WMD(WMD_ID "<BACKUP_LOCATIONS><DATABASE/></BACKUP_LOCATIONS>"),
         VSS_E_CORRUPT_XML_DOCUMENT},
        {WMD(WMD_ID "<BACKUP_LOCATIONS><DATABASE componentName=\"a\" selectable=\"maybe\"/>"
                    "</BACKUP_LOCATIONS>"),
         VSS_E_CORRUPT_XML_DOCUMENT},
        {WMD(WMD_ID "\xff"), VSS_E_CORRUPT_XML_DOCUMENT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        vss_code code = refusal(cases[i].xml, strlen(cases[i].xml), true);
        if (code != cases[i].code)
            fail_msg("case %zu: %s", i, vss_code_name(code));
    }
}

/* Cut everywhere, and with every byte changed: an answer, never a crash. */
static void row_50_cut_and_changed_documents(void **state)
{
    (void)state;
    CLEANUP(components_freep) struct components *components = sample_components();
    CLEANUP(metadata_freep) struct metadata *metadata = sample_metadata();
    char *texts[] = {write_metadata(metadata), write_components(components)};
    for (unsigned kind = 0; kind < 2; kind++) {
        char *text = texts[kind];
        size_t size = strlen(text);
        size_t end = (size_t)(strrchr(text, '>') - text);
        for (size_t cut = 0; cut <= end; cut++)
            assert_int_not_equal(refusal(text, cut, kind == 0), VSS_S_OK);
        for (size_t at = 0; at < size; at++) {
            char before = text[at];
            text[at] = (char)(before ^ 0x15);
            (void)refusal(text, size, kind == 0);
            text[at] = before;
        }
        free(text);
    }
}

static void row_50_size_and_depth_are_bounded(void **state)
{
    (void)state;
    enum { big = (8 << 20) + 1, depth = 400 };
    CLEANUP_FREE char *large = memory_new(1, big + 1);
    memset(large, ' ', big);
    memcpy(large, WMD(WMD_ID), strlen(WMD(WMD_ID)));
    assert_int_equal(refusal(large, big, true), VSS_E_CORRUPT_XML_DOCUMENT);
    assert_int_equal(refusal(large, big - 1, true), VSS_S_OK);
    CLEANUP_FREE char *deep = memory_copy_string("");
    for (int i = 0; i < depth; i++) {
        char *longer = memory_format("<X>%s</X>", deep);
        free(deep);
        deep = longer;
    }
    CLEANUP_FREE char *xml = memory_format(WMD("%s%s"), WMD_ID, deep);
    assert_int_equal(refusal(xml, strlen(xml), true), VSS_E_CORRUPT_XML_DOCUMENT);
}

/* What XML cannot hold is refused when it is written, not found damaged in a year. */
static void row_50_unwritable_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"a\x01",        "\xff",         "\xC3",
                                      "\xED\xA0\x80", "\xEF\xBF\xBF", "\xC1\x81"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct error error = ERROR_INIT;
        char *xml = NULL;
        CLEANUP(metadata_freep) struct metadata *metadata = sample_metadata();
        memory_set_string(&metadata->components[0].name, bad[i]);
        assert_int_equal(metadata_document_write(metadata, &xml, &error), -1);
        assert_int_equal(error.number, (int)E_INVALIDARG);
        assert_null(xml);
    }
}

/* ---- With a session ------------------------------------------------------------------------ */

struct world {
    struct kit kit;
    struct kit_writer w, other;
    struct kit_provider p;
};

static struct session *start(struct world *world)
{
    world->w.name = "w";
    world->other.name = "other";
    world->p.name = "p";
    world->p.prefix = "v";
    kit_open(&world->kit, NULL);
    kit_add_writer(&world->kit, &world->w);
    kit_add_writer(&world->kit, &world->other);
    kit_add_provider(&world->kit, &world->p);
    return kit_prepared(&world->kit, KIT_WRITERS(&world->w), KIT_VOLUMES("v/a"));
}

static void row_47_post_snapshot_metadata(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    struct session *session = start(&world);
    CLEANUP_FREE char *early = write_components(session_components(session));
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    CLEANUP_FREE char *late = write_components(session_components(session));
    assert_null(strstr(early, "set in PostSnapshot"));
    assert_null(strstr(early, "SNAPSHOT_SET_DESCRIPTION"));
    assert_non_null(strstr(late, "<BACKUP_METADATA>set in PostSnapshot</BACKUP_METADATA>"));
    assert_non_null(strstr(late, "backupStamp=\"stamp-1\""));
    assert_non_null(strstr(late, "SNAPSHOT_SET_DESCRIPTION"));
    session_release(session);
    assert_int_equal(kit_close(&world.kit, KIT_WRITERS(&world.w, &world.other)), 0);
}

static void row_48_no_paths_and_explicit_components_only(void **state)
{
    (void)state;
    struct world world = {.w = {.flags = 0}};
    struct session *session = start(&world);
    assert_int_equal(session_do_snapshot_set(session, NULL), VSS_S_OK);
    CLEANUP_FREE char *xml = write_components(session_components(session));
    CLEANUP_FREE char *metadata = write_metadata(session_writer_metadata(session, 0));
    assert_non_null(strstr(metadata, "disk.qcow2"));
    assert_null(strstr(xml, "disk.qcow2"));
    assert_null(strstr(xml, "/data"));
    CLEANUP(components_freep) struct components *components = read_components(xml);
    assert_int_equal(components->set_count, 1);
    assert_int_equal(components->sets[0].count, 1);
    assert_true(id_equal(&components->sets[0].writer_id, &world.w.class_id));
    session_release(session);
    assert_int_equal(kit_close(&world.kit, KIT_WRITERS(&world.w, &world.other)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_47_post_snapshot_metadata),
        cmocka_unit_test(row_48_no_paths_and_explicit_components_only),
        cmocka_unit_test(row_49_metadata_round_trip),
        cmocka_unit_test(row_49_components_round_trip),
        cmocka_unit_test(row_49_unknown_parts_are_kept),
        cmocka_unit_test(row_50_damaged_and_foreign_documents),
        cmocka_unit_test(row_50_cut_and_changed_documents),
        cmocka_unit_test(row_50_size_and_depth_are_bounded),
        cmocka_unit_test(row_50_unwritable_names),
    };
    return cmocka_run_group_tests_name("documents", tests, NULL, NULL);
}
