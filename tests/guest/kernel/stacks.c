/* Experiments with stacks. */
#include <calypso/arch.h>
#include <calypso/errno.h>
#include <calypso/log.h>
#include <calypso/stack.h>
#include <calypso/user.h>

#include "experiments.h"

static int recurse_from(const volatile char *above, int depth)
{
	volatile char space[256];

	space[0] = above[0];
	return depth == 0 ? 0 : recurse_from(space, depth - 1) + space[0];
}

int recurse(int depth)
{
	const volatile char first = 0;

	return recurse_from(&first, depth);
}

static void recurse_on_stack(uint64_t depth) { recurse((int)depth); }

static struct stack *allocate(void)
{
	struct stack *stack = stack_allocate("test", 7);

	if (!stack)
		panic("no stack");
	return stack;
}

static void run_on(struct stack *stack, void (*act)(uint64_t argument), uint64_t argument)
{
	arch_call_on_stack((void *)(uintptr_t)stack->top, act, argument);
}

/* Frames are taken as the stack is used, kept while it exists, and used again. */
void stack_grows(void)
{
	struct stack *stack = allocate();
	uint64_t before = frame_statistics().used;

	if (stack->top - stack->mapped != STACK_PREMAPPED)
		panic("%lu bytes are mapped", stack->top - stack->mapped);
	run_on(stack, recurse_on_stack, 10);
	if (frame_statistics().used != before)
		panic("a shallow call needs frames");
	run_on(stack, recurse_on_stack, 80);
	uint64_t grown = STACK_LENGTH - STACK_PREMAPPED;
	if (stack->mapped >= stack->top - 20480 || frame_statistics().used == before ||
	    frame_statistics().used > before + grown / PAGE_SIZE)
		panic("%lu bytes are mapped, %lu frames are new", stack->top - stack->mapped,
		      frame_statistics().used - before);
	before = frame_statistics().used;
	run_on(stack, recurse_on_stack, 80);
	stack_free(stack);
	if (stack_allocate("again", 0) != stack || frame_statistics().used != before)
		panic("a stack that was given back is not used again");
	pass();
}

/* The three ways to have a stack. */
void stack_modes(void)
{
	static const struct stack_shape bare = {.length = 8 * PAGE_SIZE, .premapped = PAGE_SIZE};
	static const struct stack_shape fenced = {8 * PAGE_SIZE, 0, 3, 5};
	struct stack *heap = stack_from_heap("heap", 0, 5001);
	struct stack *plain = stack_in_space("plain", 0, &bare);
	struct stack *guarded = stack_in_space("guarded", 0, &fenced);

	if (!heap || !plain || !guarded)
		panic("no stacks");
	if (heap->top % STACK_ALIGNMENT != 0 || heap->top - heap->bottom != 4992)
		panic("a stack of the heap is at 0x%lx, 0x%lx", heap->bottom, heap->top);
	run_on(heap, recurse_on_stack, 8);
	stack_free(heap);
	if (plain->start != plain->bottom || plain->end != plain->top ||
	    plain->top - plain->mapped != PAGE_SIZE)
		panic("a stack without guards has some");
	run_on(plain, recurse_on_stack, 80);
	if (guarded->bottom - guarded->start != 3 * PAGE_SIZE ||
	    guarded->end - guarded->top != 5 * PAGE_SIZE || guarded->mapped != guarded->top)
		panic("a stack has other guards than it was asked for");
	run_on(guarded, recurse_on_stack, 80);
	const struct stack *usual = allocate();
	log_info("guards %lu %lu", (usual->bottom - usual->start) / PAGE_SIZE,
		 (usual->end - usual->top) / PAGE_SIZE);
	pass();
}

void overflow_thread(void) { run_on(allocate(), recurse_on_stack, INT32_MAX); }

void underflow_thread(void) { *(volatile char *)(uintptr_t)allocate()->top = 1; }

/* Write over the end of an array, as far as the return address and beyond. */
void smash_stack(void)
{
	char array[16];
	volatile char *at = array;

	__asm__("" : "+r"(at)); /* not for the compiler to see */
	for (unsigned i = 0; i < 2 * sizeof(array) + 32; i++)
		at[i] = 'A';
}

/* Without memory there is no stack; with memory again, there is. */
void exhaust_stacks(void)
{
	struct stack *stacks = NULL, *stack;
	unsigned count = 0;

	while ((stack = stack_allocate("one of many", 0))) {
		stack->next = stacks;
		stacks = stack;
		count++;
	}
	if (count < 100)
		panic("there is room for %u stacks only", count);
	uint64_t used = frame_statistics().used;
	for (; stacks; stacks = stack) {
		stack = stacks->next;
		stack_free(stacks);
	}
	/* A few are kept as they are. */
	const uint64_t frames = STACK_PREMAPPED / PAGE_SIZE;
	if (frame_statistics().used > used - (count - 8) * frames)
		panic("of %u stacks, %lu frames have come back", count,
		      used - frame_statistics().used);
	for (unsigned i = 0; i < count; i++) {
		stack = stack_allocate("another", 0);
		if (!stack)
			panic("%u of %u stacks have come back", i, count);
		run_on(stack, recurse_on_stack, 1);
	}
	if (frame_statistics().used != used)
		panic("the same stacks need other frames");
	pass();
}

/* Faults of the kernel on the program's pages, at every depth of a stack that has to grow for them. */
static void touch_program(uint64_t depth)
{
	volatile char space[200];
	char byte = (char)depth;

	space[0] = byte;
	if (user_copy_out(0x20000 + depth * PAGE_SIZE, &byte, 1) ||
	    user_copy_in(&byte, 0x1f000, 1) != -EFAULT)
		panic("a copy at depth %lu", depth);
	if (depth > 0)
		touch_program(depth - 1);
	user_copy_in(&byte, 0x20000 + depth * PAGE_SIZE, 1);
	if (byte != (char)depth || space[0] != byte)
		panic("depth %lu has another byte", depth);
}

void nest_faults(void)
{
	const unsigned depth = 90;

	space_map(0x20000, (depth + 1) * PAGE_SIZE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0);
	run_on(allocate(), touch_program, depth);
	pass();
}
