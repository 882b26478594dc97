/* Clocks of the processor, policies, niceness, barriers, clone3 and restartable sequences. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long result_of(long result) { return result < 0 ? -errno : result; }

#define SHOW(what) printf("%s: %ld\n", #what, (long)(what))
#define CALL(...) result_of(syscall(__VA_ARGS__))

/* ---- Clocks ---- */

static double seconds(clockid_t clock)
{
	struct timespec time = {-1, 0};
	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static volatile int hits;
static void hit(int signal) { hits += signal == SIGPROF; }

static void *burn(void *argument)
{
	double until = seconds(CLOCK_THREAD_CPUTIME_ID) + 0.02;
	while (seconds(CLOCK_THREAD_CPUTIME_ID) < until)
		;
	return argument;
}

static void clocks(void)
{
	pthread_t thread;
	clockid_t of_thread;
	struct rusage usage;
	struct itimerval soon = {{0, 0}, {0, 20000}};
	double process = seconds(CLOCK_PROCESS_CPUTIME_ID), own = seconds(CLOCK_THREAD_CPUTIME_ID);
	usleep(100000);
	SHOW(seconds(CLOCK_PROCESS_CPUTIME_ID) - process < 0.09);
	pthread_create(&thread, NULL, burn, NULL);
	SHOW(pthread_getcpuclockid(thread, &of_thread));
	SHOW(seconds(of_thread) < 0.5);
	cpu_set_t processors;
	SHOW(pthread_getaffinity_np(thread, sizeof(processors), &processors));
	SHOW(pthread_setaffinity_np(thread, sizeof(processors), &processors));
	SHOW(CALL(SYS_sched_getaffinity, 99999999, sizeof(processors), &processors));
	pthread_join(thread, NULL);
	own = seconds(CLOCK_THREAD_CPUTIME_ID) - own;
	SHOW(seconds(CLOCK_PROCESS_CPUTIME_ID) - process >= own + 0.02);
	usleep(20000); /* it may be there for a while after it was joined */
	SHOW(seconds(of_thread));
	getrusage(RUSAGE_SELF, &usage);
	SHOW(usage.ru_utime.tv_sec > 0 || usage.ru_utime.tv_usec + usage.ru_stime.tv_usec >= 20000);
	SHOW(seconds(~getpid() << 3 | 2) > 0);
	SHOW(CALL(SYS_clock_gettime, ~getpid() << 3 | 3, NULL));
	SHOW(CALL(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &(struct timespec){0, 1}, NULL));
	signal(SIGPROF, hit);
	setitimer(ITIMER_PROF, &soon, NULL);
	usleep(50000);
	printf("asleep: %d hits\n", hits);
	while (hits == 0)
		;
	printf("computing: %d hits\n", hits);
}

/* ---- Policies ---- */

static void policies(void)
{
	static const int known[] = {SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, 4, SCHED_IDLE, 6};
	struct sched_param parameters = {1};
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		printf("priorities of %d: %ld to %ld\n", known[i],
		       CALL(SYS_sched_get_priority_min, known[i]),
		       CALL(SYS_sched_get_priority_max, known[i]));
	SHOW(CALL(SYS_sched_getscheduler, 0));
	SHOW(CALL(SYS_sched_getscheduler, -1));
	SHOW(CALL(SYS_sched_getscheduler, 99999999));
	SHOW(CALL(SYS_sched_getparam, 0, &parameters));
	SHOW(parameters.sched_priority);
	SHOW(CALL(SYS_sched_getparam, 0, NULL));
	struct timespec slice = {-1, -1};
	SHOW(CALL(SYS_sched_rr_get_interval, 0, &slice));
	SHOW(slice.tv_sec == 0 && slice.tv_nsec >= 0);
	SHOW(CALL(SYS_sched_rr_get_interval, -1, &slice));
	SHOW(CALL(SYS_sched_rr_get_interval, 99999999, &slice));
	SHOW(CALL(SYS_sched_rr_get_interval, 0, 8));
	SHOW(CALL(SYS_sched_setscheduler, 0, SCHED_BATCH, &parameters));
	SHOW(CALL(SYS_sched_getscheduler, 0));
	SHOW(CALL(SYS_sched_setscheduler, 0, SCHED_OTHER, &(struct sched_param){1}));
	SHOW(CALL(SYS_sched_setscheduler, 0, SCHED_FIFO, &(struct sched_param){100}));
	SHOW(CALL(SYS_sched_setscheduler, 0, 4, &parameters));
	SHOW(CALL(SYS_sched_setscheduler, 0, -5, &parameters));
	SHOW(CALL(SYS_sched_setscheduler, 0, SCHED_OTHER, &parameters));
	/* Whoever started the program may have made it nicer, and not everybody may take that back. */
	long given = CALL(SYS_getpriority, PRIO_PROCESS, 0);
	SHOW(given >= 1 && given <= 40);
	long lower = (given + 1) / 2;
	SHOW(CALL(SYS_setpriority, PRIO_PROCESS, 0, 20 - lower));
	SHOW(CALL(SYS_getpriority, PRIO_PROCESS, 0) == lower);
	SHOW(CALL(SYS_setpriority, PRIO_PROCESS, 0, 1000));
	SHOW(CALL(SYS_getpriority, PRIO_PROCESS, getpid()));
	SHOW(CALL(SYS_getpriority, 5, 0));
	SHOW(CALL(SYS_getpriority, PRIO_PROCESS, 99999999));
}

static void barriers(void)
{
	SHOW((CALL(SYS_membarrier, 0, 0, 0) & 0x1f) == 0x1f);
	SHOW(CALL(SYS_membarrier, 0, 5, 0));
	SHOW(CALL(SYS_membarrier, 1 << 3, 0, 0));
	SHOW(CALL(SYS_membarrier, 1 << 4, 0, 0));
	SHOW(CALL(SYS_membarrier, 1 << 3, 0, 0));
	SHOW(CALL(SYS_membarrier, 3, 0, 0));
}

/* ---- clone3 ---- */

static long long arguments[12];

static void clones(void)
{
	const long long thread = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
	char stack[64];
	SHOW(CALL(SYS_clone3, arguments, 63));
	SHOW(CALL(SYS_clone3, arguments, 5000));
	SHOW(CALL(SYS_clone3, (void *)8, 64));
	arguments[0] = thread | SIGCHLD;
	SHOW(CALL(SYS_clone3, arguments, 64));
	arguments[0] = thread;
	arguments[4] = SIGCHLD;
	SHOW(CALL(SYS_clone3, arguments, 64));
	arguments[4] = 0;
	arguments[5] = (intptr_t)stack;
	SHOW(CALL(SYS_clone3, arguments, 64));
	arguments[5] = 0;
	arguments[6] = sizeof(stack);
	SHOW(CALL(SYS_clone3, arguments, 64));
	arguments[6] = 0;
	arguments[11] = 1;
	SHOW(CALL(SYS_clone3, arguments, sizeof(arguments)));
}

/* ---- Restartable sequences ---- */

#define SIGNATURE 0x53053053

static struct {
	uint32_t cpu_id_start, cpu_id;
	uint64_t sequence;
	uint32_t flags, node_id, mm_cid, unused;
} shared __attribute__((aligned(32)));

struct sequence {
	uint32_t version, flags;
	uint64_t start, length, abort;
} __attribute__((aligned(32)));

/* Turn round in a sequence until something comes between. */
static int turn(struct sequence *sequence)
{
	int aborted;
#ifdef __x86_64__
	__asm__ volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, 8(%1)\n\t"
			 "lea 3f(%%rip), %%rax\n\tmov %%rax, 24(%1)\n\t"
			 "movq $2f - 1f, 16(%1)\n\tmov %1, %2\n"
			 "1:\tpause\n\tjmp 1b\n2:\n\tud2\n\t"
			 ".long 0x53053053\n3:\tmov $1, %0"
			 : "=r"(aborted)
			 : "r"(sequence), "m"(shared.sequence)
			 : "rax", "memory");
#else
	__asm__ volatile("adr x9, 1f\n\tstr x9, [%1, #8]\n\t"
			 "adr x9, 3f\n\tstr x9, [%1, #24]\n\t"
			 "mov x9, #8\n\tstr x9, [%1, #16]\n\tstr %1, %2\n"
			 "1:\tyield\n\tb 1b\n2:\n\tudf #0\n\t"
			 ".long 0x53053053\n3:\tmov %w0, #1"
			 : "=r"(aborted)
			 : "r"(sequence), "m"(shared.sequence)
			 : "x9", "memory");
#endif
	return aborted;
}

static void *compute(void *done)
{
	while (!*(volatile int *)done)
		;
	return NULL;
}

static void sequences(void)
{
	static struct sequence sequence;
	/* Again and again: on a busy machine the first may come before the sequence has begun. */
	struct itimerval soon = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
	pthread_t other;
	int done = 0;
	SHOW(CALL(SYS_rseq, (char *)&shared + 8, 32, 0, SIGNATURE));
	SHOW(CALL(SYS_rseq, &shared, 32, 2, SIGNATURE));
	SHOW(CALL(SYS_rseq, &shared, 32, 1, SIGNATURE));
	SHOW(CALL(SYS_rseq, &shared, 32, 0, SIGNATURE));
	SHOW(CALL(SYS_rseq, &shared, 32, 0, SIGNATURE));
	SHOW(CALL(SYS_rseq, &shared, 32, 0, SIGNATURE + 1));
	SHOW(shared.cpu_id == shared.cpu_id_start);
	signal(SIGALRM, hit);
	setitimer(ITIMER_REAL, &soon, NULL);
	printf("a signal: %d\n", turn(&sequence));
	setitimer(ITIMER_REAL, &never, NULL);
	SHOW(shared.sequence);
	/* On one processor the other thread comes between. */
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(shared.cpu_id, &one);
	sched_setaffinity(0, sizeof(one), &one);
	pthread_create(&other, NULL, compute, &done);
	printf("a thread: %d\n", turn(&sequence));
	done = 1;
	pthread_join(other, NULL);
	SHOW(CALL(SYS_rseq, &shared, 32, 1, SIGNATURE + 1));
	SHOW(CALL(SYS_rseq, &shared, 32, 1, SIGNATURE));
	SHOW((int)shared.cpu_id);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	clocks();
	policies();
	barriers();
	clones();
	sequences();
	return 0;
}
