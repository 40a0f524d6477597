/* Elements without name spaces, as libvirt's; see xml.h. */
#include "hypervisor/xml.h"

#include "base/memory.h"

#include <libxml/parser.h>
#include <string.h>

xmlDocPtr xml_parse(const char *text, size_t limit, const char *what, struct error *error)
{
    size_t size = strnlen(text, limit + 1);
    if (size > limit) {
        (void)error_set(error, ERROR_DAMAGED, "%s is larger than %zu bytes", what, limit);
        return NULL;
    }
    /* A context of its own, so that the fault can be told from it and from no other thread's. */
    xmlParserCtxtPtr context = xmlNewParserCtxt();
    xmlDocPtr document = context ? xmlCtxtReadMemory(context, text, (int)size, NULL, NULL,
                                                     XML_PARSE_NONET | XML_PARSE_NOERROR |
                                                         XML_PARSE_NOWARNING | XML_PARSE_NOCDATA)
                                 : NULL;
    if (!document) {
        const xmlError *fault = context ? xmlCtxtGetLastError(context) : NULL;
        (void)error_set(error, ERROR_DAMAGED, "%s is not well-formed: line %d: %s", what,
                        fault ? fault->line : 0,
                        fault && fault->message ? fault->message : "cannot be parsed");
        for (char *c = error ? error->message : NULL; c && *c; c++)
            if (*c == '\n')
                *c = '\0';
    }
    xmlFreeParserCtxt(context);
    if (document && document->intSubset) { /* entities would grow when text is read */
        (void)error_set(error, ERROR_DAMAGED, "%s has a document type", what);
        xmlFreeDoc(document);
        return NULL;
    }
    return document;
}

bool xml_is(const xmlNode *node, const char *name)
{
    return node && node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static xmlNodePtr first_of(xmlNodePtr node, const char *name)
{
    while (node && !xml_is(node, name))
        node = node->next;
    return node;
}

xmlNodePtr xml_child(const xmlNode *parent, const char *name)
{
    return parent ? first_of(parent->children, name) : NULL;
}

xmlNodePtr xml_next(const xmlNode *node)
{
    return node ? first_of(node->next, (const char *)node->name) : NULL;
}

xmlNodePtr xml_find(const xmlNode *parent, const char *path)
{
    char name[64];
    const xmlNode *node = parent;
    while (node && *path) {
        size_t size = strcspn(path, "/");
        if (size >= sizeof name)
            return NULL;
        memcpy(name, path, size);
        name[size] = '\0';
        node = xml_child(node, name);
        path += size + (path[size] == '/');
    }
    return (xmlNodePtr)node;
}

char *xml_attribute(const xmlNode *node, const char *name)
{
    if (!node)
        return NULL;
    xmlChar *value = xmlGetNoNsProp(node, (const xmlChar *)name);
    char *copy = memory_copy_string((const char *)value);
    xmlFree(value);
    return copy;
}

bool xml_attribute_is(const xmlNode *node, const char *name, const char *value)
{
    CLEANUP_FREE char *is = xml_attribute(node, name);
    return is && strcmp(is, value) == 0;
}

char *xml_text(const xmlNode *node)
{
    if (!node)
        return NULL;
    xmlChar *content = xmlNodeGetContent(node);
    if (!content)
        return NULL;
    const char *from = (const char *)content;
    from += strspn(from, " \t\r\n");
    size_t size = strlen(from);
    while (size && strchr(" \t\r\n", from[size - 1]))
        size--;
    char *text = NULL;
    if (size) {
        text = memory_new(size + 1, 1);
        memcpy(text, from, size);
    }
    xmlFree(content);
    return text;
}

void xml_remove(xmlNodePtr node)
{
    xmlNodePtr space = node->next;
    if (space && space->type == XML_TEXT_NODE && xmlIsBlankNode(space)) {
        xmlUnlinkNode(space);
        xmlFreeNode(space);
    }
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

char *xml_write(xmlDocPtr document, xmlNodePtr node)
{
    xmlBufferPtr buffer = xmlBufferCreate();
    if (!buffer || xmlNodeDump(buffer, document, node, 0, 0) < 0)
        abort(); /* memory, as base/memory.h */
    char *text = memory_copy_string((const char *)xmlBufferContent(buffer));
    xmlBufferFree(buffer);
    return text;
}
