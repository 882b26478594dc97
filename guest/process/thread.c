/* Threads: the scheduler. */
#include <calypso/boot.h>
#include <calypso/bootinfo.h>
#include <calypso/errno.h>
#include <calypso/lib.h>
#include <calypso/stack.h>
#include <file/stream.h>
#include <file/tty.h>
#include <process/futex.h>
#include <process/process.h>
#include <process/timeout.h>
#include <service/service.h>

/* How long a thread may run while others are ready, in ms. `sched.preempt=` is another number, or 0:
 * then threads give way only where they wait, and where a system call ends after that time. */
#define TIME_SLICE 10

static struct thread first_thread = {
	.id = PROCESS_ID,
	.files = &process.files,
	.deadline = TIME_FOREVER,
	.signal_stack.flags = SS_DISABLE,
};

struct thread *current_thread = &first_thread;
static struct thread *threads = &first_thread;
static int last_id = PROCESS_ID;

static struct thread_list ready;
static struct thread_list waiting_for_input;
static struct thread_list sleeping;
static unsigned with_deadline; /* waiting threads that have one */
static uint64_t slice_end; /* of the running thread; 0: nobody has been ready since it began */
static bool woken;	   /* somebody has been woken since it began */

/* What the process ends with when all threads have ended by themselves: the first one's status. */
static int first_status;

/* ---- Lists ---- */

static void append(struct thread_list *list, struct thread *thread)
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

struct thread *thread_first_with(bool (*test)(const struct thread *thread, uint64_t argument),
				 uint64_t argument)
{
	struct thread *thread = threads;
	while (thread != NULL && !test(thread, argument))
		thread = thread->sibling;
	return thread;
}

unsigned thread_count(void)
{
	unsigned count = 0;
	for (const struct thread *thread = threads; thread != NULL; thread = thread->sibling)
		count++;
	return count;
}

static bool has_id(const struct thread *thread, uint64_t id) { return (uint64_t)thread->id == id; }

struct thread *thread_find(int id) { return thread_first_with(has_id, (uint64_t)id); }

/* ---- Who runs next ---- */

static void wake_late(uint64_t now)
{
	for (struct thread *thread = threads; thread != NULL; thread = thread->sibling) {
		if (thread->deadline <= now)
			thread_wake(thread, -ETIMEDOUT);
	}
}

/* Serve what time has brought; when the next such event is. */
static uint64_t let_time_pass(void)
{
	uint64_t next = timeouts_next();
	if (next == TIME_FOREVER && with_deadline == 0)
		return TIME_FOREVER;
	uint64_t now = time_monotonic();
	timeouts_expire(now);
	next = timeouts_next();
	if (with_deadline == 0)
		return next;
	wake_late(now);
	for (struct thread *thread = threads; thread != NULL; thread = thread->sibling) {
		if (thread->deadline < next)
			next = thread->deadline;
	}
	return next;
}

static void wake_all(struct thread_list *list)
{
	while (list->first != NULL)
		thread_wake(list->first, 0);
}

/* Nobody can run: wait for the host, but look first whether it has sent something already, which
 * would end the waiting at once whoever wants it. */
static void idle(uint64_t deadline)
{
	bool arrived = stream_input_arrived();
	if (arrived)
		tty_input_arrived();
	if (ready.first != NULL)
		return;
	if (!arrived || waiting_for_input.first == NULL)
		time_idle(deadline);
	wake_all(&waiting_for_input);
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

static void begin_slice(uint64_t now)
{
	if (slice.length == 0)
		choose_slice();
	slice_end = now + slice.length;
}

/* The program is interrupted at `deadline`, and when the running thread's time is over. */
static void set_alarm(uint64_t deadline)
{
	if (ready.first != NULL && slice.interrupts && slice_end < deadline)
		deadline = slice_end;
	if (deadline != TIME_FOREVER)
		time_set_alarm(deadline);
}

/* Take the thread that runs next out of its list. */
static struct thread *take_next(void)
{
	for (;;) {
		uint64_t deadline = let_time_pass();
		service_look();
		struct thread *next = ready.first;
		if (next == NULL) {
			idle(deadline);
			continue;
		}
		service_announce();
		remove(next);
		slice_end = 0;
		woken = false;
		if (ready.first != NULL)
			begin_slice(time_monotonic());
		set_alarm(deadline);
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
	append(&ready, current_thread);
	schedule();
}

static void check_time(bool interrupted)
{
	/* The host waits: what it asks for goes first. */
	if (service_look())
		thread_yield();
	if (likely(ready.first == NULL && with_deadline == 0 && timeouts_next() == TIME_FOREVER))
		return;
	uint64_t now = time_monotonic();
	uint64_t deadline = let_time_pass();
	if (ready.first != NULL && slice_end == 0)
		begin_slice(now);
	bool over = now >= slice_end || (interrupted && woken);
	if (ready.first != NULL && over && (!interrupted || slice.interrupts))
		thread_yield();
	else
		set_alarm(deadline);
}

void thread_check_time(void) { check_time(false); }

void thread_interrupted(void) { check_time(true); }

/* ---- Waiting ---- */

int thread_wait(struct thread_list *list, uint64_t deadline)
{
	struct thread *thread = current_thread;
	if (thread->ending || signal_is_ready(thread))
		return -EINTR;
	thread->deadline = deadline;
	with_deadline += deadline != TIME_FOREVER;
	append(list, thread);
	schedule();
	return thread->wake_reason;
}

void thread_wake(struct thread *thread, int reason)
{
	with_deadline -= thread->deadline != TIME_FOREVER;
	thread->deadline = TIME_FOREVER;
	thread->wake_reason = reason;
	woken = true;
	remove(thread);
	append(&ready, thread);
}

void thread_move(struct thread *thread, struct thread_list *list)
{
	remove(thread);
	append(list, thread);
}

int thread_wait_for_input(uint64_t deadline)
{
	return thread_wait(&waiting_for_input, deadline);
}

int thread_sleep(uint64_t deadline) { return thread_wait(&sleeping, deadline); }

void thread_interrupt(struct thread *thread, uint64_t signals)
{
	bool waits = thread->list != NULL && thread->list != &ready;
	if (waits && ((thread->blocked & signals) == 0 || (thread->waits_for & signals) != 0))
		thread_wake(thread, -EINTR);
}

/* ---- Beginning and end ---- */

static void set_stack(struct thread *thread, struct stack *stack)
{
	thread->stack = stack;
	thread->auxspcb = auxspcb_of(stack);
}

void thread_adopt_boot(void)
{
	set_stack(&first_thread, &boot_stack);
	boot_stack.owner = process.name;
	boot_stack.id = PROCESS_ID;
}

/* A thread that is in no list yet. NULL: no memory. */
static struct thread *make(struct file_context *files, uint64_t blocked)
{
	struct thread *thread = kcalloc(1, sizeof(*thread));
	struct stack *stack =
		thread == NULL ? NULL : stack_allocate(process.name, last_id + 1);
	if (stack == NULL) {
		kfree(thread);
		return NULL;
	}
	thread->id = ++last_id;
	thread->deadline = TIME_FOREVER;
	thread->files = files;
	thread->blocked = blocked;
	thread->signal_stack.flags = SS_DISABLE;
	set_stack(thread, stack);
	execenv_store(&thread->auxspcb->execenv);
	thread->auxspcb->frame = NULL;
	thread->sibling = threads;
	threads = thread;
	return thread;
}

struct thread *thread_create(const struct trap_frame *frame)
{
	struct thread *thread = make(current_thread->files, current_thread->blocked);
	if (thread == NULL)
		return NULL;
	thread->auxspcb->execenv.regs = *frame;
	thread->auxspcb->context = arch_make_context(thread->auxspcb);
	append(&ready, thread);
	return thread;
}

struct thread *thread_create_for(struct task *task, void (*entry)(void),
				 struct file_context *files, struct thread_list *list)
{
	struct thread *thread = make(files, ~0ull);
	if (thread == NULL)
		return NULL;
	thread->task = task;
	thread->auxspcb->execenv.regs = (struct trap_frame){0};
	thread->auxspcb->context = arch_make_kernel_context(thread->auxspcb, entry);
	append(list, thread);
	return thread;
}

static void forget(struct thread *thread)
{
	struct thread **link = &threads;
	while (*link != thread)
		link = &(*link)->sibling;
	*link = thread->sibling;
	with_deadline -= thread->deadline != TIME_FOREVER;
	if (thread->list != NULL)
		remove(thread);
	signals_forget(&thread->pending);
	if (thread == &first_thread)
		return;
	/* The stack may still be in use for a moment; nobody takes it before the next switch. */
	stack_free(thread->stack);
	kfree(thread);
}

static bool is_another_of_program(const struct thread *thread, uint64_t id)
{
	return thread->task == NULL && (uint64_t)thread->id != id;
}

void thread_exit(int status)
{
	struct thread *thread = current_thread;
	if (thread->id == PROCESS_ID)
		first_status = status;
	if (thread_first_with(is_another_of_program, (uint64_t)thread->id) == NULL)
		process_exit(first_status);
	futex_end_thread(thread);
	forget(thread);
	/* Until the switch, another one stands for whom events are for. */
	current_thread = threads;
	void *nowhere;
	enter(take_next(), &nowhere);
	__builtin_unreachable();
}

/* Those that are in a call leave it, for they hold references; the others end where they are. */
static void end_thread(struct thread *thread)
{
	if (thread->auxspcb->frame == NULL) {
		forget(thread);
		return;
	}
	thread->ending = true;
	if (thread->list != NULL && thread->list != &ready)
		thread_wake(thread, -EINTR);
}

void thread_end_others(void)
{
	for (struct thread *thread = threads, *next; thread != NULL; thread = next) {
		next = thread->sibling;
		if (thread != current_thread && thread->task == NULL)
			end_thread(thread);
	}
	while (thread_first_with(is_another_of_program, (uint64_t)current_thread->id) != NULL)
		thread_yield();
	current_thread->auxspcb->frame = NULL;
	current_thread->id = PROCESS_ID;
	current_thread->clear_id = current_thread->robust_list = 0;
}
