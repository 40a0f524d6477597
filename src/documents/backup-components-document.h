/* The Backup Components Document: struct components as XML and back (vss.md 4.2, 4.5).
 *
 * Root BACKUP_COMPONENTS in x-schema:#VssComponentMetadata. Holds no file paths but those the
 * requester chose as new targets. Unknown elements and attributes are kept (`extra`), among them
 * the published ones that this version does not use (partial, differenced and directed files).
 */
#ifndef DOCUMENTS_BACKUP_COMPONENTS_DOCUMENT_H
#define DOCUMENTS_BACKUP_COMPONENTS_DOCUMENT_H

#include "base/error.h"
#include "vss/components.h"

/* As metadata_document_write() and metadata_document_read(), see writer-metadata-document.h. */
int components_document_write(const struct components *components, char **ret_xml,
                              struct error *error);
int components_document_read(const char *xml, size_t size, struct components **ret_components,
                             struct error *error);

#endif
