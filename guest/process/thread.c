/* Threads: their beginning and end. */
#include <calypso/boot.h>
#include <calypso/errno.h>
#include <calypso/lib.h>
#include <calypso/stack.h>
#include <process/credentials.h>
#include <process/futex.h>
#include <process/process.h>
#include <process/scheduler.h>

static struct thread first_thread = {
	.id = PROCESS_ID,
	.files = &process.files,
	.signal_stack.flags = SS_DISABLE,
};

struct thread *current_thread = &first_thread;
struct thread *all_threads = &first_thread;
static int last_id = PROCESS_ID;

/* What the process ends with when all threads have ended by themselves: the first one's status. */
static int first_status;

struct thread *thread_first_with(bool (*test)(const struct thread *thread, uint64_t argument),
				 uint64_t argument)
{
	struct thread *thread = all_threads;
	while (thread != NULL && !test(thread, argument))
		thread = thread->sibling;
	return thread;
}

unsigned thread_count(void)
{
	unsigned count = 0;
	for (const struct thread *thread = all_threads; thread != NULL; thread = thread->sibling)
		count++;
	return count;
}

static bool has_id(const struct thread *thread, uint64_t id) { return (uint64_t)thread->id == id; }

struct thread *thread_find(int id) { return thread_first_with(has_id, (uint64_t)id); }

/* ---- Beginning and end ---- */

static void set_stack(struct thread *thread, struct stack *stack)
{
	thread->stack = stack;
	thread->auxspcb = auxspcb_make(stack);
}

void thread_adopt_boot(void)
{
	set_stack(&first_thread, &boot_stack);
	memcpy(first_thread.name, process.name, sizeof(process.name));
	boot_stack.owner = process.name;
	boot_stack.id = PROCESS_ID;
}

void thread_set_name(const char *name)
{
	char *own = current_thread->name;
	memset(own, 0, TASK_NAME_LENGTH);
	strlcpy(own, name, TASK_NAME_LENGTH);
	if (current_thread->id == PROCESS_ID)
		memcpy(process.name, own, TASK_NAME_LENGTH);
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
	thread->files = files;
	thread->blocked = blocked;
	thread->signal_stack.flags = SS_DISABLE;
	set_stack(thread, stack);
	execenv_store(&thread->auxspcb->execenv);
	thread->sibling = all_threads;
	all_threads = thread;
	return thread;
}

struct thread *thread_create(const struct trap_frame *frame)
{
	struct thread *thread = make(current_thread->files, current_thread->blocked);
	if (thread == NULL)
		return NULL;
	credentials_share(&thread->credentials, &current_thread->credentials);
	memcpy(thread->name, current_thread->name, sizeof(thread->name));
	thread->auxspcb->execenv.regs = *frame;
	thread->auxspcb->context = arch_make_context(thread->auxspcb);
	scheduler_make_ready(thread);
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
	scheduler_append(list, thread);
	return thread;
}

static void forget(struct thread *thread)
{
	struct thread **link = &all_threads;
	while (*link != thread)
		link = &(*link)->sibling;
	*link = thread->sibling;
	scheduler_forget(thread);
	signals_forget(&thread->pending);
	credentials_release(&thread->credentials);
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
	thread_charge();
	forget(thread);
	/* Until the switch, another one stands for whom events are for. */
	current_thread = all_threads;
	scheduler_leave();
}

/* Those that are in a call leave it, for they hold references; the others end where they are. */
static void end_thread(struct thread *thread)
{
	if (thread->auxspcb->frame == NULL) {
		forget(thread);
		return;
	}
	thread->ending = true;
	if (scheduler_waits(thread))
		thread_wake(thread, -EINTR);
}

void thread_end_others(void)
{
	for (struct thread *thread = all_threads, *next; thread != NULL; thread = next) {
		next = thread->sibling;
		if (thread != current_thread && thread->task == NULL)
			end_thread(thread);
	}
	while (thread_first_with(is_another_of_program, (uint64_t)current_thread->id) != NULL)
		thread_yield();
	current_thread->auxspcb->frame = NULL;
	current_thread->id = PROCESS_ID;
	current_thread->clear_id = current_thread->robust_list = current_thread->rseq = 0;
}
