/* Futexes that are locks, and handed over by the kernel (FUTEX_LOCK_PI). */
#include <calypso/errno.h>
#include <calypso/user.h>
#include <process/futex.h>
#include <process/scheduler.h>
#include <uapi/system.h>

/* For all locks, in the order in which they came. */
static struct thread_list waiting;

static struct thread *next_for(struct thread *thread, user_t word)
{
	while (thread != NULL && thread->lock != word)
		thread = thread->next;
	return thread;
}

static struct thread *first_for(user_t word) { return next_for(waiting.first, word); }

/* Take a lock, or mark it as waited for: 0 or -EAGAIN, with who holds it, or another error. */
static int64_t take_or_mark(user_t word, int *owner)
{
	uint32_t value;
	int error = futex_read(word, &value);
	if (error != 0)
		return error;
	*owner = (int)(value & FUTEX_TID_MASK);
	if (*owner == current_thread->id)
		return -EDEADLK;
	const struct thread *first = first_for(word);
	if (first != NULL && first->lock_owner != *owner)
		return -EINVAL;
	value = *owner != 0 ? value | FUTEX_WAITERS
			    : (value & FUTEX_OWNER_DIED) | (uint32_t)current_thread->id;
	if (user_put(word, &value) != 0)
		return -EFAULT;
	if (*owner == 0)
		return 0;
	return thread_find(*owner) != NULL ? -EAGAIN : -ESRCH;
}

/* Whether the owner of a lock waits, over any number of others, for what the running thread holds. */
static bool waits_for_running(int owner)
{
	while (owner != current_thread->id) {
		const struct thread *thread = thread_find(owner);
		if (thread == NULL || thread->list != &waiting)
			return false;
		owner = thread->lock_owner;
	}
	return true;
}

int64_t futex_try_lock(user_t word)
{
	int owner;
	return take_or_mark(word, &owner);
}

int64_t futex_lock(user_t word, uint64_t deadline)
{
	int owner;
	int64_t result = take_or_mark(word, &owner);
	if (result != -EAGAIN)
		return result;
	if (waits_for_running(owner))
		return -EDEADLK;
	current_thread->lock = word;
	current_thread->lock_owner = owner;
	result = thread_wait(&waiting, deadline);
	return result == -EINTR ? -ERESTARTNOINTR : result;
}

/* Give the lock to the first that waits for it. */
static int64_t hand_over(struct thread *to, uint32_t flags)
{
	uint32_t value = flags | FUTEX_WAITERS | (uint32_t)to->id;
	int64_t result = user_put(to->lock, &value) != 0 ? -EFAULT : 0;
	struct thread *other = to;
	while ((other = next_for(other->next, to->lock)) != NULL)
		other->lock_owner = to->id;
	thread_wake(to, (int)result);
	return result;
}

int64_t futex_unlock(user_t word)
{
	const uint32_t nobody = 0;
	uint32_t value;
	if (user_get(&value, word) != 0)
		return -EFAULT;
	if ((value & FUTEX_TID_MASK) != (uint32_t)current_thread->id)
		return -EPERM;
	if (word % sizeof(value) != 0)
		return -EINVAL;
	struct thread *first = first_for(word);
	if (first != NULL)
		return hand_over(first, 0);
	return user_put(word, &nobody);
}

void futex_end_owner(const struct thread *thread)
{
	struct thread *next;
	for (struct thread *waiter = waiting.first; waiter != NULL; waiter = next) {
		next = waiter->next;
		if (waiter->lock_owner == thread->id)
			hand_over(waiter, FUTEX_OWNER_DIED);
	}
}
