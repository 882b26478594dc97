/* Calls on signals. */
#include <arch/uapi.h>
#include <calypso/arch.h>
#include <calypso/signal_frame.h>
#include <process/calls/wait.h>
#include <process/syscall.h>

#define SIGNAL_SET_SIZE 8 /* sigset_t of the kernel */

static bool is_signal(int signal) { return signal > 0 && signal <= SIGNAL_COUNT; }

SYSCALL4(rt_sigaction, int, signal, user_t, action, user_t, old_action, uint64_t, set_size)
{
	struct sigaction new = {0};
	if (set_size != SIGNAL_SET_SIZE)
		return -EINVAL;
	if (action != 0 && user_get(&new, action) != 0)
		return -EFAULT;
	if (!is_signal(signal) || (action != 0 && (SIGNALS_UNSTOPPABLE & SIGNAL_BIT(signal)) != 0))
		return -EINVAL;
	struct sigaction *current = &process.actions[signal - 1];
	struct sigaction old = *current;
	if (action != 0) {
		new.mask &= ~SIGNALS_UNSTOPPABLE;
		*current = new;
		signal_action_changed(signal);
	}
	return old_action != 0 ? user_put(old_action, &old) : 0;
}

SYSCALL4(rt_sigprocmask, int, how, user_t, set, user_t, old_set, uint64_t, set_size)
{
	uint64_t old = current_thread->blocked, mask;
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
		signal_set_mask(mask);
	}
	return old_set != 0 ? user_put(old_set, &old) : 0;
}

SYSCALL2(rt_sigpending, user_t, set, uint64_t, set_size)
{
	const struct thread *thread = current_thread;
	uint64_t pending = (thread->pending.set | process.pending.set) & thread->blocked;
	if (set_size > SIGNAL_SET_SIZE)
		return -EINVAL;
	return user_copy_out(set, &pending, set_size);
}

SYSCALL0(rt_sigreturn)
{
	struct sigaltstack stack;
	uint64_t mask;
	if (arch_signal_leave(syscall_frame(), &mask, &stack) != 0)
		process_kill(SIGSEGV, syscall_frame(), "there is no signal's frame", frame_sp(syscall_frame()));
	signal_set_mask(mask);
	stack.flags &= ~SS_ONSTACK;
	current_thread->signal_stack = stack;
	return frame_result(syscall_frame());
}

static int set_stack(struct sigaltstack *new)
{
	if (signal_stack_holds(frame_sp(syscall_frame())))
		return -EPERM;
	uint32_t mode = (uint32_t)new->flags & ~SS_AUTODISARM;
	if (mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK)
		return -EINVAL;
	if (mode == SS_DISABLE)
		new->sp = new->size = 0;
	else if (new->size < MINSIGSTKSZ)
		return -ENOMEM;
	new->flags &= ~SS_ONSTACK;
	current_thread->signal_stack = *new;
	return 0;
}

SYSCALL2(sigaltstack, user_t, stack, user_t, old_stack)
{
	struct sigaltstack old = current_thread->signal_stack, new;
	if (old_stack != 0 && signal_stack_holds(frame_sp(syscall_frame())))
		old.flags |= SS_ONSTACK;
	if (stack != 0) {
		if (user_get(&new, stack) != 0)
			return -EFAULT;
		int error = set_stack(&new);
		if (error != 0)
			return error;
	}
	return old_stack != 0 ? user_put(old_stack, &old) : 0;
}

/* ---- Sending: the process can only send to itself ---- */

static bool is_own_process(int id) { return id == PROCESS_ID; }

static int64_t send(struct thread *thread, int signal, int code)
{
	struct siginfo info = {.signal = signal, .code = code, .sender.process = PROCESS_ID};
	info.sender.user = current_thread->credentials.real_user;
	if (signal < 0 || signal > SIGNAL_COUNT)
		return -EINVAL;
	return signal == 0 ? 0 : signal_send_info(thread, &info);
}

SYSCALL2(kill, int, id, int, signal)
{
	if (signal < 0 || signal > SIGNAL_COUNT)
		return -EINVAL;
	return is_own_process(id) || id == 0 || id == -PROCESS_ID ? send(NULL, signal, SI_USER) : -ESRCH;
}

static int64_t send_to_thread(int id, int signal)
{
	struct thread *thread = thread_find(id);
	if (id <= 0)
		return -EINVAL;
	return thread != NULL ? send(thread, signal, SI_TKILL) : -ESRCH;
}

SYSCALL2(tkill, int, thread, int, signal)
{
	return send_to_thread(thread, signal);
}

SYSCALL3(tgkill, int, group, int, thread, int, signal)
{
	if (thread <= 0 || group <= 0)
		return -EINVAL;
	return is_own_process(group) ? send_to_thread(thread, signal) : -ESRCH;
}

static int64_t send_info(struct thread *thread, int signal, user_t address)
{
	struct siginfo info;
	if (user_get(&info, address) != 0)
		return -EFAULT;
	if (signal < 0 || signal > SIGNAL_COUNT)
		return -EINVAL;
	info.signal = signal;
	return signal == 0 ? 0 : signal_send_info(thread, &info);
}

SYSCALL3(rt_sigqueueinfo, int, id, int, signal, user_t, info)
{
	return is_own_process(id) ? send_info(NULL, signal, info) : -ESRCH;
}

SYSCALL4(rt_tgsigqueueinfo, int, group, int, id, int, signal, user_t, info)
{
	struct thread *thread = thread_find(id);
	return is_own_process(group) && thread != NULL ? send_info(thread, signal, info) : -ESRCH;
}

/* ---- Waiting for signals ---- */

static int64_t wait_for_any(void)
{
	thread_sleep(TIME_FOREVER);
	return -ERESTARTNOHAND;
}

SYSCALL0(pause)
{
	return wait_for_any();
}

SYSCALL2(rt_sigsuspend, user_t, set, uint64_t, set_size)
{
	uint64_t mask;
	if (set_size != SIGNAL_SET_SIZE)
		return -EINVAL;
	if (user_get(&mask, set) != 0)
		return -EFAULT;
	signal_set_mask_for_call(mask);
	return wait_for_any();
}

/* Wait until one of a set is pending, and take it: its number, -EAGAIN or -EINTR. */
static int64_t wait_for_set(uint64_t set, uint64_t deadline, struct siginfo *info)
{
	struct thread *thread = current_thread;
	for (int waited = 0;;) {
		int signal = signal_take(set, info);
		if (signal != 0)
			return signal;
		if (waited != 0)
			return waited == -ETIMEDOUT ? -EAGAIN : waited;
		thread->waits_for = set;
		waited = thread_sleep(deadline);
		thread->waits_for = 0;
	}
}

SYSCALL4(rt_sigtimedwait, user_t, address, user_t, info_address, user_t, timeout, uint64_t, set_size)
{
	uint64_t set, deadline;
	struct siginfo info;
	if (set_size != SIGNAL_SET_SIZE)
		return -EINVAL;
	if (user_get(&set, address) != 0)
		return -EFAULT;
	int error = wait_deadline(timeout, &deadline);
	if (error != 0)
		return error;
	int64_t signal = wait_for_set(set & ~SIGNALS_UNSTOPPABLE, deadline, &info);
	if (signal > 0 && info_address != 0 && user_put(info_address, &info) != 0)
		return -EFAULT;
	return signal;
}
