/* hypervisor: the tags in the VMs' definitions. A job that goes by tags must not leave a VM out
 * because they cannot be read.
 *
 * libvirt is its own test driver, which has one VM, "test"; the calls that this file replaces stand
 * in the place of the library's, so that they can fail and answer what no libvirt would store. */
#include "base/memory.h"
#include "hypervisor/domain-names.h"

#include <dlfcn.h>
#include <libvirt/libvirt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What virDomainGetMetadata() does; NULL and no failure = what libvirt has. */
static const char *metadata;
static bool metadata_fails;

virConnectPtr virConnectOpen(const char *name)
{
    virConnectPtr (*open)(const char *) = dlsym(RTLD_NEXT, "virConnectOpen");
    (void)name;
    return open("test:///default");
}

int virConnectGetVersion(virConnectPtr connection, unsigned long *version)
{
    (void)connection;
    *version = 7002000; /* of QEMU */
    return 0;
}

char *virDomainGetMetadata(virDomainPtr domain, int type, const char *uri, unsigned int flags)
{
    char *(*get)(virDomainPtr, int, const char *, unsigned int) =
        dlsym(RTLD_NEXT, "virDomainGetMetadata");
    if (metadata)
        return memory_copy_string(metadata);
    /* Without a namespace it is an error. */
    return get(domain, type, metadata_fails ? NULL : uri, flags);
}

static int list(bool with_tags, struct domain_names **ret_domains, size_t *ret_count,
                struct error *error)
{
    CLEANUP(hypervisor_closep) struct hypervisor *hypervisor = NULL;
    assert_int_equal(hypervisor_open("qemu:///system", &hypervisor, NULL), 0);
    return domain_names_list(hypervisor, with_tags, ret_domains, ret_count, error);
}

static void a_VM_without_tags_has_none(void **state)
{
    (void)state;
    struct domain_names *domains;
    size_t count;
    metadata = NULL;
    metadata_fails = false;
    assert_int_equal(list(true, &domains, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_string_equal(domains[0].name, "test");
    assert_int_equal(domains[0].tag_count, 0);
    domain_names_free(domains, count);
}

static void tags_that_libvirt_has_are_read(void **state)
{
    (void)state;
    struct domain_names *domains;
    size_t count;
    metadata = "<tags>nightly web</tags>";
    assert_int_equal(list(true, &domains, &count, NULL), 0);
    assert_int_equal(domains[0].tag_count, 2);
    assert_string_equal(domains[0].tags[1], "web");
    domain_names_free(domains, count);
}

static void assert_the_list_fails(const char *words)
{
    struct error fault = ERROR_INIT;
    struct domain_names *domains;
    size_t count;
    assert_int_equal(list(true, &domains, &count, &fault), -1);
    assert_non_null(strstr(fault.message, "VM test: its tags cannot be read: "));
    if (!strstr(fault.message, words))
        fail_msg("%s", fault.message);
    assert_string_equal(fault.id, "tags-unreadable");
    error_clear(&fault);
    /* Whoever does not ask for tags does not need them. */
    assert_int_equal(list(false, &domains, &count, NULL), 0);
    domain_names_free(domains, count);
}

static void tags_that_libvirt_does_not_give_fail_the_list(void **state)
{
    (void)state;
    metadata = NULL;
    metadata_fails = true;
    assert_the_list_fails("libvirt does not give them");
}

static void tags_that_cannot_be_understood_fail_the_list(void **state)
{
    (void)state;
    metadata = "<tags>nightly";
    assert_the_list_fails("metadata is not well-formed");
    CLEANUP_FREE char *large = memory_new(1, (1 << 20) + 100);
    memset(large, ' ', (1 << 20) + 99);
    memcpy(large, "<tags>", 6);
    memcpy(large + (1 << 20) + 92, "</tags>", 7);
    metadata = large;
    assert_the_list_fails("larger than");
    metadata = NULL;
}

static int read_tags(const char *xml, struct domain_names *ret_domain)
{
    *ret_domain = (struct domain_names){.name = NULL};
    return domain_names_read_tags(xml, ret_domain, NULL);
}

static void clear(struct domain_names *domain)
{
    for (size_t i = 0; i < domain->tag_count; i++)
        free(domain->tags[i]);
    free(domain->tags);
}

static void tags_are_words_of_the_element(void **state)
{
    (void)state;
    struct domain_names domain;
    assert_int_equal(read_tags("<tags>\n  nightly\tw&amp;b\n</tags>", &domain), 0);
    assert_int_equal(domain.tag_count, 2);
    assert_string_equal(domain.tags[0], "nightly");
    assert_string_equal(domain.tags[1], "w&b");
    clear(&domain);
    static const char *const none[] = {"<tags/>", "<tags>  </tags>"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(read_tags(none[i], &domain), 0);
        assert_int_equal(domain.tag_count, 0);
    }
    static const char *const wrong[] = {"nightly", "", "<tags>a",
                                        "<!DOCTYPE x [<!ENTITY e 'a'>]><tags>&e;</tags>"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(read_tags(wrong[i], &domain), -1);
}

static void tags_are_bounded(void **state)
{
    (void)state;
    struct domain_names domain;
    char xml[8192];
    for (size_t count = 1000; count <= 1001; count++) {
        memcpy(xml, "<t>", 3);
        for (size_t i = 0; i < count; i++)
            memcpy(xml + 3 + 2 * i, "a ", 2);
        memcpy(xml + 3 + 2 * count, "</t>", 5);
        assert_int_equal(read_tags(xml, &domain), count > 1000 ? -1 : 0);
        assert_int_equal(domain.tag_count, 1000);
        clear(&domain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_VM_without_tags_has_none),
        cmocka_unit_test(tags_that_libvirt_has_are_read),
        cmocka_unit_test(tags_that_libvirt_does_not_give_fail_the_list),
        cmocka_unit_test(tags_that_cannot_be_understood_fail_the_list),
        cmocka_unit_test(tags_are_words_of_the_element),
        cmocka_unit_test(tags_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
