/* Each adapter is looked at alone: find its decision, then take out what belongs to the port. */
#include "hypervisor/interface-edit.h"

#include "hypervisor/domain-xml.h"
#include "hypervisor/xml.h"

#include <string.h>

/* ---- What is there ---- */

/* The attribute of <source> that names what an adapter of that type is connected to. */
static const char *source_attribute(const char *type)
{
    static const struct {
        const char *type, *attribute;
    } attributes[] = {{"network", "network"}, {"bridge", "bridge"}, {"direct", "dev"}};
    for (size_t i = 0; type && i < ARRAY_SIZE(attributes); i++)
        if (strcmp(type, attributes[i].type) == 0)
            return attributes[i].attribute;
    return NULL;
}

static xmlDocPtr parse(const char *xml, struct error *error)
{
    xmlDocPtr document = xml_parse(xml, DOMAIN_XML_LIMIT, "the domain XML", error);
    if (document && !xml_is(xmlDocGetRootElement(document), "domain")) {
        (void)error_set(error, ERROR_DAMAGED, "the domain XML has no <domain> at its top");
        xmlFreeDoc(document);
        return NULL;
    }
    return document;
}

static xmlNodePtr first_interface(xmlDocPtr document)
{
    return xml_child(xml_child(xmlDocGetRootElement(document), "devices"), "interface");
}

static struct interface_facts read_facts(xmlDocPtr document, xmlNodePtr interface)
{
    struct interface_facts facts = {
        .type = xml_attribute(interface, "type"),
        .mac = xml_attribute(xml_child(interface, "mac"), "address"),
        .openvswitch = xml_attribute_is(xml_child(interface, "virtualport"), "type", "openvswitch"),
        .link_down = xml_attribute_is(xml_child(interface, "link"), "state", "down"),
        .text = xml_write(document, interface),
    };
    const char *attribute = source_attribute(facts.type);
    if (attribute)
        facts.source = xml_attribute(xml_child(interface, "source"), attribute);
    return facts;
}

int interface_edit_list(const char *xml, struct interface_facts **ret_facts, size_t *ret_count,
                        struct error *error)
{
    CLEANUP_XML xmlDocPtr document = parse(xml, error);
    if (!document)
        return -1;
    struct interface_facts *facts = NULL;
    size_t count = 0;
    for (xmlNodePtr i = first_interface(document); i; i = xml_next(i)) {
        if (count >= DOMAIN_XML_DEVICES) {
            interface_facts_free(facts, count);
            return error_set(error, ERROR_DAMAGED, "too many interfaces");
        }
        ARRAY_APPEND(facts, count, read_facts(document, i));
    }
    *ret_facts = facts;
    *ret_count = count;
    return 0;
}

void interface_facts_free(struct interface_facts *facts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(facts[i].type);
        free(facts[i].source);
        free(facts[i].mac);
        free(facts[i].text);
    }
    free(facts);
}

/* ---- Changes ---- */

/* NULL: the adapter is left as it is. */
static const struct interface_decision *
find(const xmlNode *interface, const struct interface_decision *decisions, size_t count)
{
    CLEANUP_FREE char *type = xml_attribute(interface, "type");
    const char *attribute = source_attribute(type);
    const xmlNode *source = xml_child(interface, "source");
    for (size_t i = 0; attribute && i < count; i++)
        if (strcmp(decisions[i].type, type) == 0 &&
            xml_attribute_is(source, attribute, decisions[i].source))
            return &decisions[i];
    return NULL;
}

static void remove_attribute(xmlNodePtr node, const char *name)
{
    xmlAttrPtr attribute = node ? xmlHasProp(node, (const xmlChar *)name) : NULL;
    if (attribute)
        (void)xmlRemoveProp(attribute);
}

/* A name of the user's own ("ua-...") may be what a teaming partner or a QEMU option refers to. */
static bool is_referred_to(const char *xml, const xmlNode *alias)
{
    CLEANUP_FREE char *name = xml_attribute(alias, "name");
    if (!name || strncmp(name, "ua-", 3) != 0)
        return false;
    const char *first = strstr(xml, name);
    return first && strstr(first + 1, name);
}

/* Does the guest see it, or is it of the kind that the XML itself needs? */
static bool outlives_port(const char *xml, const xmlNode *element)
{
    static const char *const kept[] = {"mac", "model", "driver",  "boot", "rom",
                                       "mtu", "link",  "teaming", "acpi", "address"};
    if (xml_is(element, "alias"))
        return is_referred_to(xml, element);
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        if (xml_is(element, kept[i]))
            return true;
    return false;
}

static void connect(const char *xml, xmlNodePtr interface)
{
    xmlNodePtr source = xml_child(interface, "source");
    xmlNodePtr target = xml_child(interface, "target");
    xmlNodePtr alias = xml_child(interface, "alias");
    remove_attribute(source, "portid");
    if (xml_attribute_is(interface, "type", "network"))
        remove_attribute(source, "bridge"); /* the network's, while it was active */
    if (target)
        xml_remove(target);
    if (alias && !is_referred_to(xml, alias))
        xml_remove(alias);
}

static void set_link(xmlNodePtr interface, bool up)
{
    xmlNodePtr link = xml_child(interface, "link");
    if (!link)
        link = xmlNewChild(interface, NULL, (const xmlChar *)"link", NULL);
    xmlSetProp(link, (const xmlChar *)"state", (const xmlChar *)(up ? "up" : "down"));
}

static void disconnect(const char *xml, xmlNodePtr interface)
{
    xmlNodePtr next;
    for (xmlNodePtr i = xmlFirstElementChild(interface); i; i = next) {
        next = xmlNextElementSibling(i);
        if (!outlives_port(xml, i))
            xml_remove(i);
    }
    set_link(interface, false);
    xmlSetProp(interface, (const xmlChar *)"type", (const xmlChar *)"ethernet");
    remove_attribute(interface, "trustGuestRxFilters"); /* asks something of the port */
}

int interface_edit(const char *xml, const struct interface_decision *decisions, size_t count,
                   char **ret_xml, struct error *error)
{
    CLEANUP_XML xmlDocPtr document = parse(xml, error);
    if (!document)
        return -1;
    for (xmlNodePtr i = first_interface(document); i; i = xml_next(i)) {
        const struct interface_decision *decision = find(i, decisions, count);
        if (decision && decision->action == INTERFACE_CONNECT)
            connect(xml, i);
        else if (decision && decision->action == INTERFACE_DISCONNECT)
            disconnect(xml, i);
    }
    *ret_xml = xml_write(document, xmlDocGetRootElement(document));
    return 0;
}

int interface_edit_for_loading(const char *xml, const struct interface_decision *decisions,
                               size_t count, char **ret_xml, struct error *error)
{
    CLEANUP_XML xmlDocPtr document = parse(xml, error);
    if (!document)
        return -1;
    bool changed = false;
    for (xmlNodePtr i = first_interface(document); i; i = xml_next(i)) {
        const struct interface_decision *decision = find(i, decisions, count);
        if (!decision || !decision->dormant)
            continue;
        disconnect(xml, i);
        changed = true;
    }
    *ret_xml = changed ? xml_write(document, xmlDocGetRootElement(document)) : NULL;
    return 0;
}

int interface_edit_link(const char *element, bool up, char **ret_element, struct error *error)
{
    CLEANUP_XML xmlDocPtr document =
        xml_parse(element, DOMAIN_XML_LIMIT, "the XML of the adapter", error);
    if (!document)
        return -1;
    set_link(xmlDocGetRootElement(document), up);
    *ret_element = xml_write(document, xmlDocGetRootElement(document));
    return 0;
}
