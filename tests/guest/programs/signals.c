/* Signals: handlers and what they are told, masks, alternate stacks, interrupted calls. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int depth;

static void install(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
	sigaction(signal, &action, NULL);
}

static int is_blocked(int signal)
{
	sigset_t set;
	sigprocmask(SIG_BLOCK, NULL, &set);
	return sigismember(&set, signal);
}

static void tell(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;
	printf("handler %d code %d own %d blocked %d before %d\n", signal, info->si_code,
	       info->si_pid == getpid(), is_blocked(signal),
	       sigismember(&interrupted->uc_sigmask, signal));
}

static void tell_value(int signal, siginfo_t *info, void *context)
{
	(void)context;
	printf("handler %d code %d value %d\n", signal, info->si_code, info->si_value.sival_int);
}

static void tell_fault(int signal, siginfo_t *info, void *context)
{
	(void)context;
	printf("fault %d code %d address %lx\n", signal, info->si_code, (long)info->si_addr);
	siglongjmp(back, 1);
}

static void nested(int signal, siginfo_t *info, void *context)
{
	if (++depth < 3)
		raise(signal);
	tell(signal, info, context);
}

static void clobber(int signal, siginfo_t *info, void *context)
{
	volatile double x = 1e300;
	(void)signal, (void)info, (void)context;
	for (int i = 0; i < 50; i++)
		x = x * 0.9 + 1;
}

static void handlers(void)
{
	install(SIGUSR1, tell, 0);
	printf("raise %d\n", raise(SIGUSR1));
	printf("kill %d\n", kill(getpid(), SIGUSR1));
	printf("blocked afterwards %d\n", is_blocked(SIGUSR1));
	install(SIGUSR1, nested, SA_NODEFER);
	raise(SIGUSR1);
	install(SIGUSR1, tell, SA_RESETHAND);
	raise(SIGUSR1);
	struct sigaction now;
	sigaction(SIGUSR1, NULL, &now);
	printf("default again %d\n", now.sa_handler == SIG_DFL);
	signal(SIGUSR1, SIG_IGN);
	raise(SIGUSR1);
	printf("kill: %d\n", sigaction(SIGKILL, &now, NULL));
}

static void masks(void)
{
	sigset_t set, old, pending;
	install(SIGUSR1, tell, 0);
	install(SIGUSR2, tell, 0);
	install(SIGRTMIN, tell_value, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR2);
	raise(SIGUSR1);
	raise(SIGUSR1);
	for (int i = 1; i <= 3; i++)
		sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
	sigpending(&pending);
	printf("pending %d %d %d %d\n", sigismember(&pending, SIGUSR1),
	       sigismember(&pending, SIGUSR2), sigismember(&pending, SIGRTMIN),
	       sigismember(&pending, SIGHUP));
	siginfo_t info;
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, SIGRTMIN);
	printf("taken %d", sigtimedwait(&one, &info, &(struct timespec){0, 0}) == SIGRTMIN);
	printf(" value %d\n", info.si_value.sival_int);
	printf("suspend %d", sigsuspend(&old));
	printf(" interrupted %d\n", errno == EINTR);
	sigaddset(&one, SIGHUP);
	sigprocmask(SIG_SETMASK, &old, NULL);
	int result = sigtimedwait(&one, &info, &(struct timespec){0, 1000000});
	printf("nothing to take %d %s\n", result, strerror(errno));
}

static void tell_stack(int signal, siginfo_t *info, void *context)
{
	stack_t stack;
	char here;
	(void)signal, (void)info, (void)context;
	sigaltstack(NULL, &stack);
	printf("on alternate stack %d, flags %d\n",
	       &here >= (char *)stack.ss_sp && &here < (char *)stack.ss_sp + stack.ss_size,
	       stack.ss_flags);
	printf("cannot change it: %d\n", sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL));
}

static void stacks(void)
{
	static char space[65536];
	stack_t stack = {.ss_sp = space, .ss_size = sizeof(space)}, old;
	printf("set %d", sigaltstack(&stack, &old));
	printf(" before %d\n", old.ss_flags);
	install(SIGUSR1, tell_stack, SA_ONSTACK);
	raise(SIGUSR1);
	sigaltstack(NULL, &old);
	printf("flags %d, size %zu\n", old.ss_flags, old.ss_size);
	printf("too small %d", sigaltstack(&(stack_t){.ss_sp = space, .ss_size = 100}, NULL));
	printf(" %s\n", strerror(errno));
}

static void faults(void)
{
	install(SIGSEGV, tell_fault, 0);
	install(SIGBUS, tell_fault, 0);
	if (sigsetjmp(back, 1) == 0)
		*(volatile int *)24 = 1;
	if (sigsetjmp(back, 1) == 0)
		*(volatile char *)mmap((void *)0x10000000, 4096, PROT_READ,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) = 1;
	printf("blocked afterwards %d\n", is_blocked(SIGSEGV));
}

static void registers(void)
{
	double values[8], sums = 0;
	install(SIGUSR1, clobber, 0);
	for (int i = 0; i < 8; i++)
		values[i] = 1.0 / (i + 3);
	for (int i = 0; i < 100; i++) {
		if (i % 10 == 0)
			raise(SIGUSR1);
		for (int j = 0; j < 8; j++)
			values[j] = values[j] * 1.01 + j;
	}
	for (int j = 0; j < 8; j++)
		sums += values[j];
	printf("sum %.12f\n", sums);
}

static void nothing(int signal) { (void)signal; }

static void disarm(void)
{
	int error = errno;
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	errno = error;
}

static void interrupted_calls(void)
{
	struct sigaction action = {.sa_handler = nothing};
	/* Again and again: on a loaded host the first may come before the wait begins. */
	struct itimerval soon = {.it_interval = {0, 20000}, .it_value = {0, 20000}}, left;
	struct timespec rest;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	int result = pause();
	disarm();
	printf("pause %d %s\n", result, strerror(errno));
	setitimer(ITIMER_REAL, &soon, NULL);
	result = nanosleep(&(struct timespec){5, 0}, &rest);
	disarm();
	printf("sleep %d %s, left %d\n", result, strerror(errno), rest.tv_sec == 4);
	setitimer(ITIMER_REAL, &soon, NULL);
	result = poll(NULL, 0, 5000);
	disarm();
	printf("poll %d %s\n", result, strerror(errno));
	alarm(100);
	printf("alarm left %u\n", alarm(0));
	getitimer(ITIMER_REAL, &left);
	printf("stopped %d\n", left.it_value.tv_sec == 0 && left.it_value.tv_usec == 0);
}

static void created_timer(void)
{
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	struct itimerspec soon = {.it_value = {0, 10000000}};
	event.sigev_value.sival_int = 77;
	sigset_t held, none;
	sigemptyset(&none);
	sigemptyset(&held);
	sigaddset(&held, SIGUSR2);
	sigprocmask(SIG_BLOCK, &held, NULL);
	install(SIGUSR2, tell_value, 0);
	printf("create %d", timer_create(CLOCK_MONOTONIC, &event, &timer));
	printf(" set %d\n", timer_settime(timer, 0, &soon, NULL));
	sigsuspend(&none);
	sigprocmask(SIG_UNBLOCK, &held, NULL);
	printf("overrun %d, delete %d\n", timer_getoverrun(timer), timer_delete(timer));
}

/* A timer has one signal pending, which tells how often it has expired since. */
static void blocked_timer(void)
{
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	struct itimerspec often = {{0, 10000000}, {0, 10000000}};
	struct timespec moment = {0, 150000000}, now = {0, 0};
	siginfo_t info;
	int taken = 0, overrun = 0;
	sigset_t held;
	sigemptyset(&held);
	sigaddset(&held, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &held, NULL);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &often, NULL);
	nanosleep(&moment, NULL);
	for (; taken < 10 && sigtimedwait(&held, &info, &now) == SIGRTMIN; taken++)
		overrun = taken == 0 ? info.si_overrun : overrun;
	printf("few are taken %d, with overrun %d\n", taken < 10, overrun >= 8);
	timer_delete(timer);
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	handlers();
	masks();
	stacks();
	faults();
	registers();
	interrupted_calls();
	created_timer();
	blocked_timer();
	signal(SIGTERM, SIG_DFL);
	raise(SIGTERM);
	return 0;
}
