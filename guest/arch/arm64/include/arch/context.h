/* arm64: floating point and SIMD. */
#ifndef ARCH_CONTEXT_H
#define ARCH_CONTEXT_H

#include <calypso/types.h>

/* Floating point and SIMD, in the form of Linux's fpsimd_context. */
struct fp_state {
	uint32_t magic;
	uint32_t size;
	uint32_t fpsr;
	uint32_t fpcr;
	uint64_t v[64];
} __attribute__((aligned(16)));

static_assert(sizeof(struct fp_state) == 528, "Linux");
static_assert(offsetof(struct fp_state, v) == 16, "context.S");

static inline size_t arch_fp_size(void) { return sizeof(struct fp_state); }

static inline void arch_fp_initialize(struct fp_state *state) { (void)state; }

void arch_fp_save(struct fp_state *state);
void arch_fp_restore(const struct fp_state *state);

/* Put all registers into their initial state. */
void arch_fp_reset(void);

#endif
