/* XML: what both documents need of libxml2. Private to documents/.
 *
 * Documents are read strictly: no DTD, no entities of their own, bounded in size (8 MiB) and depth
 * (libxml2's 256). Getters and setters collect faults in the error, the first one counts, so a
 * reader or writer is a list of assignments with one check at its end.
 *
 * `extra` is what this version does not know of an element, as a small document of its own:
 * <EXTRA> with the unknown attributes and child elements. A child in it that has the name of a
 * known single child (IDENTIFICATION, ...) holds the unknown parts of that one.
 */
#ifndef DOCUMENTS_MARKUP_H
#define DOCUMENTS_MARKUP_H

#include "base/error.h"
#include "base/id.h"
#include "base/memory.h"

#include <libxml/tree.h>
#include <stdbool.h>
#include <stdint.h>

static inline void markup_documentp(xmlDocPtr *document)
{
    xmlFreeDoc(*document);
}

/* Names of an enum's values; ends with a NULL name. */
struct markup_word {
    int value;
    const char *name;
};

/* ---- Reading ---- */

/* NULL with VSS_E_INVALID_XML_DOCUMENT or VSS_E_CORRUPT_XML_DOCUMENT; `what` names the document. */
xmlDocPtr markup_parse(const char *text, size_t size, const char *root, const char *name_space,
                       const char *what, struct error *error);
/* Fail the document: VSS_E_CORRUPT_XML_DOCUMENT naming the element. Returns -1. */
int markup_corrupt(struct error *error, const xmlNode *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The minor version of a document of major version 1 (attribute `version`, 1.0 where it is
 * missing); another: VSS_E_INVALID_XML_DOCUMENT. A reader keeps the attribute as unknown unless it
 * is 0. */
int markup_check_version(const xmlNode *root, const char *what, struct error *error);

/* Child elements of the document's namespace, one after the other. `previous` NULL = the first. */
xmlNodePtr markup_next(const xmlNode *parent, const xmlNode *previous);
bool markup_is(const xmlNode *node, const char *name);
/* The only child of that name; NULL when there is none; two are a fault. */
xmlNodePtr markup_single(const xmlNode *parent, const char *name, struct error *error);

/* Attributes. Text is to be freed; NULL when there is none. Others: the default when missing. */
char *markup_text(const xmlNode *node, const char *attribute);
char *markup_required(const xmlNode *node, const char *attribute, struct error *error);
bool markup_yes(const xmlNode *node, const char *attribute, bool otherwise, struct error *error);
uint64_t markup_number(const xmlNode *node, const char *attribute, uint64_t otherwise,
                       uint64_t limit, struct error *error);
int markup_word(const xmlNode *node, const char *attribute, int otherwise,
                const struct markup_word *words, struct error *error);
struct id markup_id(const xmlNode *node, const char *attribute, struct error *error);
/* The text inside an element; to be freed. */
char *markup_content(const xmlNode *node);

/* What is unknown of `node`: all but these attributes and children (lists end with NULL; `merged`
 * are single children of whose parts the known ones are given). NULL when nothing is. */
struct markup_known {
    const char *name; /* of a merged child; NULL in the first = the node itself */
    const char *const *attributes;
    const char *const *children;
};
#define XML_NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
char *markup_extra(const xmlNode *node, const struct markup_known *known,
                   const struct markup_known *merged);

/* ---- Writing ---- */

xmlDocPtr markup_new(const char *root, const char *name_space);
xmlNodePtr markup_add(xmlNodePtr parent, const char *name);
/* NULL text: nothing is written. A text that XML cannot hold: number E_INVALIDARG. */
void markup_set_text(xmlNodePtr node, const char *attribute, const char *text, struct error *error);
void markup_set_yes(xmlNodePtr node, const char *attribute, bool yes);
enum markup_base { XML_DECIMAL, XML_HEXADECIMAL };
void markup_set_number(xmlNodePtr node, const char *attribute, enum markup_base base,
                       uint64_t number);
void markup_set_word(xmlNodePtr node, const char *attribute, int value,
                     const struct markup_word *words);
void markup_add_content(xmlNodePtr parent, const char *name, const char *text, struct error *error);
/* Put the unknown parts back. */
void markup_set_extra(xmlNodePtr node, const char *extra, struct error *error);
/* The text of the document, to be freed. */
char *markup_print(xmlDocPtr document);

#endif
