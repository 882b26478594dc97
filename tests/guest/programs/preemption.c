/* Programs that compute without a system call are interrupted: signals reach them, threads share the
 * processor, and nobody's floating-point registers change by that. */
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int hits;
static volatile double noise;

/* Uses floating point like what it interrupts. */
static void hit(int signal)
{
	(void)signal;
	for (int i = 1; i < 100; i++)
		noise = noise * 0.5 + 1.0 / i;
	hits++;
}

static void wait_for_hit(const char *name)
{
	volatile unsigned long turns = 0;
	while (hits == 0)
		turns++;
	printf("%s: after %s\n", name, turns > 0 ? "many turns" : "none");
	hits = 0;
}

static void intervals(void)
{
	struct itimerval often = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
	setitimer(ITIMER_REAL, &often, NULL);
	while (hits < 3)
		;
	setitimer(ITIMER_REAL, &off, NULL);
	printf("setitimer: again and again\n");
	hits = 0;
}

static void created(void)
{
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec once = {.it_value = {0, 5000000}};
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &once, NULL);
	wait_for_hit("timer_create");
	timer_delete(timer);
}

/* ---- Threads ---- */

static volatile int turn, finished;

static void *take_turns(void *argument)
{
	int own = (int)(long)argument;
	for (int i = 0; i < 3; i++) {
		while (turn % 2 != own)
			;
		turn++;
	}
	return NULL;
}

static void turns(void)
{
	pthread_t other;
	pthread_create(&other, NULL, take_turns, (void *)1L);
	take_turns(NULL);
	pthread_join(other, NULL);
	printf("turns: %d\n", turn);
}

static void *sleep_beside(void *argument)
{
	nanosleep(&(struct timespec){0, 10000000}, NULL);
	finished = 1;
	return argument;
}

static void sleeper(void)
{
	pthread_t other;
	pthread_create(&other, NULL, sleep_beside, NULL);
	while (!finished)
		;
	pthread_join(other, NULL);
	printf("a sleeping thread woke beside a busy one\n");
}

/* ---- Floating point ---- */

/* A chain of values in registers: any that is lost shows in the result. */
__attribute__((noinline)) static double chain(int seed)
{
	double a = seed, b = a + 1, c = a + 2, d = a + 3, e = a + 4, f = a + 5;
	for (int i = 0; i < 20000; i++) {
		a = a * 0.5 + b / 3;
		b = b * 0.6 - c / 5;
		c = c * 0.7 + d / 7;
		d = d * 0.8 - e / 9;
		e = e * 0.7 + f / 11;
		f = f * 0.6 - a / 13 + seed;
	}
	return a + b + c + d + e + f;
}

static double (*volatile chain_pointer)(int seed) = chain;

struct computation {
	int seed, rounding;
	double expected;
	int wrong;
};

static void *compute(void *argument)
{
	struct computation *computation = argument;
	fesetround(computation->rounding);
	while (hits < 3)
		computation->wrong += chain_pointer(computation->seed) != computation->expected;
	computation->wrong += fegetround() != computation->rounding;
	return NULL;
}

static void floating(void)
{
	struct computation computations[] = {{1, FE_UPWARD}, {2, FE_DOWNWARD}, {3, FE_TONEAREST}};
	pthread_t threads[3];
	struct itimerval often = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
	for (int i = 0; i < 3; i++) {
		fesetround(computations[i].rounding);
		computations[i].expected = chain_pointer(computations[i].seed);
	}
	fesetround(FE_TONEAREST);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, compute, &computations[i]);
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		printf("chain %d: %d wrong\n", i, computations[i].wrong);
	}
	setitimer(ITIMER_REAL, &off, NULL);
	hits = 0;
}

int main(void)
{
	signal(SIGALRM, hit);
	signal(SIGUSR1, hit);
	alarm(1);
	wait_for_hit("alarm");
	intervals();
	created();
	turns();
	sleeper();
	floating();
	fflush(stdout);
	/* Its default action ends a program that does not look. */
	signal(SIGALRM, SIG_DFL);
	setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, 5000}}, NULL);
	for (;;)
		;
}
