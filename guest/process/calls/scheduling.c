/* Calls on who runs when and where. There is one processor, and all threads take turns: policies and
 * priorities are noted and have no effect, and real-time policies are refused as to a user without
 * the privilege.
 */
#include <process/calls/wait.h>
#include <process/syscall.h>

SYSCALL0(sched_yield)
{
	thread_yield();
	return 0;
}

/* 0 is the caller. */
static bool thread_exists(int id) { return id == 0 || thread_find(id) != NULL; }

SYSCALL3(sched_getaffinity, int, id, uint64_t, size, user_t, mask)
{
	static const uint64_t first = 1;
	if (size < sizeof(first) || size % sizeof(first) != 0)
		return -EINVAL;
	if (!thread_exists(id))
		return -ESRCH;
	return user_put(mask, &first) != 0 ? -EFAULT : (int64_t)sizeof(first);
}

SYSCALL3(sched_setaffinity, int, id, uint64_t, size, user_t, mask)
{
	uint64_t wanted = 0;
	if (!thread_exists(id))
		return -ESRCH;
	if (user_copy_in(&wanted, mask, size < sizeof(wanted) ? size : sizeof(wanted)) != 0)
		return -EFAULT;
	return (wanted & 1) != 0 ? 0 : -EINVAL;
}

SYSCALL3(getcpu, user_t, cpu, user_t, node, user_t, unused)
{
	static const uint32_t first;
	(void)unused;
	if (cpu != 0 && user_put(cpu, &first) != 0)
		return -EFAULT;
	return node != 0 ? user_put(node, &first) : 0;
}

/* ---- Policies ---- */

static bool policy_is_realtime(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool policy_is_known(int policy)
{
	return policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE ||
	       policy_is_realtime(policy);
}

/* The thread that a call names: 0, -EINVAL or -ESRCH. */
static int find(int id)
{
	if (id < 0)
		return -EINVAL;
	return thread_exists(id) ? 0 : -ESRCH;
}

/* The superuser may have any niceness; others what their limit, counted from the other end, gives. */
static bool may_be_so_nice(int nice)
{
	uint64_t needed = (uint64_t)(NICE_MAX + 1 - nice);
	return is_superuser() || needed <= process.limits[RLIMIT_NICE].rlim_cur;
}

static int64_t set_policy(int id, int policy, user_t address)
{
	int32_t priority;
	if (id < 0 || address == 0)
		return -EINVAL;
	if (user_get(&priority, address) != 0)
		return -EFAULT;
	int error = find(id);
	if (error != 0)
		return error;
	if (!policy_is_known(policy))
		return -EINVAL;
	if (policy_is_realtime(policy))
		return priority < 1 || priority > SCHED_PRIORITY_MAX ? -EINVAL : -EPERM;
	if (priority != 0)
		return -EINVAL;
	/* It counts as nicer than all others. */
	if (process.policy == SCHED_IDLE && policy != SCHED_IDLE && !may_be_so_nice(process.nice))
		return -EPERM;
	process.policy = policy;
	return 0;
}

SYSCALL3(sched_setscheduler, int, id, int, policy, user_t, parameters)
{
	return policy < 0 ? -EINVAL : set_policy(id, policy & ~SCHED_RESET_ON_FORK, parameters);
}

SYSCALL1(sched_getscheduler, int, id)
{
	int error = find(id);
	return error != 0 ? error : process.policy;
}

SYSCALL2(sched_setparam, int, id, user_t, parameters)
{
	return set_policy(id, process.policy, parameters);
}

SYSCALL2(sched_getparam, int, id, user_t, parameters)
{
	static const int32_t priority;
	int error = parameters == 0 ? -EINVAL : find(id);
	return error != 0 ? error : user_put(parameters, &priority);
}

SYSCALL1(sched_get_priority_max, int, policy)
{
	if (policy_is_realtime(policy))
		return SCHED_PRIORITY_MAX;
	return policy_is_known(policy) || policy == SCHED_DEADLINE ? 0 : -EINVAL;
}

SYSCALL1(sched_get_priority_min, int, policy)
{
	if (policy_is_realtime(policy))
		return 1;
	return policy_is_known(policy) || policy == SCHED_DEADLINE ? 0 : -EINVAL;
}

SYSCALL2(sched_rr_get_interval, int, id, user_t, address)
{
	struct timespec slice = wait_timespec(thread_slice());
	int error = find(id);
	return error != 0 ? error : user_put(address, &slice);
}

/* ---- Niceness ---- */

/* Of a thread, of the process group, or of all of the user's. */
static int find_nice(int which, int who)
{
	if (which != PRIO_PROCESS && which != PRIO_PGRP && which != PRIO_USER)
		return -EINVAL;
	bool found = which == PRIO_PROCESS ? who == 0 || thread_find(who) != NULL
		     : which == PRIO_PGRP  ? who == 0 || who == PROCESS_ID
					   : who == 0;
	return found ? 0 : -ESRCH;
}

SYSCALL2(getpriority, int, which, int, who)
{
	int error = find_nice(which, who);
	return error != 0 ? error : NICE_MAX + 1 - process.nice;
}

SYSCALL3(setpriority, int, which, int, who, int, nice)
{
	int error = find_nice(which, who);
	if (error != 0)
		return error;
	nice = nice < NICE_MIN ? NICE_MIN : nice > NICE_MAX ? NICE_MAX : nice;
	if (nice < process.nice && !may_be_so_nice(nice))
		return -EACCES;
	process.nice = nice;
	return 0;
}

/* ---- Priority of input and output ---- */

#define IOPRIO_WHO_PROCESS 1
enum { IOPRIO_CLASS_NONE, IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE };
enum { IOPRIO_CLASS_SHIFT = 13, IOPRIO_CLASS_MASK = 7, IOPRIO_LEVEL_MASK = 7 };

static int check_io_priority(unsigned priority)
{
	switch (priority >> IOPRIO_CLASS_SHIFT & IOPRIO_CLASS_MASK) {
	case IOPRIO_CLASS_RT:
		return is_superuser() ? 0 : -EPERM;
	case IOPRIO_CLASS_BE:
	case IOPRIO_CLASS_IDLE:
		return 0;
	case IOPRIO_CLASS_NONE:
		return (priority & IOPRIO_LEVEL_MASK) == 0 ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

/* The kinds count like setpriority's, from 1 on. */
static int find_io(int which, int who) { return find_nice(which - IOPRIO_WHO_PROCESS, who); }

SYSCALL3(ioprio_set, int, which, int, who, int, priority)
{
	int error = check_io_priority((unsigned)priority);
	if (error == 0)
		error = find_io(which, who);
	if (error == 0)
		process.io_priority = (unsigned)priority;
	return error;
}

SYSCALL2(ioprio_get, int, which, int, who)
{
	int error = find_io(which, who);
	return error != 0 ? error : (int64_t)process.io_priority;
}

/* ---- Barriers ---- */

/* Between threads that take turns each switch is one. */
SYSCALL3(membarrier, int, command, unsigned, flags, int, cpu)
{
	const int known = MEMBARRIER_GLOBAL | MEMBARRIER_GLOBAL_EXPEDITED |
			  MEMBARRIER_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_PRIVATE_EXPEDITED |
			  MEMBARRIER_REGISTER_PRIVATE_EXPEDITED;
	(void)cpu;
	if (flags != 0)
		return -EINVAL;
	switch (command) {
	case MEMBARRIER_QUERY:
		return known;
	case MEMBARRIER_PRIVATE_EXPEDITED:
		return process.barriers_registered ? 0 : -EPERM;
	case MEMBARRIER_REGISTER_PRIVATE_EXPEDITED:
		process.barriers_registered = true;
		return 0;
	case MEMBARRIER_GLOBAL:
	case MEMBARRIER_GLOBAL_EXPEDITED:
	case MEMBARRIER_REGISTER_GLOBAL_EXPEDITED:
		return 0;
	default:
		return -EINVAL;
	}
}
