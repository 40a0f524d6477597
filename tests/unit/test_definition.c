/* Definitions against what else is known of a VM: the disks it runs with, the places of its files,
 * the edits before it is defined again. No libvirt. */
#include "base/memory.h"
#include "hypervisor/domain-edit.h"
#include "hypervisor/domain-xml.h"
#include "requester/restore-plan-private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define UUID "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de"
#define DOMAIN(xml) "<domain type='qemu'><name>web</name><uuid>" UUID "</uuid>" xml "</domain>"
#define DISK(target, file)                                                                         \
    "<disk type='file' device='disk'><source file='" file "'/><target dev='" target "'/></disk>"

static struct domain *read_domain(const char *xml)
{
    struct error error = ERROR_INIT;
    struct domain *domain;
    if (domain_from_xml(xml, &domain, &error) != 0)
        fail_msg("%s", error.message);
    return domain;
}

static void disks_of_one_side_are_told(void **state)
{
    (void)state;
    static const char live[] =
        DOMAIN("<devices>" DISK("vda", "/a.snapshot") DISK("vdy", "/y") "</devices>");
    static const char inactive[] = DOMAIN("<devices>" DISK("vda", "/a") DISK(
        "vdz",
        "/z") "<disk type='file' device='cdrom'><source file='/c.iso'/><target dev='sda'/></disk>"
              "<disk type='file' device='floppy'><target dev='fda'/></disk></devices>");
    CLEANUP(domain_freep) struct domain *domain = read_domain(live);
    assert_int_equal(domain_xml_compare(domain, inactive, NULL), 0);
    assert_false(domain_find_disk(domain, "vda")->live_only);
    assert_true(domain_find_disk(domain, "vdy")->live_only);
    assert_int_equal(domain->detached_count, 1);
    assert_string_equal(domain->detached[0].target, "vdz");
    assert_string_equal(domain->detached[0].source, "/z");

    CLEANUP(domain_freep) struct domain *same = read_domain(live);
    assert_int_equal(domain_xml_compare(same, live, NULL), 0);
    assert_false(domain_find_disk(same, "vdy")->live_only);
    assert_int_equal(same->detached_count, 0);
    assert_int_equal(domain_xml_compare(same, "<domain/>", NULL), -1);
}

static void files_lie_where_the_definition_says(void **state)
{
    (void)state;
    CLEANUP(domain_freep)
    struct domain *domain =
        read_domain(DOMAIN("<os><nvram>/n/web.fd</nvram><kernel>/k</kernel><initrd>/i</initrd></os>"
                           "<devices><tpm><backend type='emulator'/></tpm></devices>"));
    static const char tpm[] = "/var/lib/libvirt/swtpm/" UUID;
    CLEANUP_FREE char *inside = memory_format("%s/tpm2/tpm2-00.permall", tpm);
    CLEANUP_FREE char *beside = memory_format("%s-other/tpm2-00.permall", tpm);
    const struct {
        const char *role, *path;
        bool named;
    } samples[] = {
        {"nvram", "/n/web.fd", true},
        {"nvram", "/n/other.fd", false},
        {"nvram", "/k", false},
        {"kernel", "/k", true},
        {"kernel", "/etc/cron.d/x", false},
        {"initrd", "/i", true},
        {"device-tree", "/etc/cron.d/x", false}, /* it names none */
        {"tpm", inside, true},
        {"tpm", beside, false},
        {"tpm", tpm, false},
        {"tpm", "/etc/cron.d/x", false},
        {"disk", "/n/web.fd", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        print_message("%s %s\n", samples[i].role, samples[i].path);
        assert_int_equal(plan_names_file(domain, samples[i].role, samples[i].path),
                         samples[i].named);
    }
    assert_true(plan_is_file_role("tpm"));
    assert_false(plan_is_file_role("disk"));
    assert_false(plan_is_file_role("configuration"));
    assert_false(plan_is_file_role(""));
}

static void a_link_does_not_lead_out_of_the_state(void **state)
{
    (void)state;
    char directory[] = "/tmp/vmshadow-definition.XXXXXX";
    assert_non_null(mkdtemp(directory));
    CLEANUP_FREE char *real = memory_format("%s/real", directory);
    CLEANUP_FREE char *inner = memory_format("%s/real/tpm2", directory);
    CLEANUP_FREE char *link = memory_format("%s/state", directory);
    CLEANUP_FREE char *out = memory_format("%s/state/out", directory);
    assert_int_equal(mkdir(real, 0700) | mkdir(inner, 0700) | symlink("real", link), 0);
    assert_int_equal(symlink("/etc", out), 0);
    CLEANUP_FREE char *xml = memory_format(
        DOMAIN("<devices><tpm><backend type='emulator'><source type='dir' path='%s'/></backend>"
               "</tpm></devices>"),
        link);
    CLEANUP(domain_freep) struct domain *domain = read_domain(xml);
    static const struct {
        const char *path;
        bool named;
    } samples[] = {
        {"tpm2/tpm2-00.permall", true}, /* the directory itself may be behind a link */
        {"missing/tpm2-00.permall", true}, {"out", false}, {"out/x", false},
        {"out/missing/x", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        CLEANUP_FREE char *path = memory_format("%s/%s", link, samples[i].path);
        print_message("%s\n", path);
        assert_int_equal(plan_names_file(domain, "tpm", path), samples[i].named);
    }
    assert_int_equal(unlink(out) | unlink(link) | rmdir(inner) | rmdir(real) | rmdir(directory), 0);
    CLEANUP_FREE char *path = memory_format("%s/tpm2/tpm2-00.permall", link);
    assert_true(plan_names_file(domain, "tpm", path)); /* all of it is gone */
}

static void a_mode_is_not_taken_as_it_comes(void **state)
{
    (void)state;
    char path[] = "/tmp/vmshadow-definition.XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    struct stat facts;
    json_t *owner = json_object();
    json_set_integer(owner, "uid", (int64_t)geteuid());
    json_set_integer(owner, "gid", (int64_t)getegid());
    json_set_integer(owner, "mode", 07777);
    assert_int_equal(manifest_apply_owner(owner, path, 0755, NULL), 0);
    assert_int_equal(fstat(file, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0755);
    assert_int_equal(manifest_apply_owner(NULL, path, 0755, NULL), 0);
    json_decref(owner);
    assert_int_equal(close(file) | unlink(path), 0);
}

/* The definition with its one disk, vda, at "/new/a" in format raw. */
static char *edit(const char *xml)
{
    struct error error = ERROR_INIT;
    struct domain_edit_disk disk = {"vda", "/new/a", "raw"};
    char *edited;
    unsigned changes;
    if (domain_edit_disks(xml, &disk, 1, &edited, &changes, &error) != 0)
        fail_msg("%s", error.message);
    assert_int_equal(changes, 1);
    return edited;
}

static void of_a_file_only_the_place_changes(void **state)
{
    (void)state;
    CLEANUP_FREE char *moved = edit(
        DOMAIN("<devices><disk type=\"file\"><driver type=\"raw\"/><source file=\"/old/a\" "
               "startupPolicy=\"optional\"><seclabel model=\"dac\" relabel=\"no\"/><reservations "
               "managed=\"yes\"/></source><target dev=\"vda\"/></disk></devices>"));
    assert_non_null(
        strstr(moved, "<source file=\"/new/a\" startupPolicy=\"optional\"><seclabel model=\"dac\" "
                      "relabel=\"no\"/><reservations managed=\"yes\"/></source>"));

    CLEANUP_FREE char *unwrapped = edit(DOMAIN(
        "<devices><disk type=\"file\"><driver type=\"raw\"/><source file=\"/new/a\">"
        "<encryption format=\"luks\"/><seclabel relabel=\"no\"/><slices><slice type=\"storage\" "
        "offset=\"1\" size=\"2\"/></slices></source><target dev=\"vda\"/></disk></devices>"));
    assert_non_null(
        strstr(unwrapped, "<source file=\"/new/a\"><seclabel relabel=\"no\"/></source>"));

    CLEANUP_FREE char *old_form = edit(DOMAIN(
        "<devices><disk type=\"block\"><driver type=\"raw\"/><source dev=\"/dev/x\"/><target "
        "dev=\"vda\"/><encryption format=\"luks\"/></disk></devices>"));
    assert_non_null(strstr(old_form, "<disk type=\"file\">"));
    assert_non_null(strstr(old_form, "<source file=\"/new/a\"/>"));
    assert_null(strstr(old_form, "encryption"));
}

static void entities_are_refused(void **state)
{
    (void)state;
    static const char hostile[] =
        "<!DOCTYPE domain [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>"
        "<domain><name>&b;</name><uuid>" UUID "</uuid><devices/></domain>";
    struct error error = ERROR_INIT;
    char *uuid, *name, *xml;
    unsigned changes;
    assert_int_equal(domain_edit_identity(hostile, &uuid, &name, &error), -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    assert_non_null(strstr(error.message, "document type"));
    error_clear(&error);
    assert_int_equal(domain_edit_disks(hostile, NULL, 0, &xml, &changes, &error), -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    assert_false(domain_edit_has_disk(hostile, "vda"));
    CLEANUP_FREE char *huge = memory_new(1, DOMAIN_XML_LIMIT + 16);
    memset(huge, ' ', DOMAIN_XML_LIMIT + 8);
    memcpy(huge, DOMAIN(""), strlen(DOMAIN("")));
    error_clear(&error);
    assert_int_equal(domain_edit_identity(huge, &uuid, &name, &error), -1);
    assert_non_null(strstr(error.message, "larger than"));
}

/* gzip stores a gigabyte of zeroes in a megabyte; this host writes it raw. */
static void an_import_has_room_for_all_of_the_memory(void **state)
{
    (void)state;
    const uint64_t mib = UINT64_C(1) << 20;
    assert_true(plan_import_room(mib, 1024 * mib) == (1 + 1024 + 64) * mib);
    assert_true(plan_import_room(2048 * mib, 1024 * mib) == 4096 * mib);
    assert_true(plan_import_room(UINT64_C(1) << 46, UINT64_MAX) == UINT64_MAX);
    assert_true(plan_import_room(UINT64_MAX, 1) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks_of_one_side_are_told),
        cmocka_unit_test(of_a_file_only_the_place_changes),
        cmocka_unit_test(entities_are_refused),
        cmocka_unit_test(an_import_has_room_for_all_of_the_memory),
        cmocka_unit_test(files_lie_where_the_definition_says),
        cmocka_unit_test(a_link_does_not_lead_out_of_the_state),
        cmocka_unit_test(a_mode_is_not_taken_as_it_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
