/* Locks with priority inheritance: what the kernel makes of their word, who gets them and when, and
 * mutexes of pthreads that are made of them. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOCK_PI2 13

static uint32_t word, other;
static int own;

static long futex(void *at, int operation, uint32_t value, const void *timeout)
{
	long result = syscall(SYS_futex, at, operation, value, timeout, NULL, 0);
	return result < 0 ? -errno : result;
}

#define SHOW(what) printf("%s: %ld\n", #what, (long)(what))

/* The word, with the running thread as "own". */
static void tell(const char *when)
{
	uint32_t value = __atomic_load_n(&word, __ATOMIC_SEQ_CST), id = value & FUTEX_TID_MASK;
	printf("%s:%s%s %s\n", when, value & FUTEX_WAITERS ? " waiters" : "",
	       value & FUTEX_OWNER_DIED ? " died" : "",
	       id == 0 ? "free" : id == (uint32_t)syscall(SYS_gettid) ? "own" : "another's");
}

/* ---- One thread ---- */

static void alone(void)
{
	struct timespec negative = {-1, 0};
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL));
	tell("locked");
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL));
	SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL));
	SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
	tell("unlocked");
	SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
	SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL));
	tell("locked");
	SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
	SHOW(futex(&word, LOCK_PI2 | FUTEX_PRIVATE_FLAG, 0, NULL));
	SHOW(futex(&word, FUTEX_UNLOCK_PI | FUTEX_PRIVATE_FLAG, 0, NULL));
	word = FUTEX_OWNER_DIED | FUTEX_WAITERS;
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL));
	tell("of one that died");
	SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
	tell("unlocked");
	word = 0x3ffffff0;
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL));
	SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL));
	word = 0;
	SHOW(futex((char *)&word + 1, FUTEX_LOCK_PI, 0, NULL));
	SHOW(futex((char *)&word + 2, FUTEX_UNLOCK_PI, 0, NULL));
	SHOW(futex((void *)8, FUTEX_LOCK_PI, 0, NULL));
	SHOW(futex((void *)8, FUTEX_UNLOCK_PI, 0, NULL));
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, &negative));
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, (void *)8));
	SHOW(futex(&word, FUTEX_LOCK_PI | FUTEX_CLOCK_REALTIME, 0, NULL));
	tell("at last");
}

/* ---- Several ---- */

static volatile int state;

static void await(int wanted)
{
	while (__atomic_load_n(&state, __ATOMIC_SEQ_CST) != wanted)
		usleep(1000);
}

/* Until the others wait, too. */
static void settle(void) { usleep(30000); }

static void *hold(void *argument)
{
	futex(&word, FUTEX_LOCK_PI, 0, NULL);
	state = 1;
	await(2);
	SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
	return argument;
}

static struct timespec soon(int clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	time.tv_nsec += 10000000;
	if (time.tv_nsec >= 1000000000) {
		time.tv_sec++;
		time.tv_nsec -= 1000000000;
	}
	return time;
}

static void contended(void)
{
	pthread_t thread;
	struct timespec time, past = {1, 0};
	state = 0;
	pthread_create(&thread, NULL, hold, NULL);
	await(1);
	tell("held");
	SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
	SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL));
	tell("tried");
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, &past));
	time = soon(CLOCK_REALTIME);
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, &time));
	time = soon(CLOCK_REALTIME);
	SHOW(futex(&word, LOCK_PI2 | FUTEX_CLOCK_REALTIME, 0, &time));
	time = soon(CLOCK_MONOTONIC);
	SHOW(futex(&word, LOCK_PI2, 0, &time));
	state = 2;
	pthread_join(thread, NULL);
	tell("given back");
}

/* ---- In turn ---- */

static int order[3], taken;

static void *take_turn(void *argument)
{
	futex(&word, FUTEX_LOCK_PI, 0, NULL);
	order[taken++] = (int)(long)argument;
	futex(&word, FUTEX_UNLOCK_PI, 0, NULL);
	return NULL;
}

static void turns(void)
{
	pthread_t threads[3];
	futex(&word, FUTEX_LOCK_PI, 0, NULL);
	for (long i = 0; i < 3; i++) {
		pthread_create(&threads[i], NULL, take_turn, (void *)i);
		settle();
	}
	tell("before");
	futex(&word, FUTEX_UNLOCK_PI, 0, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	printf("order: %d %d %d\n", order[0], order[1], order[2]);
	tell("after");
}

/* ---- Circles, signals, ends ---- */

static void *wait_for_word(void *argument)
{
	SHOW(futex(&other, FUTEX_LOCK_PI, 0, NULL));
	state = 1;
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL));
	SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
	SHOW(futex(&other, FUTEX_UNLOCK_PI, 0, NULL));
	return argument;
}

static void circle(void)
{
	pthread_t thread;
	state = 0;
	futex(&word, FUTEX_LOCK_PI, 0, NULL);
	pthread_create(&thread, NULL, wait_for_word, NULL);
	await(1);
	settle();
	SHOW(futex(&other, FUTEX_LOCK_PI, 0, NULL));
	futex(&word, FUTEX_UNLOCK_PI, 0, NULL);
	pthread_join(thread, NULL);
}

static volatile int hits;
static void hit(int signal) { hits += signal == SIGUSR1; }

static void *wait_through_signal(void *argument)
{
	state = 1;
	long result = futex(&word, FUTEX_LOCK_PI, 0, NULL);
	printf("through a signal: %ld, %d\n", result, hits);
	futex(&word, FUTEX_UNLOCK_PI, 0, NULL);
	return argument;
}

static void interrupted(void)
{
	pthread_t thread;
	struct sigaction action = {.sa_handler = hit};
	sigaction(SIGUSR1, &action, NULL);
	state = 0;
	futex(&word, FUTEX_LOCK_PI, 0, NULL);
	pthread_create(&thread, NULL, wait_through_signal, NULL);
	await(1);
	settle();
	pthread_kill(thread, SIGUSR1);
	settle();
	futex(&word, FUTEX_UNLOCK_PI, 0, NULL);
	pthread_join(thread, NULL);
}

/* The end of an owner, without a robust list. */
static void *hold_for_ever(void *argument)
{
	futex(&word, FUTEX_LOCK_PI, 0, NULL);
	state = 1;
	settle();
	return argument;
}

static void left(void)
{
	pthread_t thread;
	state = 0;
	pthread_create(&thread, NULL, hold_for_ever, NULL);
	await(1);
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL));
	tell("left with waiters");
	SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
	pthread_join(thread, NULL);
	pthread_create(&thread, NULL, hold_for_ever, NULL);
	pthread_join(thread, NULL);
	settle();
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL));
	tell("left without");
	word = 0;
}

/* ---- Mutexes ---- */

static pthread_mutex_t mutex;
static int counter;

static void *count(void *argument)
{
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&mutex);
		int seen = counter;
		if (i % 50 == 0)
			sched_yield();
		counter = seen + 1;
		pthread_mutex_unlock(&mutex);
	}
	return argument;
}

static void *end_locked(void *argument)
{
	pthread_mutex_lock(&mutex);
	return argument;
}

static void mutexes(void)
{
	pthread_mutexattr_t attributes;
	pthread_t threads[4];
	struct timespec past = {1, 0};
	pthread_mutexattr_init(&attributes);
	SHOW(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
	SHOW(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
	SHOW(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK));
	SHOW(pthread_mutex_init(&mutex, &attributes));
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, count, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	printf("counted %d\n", counter);
	pthread_create(&threads[0], NULL, end_locked, NULL);
	pthread_join(threads[0], NULL);
	SHOW(pthread_mutex_trylock(&mutex));
	SHOW(pthread_mutex_consistent(&mutex));
	SHOW(pthread_mutex_lock(&mutex));
	SHOW(pthread_mutex_unlock(&mutex));
	pthread_create(&threads[0], NULL, end_locked, NULL);
	pthread_join(threads[0], NULL);
	SHOW(pthread_mutex_timedlock(&mutex, &past));
	SHOW(pthread_mutex_unlock(&mutex));
	SHOW(pthread_mutex_lock(&mutex));
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	alone();
	contended();
	turns();
	circle();
	interrupted();
	left();
	mutexes();
	return 0;
}
