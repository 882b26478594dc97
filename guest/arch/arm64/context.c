/* arm64: contexts that do not run. */
#include <calypso/arch.h>

/* What arch_switch finds on the stack of a thread that does not run. */
struct context {
	uint64_t x[10]; /* x19 to x28 */
	uint64_t frame_pointer;
	uint64_t return_address;
};

static_assert(sizeof(struct context) == 96, "context.S");

extern const char trap_return[];

void *arch_make_context(struct auxspcb *auxspcb)
{
	struct context *context = (struct context *)auxspcb - 1;

	*context = (struct context){.return_address = (uintptr_t)trap_return};
	return context;
}

void *arch_make_kernel_context(struct auxspcb *auxspcb, void (*entry)(void))
{
	struct context *context = (struct context *)auxspcb - 1;

	*context = (struct context){.return_address = (uintptr_t)entry};
	return context;
}

void arch_fp_reset(void)
{
	static const struct fp_state initial;

	arch_fp_restore(&initial);
}
