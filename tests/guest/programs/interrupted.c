/* System calls while a timer interrupts: none is lost, and time does not jump. */
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define TICKS 100

static volatile long ticks;

static void tick(int signal)
{
	(void)signal;
	ticks++;
}

/* A call that did not happen leaves its number as the result. */
static int is_lost(void)
{
	static volatile char touched;
	touched = 1;
	return syscall(SYS_getppid) == SYS_getppid;
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(void)
{
	struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
	struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
	int lost = 0, jumps = 0;
	double before = now();
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	while (ticks < TICKS) {
		for (int i = 0; i < 100; i++)
			lost += is_lost();
		double time = now();
		jumps += time < before || time > before + 20;
		before = time;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	printf("%d calls lost, %d jumps of time\n", lost, jumps);
	return 0;
}
