/* arm64: the system registers of a context: the thread pointer. The kernel does not use it, so what is
 * there is the program's also while the kernel runs. */
#ifndef ARCH_SYSCTX_H
#define ARCH_SYSCTX_H

#include <calypso/types.h>

struct sysctx {
	uint64_t tpidr_el0;
};

static inline void sysctx_store(struct sysctx *sysctx)
{
	__asm__ volatile("mrs %0, tpidr_el0" : "=r"(sysctx->tpidr_el0));
}

static inline void sysctx_load(const struct sysctx *sysctx)
{
	__asm__ volatile("msr tpidr_el0, %0" ::"r"(sysctx->tpidr_el0) : "memory");
}

static inline void sysctx_set_thread_pointer(struct sysctx *sysctx, uint64_t pointer)
{
	sysctx->tpidr_el0 = pointer;
}

#endif
