/* Threads: making and ending them, mutexes, conditions, their own storage, signals to one of them. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MANY 200

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static _Thread_local int local = 5;
static int counter, turn;
static sem_t semaphore;
static pthread_key_t key;

static void *count(void *argument)
{
	local += (int)(long)argument;
	for (int i = 0; i < 20; i++) {
		pthread_mutex_lock(&mutex);
		int now = counter;
		if (i % 10 == 0)
			sched_yield();
		counter = now + 1;
		pthread_mutex_unlock(&mutex);
	}
	return (void *)(long)local;
}

static void many(void)
{
	pthread_t threads[MANY];
	long sum = 0;
	for (long i = 0; i < MANY; i++)
		pthread_create(&threads[i], NULL, count, (void *)i);
	for (int i = 0; i < MANY; i++) {
		void *result;
		pthread_join(threads[i], &result);
		sum += (long)result;
	}
	printf("counter %d, sum of locals %ld, own %d\n", counter, sum, local);
}

static void *compute(void *argument)
{
	double x = (double)(long)argument, y[6];
	for (int j = 0; j < 6; j++)
		y[j] = x / (j + 1);
	for (int i = 0; i < 200; i++) {
		for (int j = 0; j < 6; j++)
			y[j] = y[j] * 0.99 + x;
		if (i % 7 == 0)
			sched_yield();
	}
	static double results[20];
	results[(long)argument] = y[0] + y[1] + y[2] + y[3] + y[4] + y[5];
	return &results[(long)argument];
}

static void floating(void)
{
	pthread_t threads[20];
	for (long i = 0; i < 20; i++)
		pthread_create(&threads[i], NULL, compute, (void *)i);
	for (int i = 0; i < 20; i++) {
		void *result;
		pthread_join(threads[i], &result);
		printf("%.9f\n", *(double *)result);
	}
}

static void *take_turns(void *argument)
{
	int own = (int)(long)argument;
	for (int i = 0; i < 5; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 3 != own)
			pthread_cond_wait(&condition, &mutex);
		printf("turn %d of %d\n", turn, own);
		turn++;
		pthread_cond_broadcast(&condition);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void turns(void)
{
	pthread_t threads[3];
	for (long i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, take_turns, (void *)i);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

static void timeouts(void)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 20000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&mutex);
	printf("condition: %s\n", strerror(pthread_cond_timedwait(&condition, &mutex, &until)));
	pthread_mutex_unlock(&mutex);
	sem_init(&semaphore, 0, 0);
	int result = sem_timedwait(&semaphore, &until);
	printf("semaphore: %d %s\n", result, strerror(errno));
}

static void tell(int signal) { printf("signal %d in local %d\n", signal, local); }

static void *wait_for_signal(void *argument)
{
	local = (int)(long)argument;
	sem_post(&semaphore);
	int result = pause();
	printf("pause %d %s\n", result, strerror(errno));
	return NULL;
}

static void signals(void)
{
	pthread_t thread;
	signal(SIGUSR1, tell);
	pthread_create(&thread, NULL, wait_for_signal, (void *)42);
	sem_wait(&semaphore);
	nanosleep(&(struct timespec){0, 10000000}, NULL);
	int result = pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	printf("kill %d\n", result);
	pthread_kill(pthread_self(), SIGUSR1);
}

static void *sleep_for_ever(void *argument)
{
	(void)argument;
	sem_post(&semaphore);
	for (;;)
		nanosleep(&(struct timespec){100, 0}, NULL);
}

static void cancel(void)
{
	pthread_t thread;
	void *result;
	pthread_create(&thread, NULL, sleep_for_ever, NULL);
	sem_wait(&semaphore);
	printf("cancel %d", pthread_cancel(thread));
	printf(" join %d", pthread_join(thread, &result));
	printf(" cancelled %d\n", result == PTHREAD_CANCELED);
}

static void destroy(void *value) { printf("destructor %s\n", (char *)value); }

static void *with_key(void *argument)
{
	pthread_setspecific(key, argument);
	printf("own id %d\n", syscall(SYS_gettid) != getpid());
	pthread_exit("left");
}

static void specific(void)
{
	pthread_t thread;
	void *result;
	pthread_key_create(&key, destroy);
	pthread_create(&thread, NULL, with_key, "value");
	pthread_join(thread, &result);
	printf("%s\n", (char *)result);
}

static void *hold(void *robust)
{
	pthread_mutex_lock(robust);
	return NULL;
}

static void robust(void)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t held;
	pthread_t thread;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&held, &attributes);
	pthread_create(&thread, NULL, hold, &held);
	pthread_join(thread, NULL);
	printf("owner died %d\n", pthread_mutex_lock(&held) == EOWNERDEAD);
	printf("consistent %d\n", pthread_mutex_consistent(&held));
}

static void *leave(void *argument)
{
	(void)argument;
	nanosleep(&(struct timespec){0, 10000000}, NULL);
	printf("ends all\n");
	_exit(23);
}

int main(void)
{
	pthread_t thread;
	setvbuf(stdout, NULL, _IONBF, 0);
	many();
	floating();
	turns();
	timeouts();
	signals();
	cancel();
	specific();
	robust();
	pthread_create(&thread, NULL, leave, NULL);
	pthread_join(thread, NULL);
	return 0;
}
