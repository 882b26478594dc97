/* futex(2) itself: what each operation wakes, moves, changes and refuses. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint32_t first, second;
static int waiting;

static long futex(void *word, int operation, uint32_t value, const void *timeout, void *other,
		  uint32_t value3)
{
	long result = syscall(SYS_futex, word, operation, value, timeout, other, value3);
	return result < 0 ? -errno : result;
}

#define SHOW(what) printf("%s: %ld\n", #what, (long)(what))
#define COUNT(number) ((void *)(intptr_t)(number))

struct waiter {
	pthread_t thread;
	uint32_t bits;
	long result;
};

static void *wait_for_first(void *argument)
{
	struct waiter *waiter = argument;
	__atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
	waiter->result = futex(&first, FUTEX_WAIT_BITSET, 0, NULL, NULL, waiter->bits);
	return NULL;
}

/* Let threads wait; none of them is woken by the time that this returns. */
static void start(struct waiter *waiters, int count)
{
	waiting = 0;
	for (int i = 0; i < count; i++)
		pthread_create(&waiters[i].thread, NULL, wait_for_first, &waiters[i]);
	while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < count)
		usleep(1000);
	usleep(20000);
}

static void finish(struct waiter *waiters, int count)
{
	for (int i = 0; i < count; i++) {
		pthread_join(waiters[i].thread, NULL);
		printf("waiter %d: %ld\n", i, waiters[i].result);
	}
}

static void refusals(void)
{
	struct timespec negative = {-1, 0}, odd = {0, 1000000000};
	SHOW(futex(&first, FUTEX_WAIT, 1, NULL, NULL, 0));
	SHOW(futex((char *)&first + 1, FUTEX_WAIT, 0, NULL, NULL, 0));
	SHOW(futex((char *)&first + 2, FUTEX_WAKE, 1, NULL, NULL, 0));
	SHOW(futex((void *)8, FUTEX_WAIT, 0, NULL, NULL, 0));
	SHOW(futex(&first, FUTEX_WAIT, 0, &negative, NULL, 0));
	SHOW(futex(&first, FUTEX_WAIT, 0, &odd, NULL, 0));
	SHOW(futex(&first, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0));
	SHOW(futex(&first, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
	SHOW(futex(&first, FUTEX_CMP_REQUEUE, 1, COUNT(1), &second, 5));
	SHOW(futex(&first, FUTEX_WAKE, INT_MAX, NULL, NULL, 0));
	SHOW(futex(&first, 77, 0, NULL, NULL, 0));
	SHOW(futex(&first, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0));
	SHOW(futex(&first, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0));
	SHOW(futex(&first, FUTEX_REQUEUE, -1, COUNT(1), &second, 0));
	SHOW(futex(&first, FUTEX_REQUEUE, 1, COUNT(-1), &second, 0));
}

static long milliseconds_since(const struct timespec *start, int clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static void timeouts(void)
{
	static const struct {
		int clock, flag;
	} kinds[] = {{CLOCK_MONOTONIC, 0}, {CLOCK_REALTIME, FUTEX_CLOCK_REALTIME}};
	struct timespec start, time = {0, 15000000};
	clock_gettime(CLOCK_MONOTONIC, &start);
	SHOW(futex(&first, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &time, NULL, 0));
	SHOW(milliseconds_since(&start, CLOCK_MONOTONIC) >= 15);
	for (int i = 0; i < 2; i++) {
		clock_gettime(kinds[i].clock, &start);
		time = start;
		time.tv_nsec += 15000000;
		if (time.tv_nsec >= 1000000000) {
			time.tv_sec++;
			time.tv_nsec -= 1000000000;
		}
		SHOW(futex(&first, FUTEX_WAIT_BITSET | kinds[i].flag, 0, &time, NULL, ~0u));
		SHOW(milliseconds_since(&start, kinds[i].clock) >= 15);
	}
	SHOW(futex(&first, FUTEX_WAIT_BITSET, 0, &(struct timespec){1, 0}, NULL, ~0u));
}

static void bits(void)
{
	struct waiter waiters[] = {{.bits = 1}, {.bits = 2}, {.bits = 6}, {.bits = 8}};
	start(waiters, 4);
	SHOW(futex(&first, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, 0x70));
	SHOW(futex(&first, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, 2));
	SHOW(futex(&first, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, 2));
	/* None is one. */
	SHOW(futex(&first, FUTEX_WAKE, 0, NULL, NULL, 0));
	SHOW(futex(&first, FUTEX_WAKE, INT_MAX, NULL, NULL, 0));
	finish(waiters, 4);
}

static void requeues(void)
{
	struct waiter waiters[5] = {{.bits = 1}, {.bits = 1}, {.bits = 1}, {.bits = 1}, {.bits = 1}};
	start(waiters, 5);
	SHOW(futex(&first, FUTEX_CMP_REQUEUE, 1, COUNT(2), &second, 0));
	SHOW(futex(&second, FUTEX_WAKE, 1, NULL, NULL, 0));
	SHOW(futex(&second, FUTEX_WAKE, INT_MAX, NULL, NULL, 0));
	SHOW(futex(&first, FUTEX_REQUEUE, 0, COUNT(1), &first, 0));
	SHOW(futex(&first, FUTEX_REQUEUE, 0, COUNT(INT_MAX), &second, 0));
	SHOW(futex(&first, FUTEX_WAKE, INT_MAX, NULL, NULL, 0));
	SHOW(futex(&second, FUTEX_WAKE, INT_MAX, NULL, NULL, 0));
	finish(waiters, 5);
	SHOW(futex(&first, FUTEX_REQUEUE, -1, COUNT(1), &second, 0));
	SHOW(futex(&first, FUTEX_REQUEUE, 1, COUNT(-1), &second, 0));
	SHOW(futex((char *)&first + 1, FUTEX_REQUEUE, 1, COUNT(1), &second, 0));
	SHOW(futex(&first, FUTEX_REQUEUE, 1, COUNT(1), (char *)&second + 2, 0));
}

/* The second word is changed; whether its waiters are woken depends on what it was. */
static void changes(void)
{
	struct waiter waiter = {.bits = ~0u};
	second = 10;
	SHOW(futex(&second, FUTEX_WAKE_OP, 1, COUNT(1), &second, FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 10)));
	SHOW(second);
	SHOW(futex(&second, FUTEX_WAKE_OP, 1, COUNT(1), &second, FUTEX_OP(FUTEX_OP_ANDN, 1, FUTEX_OP_CMP_LT, 0)));
	SHOW(second);
	SHOW(futex(&second, FUTEX_WAKE_OP, 1, COUNT(1), &second,
		   FUTEX_OP(FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 8, FUTEX_OP_CMP_NE, 0)));
	SHOW(second);
	SHOW(futex(&second, FUTEX_WAKE_OP, 1, COUNT(1), &second, FUTEX_OP(FUTEX_OP_XOR, 0xff, FUTEX_OP_CMP_GE, 0)));
	SHOW(second);
	start(&waiter, 1);
	/* `first` stays 0, for those that wait for it. */
	SHOW(futex(&second, FUTEX_WAKE_OP, 1, COUNT(1), &first, FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_GT, 0)));
	SHOW(futex(&second, FUTEX_WAKE_OP, 1, COUNT(1), &first, FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_LE, 0)));
	finish(&waiter, 1);
	second = 0;
}

/* ---- Robust lists, as the kernel reads them ---- */

struct lock {
	struct lock *next;
	uint32_t word;
};

static struct {
	struct lock *first;
	long offset;
	struct lock *pending;
} head;

static struct lock locks[4];

/* A lock that was released, when the end came before those that wait were told. */
static void *leave_released(void *argument)
{
	locks[0] = (struct lock){NULL, 0};
	head.offset = offsetof(struct lock, word);
	head.first = (struct lock *)&head;
	head.pending = &locks[0];
	syscall(SYS_set_robust_list, &head, sizeof(head));
	return argument;
}

static void *leave_locked(void *argument)
{
	uint32_t id = (uint32_t)syscall(SYS_gettid);
	head.offset = offsetof(struct lock, word);
	head.first = &locks[0];
	locks[0] = (struct lock){&locks[1], id};
	locks[1] = (struct lock){(struct lock *)&head, id | FUTEX_WAITERS};
	locks[2] = (struct lock){NULL, id};	/* being taken */
	locks[3] = (struct lock){NULL, id};	/* in no list */
	head.pending = &locks[2];
	SHOW(syscall(SYS_set_robust_list, &head, 8) == -1 ? -errno : 0);
	SHOW(syscall(SYS_set_robust_list, &head, sizeof(head)));
	return argument;
}

static void robust(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, leave_locked, NULL);
	pthread_join(thread, NULL);
	for (int i = 0; i < 4; i++)
		printf("lock %d:%s%s%s\n", i, locks[i].word & FUTEX_OWNER_DIED ? " died" : "",
		       locks[i].word & FUTEX_WAITERS ? " waiters" : "",
		       locks[i].word & FUTEX_TID_MASK ? " owned" : "");
}

static void *wait_for_lock(void *argument)
{
	struct timespec time = {5, 0};
	waiting = 1;
	long result = futex(&locks[0].word, FUTEX_WAIT, 0, &time, NULL, 0);
	printf("waiter: %ld\n", result);
	return argument;
}

static void released(void)
{
	pthread_t waiter, thread;
	waiting = locks[0].word = 0;
	pthread_create(&waiter, NULL, wait_for_lock, NULL);
	while (!__atomic_load_n(&waiting, __ATOMIC_SEQ_CST))
		usleep(1000);
	usleep(20000);
	pthread_create(&thread, NULL, leave_released, NULL);
	pthread_join(thread, NULL);
	pthread_join(waiter, NULL);
}

/* ---- Several words at once ---- */

#define WORDS 3

struct wait_for {
	uint64_t value, word;
	uint32_t flags, reserved;
};

static uint32_t words[WORDS];

static long waitv(const void *vector, unsigned count, unsigned flags, const void *timeout, int clock)
{
	long result = syscall(449, vector, count, flags, timeout, clock);
	return result < 0 ? -errno : result;
}

static void fill(struct wait_for *vector)
{
	for (int i = 0; i < WORDS; i++)
		vector[i] = (struct wait_for){0, (uintptr_t)&words[i], 2, 0};
}

static void *wait_for_any(void *argument)
{
	struct waiter *waiter = argument;
	struct wait_for vector[WORDS];
	fill(vector);
	waiting = 1;
	waiter->result = waitv(vector, WORDS, 0, NULL, 0);
	return NULL;
}

static void start_any(struct waiter *waiter)
{
	waiting = 0;
	pthread_create(&waiter->thread, NULL, wait_for_any, waiter);
	while (!__atomic_load_n(&waiting, __ATOMIC_SEQ_CST))
		usleep(1000);
	usleep(20000);
}

static void bad_vectors(void)
{
	struct wait_for vector[WORDS];
	struct timespec soon, odd = {0, -1};
	fill(vector);
	SHOW(waitv(vector, WORDS, 1, NULL, 0));
	SHOW(waitv(vector, 0, 0, NULL, 0));
	SHOW(waitv(vector, 129, 0, NULL, 0));
	SHOW(waitv(NULL, 1, 0, NULL, 0));
	SHOW(waitv((void *)8, 1, 0, NULL, 0));
	SHOW(waitv(vector, WORDS, 0, &odd, CLOCK_MONOTONIC));
	SHOW(waitv(vector, WORDS, 0, &soon, CLOCK_BOOTTIME));
	SHOW(waitv(vector, WORDS, 0, (void *)8, CLOCK_REALTIME));
	vector[1].reserved = 1;
	SHOW(waitv(vector, WORDS, 0, NULL, 0));
	fill(vector);
	vector[1].flags = 2 | FUTEX_PRIVATE_FLAG;
	vector[2].value = 5;
	SHOW(waitv(vector, WORDS, 0, NULL, 0));
	fill(vector);
	vector[1].flags = 0x40;
	SHOW(waitv(vector, WORDS, 0, NULL, 0));
	fill(vector);
	vector[2].value = 7;
	SHOW(waitv(vector, WORDS, 0, NULL, 0));
	fill(vector);
	vector[0].word++;
	SHOW(waitv(vector, WORDS, 0, NULL, 0));
	vector[0].word = 8;
	SHOW(waitv(vector, WORDS, 0, NULL, 0));
}

static void vectors_in_time(void)
{
	struct wait_for vector[WORDS];
	struct timespec soon;
	fill(vector);
	for (int i = 0; i < 2; i++) {
		clock_gettime(i == 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME, &soon);
		soon.tv_nsec += 5000000;
		if (soon.tv_nsec >= 1000000000) {
			soon.tv_sec++;
			soon.tv_nsec -= 1000000000;
		}
		SHOW(waitv(vector, WORDS, 0, &soon, i == 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME));
	}
}

static void waking_vectors(void)
{
	struct waiter waiter = {0};
	for (int i = 0; i < WORDS; i++) {
		start_any(&waiter);
		SHOW(futex(&words[i], FUTEX_WAKE, INT_MAX, NULL, NULL, 0));
		finish(&waiter, 1);
		SHOW(futex(&words[(i + 1) % WORDS], FUTEX_WAKE, INT_MAX, NULL, NULL, 0));
	}
	start_any(&waiter);
	SHOW(futex(&words[1], FUTEX_REQUEUE, 0, COUNT(1), &first, 0));
	SHOW(futex(&words[1], FUTEX_WAKE, 1, NULL, NULL, 0));
	SHOW(futex(&first, FUTEX_WAKE, 1, NULL, NULL, 0));
	finish(&waiter, 1);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	refusals();
	timeouts();
	bits();
	requeues();
	changes();
	robust();
	released();
	bad_vectors();
	vectors_in_time();
	waking_vectors();
	return 0;
}
