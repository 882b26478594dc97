/* futex(2) and futex_waitv(2). */
#include <calypso/lib.h>
#include <calypso/time.h>
#include <process/calls/wait.h>
#include <process/futex.h>
#include <process/syscall.h>

/* ---- Waiting ---- */

static int64_t wait(user_t word, uint32_t expected, uint64_t deadline, uint32_t bits)
{
	struct futex_waiter waiter = {.thread = current_thread, .word = word, .bits = bits};
	uint32_t value;
	if (bits == 0)
		return -EINVAL;
	int error = futex_read(word, &value);
	if (error != 0)
		return error;
	if (value != expected)
		return -EAGAIN;
	futex_add(&waiter);
	int result = thread_sleep(deadline);
	futex_remove(&waiter);
	if (waiter.woken)
		return 0;
	if (result != -EINTR)
		return result;
	/* What is made again would wait for the whole time again. */
	return deadline == TIME_FOREVER ? -ERESTARTSYS : -ERESTARTNOHAND;
}

/* The deadline that a time of the program is. */
static int read_time(user_t address, bool realtime, uint64_t *deadline)
{
	struct timespec time;
	uint64_t until;
	*deadline = TIME_FOREVER;
	if (address == 0)
		return 0;
	if (user_get(&time, address) != 0)
		return -EFAULT;
	int error = wait_duration(&time, &until);
	if (error != 0)
		return error;
	uint64_t offset = realtime ? time_realtime() - time_monotonic() : 0;
	*deadline = until > offset ? until - offset : 0;
	return 0;
}

/* ---- Waking ---- */

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

static int64_t wake_and_change(user_t word, int32_t count, user_t second, int32_t second_count,
			       uint32_t code)
{
	const uint32_t is_shift = 8u << 28;
	uint32_t operand = (uint32_t)sign_extended(code >> 12), value;
	if ((code & is_shift) != 0)
		operand = 1u << (operand & 31);
	int error = futex_read(second, &value);
	if (error != 0)
		return error;
	uint32_t changed = change(value, code, operand);
	if (user_put(second, &changed) != 0)
		return -EFAULT;
	int64_t woken = futex_wake(word, count, FUTEX_MATCH_ANY);
	if (compare((int32_t)value, code, sign_extended(code)))
		woken += futex_wake(second, second_count, FUTEX_MATCH_ANY);
	return woken;
}

static int64_t requeue(user_t word, int32_t wake_count, user_t to, int32_t move_count)
{
	if (wake_count < 0 || move_count < 0 || (word | to) % sizeof(uint32_t) != 0)
		return -EINVAL;
	return futex_requeue(word, wake_count, to, move_count);
}

static int64_t compare_and_requeue(user_t word, int32_t wake_count, user_t to, int32_t move_count,
				   uint32_t expected)
{
	uint32_t value;
	int error = futex_read(word, &value);
	if (error != 0)
		return error;
	return value != expected ? -EAGAIN : requeue(word, wake_count, to, move_count);
}

/* ---- futex(2) ---- */

/* FUTEX_WAIT has a duration; FUTEX_LOCK_PI a time of the day, whatever it asks for. */
static int read_deadline(user_t timeout, unsigned operation, bool realtime, uint64_t *deadline)
{
	if (operation == FUTEX_WAIT)
		return wait_deadline(timeout, deadline);
	return read_time(timeout, realtime || operation == FUTEX_LOCK_PI, deadline);
}

static bool has_clock(unsigned operation)
{
	return operation == FUTEX_WAIT_BITSET || operation == FUTEX_LOCK_PI2;
}

static int64_t wait_or_lock(user_t word, unsigned operation, uint32_t value, uint64_t deadline,
			    uint32_t bits)
{
	if (operation == FUTEX_LOCK_PI || operation == FUTEX_LOCK_PI2)
		return futex_lock(word, deadline);
	return wait(word, value, deadline, operation == FUTEX_WAIT ? FUTEX_MATCH_ANY : bits);
}

SYSCALL6(futex, user_t, word, uint32_t, operation, uint32_t, value, user_t, timeout, user_t, second,
	 uint32_t, value3)
{
	int32_t count = (int32_t)value, count2 = (int32_t)timeout; /* of operations that do not wait */
	bool realtime = (operation & FUTEX_CLOCK_REALTIME) != 0;
	uint64_t deadline;
	int error;
	operation &= ~(uint32_t)(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
	if (realtime && !has_clock(operation))
		return -ENOSYS;
	switch (operation) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		error = read_deadline(timeout, operation, realtime, &deadline);
		if (error != 0)
			return error;
		return wait_or_lock(word, operation, value, deadline, value3);
	case FUTEX_WAKE:
		value3 = FUTEX_MATCH_ANY;
		__attribute__((fallthrough));
	case FUTEX_WAKE_BITSET:
		if (value3 == 0 || word % sizeof(value) != 0)
			return -EINVAL;
		return futex_wake(word, count, value3);
	case FUTEX_REQUEUE:
		return requeue(word, count, second, count2);
	case FUTEX_CMP_REQUEUE:
		return compare_and_requeue(word, count, second, count2, value3);
	case FUTEX_WAKE_OP:
		return wake_and_change(word, count, second, count2, value3);
	case FUTEX_TRYLOCK_PI:
		return futex_try_lock(word);
	case FUTEX_UNLOCK_PI:
		return futex_unlock(word);
	default:
		return -ENOSYS;
	}
}

/* ---- futex_waitv(2) ---- */

struct wait_for {
	struct futex_waiter waiter;
	uint32_t expected;
};

static int read_vector(user_t vector, unsigned count, struct wait_for *words)
{
	for (unsigned i = 0; i < count; i++) {
		struct futex_waitv given;
		if (user_get(&given, vector + i * sizeof(given)) != 0)
			return -EFAULT;
		if ((given.flags & ~FUTEX_PRIVATE_FLAG) != FUTEX2_SIZE_U32 || given.reserved != 0 ||
		    given.value > UINT32_MAX)
			return -EINVAL;
		words[i] = (struct wait_for){
			.waiter.thread = current_thread,
			.waiter.word = given.word,
			.waiter.bits = FUTEX_MATCH_ANY,
			.expected = (uint32_t)given.value,
		};
	}
	return 0;
}

/* Wait for no word any longer: the last that has been woken, or -1. */
static int remove_all(struct wait_for *words, unsigned count)
{
	int woken = -1;
	for (unsigned i = 0; i < count; i++) {
		futex_remove(&words[i].waiter);
		if (words[i].waiter.woken)
			woken = (int)i;
	}
	return woken;
}

/* Wait for all words: 0, or why that is not possible, with the number of those that are waited for. */
static int add_all(struct wait_for *words, unsigned count, unsigned *added)
{
	for (*added = 0; *added < count; ++*added) {
		struct wait_for *one = &words[*added];
		uint32_t value;
		int error = futex_read(one->waiter.word, &value);
		if (error != 0)
			return error;
		if (value != one->expected)
			return -EAGAIN;
		futex_add(&one->waiter);
	}
	return 0;
}

static int64_t wait_for_any(struct wait_for *words, unsigned count, uint64_t deadline)
{
	unsigned added;
	int error = add_all(words, count, &added);
	/* Reading a word may have let others run. */
	bool woken = false;
	for (unsigned i = 0; i < added; i++)
		woken |= words[i].waiter.woken;
	if (error == 0 && !woken)
		error = thread_sleep(deadline);
	int index = remove_all(words, added);
	if (index >= 0)
		return index;
	return error == -EINTR ? -ERESTARTSYS : error;
}

SYSCALL5(futex_waitv, user_t, vector, uint32_t, count, uint32_t, flags, user_t, timeout, int, clock)
{
	uint64_t deadline = TIME_FOREVER;
	if (flags != 0 || count == 0 || count > FUTEX_WAITV_MAX || vector == 0)
		return -EINVAL;
	if (timeout != 0 && clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)
		return -EINVAL;
	int64_t result = read_time(timeout, clock == CLOCK_REALTIME, &deadline);
	if (result != 0)
		return result;
	struct wait_for *words = kmalloc(count * sizeof(*words));
	if (words == NULL)
		return -ENOMEM;
	result = read_vector(vector, count, words);
	if (result == 0)
		result = wait_for_any(words, count, deadline);
	kfree(words);
	return result;
}
