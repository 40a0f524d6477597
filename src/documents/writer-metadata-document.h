/* The Writer Metadata Document: struct metadata as XML and back (vss.md 4.1, 4.4).
 *
 * Root WRITER_METADATA in x-schema:#VssWriterMetadataInfo, version 1.x. Elements and attributes
 * that this version does not know are kept in the `extra` members and written again, so that a
 * document of a newer minor version survives a rewrite.
 */
#ifndef DOCUMENTS_WRITER_METADATA_DOCUMENT_H
#define DOCUMENTS_WRITER_METADATA_DOCUMENT_H

#include "base/error.h"
#include "vss/metadata.h"

/* 0 and the text (UTF-8, to be freed). -1: a string holds what XML cannot (number E_INVALIDARG:
 * bytes that are not UTF-8, control characters). Any thread. */
int metadata_document_write(const struct metadata *metadata, char **ret_xml, struct error *error);

/* 0 and the tree. -1, kind ERROR_DAMAGED and number VSS_E_INVALID_XML_DOCUMENT (another kind of
 * document: root, namespace, version; a DTD) or VSS_E_CORRUPT_XML_DOCUMENT (not well-formed, larger
 * than 8 MiB, nested deeper than 256, a value missing or not readable). Nothing outside the text
 * is read: no network, no files, no entities. Any thread. */
int metadata_document_read(const char *xml, size_t size, struct metadata **ret_metadata,
                           struct error *error);

#endif
