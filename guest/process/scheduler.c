/* The scheduler: whose turn it is, and what ends waiting. */
#include <calypso/bootinfo.h>
#include <calypso/errno.h>
#include <calypso/virtio.h>
#include <file/stream.h>
#include <file/device/tty.h>
#include <process/process.h>
#include <process/scheduler.h>
#include <service/service.h>

/* How long a thread may run while others are ready, in ms. `sched.preempt=` is another number, or 0:
 * then threads give way only where they wait, and where a system call ends after that time. */
#define TIME_SLICE 10

static struct thread_list ready;
static struct thread_list sleeping;
static uint64_t slice_end; /* of the running thread; 0: nobody has been ready since it began */
static bool woken;	   /* somebody has been woken since it began */
static uint64_t turn_begin; /* when it began, or was charged last */
static bool between_turns;  /* it is not known yet who runs next: nobody is charged */
static bool turn_is_new;    /* no system call has ended since it began */
static uint64_t turn_event; /* what time was to bring next when it began */

/* ---- Lists ---- */

void scheduler_append(struct thread_list *list, struct thread *thread)
{
	thread->list = list;
	thread->previous = list->last;
	thread->next = NULL;
	if (list->last != NULL)
		list->last->next = thread;
	else
		list->first = thread;
	list->last = thread;
}

static void remove(struct thread *thread)
{
	struct thread_list *list = thread->list;
	if (thread->previous != NULL)
		thread->previous->next = thread->next;
	else
		list->first = thread->next;
	if (thread->next != NULL)
		thread->next->previous = thread->previous;
	else
		list->last = thread->previous;
	thread->list = NULL;
}

/* ---- What time brings ---- */

static void wake_late(struct timeout *timeout, uint64_t now)
{
	(void)now;
	thread_wake(container_of(timeout, struct thread, timeout), -ETIMEDOUT);
}

/* Serve what time has brought; when the next such event is. */
static uint64_t let_time_pass(void)
{
	if (timeouts_next() != TIME_FOREVER)
		timeouts_expire(time_monotonic());
	return timeouts_next();
}

/* ---- The host, while the program computes ---- */

/* How often to look whether the host has sent something, or makes a call. */
#define INPUT_PERIOD (25ull * NANOSECONDS_PER_MILLISECOND)
#define SERVICE_PERIOD (2ull * NANOSECONDS_PER_MILLISECOND)

static uint64_t host_look; /* when to look next */

/* Somebody waits for input beside others that run, or there may be a signal in it. */
static bool input_is_watched(void)
{
	bool signals = tty_makes_signals();

	return (stream_input_state.first != NULL) | signals;
}

/* How long a thread may run until it is time to look; TIME_FOREVER: it need not be interrupted. The
 * calls of the host end by themselves. */
static uint64_t look_period(const struct thread *thread)
{
	if (thread->task == NULL && service_is_ready())
		return SERVICE_PERIOD;
	return input_is_watched() ? INPUT_PERIOD : TIME_FOREVER;
}

/* Look for input, if it is time; when it will be. */
static uint64_t look_at_host(uint64_t now, uint64_t period)
{
	if (now < host_look)
		return host_look;
	host_look = now + period;
	if (input_is_watched() && stream_input_arrived())
		tty_input_arrived();
	return host_look;
}

/* ---- Who runs next ---- */

/* Nobody can run: wait for the host, but look first whether it has sent something already, which
 * would end the waiting at once whoever wants it. */
static void idle(uint64_t deadline)
{
	/* Where a call of the host is all that has happened since, there is no input either: it would
	 * end the waiting. */
	static bool called;
	if (!called && stream_input_arrived())
		tty_input_arrived();
	if (ready.first != NULL)
		return;
	time_idle(deadline);
	virtio_look();
	called = service_is_called();
}

static struct {
	uint64_t length; /* in ns; 0 until it has been asked for */
	bool interrupts; /* its end does, not only the end of a system call */
} slice;

static void choose_slice(void)
{
	uint64_t length = command_line_number("sched.preempt", TIME_SLICE);
	slice.interrupts = length != 0;
	slice.length = (length != 0 ? length : TIME_SLICE) * NANOSECONDS_PER_MILLISECOND;
}

uint64_t thread_slice(void)
{
	if (slice.length == 0)
		choose_slice();
	return slice.length;
}

static void begin_slice(uint64_t now) { slice_end = now + thread_slice(); }

/* The program is interrupted at `deadline`, and when the running thread's time is over. */
static void set_alarm(uint64_t deadline)
{
	if (ready.first != NULL && slice.interrupts && slice_end < deadline)
		deadline = slice_end;
	if (deadline != TIME_FOREVER)
		time_set_alarm(deadline);
}

/* ---- Time on the processor ---- */

uint64_t thread_charge(void)
{
	uint64_t now = time_monotonic();
	uint64_t used = between_turns ? 0 : now - turn_begin;
	current_thread->cpu_time += used;
	process.cpu_time += used;
	turn_begin = now;
	return now;
}

/* ---- Turns ---- */

/* Somebody begins to run. */
static void begin_turn(const struct thread *thread, uint64_t now, uint64_t deadline)
{
	uint64_t period = look_period(thread);
	turn_begin = now;
	between_turns = false;
	turn_is_new = true;
	turn_event = deadline;
	slice_end = 0;
	woken = false;
	if (ready.first != NULL)
		begin_slice(now);
	set_alarm(period < deadline && now + period < deadline ? now + period : deadline);
}

/* Take the thread that runs next out of its list. */
static struct thread *take_next(void)
{
	uint64_t now = thread_charge();
	between_turns = true;
	for (;;) {
		uint64_t deadline = let_time_pass();
		bool serves = service_is_ready();
		if (serves)
			service_look();
		struct thread *next = ready.first;
		if (next == NULL) {
			idle(deadline);
			now = time_monotonic();
			continue;
		}
		if (serves)
			service_announce();
		remove(next);
		begin_turn(next, now, deadline);
		return next;
	}
}

static void enter(struct thread *next, void **save)
{
	current_thread = next;
	execenv_load(&next->auxspcb->execenv);
	arch_set_auxsp(auxsp_of(next->auxspcb));
	arch_switch(save, next->auxspcb->context);
}

/* Run somebody else until it is this thread's turn again. It is in a list. */
static void schedule(void)
{
	struct thread *thread = current_thread;
	struct thread *next = take_next();
	if (next == thread)
		return;
	execenv_store(&thread->auxspcb->execenv);
	enter(next, &thread->auxspcb->context);
}

void thread_yield(void)
{
	if (ready.first == NULL)
		return;
	scheduler_append(&ready, current_thread);
	schedule();
}

void scheduler_make_ready(struct thread *thread) { scheduler_append(&ready, thread); }

void scheduler_forget(struct thread *thread)
{
	timeout_cancel(&thread->timeout);
	if (thread->list != NULL)
		remove(thread);
}

void scheduler_leave(void)
{
	void *nowhere;
	enter(take_next(), &nowhere);
	__builtin_unreachable();
}

/* Nobody else wants to run, nothing is to happen at a time, and the host need not be looked at. */
static bool nothing_is_due(void)
{
	bool timeout = timeouts_are_set(), service = service_is_ready(), input = input_is_watched();

	return !((ready.first != NULL) | timeout | service | input);
}

/* The turn began in the system call that ends now. Time and the host's calls were looked at then,
 * and the alarm is set, unless somebody is ready or waits for a time since. */
static bool turn_has_just_begun(void)
{
	bool is_new = turn_is_new;
	turn_is_new = false;
	return is_new && (ready.first == NULL || slice_end != 0) &&
	       timeouts_next() == turn_event && !input_is_watched();
}

/* The host waits: what it asks for goes first. */
static void serve_host(void)
{
	if (service_look())
		thread_yield();
	service_announce();
}

/* Whether others have run. */
static bool check_time(bool interrupted)
{
	if (service_is_ready())
		serve_host();
	uint64_t period = look_period(current_thread);
	uint64_t now = time_monotonic();
	uint64_t deadline = let_time_pass();
	uint64_t look = period == TIME_FOREVER ? TIME_FOREVER : look_at_host(now, period);
	if (look < deadline)
		deadline = look;
	if (ready.first != NULL && slice_end == 0)
		begin_slice(now);
	bool over = now >= slice_end || (interrupted && woken);
	if (ready.first == NULL || !over || (interrupted && !slice.interrupts)) {
		set_alarm(deadline);
		return false;
	}
	thread_yield();
	return true;
}

/* Each system call passes here. */
void thread_check_time(void)
{
	if (unlikely(!nothing_is_due()) && !turn_has_just_begun())
		check_time(false);
}

bool thread_interrupted(void) { return !nothing_is_due() && check_time(true); }

/* ---- Waiting ---- */

int thread_wait(struct thread_list *list, uint64_t deadline)
{
	struct thread *thread = current_thread;
	if (thread->ending || signal_is_ready(thread))
		return -EINTR;
	thread->timeout.reached = wake_late;
	timeout_set(&thread->timeout, deadline);
	scheduler_append(list, thread);
	schedule();
	return thread->wake_reason;
}

void thread_wake(struct thread *thread, int reason)
{
	timeout_cancel(&thread->timeout);
	thread->wake_reason = reason;
	woken = true;
	remove(thread);
	scheduler_append(&ready, thread);
}

int thread_sleep(uint64_t deadline) { return thread_wait(&sleeping, deadline); }

bool scheduler_waits(const struct thread *thread)
{
	return thread->list != NULL && thread->list != &ready;
}

void thread_interrupt(struct thread *thread, uint64_t signals)
{
	if (scheduler_waits(thread) &&
	    ((thread->blocked & signals) == 0 || (thread->waits_for & signals) != 0))
		thread_wake(thread, -EINTR);
}
