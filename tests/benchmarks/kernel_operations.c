/* Operations to be counted: kernel_operations NAME TIMES does one between marks (marks.h). */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "marks.h"

#define PAGE 4096
#define SLEEPERS 200

static void null_call(long times)
{
	while (times-- > 0)
		getppid();
}

static void *yield(void *times)
{
	for (long i = 0; i < (long)times; i++)
		sched_yield();
	return NULL;
}

/* Two threads, each of which switches to the other. */
static void context_switch(long times)
{
	pthread_t other;
	pthread_create(&other, NULL, yield, (void *)(times / 2));
	yield((void *)(times / 2));
	pthread_join(other, NULL);
}

static void *sleep_for_ever(void *argument)
{
	static int never;
	struct timespec long_time = {1000000, 0};
	syscall(SYS_futex, &never, FUTEX_WAIT, 0, &long_time, NULL, 0);
	return argument;
}

/* Many others that wait for a time that is far away. */
static void prepare_sleepers(void)
{
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 8 * PAGE);
	for (int i = 0; i < SLEEPERS; i++) {
		pthread_t sleeper;
		pthread_create(&sleeper, &small, sleep_for_ever, NULL);
	}
	sched_yield();
}

static void timed_wait(long times)
{
	struct timespec now = {0, 1};
	while (times-- > 0)
		nanosleep(&now, NULL);
}

static void page_fault(long times)
{
	char *pages = mmap(NULL, (size_t)times * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (long i = 0; i < times; i++)
		pages[i * PAGE] = 1;
}

static void *nothing(void *argument) { return argument; }

static void create_threads(long times, const pthread_attr_t *attributes)
{
	while (times-- > 0) {
		pthread_t thread;
		pthread_create(&thread, attributes, nothing, NULL);
		pthread_join(thread, NULL);
	}
}

/* On a stack that is there, so that it is the thread that is counted. */
static void thread(long times)
{
	static char stack[16 * PAGE] __attribute__((aligned(PAGE)));
	pthread_attr_t ready;
	pthread_attr_init(&ready);
	pthread_attr_setstack(&ready, stack, sizeof(stack));
	create_threads(times, &ready);
}

/* On a stack that is made for it, and goes with it. */
static void thread_and_stack(long times) { create_threads(times, NULL); }

static void prepare_nothing(void) {}

static const struct {
	const char *name;
	void (*prepare)(void);
	void (*act)(long times);
} operations[] = {
	{"null", prepare_nothing, null_call},
	{"switch", prepare_nothing, context_switch},
	{"switch-among", prepare_sleepers, context_switch},
	{"timed-wait", prepare_sleepers, timed_wait},
	{"fault", prepare_nothing, page_fault},
	{"thread", prepare_nothing, thread},
	{"thread-stack", prepare_nothing, thread_and_stack},
};

int main(int argc, char **argv)
{
	long times = argc == 3 ? atol(argv[2]) : 0;
	for (size_t i = 0; times > 0 && i < sizeof(operations) / sizeof(operations[0]); i++) {
		if (strcmp(argv[1], operations[i].name) != 0)
			continue;
		operations[i].prepare();
		operations[i].act(2);
		count_marked(operations[i].name, times, operations[i].act);
		_exit(0); /* whoever sleeps goes with us */
	}
	return 2;
}
