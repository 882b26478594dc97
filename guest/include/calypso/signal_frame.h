/* What a program finds on its stack when a signal handler runs, as Linux lays it out: given by the
 * architecture.
 */
#ifndef CALYPSO_SIGNAL_FRAME_H
#define CALYPSO_SIGNAL_FRAME_H

#include <uapi/signal.h>

struct trap_frame;

/* A signal on its way to its handler. */
struct signal_delivery {
	struct siginfo info;
	struct sigaction action;
	struct sigaltstack stack; /* told as uc_stack */
	uint64_t mask;		  /* what rt_sigreturn makes the mask again */
	user_t sp;		  /* the frame goes below; the red zone is left out already */
};

/* Store what was interrupted on the program's stack, and let the frame go on in the handler.
 * 0 or -EFAULT; then the frame is as it was. */
int arch_signal_enter(struct trap_frame *frame, const struct signal_delivery *delivery);

/* The way back (rt_sigreturn): the frame, the mask and the alternate stack as stored.
 * 0 or -EFAULT. */
int arch_signal_leave(struct trap_frame *frame, uint64_t *mask, struct sigaltstack *stack);

#endif
