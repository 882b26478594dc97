/* Services of the host, reached through the doorbell. See <calypso/abi.h> for each of them.
 *
 * Buffers are kernel memory in the direct map (or the kernel image): physically contiguous.
 * Without CALYPSO_FEATURE_DOORBELL every call returns -ENOSYS, and `host_exit` halts.
 */
#ifndef CALYPSO_HOST_H
#define CALYPSO_HOST_H

#include <calypso/abi.h>
#include <calypso/types.h>

/* One request with up to six arguments, which come back changed where the service says so.
 * Returns its result. */
int64_t host_request(enum calypso_service service, uint64_t arguments[6]);

/* Write to a stream (enum calypso_stream). Bytes written, or -errno. */
int64_t host_console_write(unsigned stream, const void *buffer, size_t length);

/* Stop the machine. `message` may be NULL. */
noreturn void host_exit(int status, enum calypso_exit_reason reason, const char *message);

/* Guest time in ns since the machine was created; `*wall` := CLOCK_REALTIME in ns. */
int64_t host_clock(uint64_t *wall);

/* Fill a buffer with entropy of the host. Bytes stored, or -errno. */
int64_t host_entropy(void *buffer, size_t length);

/* Sleep until `deadline` (guest time in ns; UINT64_MAX: none), console input, or an interrupt, with
 * interrupts unmasked. May return early. */
int64_t host_idle(uint64_t deadline);

#endif
