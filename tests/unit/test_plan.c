/* writers/vm: the five conditions judged from facts (rows B4, B10), and what a restore does to a
 * definition (row R6). */
#include "hypervisor/domain-edit.h"
#include "writers/vm/plan.h"
#include "writers/vm/restore-undo.h"
#include "writers/vm/vm-writer-private.h"

#include "base/clock.h"
#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct disk disks[] = {
    {.target = (char *)"vda",
     .included = true,
     .source_type = (char *)"file",
     .source = (char *)"/tmp/a"},
    {.target = (char *)"vdb",
     .included = true,
     .source_type = (char *)"file",
     .source = (char *)"/tmp/b"},
    {.target = (char *)"sda", .included = false, .source_type = (char *)"block"},
};
static const struct domain domain = {
    .name = (char *)"web", .disks = disks, .disk_count = ARRAY_SIZE(disks)};

struct sample {
    const char *mountpoint, *file_system;
    const char *targets[3];
    size_t unmapped;
    bool basic, freezable;
};

static const struct sample samples[] = {
    {"/", "ext4", {"vda"}, 0, true, true},
    {"/data", "xfs", {"vda", "vdb"}, 0, true, true},   /* LVM wholly on the set */
    {"/span", "ext4", {"vdb", "sda"}, 0, false, true}, /* a member is left out */
    {"/lost", "ext4", {"vda"}, 1, false, true},        /* a member is unknown */
    {"/unknown", "ext4", {NULL}, 1, false, true},      /* nothing is known */
    {"/passed", "vfat", {"sda"}, 0, true, true},       /* wholly left out: does not count */
    {"/boot/efi", "vfat", {"vda"}, 0, true, true},     /* tolerated */
    {"/usb", "vfat", {"vda"}, 0, true, false},
    {"/odd", "bcachefs", {"vda"}, 0, true, false},
    {"/old", "ext3", {"vda"}, 0, true, true},
    {"/b", "btrfs", {"vda"}, 0, true, true},
    {"C:\\", "NTFS", {"vda"}, 0, true, true},
};

static struct agent_volume volume_of(const struct sample *sample)
{
    struct agent_volume volume = {
        .mountpoint = memory_copy_string(sample->mountpoint),
        .device = memory_copy_string("dev"),
        .file_system = memory_copy_string(sample->file_system),
        .unmapped = sample->unmapped,
    };
    for (unsigned t = 0; t < 3 && sample->targets[t]; t++)
        ARRAY_APPEND(volume.targets, volume.target_count, memory_copy_string(sample->targets[t]));
    return volume;
}

/* Each volume alone, beside a good one, gives the condition its verdict. */
static void conditions_4_and_5_follow_the_volumes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(samples); i++) {
        struct agent_volumes volumes = {.items = NEW_ARRAY(struct agent_volume, 2), .count = 2};
        volumes.items[0] = volume_of(&samples[0]);
        volumes.items[1] = volume_of(&samples[i]);
        struct plan_condition basic = {0}, freezable = {0};
        plan_judge_basic_disks(&domain, &volumes, &basic);
        plan_judge_file_systems(&domain, &volumes, &freezable);
        if (basic.holds != samples[i].basic || freezable.holds != samples[i].freezable)
            fail_msg("%s: %s; %s", samples[i].mountpoint, basic.fact, freezable.fact);
        if (!basic.holds)
            assert_non_null(strstr(basic.fact, samples[i].mountpoint));
        if (!freezable.holds)
            assert_non_null(strstr(freezable.fact, samples[i].file_system));
        free(basic.fact);
        free(freezable.fact);
        agent_volumes_free(&volumes);
    }
}

static void condition_3_wants_the_same_volume(void **state)
{
    (void)state;
    struct disk_layer layer = {.path = (char *)"/tmp/a", .format = (char *)"raw"};
    struct disk disk = disks[0];
    disk.layers = &layer;
    disk.layer_count = 1;
    struct domain one = {.name = (char *)"web", .disks = &disk, .disk_count = 1};
    struct plan_condition condition = {0};
    plan_judge_location(&one, NULL, &condition);
    assert_true(condition.holds);
    plan_judge_location(&one, "/tmp", &condition);
    assert_true(condition.holds);
    plan_judge_location(&one, "/proc", &condition);
    assert_false(condition.holds);
    assert_non_null(strstr(condition.fact, "vda"));
    plan_judge_location(&one, "/does/not/exist", &condition);
    assert_false(condition.holds);
    free(condition.fact);
}

static void volumes_are_named_by_vm_and_target(void **state)
{
    (void)state;
    const char *uuid = "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de", *target;
    char owner[id_text_size];
    CLEANUP_FREE char *volume = vm_writer_volume(uuid, "vda");
    assert_int_equal(vm_writer_parse_volume(volume, owner, &target), 0);
    assert_string_equal(owner, uuid);
    assert_string_equal(target, "vda");
    assert_int_equal(vm_writer_parse_volume("short/vda", owner, &target), -1);
    assert_int_equal(vm_writer_parse_volume(uuid, owner, &target), -1);
}

static const char definition[] =
    "<domain type='qemu'>\n  <name>a &amp; b</name>\n"
    "  <uuid>66841cd4-6ded-4f4b-8f17-fd23f8ddc3de</uuid>\n  <devices>\n"
    "    <disk type='file' device='disk'>\n      <driver name='qemu' type='qcow2' cache='none'/>\n"
    "      <source file='/old/a.qcow2'/>\n      <target dev='vda' bus='virtio'/>\n    </disk>\n"
    "    <disk type='volume' device='disk'>\n      <driver name='qemu' type='raw'/>\n"
    "      <source pool='p' volume='v'/>\n      <target dev='vdb' bus='virtio'/>\n    </disk>\n"
    "  </devices>\n</domain>";

static void only_what_differs_is_changed(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    char *xml;
    unsigned changes;
    struct domain_edit_disk same = {"vda", "/old/a.qcow2", "qcow2"};
    assert_int_equal(domain_edit_disks(definition, &same, 1, &xml, &changes, &error), 0);
    assert_int_equal(changes, 0);
    CLEANUP_FREE char *expected = memory_copy_string(definition);
    for (char *c = expected; *c; c++)
        if (*c == '\'')
            *c = '"';
    assert_string_equal(xml, expected);
    free(xml);

    struct domain_edit_disk moved[] = {{"vda", "/new/<a>.raw", "raw"}, {"vdb", "/new/b", "raw"}};
    assert_int_equal(domain_edit_disks(definition, moved, 2, &xml, &changes, &error), 0);
    assert_int_equal(changes, 2);
    assert_non_null(strstr(xml, "<source file=\"/new/&lt;a&gt;.raw\"/>"));
    assert_non_null(strstr(xml, "type=\"raw\" cache=\"none\""));
    assert_non_null(strstr(xml, "<source file=\"/new/b\"/>"));
    assert_null(strstr(xml, "pool="));
    assert_null(strstr(xml, "type=\"volume\""));
    free(xml);
}

static void a_foreign_definition_is_refused(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    char *uuid, *name, *xml;
    unsigned changes;
    assert_int_equal(domain_edit_identity(definition, &uuid, &name, &error), 0);
    assert_string_equal(name, "a & b");
    free(uuid);
    free(name);
    static const char *const bad[] = {"", "<domain", "<network><name>x</name></network>",
                                      "<domain><name>x</name></domain>"};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(domain_edit_identity(bad[i], &uuid, &name, &error), -1);
        assert_int_equal(error.kind, ERROR_DAMAGED);
        error_clear(&error);
    }
    struct domain_edit_disk missing = {"vdz", "/x", "raw"};
    assert_int_equal(domain_edit_disks(definition, &missing, 1, &xml, &changes, &error), -1);
    assert_non_null(strstr(error.message, "vdz"));
}

static void make_file(int directory, const char *name, const char *text)
{
    int file = openat(directory, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
}

static void old_files_and_links_are_put_back(void **state)
{
    (void)state;
    char path[] = "/tmp/vmshadow-unit-XXXXXX", text[16] = "";
    assert_non_null(mkdtemp(path));
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_FREE char *original = memory_format("%s/disk", path);
    CLEANUP_FREE char *aside = memory_format("%s/disk.aside", path);
    CLEANUP_FREE char *link = memory_format("%s/link", path);
    make_file(directory, "disk", "new");
    make_file(directory, "disk.aside", "old");
    CLEANUP_JSON json_t *arguments = vm_restore_file_arguments(original, aside);
    /* Somebody's file has the name now: both are kept, and the step stays open. */
    struct error error = ERROR_INIT;
    assert_int_equal(vm_restore_put_back_file.undo(NULL, arguments, &error), -1);
    assert_int_equal(error.kind, ERROR_EXISTS);
    assert_int_equal(access(original, F_OK) | access(aside, F_OK), 0);
    unlink(original);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(vm_restore_put_back_file.undo(NULL, arguments, NULL), 0);
        int file = open(original, O_RDONLY | O_CLOEXEC);
        assert_int_equal(read(file, text, sizeof text), 3);
        close(file);
        assert_memory_equal(text, "old", 3);
    }
    assert_int_equal(symlink("/new", link), 0);
    CLEANUP_JSON json_t *was = vm_restore_link_arguments(link, "/old");
    CLEANUP_JSON json_t *none = vm_restore_link_arguments(link, NULL);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(vm_restore_put_back_link.undo(NULL, was, NULL), 0);
        assert_int_equal(readlink(link, text, sizeof text), 4);
        assert_memory_equal(text, "/old", 4);
    }
    for (int again = 0; again < 2; again++)
        assert_int_equal(vm_restore_put_back_link.undo(NULL, none, NULL), 0);
    assert_int_equal(access(link, F_OK), -1);
    unlink(original);
    close(directory);
    rmdir(path);
}

/* Row B4: all VMs of a set stand still until the memory of the last one is written. */
static void the_pause_is_that_of_the_set(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    const uint64_t in_use[] = {UINT64_C(3) << 30, UINT64_C(1) << 30, UINT64_C(1) << 30};
    int64_t pause;
    assert_int_equal(vm_writer_pause_of(in_use, 1, UINT64_C(1) << 30, &pause, &error), 0);
    assert_int_equal(pause / CLOCK_SECOND, 3);
    assert_int_equal(vm_writer_pause_of(in_use, 3, UINT64_C(1) << 30, &pause, &error), 0);
    assert_int_equal(pause / CLOCK_SECOND, 5);
    assert_int_equal(vm_writer_pause_of((const uint64_t[]){UINT64_MAX}, 1, 1, &pause, &error), 0);
    assert_true(pause > 0);
    assert_int_equal(vm_writer_pause_of(in_use, 3, 0, &pause, &error), -1);
}

static void a_pause_over_the_limit_or_unknown_is_refused(void **state)
{
    (void)state;
    struct vm_writer_settings settings = {.pause_limit = 4 * CLOCK_SECOND};
    struct plan plan = {.pause_estimate = 5 * CLOCK_SECOND};
    CLEANUP_FREE char *over = vm_writer_refuse_pause(&settings, &plan);
    assert_non_null(strstr(over, "longer than the limit"));
    plan.pause_estimate = 3 * CLOCK_SECOND;
    assert_null(vm_writer_refuse_pause(&settings, &plan));
    plan.pause_estimate = -1;
    plan.pause_unknown = (char *)"no rate";
    assert_null(vm_writer_refuse_pause(&settings, &plan)); /* the limit is nobody's choice */
    settings.pause_limit_chosen = true;
    CLEANUP_FREE char *unknown = vm_writer_refuse_pause(&settings, &plan);
    assert_string_equal(unknown, "the pause cannot be estimated: no rate (--max-pause)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_4_and_5_follow_the_volumes),
        cmocka_unit_test(condition_3_wants_the_same_volume),
        cmocka_unit_test(volumes_are_named_by_vm_and_target),
        cmocka_unit_test(only_what_differs_is_changed),
        cmocka_unit_test(a_foreign_definition_is_refused),
        cmocka_unit_test(old_files_and_links_are_put_back),
        cmocka_unit_test(the_pause_is_that_of_the_set),
        cmocka_unit_test(a_pause_over_the_limit_or_unknown_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
