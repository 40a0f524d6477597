/* What this version does not know of an element: collected when it is read, put back when it is
 * written. Copies of nodes carry their own namespace declarations. */
#include "documents/markup.h"

#include "vss/failure.h"

#include <string.h>

static const char wrapper[] = "EXTRA";

static const xmlChar *chars(const char *text)
{
    return (const xmlChar *)text;
}

static bool is_listed(const char *const *list, const xmlChar *name)
{
    for (; list && *list; list++)
        if (xmlStrEqual(chars(*list), name))
            return true;
    return false;
}

static bool is_merged(const struct markup_known *merged, const xmlChar *name)
{
    for (; merged && merged->name; merged++)
        if (xmlStrEqual(chars(merged->name), name))
            return true;
    return false;
}

static bool same_space(const xmlNode *node, const xmlNode *parent)
{
    return node->ns && parent->ns && xmlStrEqual(node->ns->href, parent->ns->href);
}

static void copy_attribute(xmlNodePtr to, xmlAttrPtr attribute)
{
    xmlAttrPtr copy = xmlCopyProp(to, attribute);
    if (!copy)
        return;
    copy->parent = NULL; /* libxml2 sets it without linking, and then takes it for linked */
    xmlAddChild(to, (xmlNodePtr)copy);
}

static void copy_element(xmlNodePtr to, xmlNodePtr element)
{
    xmlNodePtr copy = xmlDocCopyNode(element, to->doc, 1);
    if (copy)
        xmlAddChild(to, copy);
}

static void copy_unknown(xmlNodePtr to, const xmlNode *from, const struct markup_known *known,
                         const struct markup_known *merged)
{
    for (xmlAttrPtr attribute = from->properties; attribute; attribute = attribute->next)
        if (attribute->ns || !is_listed(known->attributes, attribute->name))
            copy_attribute(to, attribute);
    for (xmlNodePtr child = from->children; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE &&
            !(same_space(child, from) &&
              (is_listed(known->children, child->name) || is_merged(merged, child->name))))
            copy_element(to, child);
}

static bool is_empty(const xmlNode *node)
{
    return !node->properties && !node->children;
}

static char *print_node(xmlNodePtr node)
{
    xmlBufferPtr buffer = xmlBufferCreate();
    xmlNodeDump(buffer, node->doc, node, 0, 0);
    char *text = memory_copy_string((const char *)xmlBufferContent(buffer));
    xmlBufferFree(buffer);
    return text;
}

char *markup_extra(const xmlNode *node, const struct markup_known *known,
                   const struct markup_known *merged)
{
    const xmlNode *document_root = xmlDocGetRootElement(node->doc);
    CLEANUP(markup_documentp)
    xmlDocPtr document = markup_new(wrapper, (const char *)document_root->ns->href);
    xmlNodePtr root = xmlDocGetRootElement(document);
    copy_unknown(root, node, known, merged);
    for (; merged && merged->name; merged++) {
        const xmlNode *child = markup_next(node, NULL);
        while (child && !markup_is(child, merged->name))
            child = markup_next(node, child);
        if (!child)
            continue;
        xmlNodePtr part = markup_add(root, merged->name);
        copy_unknown(part, child, merged, NULL);
        if (is_empty(part)) {
            xmlUnlinkNode(part);
            xmlFreeNode(part);
        }
    }
    return is_empty(root) ? NULL : print_node(root);
}

/* The child that was there before anything was put back. */
static xmlNodePtr child_until(xmlNodePtr node, const xmlNode *last, const xmlNode *like)
{
    for (xmlNodePtr child = last ? node->children : NULL; child; child = child->next) {
        if (child->type == XML_ELEMENT_NODE && same_space(child, like) &&
            xmlStrEqual(child->name, like->name))
            return child;
        if (child == last)
            break;
    }
    return NULL;
}

/* Two levels deep: a child in `extra` that is there already is a merged one. */
static void put_back(xmlNodePtr node, const xmlNode *extra, unsigned levels)
{
    const xmlNode *last = node->last;
    for (xmlAttrPtr attribute = extra->properties; attribute; attribute = attribute->next)
        copy_attribute(node, attribute);
    for (xmlNodePtr child = extra->children; child; child = child->next) {
        if (child->type != XML_ELEMENT_NODE)
            continue;
        xmlNodePtr same = levels > 0 ? child_until(node, last, child) : NULL;
        if (same)
            put_back(same, child, levels - 1);
        else
            copy_element(node, child);
    }
}

void markup_set_extra(xmlNodePtr node, const char *extra, struct error *error)
{
    if (!extra)
        return;
    const char *name_space = (const char *)xmlDocGetRootElement(node->doc)->ns->href;
    CLEANUP(markup_documentp)
    xmlDocPtr document =
        markup_parse(extra, strlen(extra), wrapper, name_space, "unknown parts", error);
    if (document)
        put_back(node, xmlDocGetRootElement(document), 1);
}
