/* Definitions against what else is known of a VM: the disks it runs with, the places of its files,
 * the edits before it is defined again. No libvirt. */
#include "base/memory.h"
#include "hypervisor/domain-xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks_of_one_side_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
