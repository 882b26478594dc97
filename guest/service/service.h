/* Service calls: system calls that the host makes. See "the service ring" in <calypso/abi.h>.
 *
 *   ring.c  the shared memory: submissions in, completions out, the window
 *   task.c  who makes the calls: a thread of the kernel for each task
 *
 * All of this does nothing in a machine without CALYPSO_FEATURE_SERVICES.
 */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include <calypso/types.h>

/* Find the ring, map the window, make the first task. The process has its standard descriptors,
 * and its address space is empty. */
void service_initialize(void);

/* Whether the host can make calls. */
bool service_is_ready(void);

/* Map the window again, after everything was unmapped. */
void service_map_window(void);

/* There is no program: the first thread waits for good, and only the host's calls run. */
noreturn void service_run_alone(void);

/* ---- For the scheduler ---- */

/* Hand what the host has submitted to the tasks: whether one became ready by that. */
bool service_look(void);

/* Whether the host has submitted something. */
bool service_is_called(void);

/* Tell the host of completions that it has not read. IDLE does the same. */
void service_announce(void);

#endif
