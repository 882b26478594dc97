/* System calls: how they are written.
 *
 *	SYSCALL3(read, int, number, user_t, buffer, uint64_t, length)
 *	{
 *		...
 *	}
 *
 * defines sys_read, which the table of syscalls.def refers to: it takes the six argument registers
 * and gives the result, or a negative errno value. Registers become parameters by a plain cast: of
 * an int, the upper half of the register does not count, as on Linux.
 */
#ifndef PROCESS_SYSCALL_H
#define PROCESS_SYSCALL_H

#include <calypso/errno.h>
#include <calypso/user.h>
#include <process/process.h>

#define SYSCALL_ARGUMENTS 6

typedef int64_t syscall_handler(const uint64_t argument[6]);

struct syscall {
	syscall_handler *handler; /* NULL: known, but not there */
	const char *name;	  /* NULL: Linux has no call of this number either */
	unsigned arguments;
};

/* Make a call for the running thread, which has `frame` for syscall_frame: its result. */
int64_t syscall_make(struct trap_frame *frame, uint64_t number, const uint64_t argument[6]);

/* What is known of a number, or NULL. */
const struct syscall *syscall_find(uint64_t number);

/* Record all calls from now on (<process/strace.h>). */
void syscall_record(void);
bool syscall_is_recorded(void);

#define SYSCALL(name, x86_64, arm64, arguments) syscall_handler sys_##name;
#define LEGACY_SYSCALL(name, x86_64, arguments) syscall_handler sys_##name;
#define MISSING(name, x86_64, arm64)
#define LEGACY_MISSING(name, x86_64)
#include <process/syscalls.def>
#undef SYSCALL
#undef LEGACY_SYSCALL
#undef MISSING
#undef LEGACY_MISSING

#define SYSCALL_DEFINE(name, parameters, values)              \
	static int64_t call_##name parameters;                \
	int64_t sys_##name(const uint64_t argument[6])        \
	{                                                     \
		(void)argument;                               \
		return call_##name values;                    \
	}                                                     \
	static int64_t call_##name parameters

#define SYSCALL0(name) SYSCALL_DEFINE(name, (void), ())
#define SYSCALL1(name, A, a) SYSCALL_DEFINE(name, (A a), ((A)argument[0]))
#define SYSCALL2(name, A, a, B, b) \
	SYSCALL_DEFINE(name, (A a, B b), ((A)argument[0], (B)argument[1]))
#define SYSCALL3(name, A, a, B, b, C, c)     \
	SYSCALL_DEFINE(name, (A a, B b, C c), \
		       ((A)argument[0], (B)argument[1], (C)argument[2]))
#define SYSCALL4(name, A, a, B, b, C, c, D, d)    \
	SYSCALL_DEFINE(name, (A a, B b, C c, D d), \
		       ((A)argument[0], (B)argument[1], (C)argument[2], (D)argument[3]))
#define SYSCALL5(name, A, a, B, b, C, c, D, d, E, e)                                     \
	SYSCALL_DEFINE(name, (A a, B b, C c, D d, E e),                                   \
		       ((A)argument[0], (B)argument[1], (C)argument[2], (D)argument[3], \
			(E)argument[4]))
#define SYSCALL6(name, A, a, B, b, C, c, D, d, E, e, F, f)                                \
	SYSCALL_DEFINE(name, (A a, B b, C c, D d, E e, F f),                               \
		       ((A)argument[0], (B)argument[1], (C)argument[2], (D)argument[3], \
			(E)argument[4], (F)argument[5]))

#endif
