/* The program's first stack: arguments, environment and auxiliary vector as the System V ABI lays
 * them out.
 */
#ifndef PROCESS_STACK_H
#define PROCESS_STACK_H

#include <process/elf.h>

#define STACK_SIZE (8ull << 20) /* RLIMIT_STACK */

/* Map the stack and fill it. `interpreter_base` is AT_BASE. The stack pointer to start with, or
 * -ENOMEM, -E2BIG. */
int64_t stack_make(const struct elf_image *image, user_t interpreter_base);

#endif
