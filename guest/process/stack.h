/* The program's first stack: arguments, environment and auxiliary vector as the System V ABI lays
 * them out.
 */
#ifndef PROCESS_STACK_H
#define PROCESS_STACK_H

#include <process/elf.h>

#define STACK_SIZE (8ull << 20) /* RLIMIT_STACK */

/* What a program is told: `argc` strings, then `envc` of them, each with its NUL, back to back. */
struct arguments {
	const char *strings;
	uint64_t length;
	uint32_t argc;
	uint32_t envc;
};

/* The most that strings and the pointers to them may take, as on Linux. */
#define ARGUMENTS_MAX (STACK_SIZE / 4)

/* Map the stack at the end of the address space, in place of whatever is there. It comes before all
 * mappings whose place is free to choose. 0 or -ENOMEM. */
int stack_map(void);

/* Fill the mapped stack. `interpreter_base` is AT_BASE. The stack pointer to start with, or
 * -ENOMEM, -E2BIG. */
int64_t stack_make(const struct elf *elf, user_t interpreter_base,
		   const struct arguments *arguments);

#endif
