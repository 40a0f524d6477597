/* Between the files of the kit. */
#ifndef KIT_VSS_KIT_PRIVATE_H
#define KIT_VSS_KIT_PRIVATE_H

#include "vss_kit.h"

size_t kit_begin(struct kit *kit, const char *party, const char *name, const struct id *session,
                 const struct id *set);
void kit_end(struct kit *kit, size_t index, vss_code code);

/* The writer's process: one request is an event's number, the answers are "begun" and "done". */
void kit_start_child(struct kit_writer *writer);
void kit_end_child(struct kit_writer *writer);
/* Let the child handle an event; VSS_E_WRITER_NOT_RESPONDING when it is gone. */
vss_code kit_ask_child(struct kit_writer *writer, enum vss_event event);

#endif
