/* The execution environment of a program's thread: all that the processor holds of it. */
#ifndef CALYPSO_EXECENV_H
#define CALYPSO_EXECENV_H

#include <arch/context.h>
#include <arch/frame.h>
#include <arch/sysctx.h>

/* Registers are stored when the kernel is entered. It uses none of the others, so these are stored
 * only when another thread is to run. */
struct execenv {
	struct trap_frame regs;
	struct sysctx sysctx;
	struct fp_state *extended; /* floating point and SIMD */
};

static_assert(offsetof(struct execenv, regs) == 0, "entry pushes them below the rest");

/* Store and load all but the registers. */
static inline void execenv_store(struct execenv *execenv)
{
	sysctx_store(&execenv->sysctx);
	arch_fp_save(execenv->extended);
}

static inline void execenv_load(const struct execenv *execenv)
{
	arch_fp_restore(execenv->extended);
	sysctx_load(&execenv->sysctx);
}

#endif
