/* Auxiliary stacks: each thread of the program has one, on which its system calls and exceptions are
 * served. At the top is its control block, and in it the thread's execution environment:
 *
 *	stack->top	---------------------------
 *			floating point and SIMD     as large as this processor's is
 *			- - - - - - - - - - - - - -
 *			context, frame              struct auxspcb
 *			extended, sysctx            its execenv
 *	auxsp		- - - - - - - - - - - - - -
 *			regs                        pushed by every entry from the program
 *			---------------------------
 *			what serves the call
 *
 * Each entry from the program starts at `auxsp`. What interrupts the kernel itself only pushes another
 * frame, wherever the stack pointer is: entries nest as deep as there is stack.
 *
 * The kernel has no system-call context (sysctx) of its own to be kept here: the registers in it are
 * the program's at all times.
 */
#ifndef CALYPSO_AUXSP_H
#define CALYPSO_AUXSP_H

#include <arch/constants.h>
#include <calypso/execenv.h>
#include <calypso/stack.h>

struct auxspcb {
	struct execenv execenv;
	struct trap_frame *frame; /* of the system call that is being served, the innermost */
	void *context;		  /* of the kernel, while another thread runs */
} __attribute__((aligned(STACK_ALIGNMENT)));

static_assert(sizeof(struct auxspcb) == AUXSPCB_SIZE, "entry.S");

/* Put the block of a thread that begins at the top of its stack. */
static inline struct auxspcb *auxspcb_make(const struct stack *stack)
{
	struct auxspcb *auxspcb = (struct auxspcb *)(uintptr_t)(stack->top - arch_fp_size()) - 1;

	auxspcb->frame = NULL;
	auxspcb->execenv.extended = (struct fp_state *)(auxspcb + 1);
	arch_fp_initialize(auxspcb->execenv.extended);
	return auxspcb;
}

/* The stack pointer for entries from the program. */
static inline void *auxsp_of(struct auxspcb *auxspcb)
{
	return &auxspcb->execenv.regs + 1;
}

#endif
