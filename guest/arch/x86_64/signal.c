/* x86_64: the signal frame, as Linux lays it out. */
#include <arch/x86.h>
#include <calypso/arch.h>
#include <calypso/errno.h>
#include <calypso/signal_frame.h>
#include <calypso/user.h>

#define RED_ZONE 128

/* uc_flags */
#define UC_FP_XSTATE 1 /* fpstate is an area of XSAVE */
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4 /* ss counts */

struct sigcontext {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
	uint16_t cs, gs, fs, ss;
	uint64_t error, trap, old_mask, cr2;
	user_t fpstate;
	uint64_t reserved[8];
};
static_assert(sizeof(struct sigcontext) == 256, "Linux");

struct signal_frame {
	user_t return_address;
	uint64_t flags;
	user_t link;
	struct sigaltstack stack;
	struct sigcontext context;
	uint64_t mask;
	struct siginfo info;
};
static_assert(sizeof(struct signal_frame) == 440, "Linux");

/* Flags of RFLAGS that a program may set. */
#define RFLAGS_PROGRAM                                                                           \
	(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_TF | RFLAGS_DF |     \
	 RFLAGS_OF | RFLAGS_AC)

static struct sigcontext context_of(const struct trap_frame *frame, user_t fpstate, uint64_t mask)
{
	bool faulted = frame->vector < FRAME_SYSCALL;
	struct sigcontext context = {
		.r8 = frame->r8, .r9 = frame->r9, .r10 = frame->r10, .r11 = frame->r11,
		.r12 = frame->r12, .r13 = frame->r13, .r14 = frame->r14, .r15 = frame->r15,
		.rdi = frame->rdi, .rsi = frame->rsi, .rbp = frame->rbp, .rbx = frame->rbx,
		.rdx = frame->rdx, .rax = frame->rax, .rcx = frame->rcx, .rsp = frame->rsp,
		.rip = frame->rip, .rflags = frame->rflags,
		.cs = (uint16_t)frame->cs, .ss = (uint16_t)frame->ss,
		.error = faulted ? frame->error : 0,
		.trap = faulted ? frame->vector : 0,
		.old_mask = mask,
		.cr2 = faulted ? arch_fault_address() : 0,
		.fpstate = fpstate,
	};

	return context;
}

/* Whether the frame would reach below the alternate stack that it is on. */
static bool overflows(user_t at, const struct signal_delivery *delivery)
{
	const struct sigaltstack *stack = &delivery->stack;
	bool on_it = (stack->flags & SS_ONSTACK) != 0 || delivery->sp == stack->sp + stack->size;

	return on_it && at < stack->sp;
}

int arch_signal_enter(struct trap_frame *frame, const struct signal_delivery *delivery)
{
	user_t fpstate = ALIGN_DOWN(delivery->sp - fp_frame_size(), FP_STATE_ALIGNMENT);
	/* As at the entry of a function: 8 bytes off a multiple of 16. */
	user_t at = ALIGN_DOWN(fpstate - sizeof(struct signal_frame), 16) - 8;
	struct signal_frame stored = {
		.return_address = delivery->action.restorer,
		.flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS |
			 (fp_format.components != 0 ? UC_FP_XSTATE : 0),
		.stack = delivery->stack,
		.context = context_of(frame, fpstate, delivery->mask),
		.mask = delivery->mask,
		.info = delivery->info,
	};

	if ((delivery->action.flags & SA_RESTORER) == 0 || overflows(at, delivery))
		return -EFAULT;
	if (fp_store_frame(fpstate) != 0 || user_put(at, &stored) != 0)
		return -EFAULT;
	frame->rdi = (uint64_t)delivery->info.signal;
	frame->rsi = at + offsetof(struct signal_frame, info);
	frame->rdx = at + offsetof(struct signal_frame, flags);
	frame->rax = 0;
	frame->rsp = at;
	frame->rip = delivery->action.handler;
	frame->rflags &= ~(uint64_t)(RFLAGS_DF | RFLAGS_RF | RFLAGS_TF);
	return 0;
}

int arch_signal_leave(struct trap_frame *frame, uint64_t *mask, struct sigaltstack *stack)
{
	struct signal_frame stored;
	const struct sigcontext *context = &stored.context;

	/* The handler's return has taken the return address. */
	if (user_get(&stored, frame->rsp - sizeof(stored.return_address)) != 0 ||
	    fp_load_frame(context->fpstate) != 0)
		return -EFAULT;
	frame->r8 = context->r8, frame->r9 = context->r9;
	frame->r10 = context->r10, frame->r11 = context->r11;
	frame->r12 = context->r12, frame->r13 = context->r13;
	frame->r14 = context->r14, frame->r15 = context->r15;
	frame->rdi = context->rdi, frame->rsi = context->rsi;
	frame->rbp = context->rbp, frame->rbx = context->rbx;
	frame->rdx = context->rdx, frame->rax = context->rax;
	frame->rcx = context->rcx, frame->rsp = context->rsp;
	frame->rip = context->rip;
	frame->rflags = (frame->rflags & ~(uint64_t)RFLAGS_PROGRAM) |
			(context->rflags & RFLAGS_PROGRAM);
	*mask = stored.mask;
	*stack = stored.stack;
	return 0;
}

size_t arch_signal_size(void)
{
	const size_t padding = FP_STATE_ALIGNMENT + 16 + 8;
	return ALIGN_UP(sizeof(struct signal_frame) + fp_frame_size() + padding, 16);
}

user_t arch_signal_room(const struct trap_frame *frame) { return frame->rsp - RED_ZONE; }
