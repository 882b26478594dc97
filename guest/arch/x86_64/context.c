/* x86_64: threads. */
#include <arch/x86.h>
#include <calypso/arch.h>
#include <calypso/lib.h>

/* What arch_switch finds on the stack of a thread that does not run. */
struct context {
	uint64_t r15, r14, r13, r12, rbx, rbp;
	uint64_t return_address;
};

extern const char trap_return[];

void *arch_make_context(void *stack_top, const struct trap_frame *frame)
{
	struct trap_frame *copy = (struct trap_frame *)stack_top - 1;
	struct context *context = (struct context *)copy - 1;

	*copy = *frame;
	*context = (struct context){.return_address = (uintptr_t)trap_return};
	return context;
}

void arch_save_user(struct user_state *state)
{
	arch_fp_save(&state->fp);
	state->fs_base = read_msr(MSR_FS_BASE);
	state->gs_base = read_msr(MSR_GS_BASE);
}

void arch_load_user(const struct user_state *state, void *stack_top)
{
	arch_fp_restore(&state->fp);
	write_msr(MSR_FS_BASE, state->fs_base);
	write_msr(MSR_GS_BASE, state->gs_base);
	arch_set_kernel_stack(stack_top);
}

void arch_set_thread_state(struct user_state *state, uint64_t pointer)
{
	state->fs_base = pointer;
}
