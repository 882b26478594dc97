/* x86_64: contexts of the kernel that do not run. */
#include <calypso/arch.h>

/* What arch_switch finds on the stack of a thread that does not run. */
struct context {
	uint64_t r15, r14, r13, r12, rbx, rbp;
	uint64_t return_address;
};

extern const char trap_return[];

void *arch_make_context(struct auxspcb *auxspcb)
{
	struct context *context = (struct context *)auxspcb - 1;

	*context = (struct context){.return_address = (uintptr_t)trap_return};
	return context;
}

void *arch_make_kernel_context(struct auxspcb *auxspcb, void (*entry)(void))
{
	/* A function begins 8 bytes below a multiple of 16, where its return address would be. */
	uint64_t *no_return = (uint64_t *)auxspcb - 1;
	struct context *context = (struct context *)no_return - 1;

	*no_return = 0;
	*context = (struct context){.return_address = (uintptr_t)entry};
	return context;
}
