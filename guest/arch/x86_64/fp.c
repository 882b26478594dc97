/* x86_64: floating point and SIMD: which of it there is, and how programs see it in signal frames. */
#include <arch/x86.h>
#include <calypso/arch.h>
#include <calypso/errno.h>
#include <calypso/user.h>

enum leaf { FEATURES = 1, EXTENDED_STATE = 0xd };

#define FEATURES_ECX_XSAVE (1u << 26)
#define FEATURES_ECX_AVX (1u << 28)
#define EXTENDED_STATE_EAX_XSAVEOPT (1u << 0) /* subleaf 1 */

#define MXCSR_RESERVED 0xffff0000u /* loading one of these faults */

/* What Linux puts into the bytes that FXSAVE leaves free, and behind the area of XSAVE. */
struct frame_marks {
	uint32_t magic;
	uint32_t extended_size; /* with the mark behind the area */
	uint64_t components;
	uint32_t size;
	uint32_t unused[7];
};
#define FRAME_MARKS 464 /* offset */
#define FRAME_MAGIC1 0x46505853u
#define FRAME_MAGIC2 0x46505845u
static_assert(FRAME_MARKS + sizeof(struct frame_marks) == FXSAVE_SIZE, "Linux");

static const struct fp_state initial = {.control = 0x37f, .mxcsr = 0x1f80};

struct fp_format fp_format = {.components = 0, .size = FXSAVE_SIZE};

/* Given by user.S: 0 or -EFAULT. Where `components` is 0, FXSAVE and FXRSTOR. */
int fp_store(user_t at, uint32_t components);
int fp_load(user_t at, uint32_t components);

/* ---- Which there is ---- */

static void enable(uint32_t components)
{
	__asm__ volatile("xsetbv" ::"c"(0), "a"(components), "d"(0));
	fp_format.components = components;
	fp_format.size = ALIGN_UP(read_cpuid(EXTENDED_STATE, 0).ebx, FP_STATE_ALIGNMENT);
}

/* The components that XSAVE can keep; 0 where it would keep nothing that FXSAVE does not: without AVX. */
static uint32_t offered_components(void)
{
	const uint32_t needed = FEATURES_ECX_XSAVE | FEATURES_ECX_AVX;
	if ((read_cpuid(FEATURES, 0).ecx & needed) != needed)
		return 0;
	uint32_t offered = read_cpuid(EXTENDED_STATE, 0).eax;
	bool is_saved = (offered & FP_AVX) != 0 &&
			(read_cpuid(EXTENDED_STATE, 1).eax & EXTENDED_STATE_EAX_XSAVEOPT) != 0;
	return is_saved ? offered : 0;
}

void fp_initialize(void)
{
	uint64_t cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	uint32_t offered = offered_components();
	if (offered != 0)
		cr4 |= CR4_OSXSAVE;
	__asm__ volatile("mov %0, %%cr4; fninit" ::"r"(cr4));
	if (offered == 0)
		return;
	enable((offered & FP_AVX512) == FP_AVX512 ? FP_X87_SSE | FP_AVX | FP_AVX512 : FP_X87_SSE | FP_AVX);
	if (fp_format.size > FP_STATE_MAX)
		enable(FP_X87_SSE | FP_AVX);
}

/* ---- Threads ---- */

void arch_fp_reset(void) { arch_fp_restore(&initial); }

/* ---- Signal frames ---- */

size_t fp_frame_size(void)
{
	return fp_format.components == 0 ? fp_format.size : fp_format.size + sizeof(uint32_t);
}

int fp_store_frame(user_t at)
{
	const uint32_t end = FRAME_MAGIC2;
	struct frame_marks marks = {
		.magic = FRAME_MAGIC1,
		.extended_size = fp_format.size + sizeof(end),
		.components = fp_format.components,
		.size = fp_format.size,
	};

	if (user_clear(at, fp_frame_size()) != 0 || fp_store(at, fp_format.components) != 0)
		return -EFAULT;
	if (fp_format.components == 0)
		return 0;
	if (user_put(at + FRAME_MARKS, &marks) != 0 || user_put(at + fp_format.size, &end) != 0)
		return -EFAULT;
	return 0;
}

/* Which components a frame holds; 0: what FXSAVE stores. The program may have made it anew. */
static int find_components(user_t at, uint32_t *components)
{
	struct frame_marks marks;
	uint32_t end;

	*components = 0;
	if (fp_format.components == 0)
		return 0;
	if (user_get(&marks, at + FRAME_MARKS) != 0)
		return -EFAULT;
	if (marks.magic != FRAME_MAGIC1 || marks.size < sizeof(struct fp_state) ||
	    marks.size > fp_format.size || marks.size > marks.extended_size)
		return 0;
	if (user_get(&end, at + marks.size) != 0)
		return -EFAULT;
	if (end == FRAME_MAGIC2)
		*components = (uint32_t)marks.components & fp_format.components;
	return 0;
}

int fp_load_frame(user_t at)
{
	uint32_t components, mxcsr;

	if (at == 0) {
		arch_fp_reset();
		return 0;
	}
	if (at % FP_STATE_ALIGNMENT != 0 || find_components(at, &components) != 0 ||
	    user_get(&mxcsr, at + offsetof(struct fp_state, mxcsr)) != 0 ||
	    (mxcsr & MXCSR_RESERVED) != 0)
		return -EFAULT;
	if (components != fp_format.components)
		arch_fp_reset();
	return fp_load(at, components);
}
