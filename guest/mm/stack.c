/* Stacks: regions side by side from KERNEL_STACKS on, in a tree by address. A region stays what it is
 * once it exists: a stack that is given back is kept for the next of its shape, and the last few that
 * were given back keep their frames. */
#include "mm/page_table.h"

#include <calypso/abi.h>
#include <calypso/boot.h>
#include <calypso/bootinfo.h>
#include <calypso/lib.h>
#include <calypso/log.h>
#include <calypso/stack.h>

/* More would only use up address space. */
#define GUARDS_MAX 1024

#define UNUSED_WITH_FRAMES_MAX 8

static struct rank_tree stacks;
static struct stack *unused; /* the last one first */
static unsigned unused_with_frames;
static uint64_t next_region = KERNEL_STACKS;
static struct stack_shape default_shape = {
	STACK_LENGTH, STACK_PREMAPPED, STACK_GUARDS_BELOW, STACK_GUARDS_ABOVE,
};

struct stack boot_stack;
static struct stack emergency_stack;

/* ---- By address ---- */

static struct stack *stack_of(struct rank_node *node)
{
	return node ? container_of(node, struct stack, node) : NULL;
}

static int compare(const struct rank_node *node, uint64_t address)
{
	uint64_t start = container_of(node, const struct stack, node)->start;

	return start < address ? -1 : start > address;
}

static struct stack *find(uint64_t address)
{
	struct stack *stack = stack_of(rank_tree_at_or_below(&stacks, compare, address));

	return stack && address < stack->end ? stack : NULL;
}

static void add(struct stack *stack)
{
	rank_tree_add(&stacks, &stack->node, compare, stack->start);
}

const struct stack *stack_find(uint64_t address)
{
	return find(address);
}

bool stack_contains(uint64_t address)
{
	const struct stack *stack = find(address);

	return stack && address >= stack->mapped && address < stack->top;
}

/* ---- Mapping ---- */

/* Map frames down to `bottom`, a page's address. */
static bool extend(struct stack *stack, uint64_t bottom)
{
	while (stack->mapped > bottom) {
		physical_t frame = frame_allocate(0, 0);

		if (frame == FRAME_NONE)
			return false;
		if (!page_table_map(page_roots.kernel, stack->mapped - PAGE_SIZE, frame, PAGE_SIZE,
				    CALYPSO_REGION_READ | CALYPSO_REGION_WRITE, false)) {
			frame_free(frame, 0);
			return false;
		}
		stack->mapped -= PAGE_SIZE;
	}
	arch_entries_written();
	return true;
}

/* Give all frames back. */
static void shrink(struct stack *stack)
{
	for (; stack->mapped < stack->top; stack->mapped += PAGE_SIZE)
		frame_free(page_table_unmap(page_roots.kernel, stack->mapped), 0);
}

bool stack_grow(uint64_t address)
{
	struct stack *stack = find(address);

	if (!stack || address < stack->bottom || address >= stack->mapped)
		return false;
	return extend(stack, ALIGN_DOWN(address, PAGE_SIZE));
}

/* ---- Making and giving back ---- */

static bool has_shape(const struct stack *stack, const struct stack_shape *wanted)
{
	return stack->top - stack->bottom == wanted->length &&
	       stack->bottom - stack->start == wanted->guards_below * PAGE_SIZE &&
	       stack->end - stack->top == wanted->guards_above * PAGE_SIZE;
}

/* Whoever ends gives back the stack that it is still on. */
static bool is_current(const struct stack *stack)
{
	uint64_t here = (uintptr_t)__builtin_frame_address(0);

	return here >= stack->bottom && here < stack->top;
}

/* A stack that somebody has given back. */
static struct stack *take_unused(const struct stack_shape *wanted)
{
	for (struct stack **link = &unused; *link; link = &(*link)->next) {
		struct stack *stack = *link;

		if (!has_shape(stack, wanted) || is_current(stack))
			continue;
		*link = stack->next;
		unused_with_frames -= stack->mapped < stack->top;
		return stack;
	}
	return NULL;
}

/* A region in which nothing is mapped yet. */
static struct stack *make_region(const struct stack_shape *wanted)
{
	struct stack *stack = kmalloc(sizeof(*stack));

	if (!stack)
		return NULL;
	stack->start = next_region;
	stack->bottom = stack->start + wanted->guards_below * PAGE_SIZE;
	stack->mapped = stack->top = stack->bottom + wanted->length;
	stack->end = stack->top + wanted->guards_above * PAGE_SIZE;
	next_region = stack->end;
	add(stack);
	return stack;
}

struct stack *stack_from_heap(const char *owner, int id, size_t length)
{
	struct stack *stack = kmalloc(sizeof(*stack) + ALIGN_UP(length, STACK_ALIGNMENT));

	if (!stack)
		return NULL;
	uint64_t start = ALIGN_UP((uintptr_t)(stack + 1), STACK_ALIGNMENT);
	uint64_t end = start + ALIGN_DOWN(length, STACK_ALIGNMENT);
	*stack = (struct stack){.start = start, .bottom = start, .mapped = start, .top = end,
				.end = end, .owner = owner, .id = id};
	add(stack);
	return stack;
}

struct stack *stack_in_space(const char *owner, int id, const struct stack_shape *wanted)
{
	struct stack *stack = take_unused(wanted);

	if (!stack && !(stack = make_region(wanted)))
		return NULL;
	if (!extend(stack, stack->top - wanted->premapped)) {
		stack_free(stack);
		return NULL;
	}
	stack->owner = owner;
	stack->id = id;
	return stack;
}

struct stack *stack_allocate(const char *owner, int id)
{
	return stack_in_space(owner, id, &default_shape);
}

void stack_free(struct stack *stack)
{
	if (stack->start < KERNEL_STACKS || stack->start >= next_region) {
		rank_tree_remove(&stacks, &stack->node);
		kfree(stack);
		return;
	}
	stack->next = unused;
	unused = stack;
	unused_with_frames += stack->mapped < stack->top;
	if (unused_with_frames <= UNUSED_WITH_FRAMES_MAX)
		return;
	while (stack->mapped == stack->top || is_current(stack))
		stack = stack->next;
	shrink(stack);
	unused_with_frames--;
}

/* ---- Boot ---- */

static void add_of_image(struct stack *stack, const char *owner, const char *bottom,
			 const char *top)
{
	*stack = (struct stack){
		.start = (uintptr_t)bottom - STACK_GUARDS_BELOW * PAGE_SIZE,
		.bottom = (uintptr_t)bottom,
		.mapped = (uintptr_t)bottom,
		.top = (uintptr_t)top,
		.end = (uintptr_t)top + STACK_GUARDS_ABOVE * PAGE_SIZE,
		.owner = owner,
	};
	add(stack);
}

static uint16_t read_guards(const char **text, uint16_t fallback)
{
	uint64_t number;

	if (!parse_number(text, 10, &number) || number > GUARDS_MAX)
		return fallback;
	return (uint16_t)number;
}

void stacks_initialize(void)
{
	const char *guards;

	add_of_image(&emergency_stack, "emergency", emergency_stack_bottom, emergency_stack_top);
	add_of_image(&boot_stack, "boot", boot_stack_bottom, boot_stack_top);
	if (command_line_find("stack.guards", &guards) < 0)
		return;
	default_shape.guards_below = read_guards(&guards, STACK_GUARDS_BELOW);
	if (*guards == ',')
		guards++;
	default_shape.guards_above = read_guards(&guards, default_shape.guards_above);
}
