/* hypervisor/interface-edit: what stays of an adapter and what goes with its port (row R7). */
#include "hypervisor/interface-edit.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define DOMAIN(adapters)                                                                           \
    "<domain type=\"kvm\">\n"                                                                      \
    "  <name>web &amp; \"1\"</name>\n"                                                             \
    "  <!-- kept -->\n"                                                                            \
    "  <devices>\n" adapters "    <disk type=\"file\"/>\n"                                         \
    "  </devices>\n"                                                                               \
    "</domain>"

static const struct interface_decision decisions[] = {
    {(char *)"network", (char *)"there", INTERFACE_CONNECT},
    {(char *)"bridge", (char *)"there", INTERFACE_CONNECT},
    {(char *)"direct", (char *)"there", INTERFACE_CONNECT},
    {(char *)"network", (char *)"gone", INTERFACE_DISCONNECT},
    {(char *)"bridge", (char *)"gone", INTERFACE_DISCONNECT},
    {(char *)"direct", (char *)"gone", INTERFACE_DISCONNECT},
    {(char *)"bridge", (char *)"left", INTERFACE_LEAVE},
};

static void check(const char *before, const char *after)
{
    struct error error = ERROR_INIT;
    char *xml = NULL;
    assert_int_equal(interface_edit(before, decisions, ARRAY_SIZE(decisions), &xml, &error), 0);
    assert_string_equal(xml, after);
    free(xml);
}

static void a_connected_one_loses_only_its_port(void **state)
{
    (void)state;
    check(DOMAIN("    <interface type=\"network\">\n"
                 "      <mac address=\"52:54:00:00:00:01\"/>\n"
                 "      <source network=\"there\" portgroup=\"dmz\" portid=\"0-1\" bridge=\"b\"/>\n"
                 "      <bandwidth><inbound average=\"1\"/></bandwidth>\n"
                 "      <target dev=\"vnet3\"/>\n"
                 "      <model type=\"virtio\"/>\n"
                 "      <alias name=\"net0\"/>\n"
                 "      <address type=\"pci\" slot=\"0x03\"/>\n"
                 "    </interface>\n"
                 "    <interface type=\"bridge\">\n"
                 "      <source bridge=\"there\"/>\n"
                 "      <virtualport type=\"openvswitch\"><parameters interfaceid=\"i\"/>"
                 "</virtualport>\n"
                 "      <link state=\"down\"/>\n"
                 "    </interface>\n"
                 "    <interface type=\"direct\"><target dev=\"macvtap0\"/>"
                 "<source dev=\"there\" mode=\"bridge\"/></interface>\n"),
          DOMAIN("    <interface type=\"network\">\n"
                 "      <mac address=\"52:54:00:00:00:01\"/>\n"
                 "      <source network=\"there\" portgroup=\"dmz\"/>\n"
                 "      <bandwidth><inbound average=\"1\"/></bandwidth>\n"
                 "      <model type=\"virtio\"/>\n"
                 "      <address type=\"pci\" slot=\"0x03\"/>\n"
                 "    </interface>\n"
                 "    <interface type=\"bridge\">\n"
                 "      <source bridge=\"there\"/>\n"
                 "      <virtualport type=\"openvswitch\"><parameters interfaceid=\"i\"/>"
                 "</virtualport>\n"
                 "      <link state=\"down\"/>\n"
                 "    </interface>\n"
                 "    <interface type=\"direct\">"
                 "<source dev=\"there\" mode=\"bridge\"/></interface>\n"));
}

static void a_disconnected_one_keeps_what_the_guest_sees(void **state)
{
    (void)state;
    check(DOMAIN("    <interface type=\"network\" trustGuestRxFilters=\"yes\">\n"
                 "      <mac address=\"52:54:00:00:00:01\"/>\n"
                 "      <source network=\"gone\" portid=\"0-1\"/>\n"
                 "      <virtualport type=\"openvswitch\"/>\n"
                 "      <vlan><tag id=\"42\"/></vlan>\n"
                 "      <bandwidth><inbound average=\"1\"/></bandwidth>\n"
                 "      <target dev=\"vnet3\"/>\n"
                 "      <model type=\"virtio\"/>\n"
                 "      <driver queues=\"4\"><guest csum=\"off\"/></driver>\n"
                 "      <filterref filter=\"clean-traffic\"/>\n"
                 "      <boot order=\"2\"/>\n"
                 "      <rom bar=\"off\"/>\n"
                 "      <mtu size=\"1400\"/>\n"
                 "      <port isolated=\"yes\"/>\n"
                 "      <ip address=\"10.0.0.1\"/>\n"
                 "      <ip address=\"10.0.0.2\"/>\n"
                 "      <address type=\"pci\" slot=\"0x03\"/>\n"
                 "    </interface>\n"
                 "    <interface type=\"bridge\"><source bridge=\"gone\"/><link state=\"up\"/>"
                 "</interface>\n"
                 "    <interface type=\"direct\"><source dev=\"gone\" mode=\"bridge\"/>"
                 "<link state=\"down\"/></interface>\n"),
          DOMAIN("    <interface type=\"ethernet\">\n"
                 "      <mac address=\"52:54:00:00:00:01\"/>\n"
                 "      <model type=\"virtio\"/>\n"
                 "      <driver queues=\"4\"><guest csum=\"off\"/></driver>\n"
                 "      <boot order=\"2\"/>\n"
                 "      <rom bar=\"off\"/>\n"
                 "      <mtu size=\"1400\"/>\n"
                 "      <address type=\"pci\" slot=\"0x03\"/>\n"
                 "    <link state=\"down\"/></interface>\n"
                 "    <interface type=\"ethernet\"><link state=\"down\"/></interface>\n"
                 "    <interface type=\"ethernet\"><link state=\"down\"/></interface>\n"));
}

static void others_are_left_alone(void **state)
{
    (void)state;
    static const char xml[] = DOMAIN(
        "    <interface type=\"user\"><source dev=\"gone\"/><target dev=\"t\"/></interface>\n"
        "    <interface type=\"hostdev\"><source network=\"gone\"/></interface>\n"
        "    <interface type=\"ethernet\"><target dev=\"tap0\"/><alias name=\"net0\"/>"
        "</interface>\n"
        "    <interface type=\"bridge\"><source bridge=\"left\"/><target dev=\"a\"/>"
        "</interface>\n"
        "    <interface type=\"bridge\"><source bridge=\"unknown\"/><target dev=\"b\"/>"
        "</interface>\n"
        "    <interface type=\"network\"><source bridge=\"gone\"/></interface>\n"
        "    <interface/>\n");
    check(xml, xml);
}

/* The user's own alias goes, too, unless something else in the XML names it. */
static void an_alias_that_is_referred_to_stays(void **state)
{
    (void)state;
    check(DOMAIN("    <interface type=\"bridge\"><source bridge=\"there\"/>"
                 "<alias name=\"ua-a\"/></interface>\n"
                 "    <interface type=\"bridge\"><source bridge=\"there\"/>"
                 "<teaming type=\"persistent\"/><alias name=\"ua-b\"/></interface>\n"
                 "    <interface type=\"bridge\"><source bridge=\"gone\"/>"
                 "<teaming type=\"persistent\"/><link state=\"down\"/>"
                 "<alias name=\"ua-c\"/></interface>\n"
                 "    <interface type=\"hostdev\"><teaming type=\"transient\" "
                 "persistent=\"ua-b\"/></interface>\n"
                 "    <interface type=\"hostdev\"><teaming type=\"transient\" "
                 "persistent=\"ua-c\"/></interface>\n"),
          DOMAIN("    <interface type=\"bridge\"><source bridge=\"there\"/></interface>\n"
                 "    <interface type=\"bridge\"><source bridge=\"there\"/>"
                 "<teaming type=\"persistent\"/><alias name=\"ua-b\"/></interface>\n"
                 "    <interface type=\"ethernet\">"
                 "<teaming type=\"persistent\"/><link state=\"down\"/>"
                 "<alias name=\"ua-c\"/></interface>\n"
                 "    <interface type=\"hostdev\"><teaming type=\"transient\" "
                 "persistent=\"ua-b\"/></interface>\n"
                 "    <interface type=\"hostdev\"><teaming type=\"transient\" "
                 "persistent=\"ua-c\"/></interface>\n"));
}

static void for_loading_a_dormant_one_is_disconnected(void **state)
{
    (void)state;
    static const struct interface_decision dormant[] = {
        {(char *)"network", (char *)"asleep", INTERFACE_CONNECT, .dormant = true},
        {(char *)"network", (char *)"awake", INTERFACE_CONNECT},
    };
    static const char awake[] =
        DOMAIN("    <interface type=\"network\"><source network=\"awake\"/></interface>\n");
    struct error error = ERROR_INIT;
    char *xml = (char *)"unchanged";
    assert_int_equal(interface_edit_for_loading(awake, dormant, 2, &xml, &error), 0);
    assert_null(xml);
    assert_int_equal(interface_edit_for_loading(
                         DOMAIN("    <interface type=\"network\"><source network=\"awake\"/>"
                                "</interface>\n"
                                "    <interface type=\"network\"><source network=\"asleep\"/>"
                                "</interface>\n"),
                         dormant, 2, &xml, &error),
                     0);
    assert_string_equal(
        xml, DOMAIN("    <interface type=\"network\"><source network=\"awake\"/></interface>\n"
                    "    <interface type=\"ethernet\"><link state=\"down\"/></interface>\n"));
    free(xml);
}

static void a_link_is_switched(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    char *up, *down;
    assert_int_equal(interface_edit_link("<interface type=\"ethernet\"/>", false, &down, &error),
                     0);
    assert_string_equal(down, "<interface type=\"ethernet\"><link state=\"down\"/></interface>");
    assert_int_equal(interface_edit_link(down, true, &up, &error), 0);
    assert_string_equal(up, "<interface type=\"ethernet\"><link state=\"up\"/></interface>");
    free(up);
    free(down);
}

static void adapters_are_listed(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    struct interface_facts *facts;
    size_t count;
    assert_int_equal(
        interface_edit_list(DOMAIN("<interface type=\"network\"><source network=\"n\"/>"
                                   "<mac address=\"m\"/></interface>"
                                   "<interface type=\"bridge\"><source bridge=\"b\"/>"
                                   "<virtualport type=\"openvswitch\"/>"
                                   "<link state=\"down\"/></interface>"
                                   "<interface type=\"user\"/>"),
                            &facts, &count, &error),
        0);
    assert_int_equal(count, 3);
    assert_string_equal(facts[0].type, "network");
    assert_string_equal(facts[0].source, "n");
    assert_string_equal(facts[0].mac, "m");
    assert_false(facts[0].openvswitch);
    assert_string_equal(facts[0].text, "<interface type=\"network\"><source network=\"n\"/>"
                                       "<mac address=\"m\"/></interface>");
    assert_string_equal(facts[1].source, "b");
    assert_true(facts[1].openvswitch);
    assert_true(facts[1].link_down);
    assert_false(facts[0].link_down);
    assert_string_equal(facts[2].type, "user");
    assert_null(facts[2].source);
    interface_facts_free(facts, count);
}

static void what_is_no_domain_is_refused(void **state)
{
    (void)state;
    static const char *const samples[] = {
        "", "<network/>", "<domain>",
        "<!DOCTYPE domain [<!ENTITY a \"b\">]><domain><name>&a;</name></domain>"};
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct error error = ERROR_INIT;
        struct interface_facts *facts;
        size_t count;
        char *xml;
        assert_int_equal(interface_edit(samples[i], NULL, 0, &xml, &error), -1);
        assert_int_equal(error.kind, ERROR_DAMAGED);
        assert_int_equal(interface_edit_list(samples[i], &facts, &count, &error), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connected_one_loses_only_its_port),
        cmocka_unit_test(a_disconnected_one_keeps_what_the_guest_sees),
        cmocka_unit_test(others_are_left_alone),
        cmocka_unit_test(an_alias_that_is_referred_to_stays),
        cmocka_unit_test(for_loading_a_dormant_one_is_disconnected),
        cmocka_unit_test(a_link_is_switched),
        cmocka_unit_test(adapters_are_listed),
        cmocka_unit_test(what_is_no_domain_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
