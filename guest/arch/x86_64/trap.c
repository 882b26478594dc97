/* x86_64: what the processor traps for, and who answers. */
#include <arch/irq.h>
#include <arch/selectors.h>
#include <arch/x86.h>
#include <calypso/arch.h>
#include <calypso/boot.h>
#include <calypso/fault.h>
#include <calypso/log.h>

enum vector {
	DIVIDE_ERROR = 0,
	DEBUG = 1,
	BREAKPOINT = 3,
	OVERFLOW = 4,
	BOUND_RANGE = 5,
	INVALID_OPCODE = 6,
	DOUBLE_FAULT = 8,
	STACK_FAULT = 12,
	GENERAL_PROTECTION = 13,
	PAGE_FAULT = 14,
	X87_ERROR = 16,
	ALIGNMENT_CHECK = 17,
	SIMD_ERROR = 19,
	EXCEPTIONS = 32,
};

/* Error code of a page fault (SDM volume 3, 5.7). */
#define PAGE_FAULT_WRITE (1u << 1)
#define PAGE_FAULT_FETCH (1u << 4)

static const char *const exception_names[EXCEPTIONS] = {
	"divide error",
	"debug exception",
	"non-maskable interrupt",
	"breakpoint",
	"overflow",
	"bound range exceeded",
	"invalid opcode",
	"device not available",
	"double fault",
	"coprocessor segment overrun",
	"invalid TSS",
	"segment not present",
	"stack fault",
	"general protection fault",
	"page fault",
	NULL,
	"x87 floating-point error",
	"alignment check",
	"machine check",
	"SIMD floating-point error",
	"virtualization exception",
	"control protection exception",
};

uint64_t arch_fault_address(void)
{
	uint64_t address;

	__asm__ volatile("mov %%cr2, %0" : "=r"(address));
	return address;
}

static void page_fault(struct trap_frame *frame)
{
	unsigned access = (frame->error & PAGE_FAULT_WRITE)   ? PROT_WRITE
			  : (frame->error & PAGE_FAULT_FETCH) ? PROT_EXEC
							      : PROT_READ;

	if (!fault_resolve(frame, arch_fault_address(), access))
		panic_at(frame, "page fault in the kernel: %s at 0x%016lx",
			 fault_access_name(access), arch_fault_address());
}

static enum fault_reason program_reason(uint64_t vector)
{
	switch (vector) {
	case DIVIDE_ERROR:
	case X87_ERROR:
	case SIMD_ERROR:
		return FAULT_ARITHMETIC;
	case DEBUG:
	case BREAKPOINT:
		return FAULT_BREAKPOINT;
	case INVALID_OPCODE:
		return FAULT_INSTRUCTION;
	case ALIGNMENT_CHECK:
		return FAULT_ALIGNMENT;
	default:
		return FAULT_OTHER;
	}
}

static noreturn void kernel_exception(const struct trap_frame *frame)
{
	if (frame->vector == DOUBLE_FAULT)
		fault_check_stacks(frame, arch_fault_address());
	panic_at(frame, "%s in the kernel, error code 0x%lx", exception_names[frame->vector],
		 frame->error);
}

/* Boot runs in ring 3 (entry.S) until this. What needs ring 0 is seen to in trap.S. */
bool trap_privileged;

/* Boot has come to a mapping that only the kernel's own tables have: repeat the instruction with them,
 * in ring 0. If that does not help it will fault again, as the kernel. */
static void become_privileged(struct trap_frame *frame)
{
	trap_privileged = true;
	frame->cs = KERNEL_CS;
	frame->ss = KERNEL_SS;
	paging_activate();
}

void trap_dispatch(struct trap_frame *frame);
struct trap_frame *trap_leave_emergency_stack(const struct trap_frame *frame);

/* A page fault of the kernel. NULL where the stack has grown and that was all; else the frame, moved to
 * where the kernel was. */
struct trap_frame *trap_leave_emergency_stack(const struct trap_frame *frame)
{
	if (stack_grow(arch_fault_address()))
		return NULL;
	uint64_t place = ALIGN_DOWN(frame->rsp - sizeof(*frame), STACK_ALIGNMENT);
	stack_grow(place);
	fault_check_stacks(frame, place);
	if (!stack_contains(place))
		panic_at(frame, "page fault at 0x%016lx, and the stack pointer is in no stack",
			 arch_fault_address());
	struct trap_frame *moved = (struct trap_frame *)place;
	*moved = *frame;
	return moved;
}

void trap_dispatch(struct trap_frame *frame)
{
	if (unlikely(!trap_privileged)) {
		become_privileged(frame);
		return;
	}
	if (likely(frame->vector == PAGE_FAULT)) {
		page_fault(frame);
		return;
	}
	if (frame->vector >= EXCEPTIONS) {
		irq_interrupt(frame);
		return;
	}
	if (!frame_is_user(frame)) {
		/* Only the return to a program can fault like this and be mended. */
		if (!fault_fix(frame))
			kernel_exception(frame);
		return;
	}
	program_fault(frame, program_reason(frame->vector), frame->rip);
}

void arch_describe(const struct trap_frame *frame, struct text *text)
{
	text_add(text, "rip %016lx rsp %016lx rflags %08lx cs %02lx cr2 %016lx\n", frame->rip,
		 frame->rsp, frame->rflags, frame->cs, arch_fault_address());
	text_add(text, "rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", frame->rax, frame->rbx,
		 frame->rcx, frame->rdx);
	text_add(text, "rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", frame->rsi, frame->rdi,
		 frame->rbp, frame->r8);
	text_add(text, "r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", frame->r9, frame->r10,
		 frame->r11, frame->r12);
	text_add(text, "r13 %016lx r14 %016lx r15 %016lx\n", frame->r13, frame->r14, frame->r15);
}
