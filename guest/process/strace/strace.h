/* A record of all system calls on the console's log stream, in the form of strace(1):
 *
 *	openat(AT_FDCWD, "/etc/motd", O_RDONLY) = -1 ENOENT
 *
 * `strace=1` on the kernel's command line asks for it. A line begins with the call and ends with its
 * result; where another thread's line comes between, it is ended by `<unfinished ...>` and taken up
 * again by `<... name resumed>`. Threads but the first have their number at the line's beginning.
 */
#ifndef PROCESS_STRACE_STRACE_H
#define PROCESS_STRACE_STRACE_H

#include <process/syscall.h>

/* Whether the command line asks for a record. */
bool strace_is_wanted(void);

/* A call begins, and returns; `call` is NULL where Linux has none of this number. */
void strace_begin(const struct syscall *call, uint64_t number, const uint64_t argument[6]);
void strace_end(const struct syscall *call, uint64_t number, const uint64_t argument[6],
		int64_t result);

/* The program ends: by itself, or by a signal. */
void strace_exited(int status);
void strace_killed(int signal);

#endif
