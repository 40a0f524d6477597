/* Small reading helpers over libxml2's tree. Private to the room. Strings that are returned belong
 * to the caller; NULL stands for what is not there and is taken as "not there", too. */
#ifndef HYPERVISOR_XML_H
#define HYPERVISOR_XML_H

#include "base/error.h"
#include "base/memory.h"

#include <libxml/tree.h>
#include <stdbool.h>

/* Parse text of at most `limit` bytes: no network, no document type
 * (so no entities).
 * `what` names it in ERROR_DAMAGED. Free with xmlFreeDoc(). */
xmlDocPtr xml_parse(const char *text, size_t limit, const char *what, struct error *error);

bool xml_is(const xmlNode *node, const char *name);
/* First child element of that name, or NULL. */
xmlNodePtr xml_child(const xmlNode *parent, const char *name);
/* Next sibling element of the same name, or NULL. */
xmlNodePtr xml_next(const xmlNode *node);
/* A descendant by a path of names: xml_find(disk, "source/auth/secret"). */
xmlNodePtr xml_find(const xmlNode *parent, const char *path);
char *xml_attribute(const xmlNode *node, const char *name);
bool xml_attribute_is(const xmlNode *node, const char *name, const char *value);
/* The text of an element without the white space around it; NULL when it is empty. */
char *xml_text(const xmlNode *node);

/* Take an element out and free it, with the white space after it (its line break). */
void xml_remove(xmlNodePtr node);
/* An element of the document as text, what was not touched as it was read; to be freed. */
char *xml_write(xmlDocPtr document, xmlNodePtr node);

static inline void xml_docp(xmlDocPtr *document)
{
    xmlFreeDoc(*document);
}
#define CLEANUP_XML CLEANUP(xml_docp)

#endif
