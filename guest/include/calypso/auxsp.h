/* Auxiliary stacks: each thread of the program has one, on which its system calls and exceptions are
 * served. At the top is its control block, and in it the thread's execution environment:
 *
 *	stack->top	---------------------------
 *			context, frame              struct auxspcb
 *			extended, sysctx            its execenv
 *	auxsp		- - - - - - - - - - - - - -
 *			regs                        pushed by every entry from the program
 *			---------------------------
 *			what serves the call
 *
 * Each entry from the program starts at `auxsp`. What interrupts the kernel itself only pushes another
 * frame, wherever the stack pointer is: entries nest as deep as there is stack.
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
};

static_assert(sizeof(struct auxspcb) == AUXSPCB_SIZE, "entry.S");
static_assert(sizeof(struct auxspcb) % STACK_ALIGNMENT == 0, "so are stack pointers");

static inline struct auxspcb *auxspcb_of(const struct stack *stack)
{
	return (struct auxspcb *)(uintptr_t)stack->top - 1;
}

/* The stack pointer for entries from the program. */
static inline void *auxsp_of(struct auxspcb *auxspcb)
{
	return &auxspcb->execenv.regs + 1;
}

#endif
