/* Page faults: whose they are. */
#include <calypso/arch.h>
#include <calypso/boot.h>
#include <calypso/fault.h>
#include <calypso/lib.h>
#include <calypso/log.h>
#include <calypso/stack.h>

/* An instruction of the kernel that may fault on the program's memory, and where to go then. */
struct fixup {
	uint64_t instruction;
	uint64_t landing;
};

extern const struct fixup fixups_start[], fixups_end[];

static const struct fixup *find_fixup(uint64_t pc)
{
	for (const struct fixup *fixup = fixups_start; fixup < fixups_end; fixup++)
		if (fixup->instruction == pc)
			return fixup;
	return NULL;
}

bool fault_fix(struct trap_frame *frame)
{
	const struct fixup *fixup = find_fixup(frame_pc(frame));

	if (!fixup)
		return false;
	frame_set_pc(frame, fixup->landing);
	return true;
}

static bool resolve_program(struct trap_frame *frame, uint64_t address, unsigned access)
{
	int result = address < USER_END ? space_fault(address, access) : FAULT_NOT_MAPPED;

	if (result != FAULT_RESOLVED)
		program_fault(frame, (enum fault_reason)result, address);
	return true;
}

bool fault_resolve(struct trap_frame *frame, uint64_t address, unsigned access)
{
	if (frame_is_user(frame))
		return resolve_program(frame, address, access);
	/* The initial tables may lack what the kernel's have. */
	if (paging_activate())
		return true;
	if (stack_grow(address))
		return true;
	/* The kernel reaches the program's memory only where it may fault. */
	if (address < USER_END && find_fixup(frame_pc(frame)))
		return space_fault(address, access) == FAULT_RESOLVED || fault_fix(frame);
	fault_check_stacks(frame, address);
	return false;
}

/* "hello/3": the third thread of the program; "boot": what has only one. */
static const char *stack_name(const struct stack *stack)
{
	static char name[32];

	snprintf(name, sizeof(name), stack->id == 0 ? "%s" : "%s/%d", stack->owner, stack->id);
	return name;
}

void fault_check_stacks(const struct trap_frame *frame, uint64_t address)
{
	const struct stack *stack = stack_find(address);

	if (!stack || stack_contains(address))
		return;
	if (address >= stack->bottom && address < stack->top)
		panic_at(frame, "no memory for the stack of thread %s", stack_name(stack));
	panic_at(frame, "stack %s in thread %s, guard at 0x%016lx, pc 0x%016lx",
		 address < stack->bottom ? "overflow" : "underflow", stack_name(stack), address,
		 frame_pc(frame));
}

const char *fault_access_name(unsigned access)
{
	switch (access) {
	case PROT_WRITE:
		return "write";
	case PROT_EXEC:
		return "instruction fetch";
	default:
		return "read";
	}
}
