/* What the files of the test kernel share. */
#ifndef EXPERIMENTS_H
#define EXPERIMENTS_H

#include <calypso/types.h>

noreturn void pass(void);

/* Call itself so many times, with 256 bytes of stack each. */
int recurse(int depth);

/* stacks.c */
void stack_grows(void);
void stack_modes(void);
void overflow_thread(void);
void underflow_thread(void);
void smash_stack(void);
void exhaust_stacks(void);
void nest_faults(void);

#endif
