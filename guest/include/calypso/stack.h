/* Stacks of the kernel, in three ways:
 *
 *   - from the heap alone, aligned to 16 bytes (`stack_from_heap`);
 *   - in a region of the kernel's address space of its own (`stack_in_space`), of which a given length is
 *     mapped from the start and the rest when it is first touched, frame by frame;
 *   - so, and between guard pages that are never mapped: what runs over an end of the stack faults,
 *     and the report tells whose stack it was. `stack_allocate` makes these: all threads, and
 *     interrupts, run on such stacks.
 *
 * The numbers of guard pages below and above are those of the build (guest/build.py
 * --stack-guards), or of `stack.guards=BELOW,ABOVE` on the kernel's command line. The two stacks
 * that are part of the image (kernel.ld), of boot and of emergencies, always have those of the build.
 */
#ifndef CALYPSO_STACK_H
#define CALYPSO_STACK_H

#include <calypso/rank_tree.h>
#include <calypso/types.h>

#define STACK_ALIGNMENT 16

struct stack {
	struct rank_node node; /* of all stacks, by address */
	uint64_t start;	       /* of the region, with its guards */
	uint64_t bottom;       /* the lowest byte that may be used */
	uint64_t mapped;       /* where what is mapped begins */
	uint64_t top;
	uint64_t end; /* of the region */
	struct stack *next; /* while nobody uses it */
	const char *owner;
	int id; /* of the owner's thread; 0: it has only one */
};

/* The shape of a stack in the address space; lengths in bytes, multiples of the page size. */
struct stack_shape {
	uint32_t length;
	uint32_t premapped;
	uint16_t guards_below, guards_above; /* pages */
};

/* Stacks of threads: most calls need no more than the premapped part. */
#define STACK_LENGTH (32u << 10)
#define STACK_PREMAPPED (8u << 10)

/* Know the stacks of the image, and what the command line asks for. */
void stacks_initialize(void);

/* Choose the guard that functions with arrays check before they return. None of them may be running.
 * A function that finds another one there ends the kernel, and the report names it. */
void stack_guard_initialize(uint64_t random);

/* A stack, or NULL where there is no memory. `owner` must last as long as the stack. */
struct stack *stack_from_heap(const char *owner, int id, size_t length);
struct stack *stack_in_space(const char *owner, int id, const struct stack_shape *shape);
struct stack *stack_allocate(const char *owner, int id);

/* Give a stack back, the running thread's own among them: that one lasts until another thread runs. */
void stack_free(struct stack *stack);

/* The stack of boot, on which the program's first thread goes on. */
extern struct stack boot_stack;

/* Map what a stack has at `address`, and all above it. False where no stack has anything there, where
 * it is mapped already, or where there is no memory. */
bool stack_grow(uint64_t address);

/* The stack whose region, guards included, holds the address; or NULL. */
const struct stack *stack_find(uint64_t address);

/* Whether the address is on a stack and mapped. */
bool stack_contains(uint64_t address);

#endif
