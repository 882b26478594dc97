/* arm64: what the processor takes exceptions for, and who answers. */
#include <arch/identification.h>
#include <arch/irq.h>
#include <calypso/arch.h>
#include <calypso/fault.h>
#include <calypso/log.h>

/* The second argument of trap_dispatch, from the vector. */
enum kind { SYNCHRONOUS, IRQ, FIQ, SERROR };

/* ESR_EL1.EC (Arm ARM, D17.2.37). */
enum class {
	UNKNOWN = 0x00,
	FLOATING_POINT_ACCESS = 0x07,
	ILLEGAL_STATE = 0x0e,
	SVC64 = 0x15,
	SYSTEM_REGISTER = 0x18,
	FETCH_LOWER = 0x20,
	FETCH_SAME = 0x21,
	PC_ALIGNMENT = 0x22,
	DATA_LOWER = 0x24,
	DATA_SAME = 0x25,
	SP_ALIGNMENT = 0x26,
	FLOATING_POINT = 0x2c,
	BREAKPOINT = 0x30,
	SINGLE_STEP = 0x32,
	WATCHPOINT = 0x34,
	BRK = 0x3c,
};

#define ESR_CLASS(esr) ((enum class)((esr) >> 26 & 0x3f))
#define ESR_WRITE (1u << 6) /* WnR */
#define ESR_CACHE (1u << 8) /* CM: cache maintenance, which counts as a read */
#define ESR_STATUS(esr) ((esr)&0x3f)

/* Fault status codes: the low two bits are the level. */
#define STATUS_TRANSLATION 0x04
#define STATUS_ACCESS_FLAG 0x08
#define STATUS_PERMISSION 0x0c
#define STATUS_ALIGNMENT 0x21

static uint64_t fault_address(void)
{
	uint64_t address;

	__asm__ volatile("mrs %0, far_el1" : "=r"(address));
	return address;
}

static const char *class_name(enum class class)
{
	switch (class) {
	case UNKNOWN:
		return "undefined instruction";
	case FLOATING_POINT_ACCESS:
		return "floating-point instruction";
	case ILLEGAL_STATE:
		return "illegal execution state";
	case SVC64:
		return "system call";
	case SYSTEM_REGISTER:
		return "trapped system register";
	case FETCH_LOWER:
	case FETCH_SAME:
		return "instruction abort";
	case PC_ALIGNMENT:
		return "misaligned program counter";
	case DATA_LOWER:
	case DATA_SAME:
		return "data abort";
	case SP_ALIGNMENT:
		return "misaligned stack pointer";
	case FLOATING_POINT:
		return "floating-point exception";
	case BRK:
		return "breakpoint";
	default:
		return "exception";
	}
}

static noreturn void kernel_exception(const struct trap_frame *frame)
{
	panic_at(frame, "%s in the kernel, ESR 0x%lx, FAR 0x%016lx",
		 class_name(ESR_CLASS(frame->esr)), frame->esr, fault_address());
}

/* A fault that no page can mend. */
static void memory_error(struct trap_frame *frame, uint64_t address)
{
	if (frame_is_user(frame))
		program_fault(frame,
			      ESR_STATUS(frame->esr) == STATUS_ALIGNMENT ? FAULT_ALIGNMENT
									 : FAULT_PAST_END,
			      address);
	else if (!fault_fix(frame))
		kernel_exception(frame);
}

static void memory_abort(struct trap_frame *frame, bool fetch)
{
	uint64_t address = fault_address();
	unsigned access = PROT_READ;

	if (fetch)
		access = PROT_EXEC;
	else if ((frame->esr & (ESR_WRITE | ESR_CACHE)) == ESR_WRITE)
		access = PROT_WRITE;

	switch (ESR_STATUS(frame->esr) & ~3u) {
	case STATUS_TRANSLATION:
	case STATUS_ACCESS_FLAG:
	case STATUS_PERMISSION:
		if (!fault_resolve(frame, address, access))
			panic_at(frame, "page fault in the kernel: %s at 0x%016lx",
				 fault_access_name(access), address);
		return;
	default:
		memory_error(frame, address);
	}
}

static enum fault_reason program_reason(enum class class)
{
	switch (class) {
	case UNKNOWN:
	case ILLEGAL_STATE:
	case SYSTEM_REGISTER:
		return FAULT_INSTRUCTION;
	case PC_ALIGNMENT:
	case SP_ALIGNMENT:
		return FAULT_ALIGNMENT;
	case FLOATING_POINT:
		return FAULT_ARITHMETIC;
	case BREAKPOINT:
	case SINGLE_STEP:
	case WATCHPOINT:
	case BRK:
		return FAULT_BREAKPOINT;
	default:
		return FAULT_OTHER;
	}
}

static void synchronous(struct trap_frame *frame)
{
	enum class class = ESR_CLASS(frame->esr);

	switch (class) {
	case SVC64:
		frame->original_x0 = frame->x[0];
		syscall_dispatch(frame);
		return;
	case FETCH_LOWER:
	case FETCH_SAME:
	case DATA_LOWER:
	case DATA_SAME:
		memory_abort(frame, class == FETCH_LOWER || class == FETCH_SAME);
		return;
	default:
		if (!frame_is_user(frame))
			kernel_exception(frame);
		if ((class == UNKNOWN || class == SYSTEM_REGISTER) && identification_read(frame))
			return;
		program_fault(frame, program_reason(class), frame->pc);
	}
}

void trap_dispatch(struct trap_frame *frame, enum kind kind);
void trap_stack_exhausted(const struct trap_frame *frame);

void trap_dispatch(struct trap_frame *frame, enum kind kind)
{
	switch (kind) {
	case SYNCHRONOUS:
		synchronous(frame);
		return;
	case IRQ:
		irq_interrupt(frame);
		return;
	case FIQ:
		panic_at(frame, "an interrupt that nobody asked for");
	case SERROR:
		panic_at(frame, "SError, ESR 0x%lx", frame->esr);
	}
}

void trap_stack_exhausted(const struct trap_frame *frame)
{
	if (stack_grow(frame->sp - sizeof(*frame)))
		return;
	fault_check_stacks(frame, fault_address());
	fault_check_stacks(frame, frame->sp - sizeof(*frame));
	panic_at(frame, "stack pointer 0x%016lx is in no stack, ESR 0x%lx", frame->sp, frame->esr);
}

void arch_describe(const struct trap_frame *frame, struct text *text)
{
	text_add(text, "pc  %016lx sp  %016lx pstate %08lx esr %08lx far %016lx\n", frame->pc,
		 frame->sp, frame->pstate, frame->esr, fault_address());
	for (unsigned i = 0; i < ARRAY_SIZE(frame->x); i++)
		text_add(text, "x%-2u %016lx%c", i, frame->x[i],
			 i % 4 == 3 || i + 1 == ARRAY_SIZE(frame->x) ? '\n' : ' ');
}
