/* Channel: JSON messages between requester and watchdog over a SOCK_SEQPACKET socketpair.
 *
 * The kernel keeps message boundaries. Nothing here ever blocks: what cannot be sent waits in a
 * bounded queue until channel_flush() is called again when poll(2) says so. So the two processes
 * cannot wait for each other in a circle. Not thread-safe: the owner has a lock.
 *
 * Messages, `type` first:
 *   requester -> watchdog, each with `request`, a number, and answered:
 *     hello {stall} + the journal's descriptor    lock {} + a lock's descriptor
 *     step {step, lane, kind, ARGUMENTS}          strike {step}
 *     lease {step, deadline, what}                strike-all {}
 *     replacing {}  kept {}  replaced {step, lane, kind, ARGUMENTS}
 *       ARGUMENTS: arguments, or offset and size of the step's line in the journal, where that is
 *       larger than CHANNEL_STEP_LIMIT
 *   without answer: end {} = the requester is done; what is open is the watchdog's to undo
 *   watchdog -> requester: answer {request, error?}; void {error}: the run is being undone;
 *     finished {left: [steps], error?}: that has ended
 *   both ways: heartbeat {}
 */
#ifndef UNDO_CHANNEL_H
#define UNDO_CHANNEL_H

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"

#include <stdbool.h>

enum { CHANNEL_STEP_LIMIT = 100 << 10 };

struct channel;

/* The two ends, close-on-exec. */
int channel_pair(int ret_ends[2], struct error *error);
/* Takes over the socket. */
struct channel *channel_new(int socket);
void channel_free(struct channel *channel);
DEFINE_CLEANUP(channel)
int channel_socket(const struct channel *channel);

/* A message to be filled. */
json_t *channel_message(const char *type);
/* Queue it (taken over) and try to send; `file` (or -1) goes with it, as a duplicate. -1 when the
 * queue is full, the message too large, or the other end gone. */
int channel_send(struct channel *channel, json_t *message, int file);
/* Send what is queued as far as the socket takes it. -1 when the other end is gone. */
int channel_flush(struct channel *channel);
bool channel_is_waiting(const struct channel *channel);
/* 1 = a message, with the descriptor that came with it or -1; 0 = none now; -1 = the other end is
 * gone, or what it sent is not a message. */
int channel_receive(struct channel *channel, json_t **ret_message, int *ret_file);

/* Errors as a member "error". */
void channel_put_error(json_t *message, const struct error *error);
/* Returns -1 and fills the error when the message has one, else 0. */
int channel_get_error(const json_t *message, struct error *error);

#endif
