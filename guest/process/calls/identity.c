/* Calls about who the process is. There is one process, in one group and session. */
#include <process/syscall.h>

SYSCALL0(getpid)
{
	return PROCESS_ID;
}

SYSCALL0(getppid)
{
	return 0;
}

SYSCALL0(getpgrp)
{
	return PROCESS_ID;
}

static int64_t own_group(int id) { return id == 0 || id == PROCESS_ID ? PROCESS_ID : -ESRCH; }

SYSCALL1(getpgid, int, id)
{
	return own_group(id);
}

SYSCALL1(getsid, int, id)
{
	return own_group(id);
}

/* The leader of its session cannot leave it. */
SYSCALL0(setsid)
{
	return -EPERM;
}

SYSCALL2(setpgid, int, id, int, group)
{
	if (group < 0)
		return -EINVAL;
	return own_group(id) < 0 ? -ESRCH : -EPERM;
}

/* ---- Children, of which there are none ---- */

SYSCALL4(wait4, int, id, user_t, status, int, options, user_t, usage)
{
	(void)id, (void)status, (void)options, (void)usage;
	return -ECHILD;
}

SYSCALL5(waitid, int, kind, int, id, user_t, info, int, options, user_t, usage)
{
	(void)kind, (void)id, (void)info, (void)options, (void)usage;
	return -ECHILD;
}
