/* The stack protector: what the compiler's checks need. */
#include <calypso/log.h>
#include <calypso/stack.h>

/* The byte that is lowest in memory: no string that runs over its end can restore it. */
#define TERMINATOR 0xffull

/* Both are the compiler's names: what it puts behind the arrays of a frame, and where a function goes
 * that does not find it there again. It uses them when all that is not used has been left out. */
extern uint64_t __stack_chk_guard;
noreturn void __stack_chk_fail(void);

/* Until there is a better one, and where the VMM gives none. */
__attribute__((used)) uint64_t __stack_chk_guard = 0x5ca1ab1edecade00;

void stack_guard_initialize(uint64_t random)
{
	__stack_chk_guard = random & ~TERMINATOR;
}

__attribute__((used)) void __stack_chk_fail(void)
{
	uint64_t behind_call = (uintptr_t)__builtin_return_address(0);

	panic("stack smashed by the function at 0x%016lx", behind_call - 1);
}
