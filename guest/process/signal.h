/* Signals as far as the first version goes: actions and masks are recorded, default actions are
 * carried out, handlers are not run.
 */
#ifndef PROCESS_SIGNAL_H
#define PROCESS_SIGNAL_H

#include <uapi/signal.h>

struct signals {
	struct sigaction actions[SIGNAL_COUNT]; /* of signal n at n - 1 */
	uint64_t blocked;			/* bit n - 1 */
	uint64_t pending;
	struct sigaltstack stack;
};

/* A signal for the process: from the terminal, kill(2) or the kernel. */
void signal_send(int signal);

/* "SIGSEGV"; "signal 40" has no name of its own: NULL. */
const char *signal_name(int signal);

#endif
