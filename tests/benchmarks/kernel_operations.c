/* Operations to be counted: kernel_operations NAME COUNT does one COUNT times. */
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

#define PAGE 4096
#define SLEEPERS 200

static long count;

static void null_call(void)
{
	for (long i = 0; i < count; i++)
		syscall(SYS_getppid);
}

static void *yield(void *argument)
{
	for (long i = 0; i < count / 2; i++)
		sched_yield();
	return argument;
}

/* Two threads, each of which switches to the other. */
static void context_switch(void)
{
	pthread_t other;
	pthread_create(&other, NULL, yield, NULL);
	yield(NULL);
	pthread_join(other, NULL);
}

static void *sleep_for_ever(void *argument)
{
	static int never;
	struct timespec long_time = {1000000, 0};
	syscall(SYS_futex, &never, FUTEX_WAIT, 0, &long_time, NULL, 0);
	return argument;
}

/* The same while many others wait for a time that is far away. */
static void switch_among_sleepers(void)
{
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 8 * PAGE);
	for (int i = 0; i < SLEEPERS; i++) {
		pthread_t sleeper;
		pthread_create(&sleeper, &small, sleep_for_ever, NULL);
	}
	sched_yield();
	context_switch();
}

/* A wait that ends at its time, while many others wait. */
static void timed_wait(void)
{
	struct timespec now = {0, 1};
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 8 * PAGE);
	for (int i = 0; i < SLEEPERS; i++) {
		pthread_t sleeper;
		pthread_create(&sleeper, &small, sleep_for_ever, NULL);
	}
	sched_yield();
	for (long i = 0; i < count; i++)
		nanosleep(&now, NULL);
}

static void page_fault(void)
{
	char *pages = mmap(NULL, (size_t)count * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (long i = 0; i < count; i++)
		pages[i * PAGE] = 1;
}

static void *nothing(void *argument) { return argument; }

/* On a stack that is there, so that it is the thread that is counted. */
static void thread(void)
{
	static char stack[16 * PAGE] __attribute__((aligned(PAGE)));
	pthread_attr_t ready;
	pthread_attr_init(&ready);
	pthread_attr_setstack(&ready, stack, sizeof(stack));
	for (long i = 0; i < count; i++) {
		pthread_t thread;
		pthread_create(&thread, &ready, nothing, NULL);
		pthread_join(thread, NULL);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} operations[] = {
	{"null", null_call},	{"switch", context_switch}, {"switch-among", switch_among_sleepers},
	{"fault", page_fault},	{"thread", thread},	    {"timed-wait", timed_wait},
};

int main(int argc, char **argv)
{
	count = argc > 2 ? atol(argv[2]) : 0;
	for (size_t i = 0; argc > 1 && i < sizeof(operations) / sizeof(operations[0]); i++) {
		if (strcmp(argv[1], operations[i].name) != 0)
			continue;
		operations[i].run();
		write(1, "done\n", 5);
		_exit(0);
	}
	return 1;
}
