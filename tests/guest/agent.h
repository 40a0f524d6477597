/* QEMU's guest agent in the test guest, and ways to make it misbehave. */
#pragma once

#include <stddef.h>

/* Starts the agent when the guest has its port (DEVICE, NULL: it has not). */
void agent_init(const char *device);

/* Does `start`, `stop`, `pause`, `normal`, `hang-freeze`, `delay-freeze SECONDS`, `fail-freeze` or
 * `status`; the answer, as `running hang-freeze`, goes to ANSWER. Never touches a data volume. */
void agent_command(const char *command, char *answer, size_t size);
