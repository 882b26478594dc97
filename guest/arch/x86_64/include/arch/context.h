/* x86_64: floating point and SIMD: x87 and SSE by FXSAVE; or, where the processor offers AVX, all of it by
 * XSAVE in the standard format (SDM volume 1, 13.4).
 */
#ifndef ARCH_CONTEXT_H
#define ARCH_CONTEXT_H

#include <calypso/types.h>

#define FP_STATE_ALIGNMENT 64

/* What the registers are stored in. FXSAVE uses only the first part, and XSAVE more than is declared
 * here: AVX and AVX-512 follow. */
struct fp_state {
	uint16_t control; /* of x87 */
	uint8_t x87[22];
	uint32_t mxcsr;
	uint8_t registers[484];
	uint64_t components; /* XSTATE_BV: those that are not in their initial state */
	uint64_t compaction; /* XCOMP_BV: 0 in the standard format */
	uint64_t reserved[6];
} __attribute__((aligned(FP_STATE_ALIGNMENT)));
static_assert(sizeof(struct fp_state) == 576, "SDM");
static_assert(offsetof(struct fp_state, mxcsr) == 24, "SDM");

#define FXSAVE_SIZE offsetof(struct fp_state, components)
static_assert(FXSAVE_SIZE == 512, "SDM");

/* Components of the state by their bits in XCR0 (SDM volume 1, 13.1). */
#define FP_X87_SSE 0x03u
#define FP_AVX 0x04u
#define FP_AVX512 0xe0u /* masks; upper halves of registers 0 to 15; registers 16 to 31 */

struct fp_format {
	uint32_t components; /* kept; 0: FXSAVE keeps x87 and SSE */
	uint32_t size;	     /* of a struct fp_state with all of them */
};
extern struct fp_format fp_format;

/* Choose the format, and let the program use what it holds. */
void fp_initialize(void);

static inline size_t arch_fp_size(void) { return fp_format.size; }

/* What has to be in a state before it is saved for the first time: of its second part XSAVE writes no more
 * than `components`. */
static inline void arch_fp_initialize(struct fp_state *state)
{
	if (fp_format.components == 0)
		return;
	state->components = state->compaction = 0;
	for (unsigned i = 0; i < sizeof(state->reserved) / sizeof(state->reserved[0]); i++)
		state->reserved[i] = 0;
}

/* XSAVEOPT leaves out what has not changed since `state` was restored, or is unused. */
static inline void arch_fp_save(struct fp_state *state)
{
	if (fp_format.components == 0)
		__asm__ volatile("fxsave64 %0" : "=m"(*state)::"memory");
	else
		__asm__ volatile("xsaveopt64 %0"
				 : "+m"(*state)
				 : "a"(fp_format.components), "d"(0)
				 : "memory");
}

static inline void arch_fp_restore(const struct fp_state *state)
{
	if (fp_format.components == 0)
		__asm__ volatile("fxrstor64 %0" ::"m"(*state) : "memory");
	else
		__asm__ volatile("xrstor64 %0" ::"m"(*state), "a"(fp_format.components), "d"(0)
				 : "memory");
}

/* Put all registers into their initial state. */
void arch_fp_reset(void);

/* How much a signal frame holds of it. */
size_t fp_frame_size(void);

/* Store the registers at `at` of the program's memory, a multiple of 64, as Linux lays them out in
 * signal frames; and load them again, from 0 in their initial state. 0 or -EFAULT. */
int fp_store_frame(user_t at);
int fp_load_frame(user_t at);

#endif
