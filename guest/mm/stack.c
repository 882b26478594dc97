/* Kernel stacks, side by side from KERNEL_STACKS on: each is the lower half of a slot, whose upper
 * half is never mapped and is the guard of the next. Stacks are kept for others once they exist.
 */
#include "mm/page_table.h"

#include <calypso/abi.h>
#include <calypso/stack.h>

/* See arch/arm64/trap.S, which tells a stack from its guard by one bit of the address. */
#define SLOT_LENGTH (2ull * STACK_LENGTH)

#define STACK_ORDER 2
static_assert(PAGE_SIZE << STACK_ORDER == STACK_LENGTH, "a block of frames");

/* At the bottom of a stack that nobody uses. */
struct free_stack {
	struct free_stack *next;
};

static struct free_stack *unused;
static uint64_t slots;

/* The slot before the first stack is its guard. */
static uint64_t slot_start(uint64_t slot) { return KERNEL_STACKS + (slot + 1) * SLOT_LENGTH; }

static void *make_stack(void)
{
	uint64_t start = slot_start(slots);
	physical_t frames = frame_allocate(STACK_ORDER, 0);

	if (frames == FRAME_NONE)
		return NULL;
	if (!page_table_map(page_roots.kernel, start, frames, STACK_LENGTH,
			    CALYPSO_REGION_READ | CALYPSO_REGION_WRITE, false)) {
		frame_free(frames, STACK_ORDER);
		return NULL;
	}
	arch_entries_written();
	slots++;
	return (void *)(uintptr_t)(start + STACK_LENGTH);
}

void *stack_allocate(void)
{
	struct free_stack *stack = unused;

	if (!stack)
		return make_stack();
	unused = stack->next;
	return (uint8_t *)stack + STACK_LENGTH;
}

void stack_free(void *top)
{
	struct free_stack *stack = (struct free_stack *)((uintptr_t)top - STACK_LENGTH);

	stack->next = unused;
	unused = stack;
}

bool stack_contains(uint64_t address)
{
	return address >= slot_start(0) && address < slot_start(slots) &&
	       (address - slot_start(0)) % SLOT_LENGTH < STACK_LENGTH;
}

bool stack_is_guard(uint64_t address)
{
	return address >= KERNEL_STACKS && address < slot_start(slots) && !stack_contains(address);
}
