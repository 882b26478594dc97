/* Threads of the program: who runs, who waits for what.
 *
 * There is one CPU, and a thread runs until it waits, yields, or has had its time: then an interrupt
 * or the end of a system call lets the next one run. The kernel itself is not interrupted. A thread
 * that does not run is in exactly one list: of those that are ready, or of what it waits for.
 */
#ifndef PROCESS_THREAD_H
#define PROCESS_THREAD_H

#include <calypso/arch.h>
#include <calypso/auxsp.h>
#include <calypso/time.h>
#include <file/credentials.h>
#include <process/signal.h>
#include <process/timeout.h>
#include <uapi/system.h>

/* Threads in the order in which they came. */
struct thread_list {
	struct thread *first;
	struct thread *last;
};

struct thread {
	int id;
	char name[TASK_NAME_LENGTH]; /* prctl(PR_SET_NAME) */
	struct thread *sibling; /* the next of all threads */
	struct file_context *files;
	struct credentials credentials;
	struct task *task; /* of the host, whose calls it makes; NULL: a thread of the program */

	/* Signals */
	uint64_t blocked; /* bit n - 1 for signal n */
	struct pending_signals pending;
	struct sigaltstack signal_stack;
	uint64_t mask_before; /* of a call that waits with another mask */
	bool has_mask_before;
	uint64_t waits_for; /* blocked signals that end its waiting (sigtimedwait) */

	/* What its end tells to others */
	user_t clear_id;
	user_t robust_list;

	/* Of rseq(2); 0: none */
	user_t rseq;
	uint32_t rseq_signature;

	/* Of FUTEX_LOCK_PI, while it waits */
	user_t lock;
	int lock_owner;

	bool ending;  /* is to leave that call at once, and to end */

	uint64_t cpu_time; /* on the processor until the last thread_charge, in ns */

	/* While it does not run */
	struct thread_list *list;
	struct thread *previous, *next;
	struct timeout timeout; /* wakes it at the latest */
	int wake_reason;

	/* Its auxiliary stack, whose control block has what the processor holds of it */
	struct stack *stack;
	struct auxspcb *auxspcb;
};

/* The one that runs. */
extern struct thread *current_thread;

/* Name the running thread, cut to what fits. The first thread's name is the process's. */
void thread_set_name(const char *name);

/* Wait in a list to be woken: 0; -ETIMEDOUT at the deadline; -EINTR where a signal is to be
 * handled first, or the thread is to end. */
int thread_wait(struct thread_list *list, uint64_t deadline);

/* Make a waiting thread ready; `reason` is what its thread_wait returns. */
void thread_wake(struct thread *thread, int reason);

/* End its waiting where it waits and one of these signals is for it to take. */
void thread_interrupt(struct thread *thread, uint64_t signals);

/* Wait for the deadline alone: -ETIMEDOUT or -EINTR. */
int thread_sleep(uint64_t deadline);

/* Let those run that are ready. */
void thread_yield(void);

/* Before the return to the program, from a system call or from an interrupt: let timers expire, and
 * others run where the thread's time is over, or the interrupt has woken them: whether some have. */
void thread_check_time(void);
bool thread_interrupted(void);

/* How long a thread may run while others are ready, in ns. */
uint64_t thread_slice(void);

/* Charge the running thread, and the process, for the time since that was done last; now. */
uint64_t thread_charge(void);

/* Let the thread that the kernel has booted on be the program's first. */
void thread_adopt_boot(void);

/* A thread that returns to the program by `frame`, ready to run. NULL: no memory. */
struct thread *thread_create(const struct trap_frame *frame);

/* A thread of the kernel that makes calls for the host, by running `entry` once it is woken; until
 * then it waits in `list`. It blocks all signals. NULL: no memory. */
struct thread *thread_create_for(struct task *task, void (*entry)(void),
				 struct file_context *files, struct thread_list *list);

/* The end of the running thread; of the process, with `status`, where it is the program's last. */
noreturn void thread_exit(int status);

/* The end of all other threads of the program; the running one becomes the first (execve). */
void thread_end_others(void);

struct thread *thread_find(int id);

/* How many there are. */
unsigned thread_count(void);

/* Call `act` for each thread until it returns true: that thread, or NULL. */
struct thread *thread_first_with(bool (*test)(const struct thread *thread, uint64_t argument),
				 uint64_t argument);

#endif
