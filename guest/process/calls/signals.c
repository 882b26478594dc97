/* Calls on signals. */
#include <process/syscall.h>

#define SIGNAL_SET_SIZE 8 /* sigset_t of the kernel */

/* Those that cannot be caught, blocked or ignored. */
#define UNSTOPPABLE (1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1))

static bool is_signal(int signal) { return signal > 0 && signal <= SIGNAL_COUNT; }

SYSCALL4(rt_sigaction, int, signal, user_t, action, user_t, old_action, uint64_t, set_size)
{
	struct sigaction new = {0};
	if (set_size != SIGNAL_SET_SIZE)
		return -EINVAL;
	if (action != 0 && user_get(&new, action) != 0)
		return -EFAULT;
	if (!is_signal(signal) || (action != 0 && (UNSTOPPABLE >> (signal - 1) & 1) != 0))
		return -EINVAL;
	struct sigaction *current = &process.signals.actions[signal - 1];
	struct sigaction old = *current;
	if (action != 0) {
		new.mask &= ~UNSTOPPABLE;
		*current = new;
	}
	return old_action != 0 ? user_put(old_action, &old) : 0;
}

/* Signals that were held back and are not blocked any more. */
static void send_pending(struct signals *signals)
{
	uint64_t ready = signals->pending & ~signals->blocked;
	signals->pending &= signals->blocked;
	for (int signal = 1; ready != 0; signal++, ready >>= 1) {
		if ((ready & 1) != 0)
			signal_send(signal);
	}
}

SYSCALL4(rt_sigprocmask, int, how, user_t, set, user_t, old_set, uint64_t, set_size)
{
	struct signals *signals = &process.signals;
	uint64_t old = signals->blocked, mask;
	if (set_size != SIGNAL_SET_SIZE)
		return -EINVAL;
	if (set != 0) {
		if (user_get(&mask, set) != 0)
			return -EFAULT;
		if (how == SIG_BLOCK)
			mask |= old;
		else if (how == SIG_UNBLOCK)
			mask = old & ~mask;
		else if (how != SIG_SETMASK)
			return -EINVAL;
		signals->blocked = mask & ~UNSTOPPABLE;
	}
	int error = old_set != 0 ? user_put(old_set, &old) : 0;
	send_pending(signals);
	return error;
}

SYSCALL2(rt_sigpending, user_t, set, uint64_t, set_size)
{
	uint64_t pending = process.signals.pending & process.signals.blocked;
	if (set_size > SIGNAL_SET_SIZE)
		return -EINVAL;
	return user_copy_out(set, &pending, set_size);
}

SYSCALL2(sigaltstack, user_t, stack, user_t, old_stack)
{
	struct sigaltstack old = process.signals.stack, new;
	if (stack != 0) {
		if (user_get(&new, stack) != 0)
			return -EFAULT;
		if ((new.flags & ~SS_DISABLE) != 0)
			return -EINVAL;
		if ((new.flags & SS_DISABLE) == 0 && new.size < MINSIGSTKSZ)
			return -ENOMEM;
		process.signals.stack = new;
	}
	return old_stack != 0 ? user_put(old_stack, &old) : 0;
}

/* ---- Sending: the process can only send to itself ---- */

static int64_t send(int signal)
{
	if (signal < 0 || signal > SIGNAL_COUNT)
		return -EINVAL;
	if (signal != 0)
		signal_send(signal);
	return 0;
}

SYSCALL2(kill, int, id, int, signal)
{
	if (signal < 0 || signal > SIGNAL_COUNT)
		return -EINVAL;
	return id == PROCESS_ID || id == 0 || id == -PROCESS_ID ? send(signal) : -ESRCH;
}

SYSCALL2(tkill, int, thread, int, signal)
{
	if (thread <= 0)
		return -EINVAL;
	return thread == PROCESS_ID ? send(signal) : -ESRCH;
}

SYSCALL3(tgkill, int, group, int, thread, int, signal)
{
	if (thread <= 0 || group <= 0)
		return -EINVAL;
	return thread == PROCESS_ID && group == PROCESS_ID ? send(signal) : -ESRCH;
}
