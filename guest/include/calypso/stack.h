/* Kernel stacks of threads: 16 KiB each, between pages that are never mapped. */
#ifndef CALYPSO_STACK_H
#define CALYPSO_STACK_H

#include <calypso/types.h>

#define STACK_LENGTH (16u << 10)

/* The top of a stack, or NULL where there is no memory. */
void *stack_allocate(void);

/* Give a stack back. What is on it lasts until the next is allocated. */
void stack_free(void *top);

/* Whether the address is in a stack that exists, or below the end of one. */
bool stack_contains(uint64_t address);
bool stack_is_guard(uint64_t address);

#endif
