/* The process: the one program that the kernel runs. */
#ifndef PROCESS_PROCESS_H
#define PROCESS_PROCESS_H

#include <file/context.h>
#include <process/signal.h>
#include <process/thread.h>
#include <uapi/sched.h>
#include <uapi/system.h>

struct trap_frame;

#define PROCESS_ID 1

struct process {
	struct file_context files;
	struct sigaction actions[SIGNAL_COUNT]; /* of signal n at n - 1 */
	struct pending_signals pending;		/* for whichever thread takes them first */
	uint64_t cpu_time;			/* of all threads that ever ran, until the last charge */
	struct rlimit limits[RLIM_NLIMITS];
	int policy, nice;			/* sched_setscheduler(2), setpriority(2) */
	unsigned io_priority;			/* ioprio_set(2) */
	unsigned personality;			/* personality(2) */
	bool barriers_registered;		/* membarrier(2) */
	bool no_new_privileges;			/* prctl(PR_SET_NO_NEW_PRIVS) */
	bool has_no_huge_pages;			/* prctl(PR_SET_THP_DISABLE) */
	bool is_undumpable;			/* prctl(PR_SET_DUMPABLE), inverted */
	struct file *executable;
	const char *path;	     /* of the executable, as /proc/self/exe tells it */
	char name[TASK_NAME_LENGTH]; /* the first thread's */
	/* Strings on the program's stack: arguments, then the environment up to `strings_end`. */
	user_t arguments;
	user_t environment;
	user_t strings_end;
	user_t auxiliary, auxiliary_end; /* the auxiliary vector there */
};

extern struct process process;

/* The registers of the program in the system call that the running thread serves. */
static inline struct trap_frame *syscall_frame(void) { return current_thread->auxspcb->frame; }

/* End the program by itself (exit_group). */
noreturn void process_exit(int status);

/* End it by a signal: with `frame`, and a fault's `reason` and `address`, the report tells where.
 */
noreturn void process_kill(int signal, const struct trap_frame *frame, const char *reason,
			   user_t address);

#endif
