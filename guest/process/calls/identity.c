/* Calls about who the process is. There is one process, in one group and session, and it is the
 * superuser's.
 */
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

/* ---- Users and groups ---- */

SYSCALL0(getuid)
{
	return 0;
}

SYSCALL0(geteuid)
{
	return 0;
}

SYSCALL0(getgid)
{
	return 0;
}

SYSCALL0(getegid)
{
	return 0;
}

static int64_t put_zeros(user_t real, user_t effective, user_t saved)
{
	static const uint32_t superuser;
	if (user_put(real, &superuser) != 0 || user_put(effective, &superuser) != 0)
		return -EFAULT;
	return user_put(saved, &superuser);
}

SYSCALL3(getresuid, user_t, real, user_t, effective, user_t, saved)
{
	return put_zeros(real, effective, saved);
}

SYSCALL3(getresgid, user_t, real, user_t, effective, user_t, saved)
{
	return put_zeros(real, effective, saved);
}

/* No permission is ever checked, so to become somebody else would be a promise not kept. */
static int64_t stay(uint32_t id) { return id == 0 || id == UINT32_MAX ? 0 : -EPERM; }

SYSCALL1(setuid, uint32_t, id)
{
	return stay(id);
}

SYSCALL1(setgid, uint32_t, id)
{
	return stay(id);
}

SYSCALL3(setresuid, uint32_t, real, uint32_t, effective, uint32_t, saved)
{
	return stay(real) | stay(effective) | stay(saved);
}

SYSCALL3(setresgid, uint32_t, real, uint32_t, effective, uint32_t, saved)
{
	return stay(real) | stay(effective) | stay(saved);
}

/* There are no supplementary groups. */
SYSCALL2(getgroups, int, size, user_t, list)
{
	(void)list;
	return size < 0 ? -EINVAL : 0;
}

SYSCALL2(setgroups, int, count, user_t, list)
{
	(void)count, (void)list;
	return 0;
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
