/* libxml2 on a copy of the tree; what is not touched is written back as it was read. */
#include "hypervisor/domain-edit.h"

#include "hypervisor/domain-xml.h"
#include "hypervisor/xml.h"

#include <libxml/tree.h>
#include <string.h>

static void free_document(xmlDoc **document)
{
    if (*document)
        xmlFreeDoc(*document);
}

static xmlNode *child(xmlNode *node, const char *name)
{
    for (xmlNode *each = node->children; each; each = each->next)
        if (each->type == XML_ELEMENT_NODE && strcmp((const char *)each->name, name) == 0)
            return each;
    return NULL;
}

static bool attribute_is(xmlNode *node, const char *name, const char *value)
{
    xmlChar *found = xmlGetProp(node, BAD_CAST name);
    bool equal = found && strcmp((const char *)found, value) == 0;
    xmlFree(found);
    return equal;
}

/* The XML may come from a backup: xml_parse() guards against its size and its entities. */
static xmlDoc *parse(const char *xml, struct error *error)
{
    xmlDoc *document = xml_parse(xml, DOMAIN_XML_LIMIT, "the VM's definition", error);
    if (document && !xml_is(xmlDocGetRootElement(document), "domain")) {
        xmlFreeDoc(document);
        (void)error_set(error, ERROR_DAMAGED, "the VM's definition is not valid domain XML");
        return NULL;
    }
    return document;
}

static xmlNode *find_disk(xmlDoc *document, const char *target)
{
    xmlNode *devices = child(xmlDocGetRootElement(document), "devices");
    for (xmlNode *disk = devices ? devices->children : NULL; disk; disk = disk->next) {
        if (disk->type != XML_ELEMENT_NODE || strcmp((const char *)disk->name, "disk") != 0)
            continue;
        xmlNode *its_target = child(disk, "target");
        if (its_target && attribute_is(its_target, "dev", target))
            return disk;
    }
    return NULL;
}

static void remove_child(xmlNode *node, const char *name)
{
    xmlNode *found = child(node, name);
    if (found)
        xml_remove(found);
}

static bool has_backing(xmlNode *disk)
{
    xmlNode *backing = child(disk, "backingStore");
    return backing && child(backing, "source");
}

/* Of a file only the place changes: permissions, labels and the like stay. What unwraps the data
 * (<encryption>, <slices>) does not fit a plain image. A source of another type is made anew, since
 * its other attributes belong to that. */
static void set_source(xmlNode *disk, const char *path)
{
    xmlNode *old = child(disk, "source");
    if (old && attribute_is(disk, "type", "file")) {
        xmlSetProp(old, BAD_CAST "file", BAD_CAST path);
        return;
    }
    xmlNode *fresh = xmlNewNode(NULL, BAD_CAST "source");
    xmlNewProp(fresh, BAD_CAST "file", BAD_CAST path);
    if (old) {
        xmlReplaceNode(old, fresh);
        xmlFreeNode(old);
    } else {
        xmlAddPrevSibling(child(disk, "target"), fresh);
    }
    xmlSetProp(disk, BAD_CAST "type", BAD_CAST "file");
}

/* libvirt takes <encryption> in the source and, as of old, in the disk. */
static bool unwrap(xmlNode *disk)
{
    xmlNode *const wraps[] = {
        xml_child(disk, "encryption"),
        xml_find(disk, "source/encryption"),
        xml_find(disk, "source/slices"),
    };
    bool changed = false;
    for (size_t i = 0; i < sizeof wraps / sizeof wraps[0]; i++)
        if (wraps[i]) {
            xml_remove(wraps[i]);
            changed = true;
        }
    return changed;
}

static void set_format(xmlNode *disk, const char *format)
{
    xmlNode *driver = child(disk, "driver");
    if (!driver) {
        driver = xmlNewNode(NULL, BAD_CAST "driver");
        xmlNewProp(driver, BAD_CAST "name", BAD_CAST "qemu");
        xmlAddPrevSibling(child(disk, "source"), driver);
    }
    xmlSetProp(driver, BAD_CAST "type", BAD_CAST format);
}

static bool edit_disk(xmlNode *disk, const struct domain_edit_disk *wanted)
{
    bool changed = false;
    xmlNode *source = child(disk, "source");
    xmlNode *driver = child(disk, "driver");
    if (!source || !attribute_is(disk, "type", "file") ||
        !attribute_is(source, "file", wanted->path)) {
        set_source(disk, wanted->path);
        changed = true;
    }
    if (!driver || !attribute_is(driver, "type", wanted->format)) {
        set_format(disk, wanted->format);
        changed = true;
    }
    if (unwrap(disk))
        changed = true;
    if (has_backing(disk))
        changed = true;
    /* Also the empty <backingStore/>: it would claim that a later overlay has no backing file. */
    remove_child(disk, "backingStore");
    return changed;
}

int domain_edit_disks(const char *xml, const struct domain_edit_disk *disks, size_t count,
                      char **ret_xml, unsigned *ret_changes, struct error *error)
{
    CLEANUP(free_document) xmlDoc *document = parse(xml, error);
    if (!document)
        return -1;
    unsigned changes = 0;
    for (size_t i = 0; i < count; i++) {
        xmlNode *disk = find_disk(document, disks[i].target);
        if (!disk)
            return error_set(error, ERROR_DAMAGED, "the definition has no disk %s",
                             disks[i].target);
        changes += edit_disk(disk, &disks[i]);
    }
    *ret_xml = xml_write(document, xmlDocGetRootElement(document));
    *ret_changes = changes;
    return 0;
}

bool domain_edit_has_disk(const char *xml, const char *target)
{
    CLEANUP(free_document) xmlDoc *document = parse(xml, NULL);
    return document && find_disk(document, target);
}

static char *text_of(xmlDoc *document, const char *name)
{
    xmlNode *node = child(xmlDocGetRootElement(document), name);
    xmlChar *text = node ? xmlNodeGetContent(node) : NULL;
    char *copy = memory_copy_string((const char *)text);
    xmlFree(text);
    return copy;
}

int domain_edit_identity(const char *xml, char **ret_uuid, char **ret_name, struct error *error)
{
    CLEANUP(free_document) xmlDoc *document = parse(xml, error);
    if (!document)
        return -1;
    CLEANUP_FREE char *uuid = text_of(document, "uuid");
    CLEANUP_FREE char *name = text_of(document, "name");
    if (!uuid || !name)
        return error_set(error, ERROR_DAMAGED, "the VM's definition has no name or UUID");
    *ret_uuid = TAKE_PTR(uuid);
    *ret_name = TAKE_PTR(name);
    return 0;
}
