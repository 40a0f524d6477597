/* Strict reading: the parser is stopped at a DTD, before any entity can be declared. */
#include "documents/markup.h"

#include "vss/failure.h"

#include <errno.h>
#include <inttypes.h>
#include <libxml/chvalid.h>
#include <libxml/parser.h>
#include <limits.h>
#include <string.h>

enum { size_limit = 8 << 20 };

static const xmlChar *chars(const char *text)
{
    return (const xmlChar *)text;
}

/* ---- Parsing ------------------------------------------------------------------------------- */

static void refuse_dtd(void *context, const xmlChar *name, const xmlChar *external_id,
                       const xmlChar *system_id)
{
    (void)name, (void)external_id, (void)system_id;
    xmlParserCtxtPtr parser = context;
    *(bool *)parser->_private = true;
    xmlStopParser(parser);
}

static xmlDocPtr parse_failed(xmlParserCtxtPtr parser, bool has_dtd, const char *what,
                              struct error *error)
{
    const xmlError *fault = xmlCtxtGetLastError(parser);
    int length = fault && fault->message ? (int)strcspn(fault->message, "\n") : 0;
    if (has_dtd)
        failure_set(error, VSS_E_INVALID_XML_DOCUMENT, "%s has a document type declaration", what);
    else
        failure_set(error, VSS_E_CORRUPT_XML_DOCUMENT, "%s is damaged in line %d: %.*s", what,
                    fault ? fault->line : 0, length, length ? fault->message : "");
    return NULL;
}

static xmlDocPtr parse(const char *text, size_t size, const char *what, struct error *error)
{
    if (size > size_limit) {
        failure_set(error, VSS_E_CORRUPT_XML_DOCUMENT, "%s is larger than %d bytes", what,
                    size_limit);
        return NULL;
    }
    xmlInitParser();
    xmlParserCtxtPtr parser = xmlNewParserCtxt();
    if (!parser) {
        failure_set(error, E_OUTOFMEMORY, "%s: no memory for a parser", what);
        return NULL;
    }
    bool has_dtd = false;
    parser->_private = &has_dtd;
    parser->sax->internalSubset = refuse_dtd;
    xmlDocPtr document =
        xmlCtxtReadMemory(parser, text, (int)size, NULL, NULL,
                          XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!document || has_dtd) {
        xmlFreeDoc(document);
        document = parse_failed(parser, has_dtd, what, error);
    }
    xmlFreeParserCtxt(parser);
    return document;
}

xmlDocPtr markup_parse(const char *text, size_t size, const char *root, const char *name_space,
                       const char *what, struct error *error)
{
    xmlDocPtr document = parse(text, size, what, error);
    if (!document)
        return NULL;
    const xmlNode *element = xmlDocGetRootElement(document);
    if (element && xmlStrEqual(element->name, chars(root)) && element->ns &&
        xmlStrEqual(element->ns->href, chars(name_space)))
        return document;
    failure_set(error, VSS_E_INVALID_XML_DOCUMENT, "%s is another kind of document: no %s in %s",
                what, root, name_space);
    xmlFreeDoc(document);
    return NULL;
}

int markup_corrupt(struct error *error, const xmlNode *node, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    failure_set(error, VSS_E_CORRUPT_XML_DOCUMENT, "element %s in line %ld: %s",
                (const char *)node->name, xmlGetLineNo((xmlNodePtr)(uintptr_t)node), text);
    return -1;
}

int markup_check_version(const xmlNode *root, const char *what, struct error *error)
{
    CLEANUP_FREE char *text = markup_text(root, "version");
    if (!text || strcmp(text, "1.0") == 0)
        return 0;
    char *end;
    unsigned long minor = strncmp(text, "1.", 2) == 0 ? strtoul(text + 2, &end, 10) : 0;
    if (minor > 0 && minor < INT_MAX && !*end)
        return (int)minor;
    failure_set(error, VSS_E_INVALID_XML_DOCUMENT, "%s is of version %.20s, which is not known",
                what, text);
    (void)error_advise(error, "document-version",
                       "read it with the release that wrote it, or a newer one");
    return 0;
}

/* ---- Elements and attributes --------------------------------------------------------------- */

static bool is_ours(const xmlNode *node)
{
    const xmlNode *root = xmlDocGetRootElement(node->doc);
    return node->type == XML_ELEMENT_NODE && node->ns && root->ns &&
           xmlStrEqual(node->ns->href, root->ns->href);
}

xmlNodePtr markup_next(const xmlNode *parent, const xmlNode *previous)
{
    xmlNodePtr node = previous ? previous->next : parent->children;
    while (node && !is_ours(node))
        node = node->next;
    return node;
}

bool markup_is(const xmlNode *node, const char *name)
{
    return xmlStrEqual(node->name, chars(name));
}

xmlNodePtr markup_single(const xmlNode *parent, const char *name, struct error *error)
{
    xmlNodePtr found = NULL;
    for (xmlNodePtr node = markup_next(parent, NULL); node; node = markup_next(parent, node)) {
        if (!markup_is(node, name))
            continue;
        if (found)
            (void)markup_corrupt(error, node, "is there twice");
        found = node;
    }
    return found;
}

static char *take_chars(xmlChar *text)
{
    char *copy = memory_copy_string((const char *)text);
    xmlFree(text);
    return copy;
}

char *markup_text(const xmlNode *node, const char *attribute)
{
    return take_chars(xmlGetNoNsProp(node, chars(attribute)));
}

char *markup_content(const xmlNode *node)
{
    return take_chars(xmlNodeGetContent(node));
}

char *markup_required(const xmlNode *node, const char *attribute, struct error *error)
{
    char *text = markup_text(node, attribute);
    if (text)
        return text;
    (void)markup_corrupt(error, node, "attribute %s is missing", attribute);
    return memory_copy_string("");
}

bool markup_yes(const xmlNode *node, const char *attribute, bool otherwise, struct error *error)
{
    CLEANUP_FREE char *text = markup_text(node, attribute);
    if (!text)
        return otherwise;
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        (void)markup_corrupt(error, node, "attribute %s is neither yes nor no", attribute);
    return strcmp(text, "yes") == 0;
}

uint64_t markup_number(const xmlNode *node, const char *attribute, uint64_t otherwise,
                       uint64_t limit, struct error *error)
{
    CLEANUP_FREE char *text = markup_text(node, attribute);
    if (!text)
        return otherwise;
    char *end;
    errno = 0;
    uint64_t number = strtoull(text, &end, 0);
    bool digits = *text >= '0' && *text <= '9';
    if (digits && !*end && errno == 0 && number <= limit)
        return number;
    (void)markup_corrupt(error, node, "attribute %s is not a number up to %" PRIu64, attribute,
                         limit);
    return otherwise;
}

int markup_word(const xmlNode *node, const char *attribute, int otherwise,
                const struct markup_word *words, struct error *error)
{
    CLEANUP_FREE char *text = markup_text(node, attribute);
    if (!text)
        return otherwise;
    for (; words->name; words++)
        if (strcmp(words->name, text) == 0)
            return words->value;
    (void)markup_corrupt(error, node, "attribute %s has a value that is not known", attribute);
    return otherwise;
}

struct id markup_id(const xmlNode *node, const char *attribute, struct error *error)
{
    CLEANUP_FREE char *text = markup_text(node, attribute);
    struct id id = {.text = ""};
    if (!text || (*text && id_parse(text, &id) != 0))
        (void)markup_corrupt(error, node, "attribute %s is not an id", attribute);
    return id;
}

/* ---- Writing ------------------------------------------------------------------------------- */

xmlDocPtr markup_new(const char *root, const char *name_space)
{
    xmlDocPtr document = xmlNewDoc(chars("1.0"));
    xmlNodePtr node = xmlNewDocNode(document, NULL, chars(root), NULL);
    xmlSetNs(node, xmlNewNs(node, chars(name_space), NULL));
    xmlDocSetRootElement(document, node);
    return document;
}

xmlNodePtr markup_add(xmlNodePtr parent, const char *name)
{
    return xmlNewChild(parent, parent->ns, chars(name), NULL);
}

/* How many bytes UTF-8 takes for a character, so that a longer form is not taken for it. */
static int length_of(int character)
{
    return character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
}

/* XML 1.0 has no way to write most control characters. */
static bool can_be_written(const char *text)
{
    while (*text) {
        int length = (int)strnlen(text, 4);
        int character = xmlGetUTF8Char(chars(text), &length);
        if (character < 0 || length != length_of(character) || !xmlIsCharQ(character))
            return false;
        text += length;
    }
    return true;
}

static bool check_text(const char *what, const char *text, struct error *error)
{
    if (can_be_written(text))
        return true;
    failure_set(error, E_INVALIDARG, "%s holds characters that XML cannot", what);
    return false;
}

void markup_set_text(xmlNodePtr node, const char *attribute, const char *text, struct error *error)
{
    if (text && check_text(attribute, text, error))
        xmlNewProp(node, chars(attribute), chars(text));
}

void markup_set_yes(xmlNodePtr node, const char *attribute, bool yes)
{
    xmlNewProp(node, chars(attribute), chars(yes ? "yes" : "no"));
}

void markup_set_number(xmlNodePtr node, const char *attribute, enum markup_base base,
                       uint64_t number)
{
    char text[32];
    int length = base == XML_HEXADECIMAL ? snprintf(text, sizeof text, "0x%" PRIx64, number)
                                         : snprintf(text, sizeof text, "%" PRIu64, number);
    (void)length; /* 64 bits always fit */
    xmlNewProp(node, chars(attribute), chars(text));
}

void markup_set_word(xmlNodePtr node, const char *attribute, int value,
                     const struct markup_word *words)
{
    for (; words->name; words++)
        if (words->value == value)
            xmlNewProp(node, chars(attribute), chars(words->name));
}

void markup_add_content(xmlNodePtr parent, const char *name, const char *text, struct error *error)
{
    if (text && check_text(name, text, error))
        xmlNewTextChild(parent, parent->ns, chars(name), chars(text));
}

char *markup_print(xmlDocPtr document)
{
    xmlChar *text = NULL;
    int size = 0;
    xmlDocDumpFormatMemoryEnc(document, &text, &size, "UTF-8", 1);
    return take_chars(text);
}
