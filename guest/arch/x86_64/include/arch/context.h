/* x86_64: floating point and SIMD. */
#ifndef ARCH_CONTEXT_H
#define ARCH_CONTEXT_H

#include <calypso/types.h>

/* What FXSAVE stores: x87 and SSE (SDM volume 1, 10.5.1). */
struct fp_state {
	uint8_t bytes[512];
} __attribute__((aligned(16)));

#define FP_MXCSR 24 /* offset */

static inline void arch_fp_save(struct fp_state *state)
{
	__asm__ volatile("fxsave64 %0" : "=m"(*state));
}

static inline void arch_fp_restore(const struct fp_state *state)
{
	__asm__ volatile("fxrstor64 %0" ::"m"(*state));
}

#endif
