/* Live XML tells a disk's whole chain: <backingStore> in <backingStore>, an empty one at its end.
 * A definition may tell it, in whole or in part, or not at all; then disk-chain.c goes on. */
#include "hypervisor/disk-xml.h"

#include <string.h>

static const char *source_attribute(const char *type)
{
    static const struct {
        const char *type, *attribute;
    } attributes[] = {{"file", "file"},
                      {"block", "dev"},
                      {"dir", "dir"},
                      {"vhostuser", "path"},
                      {"vhostvdpa", "dev"}};
    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
        if (strcmp(type, attributes[i].type) == 0)
            return attributes[i].attribute;
    return NULL;
}

static void read_network(const xmlNode *source, struct disk_facts *facts)
{
    facts->protocol = xml_attribute(source, "protocol");
    facts->name = xml_attribute(source, "name");
    facts->tls = xml_attribute_is(source, "tls", "yes");
    for (const xmlNode *h = xml_child(source, "host"); h; h = xml_next(h)) {
        if (facts->host_count++ > 0)
            continue;
        facts->host = xml_attribute(h, "name");
        facts->port = xml_attribute(h, "port");
        facts->socket = xml_attribute(h, "socket");
    }
}

static void read_authentication(const xmlNode *disk, const xmlNode *source,
                                struct disk_facts *facts)
{
    const xmlNode *auth = xml_child(source, "auth");
    if (!auth)
        auth = xml_child(disk, "auth");
    const xmlNode *secret = xml_child(auth, "secret");
    facts->user = xml_attribute(auth, "username");
    facts->secret_uuid = xml_attribute(secret, "uuid");
    facts->secret_usage = xml_attribute(secret, "usage");
}

static char *nvme_name(const xmlNode *source)
{
    const xmlNode *address = xml_child(source, "address");
    static const char *const parts[] = {"domain", "bus", "slot", "function"};
    unsigned long value[4] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        CLEANUP_FREE char *text = xml_attribute(address, parts[i]);
        value[i] = text ? strtoul(text, NULL, 0) & 0xffff : 0;
    }
    CLEANUP_FREE char *space = xml_attribute(source, "namespace");
    return memory_format("PCI %04lx:%02lx:%02lx.%lx namespace %s", value[0], value[1], value[2],
                         value[3], space ? space : "?");
}

/* What messages call the source; a path is the source itself. */
static char *source_name(const xmlNode *source, const char *type, const struct disk_facts *facts)
{
    const char *attribute = source_attribute(type);
    if (attribute)
        return xml_attribute(source, attribute);
    if (strcmp(type, "network") == 0 && facts->protocol)
        return memory_format("%s:%s", facts->protocol, facts->name ? facts->name : "");
    if (strcmp(type, "volume") == 0 && facts->pool && facts->volume)
        return memory_format("%s/%s", facts->pool, facts->volume);
    if (strcmp(type, "nvme") == 0)
        return nvme_name(source);
    return NULL;
}

static char *layer_path(const xmlNode *source, const char *type)
{
    if (!type || (strcmp(type, "file") != 0 && strcmp(type, "block") != 0))
        return NULL;
    return xml_attribute(source, source_attribute(type));
}

static int read_chain(const xmlNode *element, struct disk *disk, struct disk_facts *facts,
                      struct error *error)
{
    const xmlNode *store = xml_child(element, "backingStore");
    while (store) {
        CLEANUP_FREE char *type = xml_attribute(store, "type");
        const xmlNode *source = xml_child(store, "source");
        if (!source) {
            facts->chain_complete = true;
            return 0;
        }
        if (disk->layer_count >= DOMAIN_XML_LAYERS)
            return error_set(error, ERROR_DAMAGED, "disk %s has more than %d layers", disk->target,
                             DOMAIN_XML_LAYERS);
        struct disk_layer layer = {
            .path = layer_path(source, type),
            .format = xml_attribute(xml_child(store, "format"), "type"),
        };
        ARRAY_APPEND(disk->layers, disk->layer_count, layer);
        store = xml_child(store, "backingStore");
    }
    return 0;
}

static bool has_descendant(const xmlNode *node, const char *name)
{
    for (const xmlNode *child = node->children; child; child = child->next)
        if (xml_is(child, name) || (child->type == XML_ELEMENT_NODE && has_descendant(child, name)))
            return true;
    return false;
}

static void read_source(const xmlNode *element, struct disk *disk, struct disk_facts *facts)
{
    const xmlNode *source = xml_child(element, "source");
    CLEANUP_FREE char *type = xml_attribute(element, "type");
    if (!type || !source)
        return;
    facts->pool = xml_attribute(source, "pool");
    facts->volume = xml_attribute(source, "volume");
    if (strcmp(type, "network") == 0)
        read_network(source, facts);
    read_authentication(element, source, facts);
    disk->source = source_name(source, type, facts);
    if (disk->source) {
        free(disk->source_type);
        disk->source_type = TAKE_PTR(type);
    }
}

int disk_xml_read(const xmlNode *element, struct disk *disk, struct disk_facts *facts,
                  struct error *error)
{
    const xmlNode *target = xml_child(element, "target");
    const xmlNode *driver = xml_child(element, "driver");
    disk->target = xml_attribute(target, "dev");
    disk->bus = xml_attribute(target, "bus");
    disk->device = xml_attribute(element, "device");
    if (!disk->device)
        disk->device = memory_copy_string("disk");
    disk->format = xml_attribute(driver, "type");
    if (!disk->format)
        disk->format = memory_copy_string("raw");
    disk->error_policy = xml_attribute(driver, "error_policy");
    disk->serial = xml_text(xml_child(element, "serial"));
    disk->read_only = xml_child(element, "readonly") != NULL;
    disk->shareable = xml_child(element, "shareable") != NULL;
    disk->transient = xml_child(element, "transient") != NULL;
    disk->source_type = memory_copy_string("");
    disk->encrypted = has_descendant(element, "encryption");
    disk->sliced = has_descendant(element, "slices");
    read_source(element, disk, facts);
    if (!disk->target)
        return error_set(error, ERROR_DAMAGED, "a disk has no target device");
    if (!*disk->source_type)
        return 0;
    struct disk_layer top = {.path = layer_path(xml_child(element, "source"), disk->source_type),
                             .format = memory_copy_string(disk->format)};
    ARRAY_APPEND(disk->layers, disk->layer_count, top);
    return read_chain(element, disk, facts, error);
}

void disk_facts_free(struct disk_facts *facts, size_t count)
{
    for (size_t i = 0; facts && i < count; i++) {
        free(facts[i].protocol);
        free(facts[i].name);
        free(facts[i].host);
        free(facts[i].port);
        free(facts[i].socket);
        free(facts[i].user);
        free(facts[i].secret_uuid);
        free(facts[i].secret_usage);
        free(facts[i].pool);
        free(facts[i].volume);
    }
    free(facts);
}
