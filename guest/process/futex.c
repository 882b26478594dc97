/* Futexes: who waits for which word, and what the end of a thread tells of it. */
#include <calypso/errno.h>
#include <calypso/user.h>
#include <process/futex.h>
#include <process/scheduler.h>
#include <uapi/system.h>

#define BUCKETS 64

/* More locks than this no thread holds: the list is the program's, and may be a circle. */
#define ROBUST_MAX 2048

/* Those that wait, by the address of the word, in the order in which they came. */
static struct bucket {
	struct futex_waiter *first, *last;
} buckets[BUCKETS];

static struct bucket *bucket_of(user_t word)
{
	return &buckets[(word >> 2 ^ word >> 12) % BUCKETS];
}

int futex_read(user_t word, uint32_t *value)
{
	if (word % sizeof(*value) != 0)
		return -EINVAL;
	return user_get(value, word);
}

/* ---- Waiting ---- */

static void append(struct bucket *bucket, struct futex_waiter *waiter)
{
	waiter->previous = bucket->last;
	waiter->next = NULL;
	if (bucket->last != NULL)
		bucket->last->next = waiter;
	else
		bucket->first = waiter;
	bucket->last = waiter;
}

static void take_out(struct futex_waiter *waiter)
{
	struct bucket *bucket = bucket_of(waiter->word);
	if (waiter->previous != NULL)
		waiter->previous->next = waiter->next;
	else
		bucket->first = waiter->next;
	if (waiter->next != NULL)
		waiter->next->previous = waiter->previous;
	else
		bucket->last = waiter->previous;
}

void futex_add(struct futex_waiter *waiter)
{
	waiter->woken = false;
	append(bucket_of(waiter->word), waiter);
}

void futex_remove(struct futex_waiter *waiter)
{
	if (!waiter->woken)
		take_out(waiter);
}

/* ---- Waking ---- */

/* Its thread may be on its way already: for another word, a signal, or because time is up. */
static void wake(struct futex_waiter *waiter)
{
	take_out(waiter);
	waiter->woken = true;
	if (scheduler_waits(waiter->thread))
		thread_wake(waiter->thread, 0);
}

int64_t futex_wake(user_t word, int32_t count, uint32_t bits)
{
	int64_t woken = 0;
	struct futex_waiter *next;
	for (struct futex_waiter *waiter = bucket_of(word)->first; waiter != NULL; waiter = next) {
		next = waiter->next;
		if (waiter->word != word || (waiter->bits & bits) == 0)
			continue;
		wake(waiter);
		if (++woken >= count)
			break;
	}
	return woken;
}

int64_t futex_requeue(user_t word, int32_t wake_count, user_t to, int32_t move_count)
{
	int64_t done = 0;
	struct futex_waiter *next;
	for (struct futex_waiter *waiter = bucket_of(word)->first; waiter != NULL; waiter = next) {
		next = waiter->next;
		if (waiter->word != word)
			continue;
		if (done - wake_count >= move_count)
			break;
		if (++done <= wake_count) {
			wake(waiter);
		} else if (to != word) {
			take_out(waiter);
			waiter->word = to;
			append(bucket_of(to), waiter);
		}
	}
	return done;
}

/* ---- The end of a thread ---- */

struct robust_list_head {
	user_t first;	/* the entries' links; the last points back here */
	int64_t offset; /* from a link to its word */
	user_t pending; /* the entry of a lock that is being taken or released */
};

/* Links have this bit where the lock is one that is handed over. */
#define LINK_IS_HANDED_OVER 1ull

/* The owner of a lock is gone. */
static void release(user_t link, int64_t offset, int owner, bool is_pending)
{
	user_t word = (link & ~LINK_IS_HANDED_OVER) + (user_t)offset;
	bool handed_over = (link & LINK_IS_HANDED_OVER) != 0;
	uint32_t value;
	if (futex_read(word, &value) != 0)
		return;
	/* It was released, and those that wait have not been told. */
	if (is_pending && !handed_over && value == 0)
		futex_wake(word, 1, FUTEX_MATCH_ANY);
	if ((value & FUTEX_TID_MASK) != (uint32_t)owner)
		return;
	uint32_t released = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
	if (user_put(word, &released) == 0 && !handed_over && (value & FUTEX_WAITERS) != 0)
		futex_wake(word, 1, FUTEX_MATCH_ANY);
}

static void release_robust(const struct thread *thread)
{
	struct robust_list_head head;
	if (thread->robust_list == 0 || user_get(&head, thread->robust_list) != 0)
		return;
	user_t pending = head.pending & ~LINK_IS_HANDED_OVER, link = head.first;
	for (unsigned i = 0; i < ROBUST_MAX; i++) {
		user_t at = link & ~LINK_IS_HANDED_OVER, next;
		if (at == thread->robust_list)
			break;
		bool more = user_get(&next, at) == 0;
		if (at != pending)
			release(link, head.offset, thread->id, false);
		if (!more)
			return;
		link = next;
	}
	if (pending != 0)
		release(head.pending, head.offset, thread->id, true);
}

void futex_end_thread(struct thread *thread)
{
	const uint32_t nobody = 0;
	release_robust(thread);
	futex_end_owner(thread);
	if (thread->clear_id != 0 && user_put(thread->clear_id, &nobody) == 0)
		futex_wake(thread->clear_id, 1, FUTEX_MATCH_ANY);
}
