/* Futexes: what threads of a program wait for by the content of a word. A word is known by its address:
 * there is one address space.
 */
#ifndef PROCESS_FUTEX_H
#define PROCESS_FUTEX_H

#include <process/thread.h>

#define FUTEX_MATCH_ANY UINT32_MAX

/* A thread that waits for a word; it may wait for several. `thread`, `word` and `bits` are set by it. */
struct futex_waiter {
	struct thread *thread;
	user_t word;
	uint32_t bits; /* those that wake it */
	bool woken;    /* it waits no longer, though the thread may not have run since */
	struct futex_waiter *previous, *next;
};

/* The content of a word: 0, -EINVAL where it is not aligned, or -EFAULT. */
int futex_read(user_t word, uint32_t *value);

/* Be woken from now on; and not any more, where that has not happened. */
void futex_add(struct futex_waiter *waiter);
void futex_remove(struct futex_waiter *waiter);

/* Wake up to `count`, and at least one, that wait for a word: how many. */
int64_t futex_wake(user_t word, int32_t count, uint32_t bits);

/* Wake some and let others wait for another word: how many both are. */
int64_t futex_requeue(user_t word, int32_t wake_count, user_t to, int32_t move_count);

/* Tell others that a thread ends: the words of its robust list, the locks that it holds, and the word
 * that clone named. */
void futex_end_thread(struct thread *thread);

/* ---- Locks that are handed over (FUTEX_LOCK_PI) ----
 *
 * The word holds the owner's number. All threads have one priority, so there is none to inherit; what is
 * left of it is that the kernel knows the owner, and gives the lock to who has waited longest. */

/* 0; -EAGAIN at once or -ETIMEDOUT at the deadline where somebody else holds it; -ERESTARTNOINTR for a
 * signal; -EDEADLK where the thread, or one that waits for it, does; -ESRCH where the owner is none;
 * -EINVAL where the word tells another owner than waiters know; -EFAULT. */
int64_t futex_try_lock(user_t word);
int64_t futex_lock(user_t word, uint64_t deadline);

/* 0; -EPERM where the thread does not hold it; -EINVAL, -EFAULT. */
int64_t futex_unlock(user_t word);

/* Hand over all locks of a thread that ends. */
void futex_end_owner(const struct thread *thread);

#endif
