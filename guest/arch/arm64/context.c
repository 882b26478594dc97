/* arm64: threads. */
#include <calypso/arch.h>

/* What arch_switch finds on the stack of a thread that does not run. */
struct context {
	uint64_t x[10]; /* x19 to x28 */
	uint64_t frame_pointer;
	uint64_t return_address;
};

static_assert(sizeof(struct context) == 96, "context.S");

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
	state->thread_pointer = arch_thread_pointer();
}

void arch_load_user(const struct user_state *state, void *stack_top)
{
	(void)stack_top; /* is the stack pointer itself, once the thread has returned */
	arch_fp_restore(&state->fp);
	arch_set_thread_pointer(state->thread_pointer);
}

void arch_set_thread_state(struct user_state *state, uint64_t pointer)
{
	state->thread_pointer = pointer;
}
