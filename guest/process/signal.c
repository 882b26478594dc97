/* Signals. */
#include <calypso/errno.h>
#include <calypso/lib.h>
#include <calypso/signal_frame.h>
#include <process/process.h>
#include <process/rseq.h>

static const char *const names[] = {
	[SIGHUP] = "SIGHUP",	   [SIGINT] = "SIGINT",	      [SIGQUIT] = "SIGQUIT",
	[SIGILL] = "SIGILL",	   [SIGTRAP] = "SIGTRAP",     [SIGABRT] = "SIGABRT",
	[SIGBUS] = "SIGBUS",	   [SIGFPE] = "SIGFPE",	      [SIGKILL] = "SIGKILL",
	[SIGUSR1] = "SIGUSR1",	   [SIGSEGV] = "SIGSEGV",     [SIGUSR2] = "SIGUSR2",
	[SIGPIPE] = "SIGPIPE",	   [SIGALRM] = "SIGALRM",     [SIGTERM] = "SIGTERM",
	[SIGSTKFLT] = "SIGSTKFLT", [SIGCHLD] = "SIGCHLD",     [SIGCONT] = "SIGCONT",
	[SIGSTOP] = "SIGSTOP",	   [SIGTSTP] = "SIGTSTP",     [SIGTTIN] = "SIGTTIN",
	[SIGTTOU] = "SIGTTOU",	   [SIGURG] = "SIGURG",	      [SIGXCPU] = "SIGXCPU",
	[SIGXFSZ] = "SIGXFSZ",	   [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF",
	[SIGWINCH] = "SIGWINCH",   [SIGIO] = "SIGIO",	      [SIGPWR] = "SIGPWR",
	[SIGSYS] = "SIGSYS",
};

const char *signal_name(int signal)
{
	return (size_t)signal < ARRAY_SIZE(names) ? names[signal] : NULL;
}

/* Signals whose default is not to end the program: they are ignored, or would stop it, which needs
 * somebody to continue it. */
static bool is_harmless(int signal)
{
	switch (signal) {
	case SIGCHLD:
	case SIGCONT:
	case SIGURG:
	case SIGWINCH:
	case SIGSTOP:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		return true;
	default:
		return false;
	}
}

/* ---- Pending signals ---- */

/* As many signals of all threads can be pending (RLIMIT_SIGPENDING). */
#define ITEMS_MAX 1024

struct signal_item {
	struct signal_item *next;
	struct siginfo info;
};

static unsigned item_count;

struct poll_state signal_arrivals;

/* One of the numbers below 32 is pending at most once. */
static bool is_queued_each_time(int signal) { return signal >= 32; }

static int add_pending(struct pending_signals *pending, const struct siginfo *info)
{
	uint64_t bit = SIGNAL_BIT(info->signal);
	if ((pending->set & bit) != 0 && !is_queued_each_time(info->signal))
		return 0;
	struct signal_item *item = item_count < ITEMS_MAX ? kmalloc(sizeof(*item)) : NULL;
	if (item == NULL)
		return -EAGAIN;
	*item = (struct signal_item){.info = *info};
	struct signal_item **end = &pending->items;
	while (*end != NULL)
		end = &(*end)->next;
	*end = item;
	item_count++;
	pending->set |= bit;
	return 0;
}

/* Remove the first item of a signal. */
static void remove_item(struct pending_signals *pending, int signal, struct siginfo *info)
{
	struct signal_item **link = &pending->items;
	while ((*link)->info.signal != signal)
		link = &(*link)->next;
	struct signal_item *item = *link;
	*info = item->info;
	*link = item->next;
	kfree(item);
	item_count--;
	for (item = *link; item != NULL && item->info.signal != signal;)
		item = item->next;
	if (item == NULL)
		pending->set &= ~SIGNAL_BIT(signal);
}

static int take_from(struct pending_signals *pending, uint64_t set, struct siginfo *info)
{
	uint64_t ready = pending->set & set;
	if (ready == 0)
		return 0;
	int signal = __builtin_ctzll(ready) + 1;
	remove_item(pending, signal, info);
	return signal;
}

int signal_take(uint64_t set, struct siginfo *info)
{
	int signal = take_from(&current_thread->pending, set, info);
	return signal != 0 ? signal : take_from(&process.pending, set, info);
}

struct siginfo *signal_of_timer(struct thread *thread, int id)
{
	struct pending_signals *pending = thread == NULL ? &process.pending : &thread->pending;
	struct signal_item *item = pending->items;
	while (item != NULL && (item->info.code != SI_TIMER || item->info.timer.id != id))
		item = item->next;
	return item == NULL ? NULL : &item->info;
}

static void drop_signal(struct pending_signals *pending, int signal)
{
	struct siginfo info;
	while ((pending->set & SIGNAL_BIT(signal)) != 0)
		remove_item(pending, signal, &info);
}

void signals_forget(struct pending_signals *pending)
{
	struct siginfo info;
	while (pending->set != 0)
		take_from(pending, pending->set, &info);
}

bool signal_is_pending(uint64_t set)
{
	return ((current_thread->pending.set | process.pending.set) & set) != 0;
}

bool signal_is_ready(const struct thread *thread)
{
	return ((thread->pending.set | process.pending.set) & ~thread->blocked) != 0;
}

/* ---- Sending ---- */

static bool does_nothing(int signal)
{
	uint64_t handler = process.actions[signal - 1].handler;
	return handler == SIG_IGN || (handler == SIG_DFL && is_harmless(signal));
}

static bool takes(const struct thread *thread, uint64_t signals)
{
	return (thread->blocked & signals) == 0;
}

static bool waits_for(const struct thread *thread, uint64_t signals)
{
	return (thread->waits_for & signals) != 0;
}

int signal_send_info(struct thread *thread, const struct siginfo *info)
{
	int signal = info->signal;
	uint64_t bit = SIGNAL_BIT(signal);
	struct thread *taker = thread;
	if (thread == NULL)
		taker = takes(current_thread, bit) ? current_thread : thread_first_with(takes, bit);
	bool blocked = taker == NULL || !takes(taker, bit);
	/* What is blocked stays: there may be a handler by the time it is not. */
	if (!blocked && does_nothing(signal))
		return 0;
	if (!blocked && process.actions[signal - 1].handler == SIG_DFL)
		process_kill(signal, NULL, NULL, 0);
	if (taker == NULL)
		taker = thread_first_with(waits_for, bit);
	int error = add_pending(thread == NULL ? &process.pending : &thread->pending, info);
	if (error == 0 && taker != NULL)
		thread_interrupt(taker, bit);
	if (error == 0)
		poll_notify(&signal_arrivals, POLLIN);
	return error;
}

void signal_send(int signal)
{
	struct siginfo info = {.signal = signal, .code = SI_KERNEL};
	signal_send_info(NULL, &info);
}

void signal_send_self(int signal)
{
	struct siginfo info = {.signal = signal, .code = SI_USER, .sender.process = PROCESS_ID};
	info.sender.user = current_thread->credentials.real_user;
	signal_send_info(current_thread, &info);
}

void signal_action_changed(int signal)
{
	if (!does_nothing(signal))
		return;
	drop_signal(&process.pending, signal);
	drop_signal(&current_thread->pending, signal);
}

/* ---- Handlers ---- */

void signal_set_mask(uint64_t mask) { current_thread->blocked = mask & ~SIGNALS_UNSTOPPABLE; }

void signal_set_mask_for_call(uint64_t mask)
{
	current_thread->mask_before = current_thread->blocked;
	current_thread->has_mask_before = true;
	signal_set_mask(mask);
}

bool signal_stack_holds(user_t sp)
{
	const struct sigaltstack *stack = &current_thread->signal_stack;
	return (stack->flags & SS_DISABLE) == 0 && ((uint32_t)stack->flags & SS_AUTODISARM) == 0 &&
	       sp > stack->sp && sp - stack->sp <= stack->size;
}

/* Where the handler's stack begins, and what is told of the alternate one. */
static void choose_stack(const struct trap_frame *frame, struct signal_delivery *delivery)
{
	struct thread *thread = current_thread;
	struct sigaltstack *stack = &thread->signal_stack;
	bool inside = signal_stack_holds(frame_sp(frame));
	delivery->stack = *stack;
	delivery->sp = arch_signal_room(frame);
	if ((delivery->action.flags & SA_ONSTACK) != 0 && !inside && (stack->flags & SS_DISABLE) == 0)
		delivery->sp = stack->sp + stack->size;
	if (inside)
		delivery->stack.flags |= SS_ONSTACK;
	if (((uint32_t)stack->flags & SS_AUTODISARM) != 0)
		*stack = (struct sigaltstack){.flags = SS_DISABLE};
}

/* Let the handler of a signal run next. */
static void enter_handler(struct trap_frame *frame, const struct siginfo *info)
{
	struct thread *thread = current_thread;
	struct sigaction *action = &process.actions[info->signal - 1];
	struct signal_delivery delivery = {
		.info = *info,
		.action = *action,
		.mask = thread->has_mask_before ? thread->mask_before : thread->blocked,
	};
	rseq_interrupted(frame);
	choose_stack(frame, &delivery);
	if (arch_signal_enter(frame, &delivery) != 0)
		process_kill(SIGSEGV, frame, "there is no room for a signal's frame",
			     frame_sp(frame));
	uint64_t mask = thread->blocked | action->mask;
	if ((action->flags & SA_NODEFER) == 0)
		mask |= SIGNAL_BIT(info->signal);
	signal_set_mask(mask);
	thread->has_mask_before = false;
	if ((action->flags & SA_RESETHAND) != 0)
		action->handler = SIG_DFL;
}

void signal_fault(struct trap_frame *frame, const struct siginfo *info, const char *reason,
		  user_t address)
{
	uint64_t handler = process.actions[info->signal - 1].handler;
	bool blocked = !takes(current_thread, SIGNAL_BIT(info->signal));
	if (handler == SIG_DFL || handler == SIG_IGN || blocked)
		process_kill(info->signal, frame, reason, address);
	enter_handler(frame, info);
}

/* Results that programs never see: a call was interrupted, and is made again where no handler runs.
 * Where one does, that depends. */
static void settle_call(struct trap_frame *frame, const struct sigaction *action)
{
	int64_t result = frame_result(frame);
	bool again = action == NULL || result == -ERESTARTNOINTR ||
		     (result == -ERESTARTSYS && (action->flags & SA_RESTART) != 0);
	if (again)
		frame_restart_syscall(frame);
	else
		frame_set_result(frame, -EINTR);
}

void signal_deliver(struct trap_frame *frame, bool restartable)
{
	struct thread *thread = current_thread;
	struct siginfo info;
	int signal;
	while ((signal = signal_take(~thread->blocked, &info)) != 0) {
		const struct sigaction *action = &process.actions[signal - 1];
		if (does_nothing(signal))
			continue;
		if (action->handler == SIG_DFL)
			process_kill(signal, NULL, NULL, 0);
		if (restartable)
			settle_call(frame, action);
		restartable = false;
		enter_handler(frame, &info);
	}
	if (restartable)
		settle_call(frame, NULL);
	if (thread->has_mask_before)
		signal_set_mask(thread->mask_before);
	thread->has_mask_before = false;
}
