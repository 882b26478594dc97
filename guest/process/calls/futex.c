/* futex(2). A word is known by its address: there is one address space. */
#include <calypso/time.h>
#include <process/calls/wait.h>
#include <process/futex.h>
#include <process/syscall.h>

#define BUCKETS 64
#define MATCH_ANY UINT32_MAX

/* More locks than this no thread holds: the list is the program's, and may be a circle. */
#define ROBUST_MAX 2048

/* Waiting threads, by the address of the word. */
static struct thread_list buckets[BUCKETS];

static struct thread_list *bucket_of(user_t word)
{
	return &buckets[(word >> 2 ^ word >> 12) % BUCKETS];
}

static int read_word(user_t word, uint32_t *value)
{
	if (word % sizeof(*value) != 0)
		return -EINVAL;
	return user_get(value, word);
}

/* ---- Waiting ---- */

static int64_t wait(user_t word, uint32_t expected, uint64_t deadline, uint32_t bits)
{
	struct thread *thread = current_thread;
	uint32_t value;
	if (bits == 0)
		return -EINVAL;
	int error = read_word(word, &value);
	if (error != 0)
		return error;
	if (value != expected)
		return -EAGAIN;
	thread->futex = word;
	thread->futex_bits = bits;
	int result = thread_wait(bucket_of(word), deadline);
	if (result != -EINTR)
		return result;
	/* What is made again would wait for the whole time again. */
	return deadline == TIME_FOREVER ? -ERESTARTSYS : -ERESTARTNOHAND;
}

/* FUTEX_WAIT has a duration, FUTEX_WAIT_BITSET a time. */
static int read_deadline(user_t timeout, unsigned operation, bool realtime, uint64_t *deadline)
{
	struct timespec time;
	uint64_t until;
	if (operation == FUTEX_WAIT || timeout == 0)
		return wait_deadline(timeout, deadline);
	if (user_get(&time, timeout) != 0)
		return -EFAULT;
	int error = wait_duration(&time, &until);
	if (error != 0)
		return error;
	uint64_t offset = realtime ? time_realtime() - time_monotonic() : 0;
	*deadline = until > offset ? until - offset : 0;
	return 0;
}

/* ---- Waking ---- */

/* Wake up to `count` that wait for a word: how many. */
static int64_t wake(user_t word, uint32_t count, uint32_t bits)
{
	int64_t woken = 0;
	struct thread *next;
	for (struct thread *thread = bucket_of(word)->first; thread != NULL; thread = next) {
		next = thread->next;
		if (thread->futex != word || (thread->futex_bits & bits) == 0)
			continue;
		if ((uint64_t)woken >= count)
			break;
		thread_wake(thread, 0);
		woken++;
	}
	return woken;
}

/* Wake some and let others wait for another word: how many both are. */
static int64_t requeue(user_t word, uint32_t wake_count, user_t to, uint32_t move_count)
{
	int64_t done = wake(word, wake_count, MATCH_ANY);
	struct thread *next;
	for (struct thread *thread = bucket_of(word)->first; thread != NULL; thread = next) {
		next = thread->next;
		if (thread->futex != word || word == to)
			continue;
		if (move_count-- == 0)
			break;
		thread->futex = to;
		thread_move(thread, bucket_of(to));
		done++;
	}
	return done;
}

/* The operation on the second word of FUTEX_WAKE_OP. */
static uint32_t change(uint32_t value, uint32_t code, uint32_t operand)
{
	switch (code >> 28 & 7) {
	case 0:
		return operand;
	case 1:
		return value + operand;
	case 2:
		return value | operand;
	case 3:
		return value & ~operand;
	default:
		return value ^ operand;
	}
}

static bool compare(int32_t value, uint32_t code, int32_t operand)
{
	switch (code >> 24 & 15) {
	case 0:
		return value == operand;
	case 1:
		return value != operand;
	case 2:
		return value < operand;
	case 3:
		return value <= operand;
	case 4:
		return value > operand;
	default:
		return value >= operand;
	}
}

static int32_t sign_extended(uint32_t value) { return (int32_t)(value << 20) >> 20; }

static int64_t wake_and_change(user_t word, uint32_t count, user_t second, uint32_t second_count,
			       uint32_t code)
{
	const uint32_t is_shift = 8u << 28;
	uint32_t operand = (uint32_t)sign_extended(code >> 12), value;
	if ((code & is_shift) != 0)
		operand = 1u << (operand & 31);
	int error = read_word(second, &value);
	if (error != 0)
		return error;
	uint32_t changed = change(value, code, operand);
	if (user_put(second, &changed) != 0)
		return -EFAULT;
	int64_t woken = wake(word, count, MATCH_ANY);
	if (compare((int32_t)value, code, sign_extended(code)))
		woken += wake(second, second_count, MATCH_ANY);
	return woken;
}

static int64_t compare_and_requeue(user_t word, uint32_t wake_count, user_t to, uint32_t move_count,
				   uint32_t expected)
{
	uint32_t value;
	int error = read_word(word, &value);
	if (error != 0)
		return error;
	return value != expected ? -EAGAIN : requeue(word, wake_count, to, move_count);
}

SYSCALL6(futex, user_t, word, uint32_t, operation, uint32_t, value, user_t, timeout, user_t, second,
	 uint32_t, value3)
{
	uint32_t count2 = (uint32_t)timeout; /* of operations that do not wait */
	bool realtime = (operation & FUTEX_CLOCK_REALTIME) != 0;
	uint64_t deadline;
	int error;
	operation &= ~(uint32_t)(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
	switch (operation) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		error = read_deadline(timeout, operation, realtime, &deadline);
		if (error != 0)
			return error;
		return wait(word, value, deadline, operation == FUTEX_WAIT ? MATCH_ANY : value3);
	case FUTEX_WAKE:
		return word % sizeof(value) != 0 ? -EINVAL : wake(word, value, MATCH_ANY);
	case FUTEX_WAKE_BITSET:
		return value3 == 0 ? -EINVAL : wake(word, value, value3);
	case FUTEX_REQUEUE:
		return requeue(word, value, second, count2);
	case FUTEX_CMP_REQUEUE:
		return compare_and_requeue(word, value, second, count2, value3);
	case FUTEX_WAKE_OP:
		return wake_and_change(word, value, second, count2, value3);
	default:
		return -ENOSYS;
	}
}

/* ---- The end of a thread ---- */

struct robust_list_head {
	user_t first;	/* the entries' links; the last points back here */
	int64_t offset; /* from a link to its word */
	user_t pending;
};

/* The owner of a lock is gone. */
static void release(user_t word, int owner)
{
	uint32_t value;
	if (read_word(word, &value) != 0 || (value & FUTEX_TID_MASK) != (uint32_t)owner)
		return;
	uint32_t released = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
	if (user_put(word, &released) == 0 && (value & FUTEX_WAITERS) != 0)
		wake(word, 1, MATCH_ANY);
}

static void release_robust(const struct thread *thread)
{
	const user_t is_priority_inheriting = 1;
	struct robust_list_head head;
	if (thread->robust_list == 0 || user_get(&head, thread->robust_list) != 0)
		return;
	user_t link = head.first & ~is_priority_inheriting;
	for (unsigned i = 0; link != thread->robust_list && i < ROBUST_MAX; i++) {
		user_t next;
		bool more = user_get(&next, link) == 0;
		if (link != head.pending)
			release(link + (user_t)head.offset, thread->id);
		if (!more)
			return;
		link = next & ~is_priority_inheriting;
	}
	if (head.pending != 0)
		release(head.pending + (user_t)head.offset, thread->id);
}

void futex_end_thread(struct thread *thread)
{
	const uint32_t nobody = 0;
	release_robust(thread);
	if (thread->clear_id != 0 && user_put(thread->clear_id, &nobody) == 0)
		wake(thread->clear_id, 1, MATCH_ANY);
}
