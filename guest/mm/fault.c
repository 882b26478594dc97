/* Page faults: whose they are. */
#include <calypso/arch.h>
#include <calypso/boot.h>
#include <calypso/fault.h>
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
	/* The kernel reaches the program's memory only where it may fault. */
	if (address < USER_END && find_fixup(frame_pc(frame)))
		return space_fault(address, access) == FAULT_RESOLVED || fault_fix(frame);
	fault_check_stacks(frame, address);
	return false;
}

void fault_check_stacks(const struct trap_frame *frame, uint64_t address)
{
	if (address - (uintptr_t)boot_stack_guard < PAGE_SIZE)
		panic_at(frame, "stack overflow in the boot thread, guard at 0x%016lx", address);
	if (stack_is_guard(address))
		panic_at(frame, "stack overflow in a thread, guard at 0x%016lx", address);
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
