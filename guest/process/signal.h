/* Signals: sending, and what comes of it.
 *
 * A signal whose action is to end the program does so when it is sent, unless all threads block it.
 * Others are pending until a thread that does not block them is about to return to the program.
 */
#ifndef PROCESS_SIGNAL_H
#define PROCESS_SIGNAL_H

#include <file/poll.h>
#include <uapi/signal.h>

struct thread;
struct trap_frame;

/* Signals that were sent and not taken yet. */
struct pending_signals {
	uint64_t set; /* bit n - 1 for signal n */
	struct signal_item *items;
};

#define SIGNAL_BIT(signal) (1ull << ((signal) - 1))

/* Those that cannot be caught, blocked or ignored. */
#define SIGNALS_UNSTOPPABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))

/* A signal for the process, from the terminal or the kernel. */
void signal_send(int signal);

/* A signal that the running thread's own call brings about, such as SIGPIPE. */
void signal_send_self(int signal);

/* A signal for one thread, or with NULL for the process. 0, or -EAGAIN: too many are pending. */
int signal_send_info(struct thread *thread, const struct siginfo *info);

/* The pending signal of timer `id` (timer_create) for a thread, or with NULL for the process; NULL
 * where there is none. It may be changed. */
struct siginfo *signal_of_timer(struct thread *thread, int id);

/* A signal that an instruction of the running thread is the reason of: its handler is what goes on,
 * and where it has none, or must not run now, the program ends with a report of `reason`. */
void signal_fault(struct trap_frame *frame, const struct siginfo *info, const char *reason,
		  user_t address);

/* Told POLLIN of each signal that becomes pending. */
extern struct poll_state signal_arrivals;

/* Whether the running thread could take one of these signals. */
bool signal_is_pending(uint64_t set);

/* Whether the thread has something to handle. */
bool signal_is_ready(const struct thread *thread);

/* Before the running thread returns to the program: let all handlers run that are to.
 * `restartable`: the frame's result is one of those below. */
void signal_deliver(struct trap_frame *frame, bool restartable);

/* Results of calls that a signal has interrupted, which programs never see. Where no handler runs,
 * the call is made again; where one does, programs see -EINTR, except of ERESTARTSYS with
 * SA_RESTART, and of ERESTARTNOINTR. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514

static inline bool signal_is_restart(int64_t result)
{
	return result == -ERESTARTSYS || result == -ERESTARTNOINTR || result == -ERESTARTNOHAND;
}

/* The action of a signal is another one: what is ignored does not stay pending. */
void signal_action_changed(int signal);

/* Take one pending signal of a set: its number and `info`, or 0. */
int signal_take(uint64_t set, struct siginfo *info);

/* Change the running thread's mask, for good or until the call has ended. */
void signal_set_mask(uint64_t mask);
void signal_set_mask_for_call(uint64_t mask);

void signals_forget(struct pending_signals *pending);

/* Whether the running thread is on its alternate stack, at this stack pointer. */
bool signal_stack_holds(user_t sp);

/* "SIGSEGV"; "signal 40" has no name of its own: NULL. */
const char *signal_name(int signal);

#endif
