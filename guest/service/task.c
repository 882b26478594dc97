/* Tasks: threads of the kernel that make the host's calls, exactly as a program's threads make
 * theirs. One makes one call at a time; what the host asks of different tasks is independent. */
#include <arch/uapi.h>
#include <calypso/arch.h>
#include <calypso/boot.h>
#include <calypso/errno.h>
#include <calypso/host.h>
#include <calypso/lib.h>
#include <calypso/log.h>
#include <process/syscall.h>
#include <service/ring.h>
#include <service/service.h>

#define STANDARD_DESCRIPTORS 3

/* NUMBER_read and so on. */
#define SYSCALL(name, x86_64, arm64, arguments) NUMBER_##name = ARCH_SYSCALL(x86_64, arm64),
#define MISSING(name, x86_64, arm64)
#define LEGACY_SYSCALL(name, x86_64, arguments)
#define LEGACY_MISSING(name, x86_64)
enum {
#include <process/syscalls.def>
};

/* What tasks may share: descriptors, working directory, umask. */
struct task_files {
	struct file_context context;
	unsigned users;
};

struct task {
	struct task *next;
	uint32_t id;
	bool busy; /* with `request` */
	struct calypso_submission request;
	struct task_files *files;
	struct thread *thread;
};

static struct task *tasks;
static uint32_t last_id;
static struct thread_list idle;

/* Standard input, output and error as the machine started with them. */
static struct open_file *standard[STANDARD_DESCRIPTORS];

static noreturn void run(void);

/* ---- Beginning and end ---- */

static void put_files(struct task_files *files)
{
	if (--files->users > 0)
		return;
	descriptors_close_all(&files->context.descriptors);
	file_put(files->context.root);
	file_put(files->context.working);
	kfree(files);
}

static struct task_files *make_files(void)
{
	struct task_files *files = kcalloc(1, sizeof(*files));
	if (files == NULL)
		return NULL;
	files->users = 1;
	files->context.umask = process.files.umask;
	descriptors_initialize(&files->context.descriptors, process.limits[RLIMIT_NOFILE].rlim_cur);
	for (int number = 0; number < STANDARD_DESCRIPTORS; number++)
		descriptor_add(&files->context.descriptors, open_file_get(standard[number]), number,
			       false);
	return files;
}

/* A task that shares the files of another, or with NULL has its own. NULL: no memory. */
static struct task *make(struct task_files *shared)
{
	struct task *task = kcalloc(1, sizeof(*task));
	if (task == NULL)
		return NULL;
	task->files = shared == NULL ? make_files() : shared;
	if (task->files != NULL)
		task->thread = thread_create_for(task, run, &task->files->context, &idle);
	if (task->thread == NULL) {
		if (shared == NULL && task->files != NULL)
			put_files(task->files);
		kfree(task);
		return NULL;
	}
	if (shared != NULL)
		shared->users++;
	task->id = ++last_id;
	task->next = tasks;
	tasks = task;
	return task;
}

static struct task *find(uint32_t id)
{
	struct task *task = tasks;
	while (task != NULL && task->id != id)
		task = task->next;
	return task;
}

static noreturn void end(struct task *task)
{
	struct task **link = &tasks;
	while (*link != task)
		link = &(*link)->next;
	*link = task->next;
	put_files(task->files);
	ring_complete(task->request.tag, 0);
	current_thread->files = &process.files;
	kfree(task);
	thread_exit(0);
}

/* ---- What a task does ---- */

/* Calls that change the registers of the program that makes them, or end its thread. */
static bool is_for_programs(uint64_t number)
{
	switch (number) {
	case NUMBER_clone:
	case NUMBER_execve:
	case NUMBER_exit:
	case NUMBER_rt_sigreturn:
		return true;
	default:
		return false;
	}
}

static int64_t call(struct task *task)
{
	const struct calypso_submission *request = &task->request;
	struct thread *thread = current_thread;
	if (is_for_programs(request->number))
		return -ENOSYS;
	struct trap_frame *frame = &thread->auxspcb->execenv.regs; /* of no program: all zeros */
	int64_t result = syscall_make(frame, request->number, request->arguments);
	/* No signal is ever handled here, whatever the call has done to the masks. */
	thread->blocked = ~0ull;
	thread->has_mask_before = false;
	return signal_is_restart(result) ? -EINTR : result;
}

static int64_t make_another(const struct task *task)
{
	bool shares = (task->request.flags & CALYPSO_TASK_SHARES_FILES) != 0;
	struct task *made = make(shares ? task->files : NULL);
	return made == NULL ? -ENOMEM : (int64_t)made->id;
}

static void serve(struct task *task)
{
	if (task->request.operation == CALYPSO_TASK_END)
		end(task);
	bool is_call = task->request.operation == CALYPSO_CALL;
	int64_t result = is_call ? call(task) : make_another(task);
	task->busy = false;
	ring_complete(task->request.tag, result);
	service_look();
}

static noreturn void run(void)
{
	struct task *task = current_thread->task;
	for (;;) {
		while (task->busy)
			serve(task);
		thread_wait(&idle, TIME_FOREVER);
	}
}

/* ---- What the host asks ---- */

static int check(const struct calypso_submission *request, const struct task *task)
{
	switch (request->operation) {
	case CALYPSO_CALL:
		if (request->flags != 0)
			return -EINVAL;
		break;
	case CALYPSO_TASK_NEW:
		if ((request->flags & ~(uint32_t)CALYPSO_TASK_SHARES_FILES) != 0)
			return -EINVAL;
		break;
	case CALYPSO_TASK_END:
		if (request->flags != 0 || request->task == CALYPSO_FIRST_TASK)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	if (task == NULL)
		return -ESRCH;
	return task->busy ? -EBUSY : 0;
}

/* Whether a task became ready by this. */
static bool dispatch(const struct calypso_submission *request)
{
	struct task *task = find(request->task);
	int error = check(request, task);
	if (error != 0) {
		ring_complete(request->tag, error);
		return false;
	}
	task->request = *request;
	task->busy = true;
	/* One that has just completed a call looks by itself, before it waits. */
	if (task->thread->list != &idle)
		return false;
	thread_wake(task->thread, 0);
	return true;
}

bool service_look(void)
{
	struct calypso_submission request;
	bool woken = false;
	while (ring_take(&request))
		woken |= dispatch(&request);
	return woken;
}

bool service_is_called(void) { return ring_is_waiting(); }

void service_announce(void)
{
	uint64_t arguments[6] = {0};
	if (ring_has_news())
		host_request(CALYPSO_COMPLETED, arguments);
}

/* ---- Boot ---- */

void service_initialize(void)
{
	if (!ring_attach())
		return;
	for (int number = 0; number < STANDARD_DESCRIPTORS; number++)
		standard[number] =
			open_file_get(descriptor_find(&process.files.descriptors, number));
	if (ring_map_window() != 0 || make(NULL) == NULL) {
		log_warning("no memory for service calls");
		return;
	}
	ring_open(CALYPSO_RING_CALLS | CALYPSO_RING_TASKS);
}

bool service_is_ready(void) { return ring_is_open(); }

void service_map_window(void)
{
	if (ring_is_open() && ring_map_window() != 0)
		log_warning("no memory for the window of service calls");
}

void service_run_alone(void)
{
	struct thread_list nobody = {0};
	struct siginfo info;
	paging_activate();
	space_set_break(USER_START);
	for (;;) {
		if (thread_wait(&nobody, TIME_FOREVER) == -EINTR)
			signal_take(~0ull, &info);
	}
}
