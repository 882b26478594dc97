/* Who the process is, its limits, its signals, its clocks. */
#define _GNU_SOURCE
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "show.h"

static void identity(void)
{
	char name[16] = "";
	struct utsname uts;
	uid_t real, effective, saved;
	SHOW(getuid() | geteuid() | getgid() | getegid());
	SHOW(getresuid(&real, &effective, &saved));
	SHOW(real | effective | saved);
	SHOW(setuid(0));
	SHOW(getpid() == gettid());
	SHOW(getpgid(0) == getpgrp());
	SHOW(getpgid(123456789));
	SHOW(prctl(PR_SET_NAME, "a name that is too long"));
	SHOW(prctl(PR_GET_NAME, name));
	printf("%s\n", name);
	SHOW(prctl(12345));
	SHOW(uname(&uts));
	printf("%s\n", uts.sysname);
	SHOW(wait(NULL));
	SHOW(sched_yield());
}

static void limits(void)
{
	struct rlimit limit = {512, 512};
	struct rlimit wrong = {3, 2};
	cpu_set_t set;
	SHOW(setrlimit(RLIMIT_NOFILE, &limit));
	SHOW(getrlimit(RLIMIT_NOFILE, &limit));
	printf("%lu %lu\n", (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
	SHOW(setrlimit(RLIMIT_NOFILE, &wrong));
	SHOW(getrlimit(99, &limit));
	SHOW(dup2(1, 511));
	SHOW(dup2(1, 512));
	SHOW(close(511));
	SHOW(sched_getaffinity(0, sizeof(set), &set));
	SHOW(CPU_COUNT(&set) >= 1);
	SHOW(syscall(SYS_sched_getaffinity, 0, 3, &set));
	struct rusage usage;
	SHOW(getrusage(RUSAGE_SELF, &usage));
	SHOW(getrusage(99, &usage));
	struct sysinfo info;
	SHOW(sysinfo(&info));
	SHOW(info.totalram > 0 && info.mem_unit > 0);
	SHOW(times(NULL) != (clock_t)-1);
}

static void clocks(void)
{
	struct timespec a, b, res;
	struct timespec tenth = {0, 20000000}, wrong = {0, 1000000000}, negative = {-1, 0};
	SHOW(clock_gettime(CLOCK_MONOTONIC, &a));
	SHOW(nanosleep(&tenth, NULL));
	SHOW(clock_gettime(CLOCK_MONOTONIC, &b));
	SHOW((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec >= 20000000);
	SHOW(nanosleep(&wrong, NULL));
	SHOW(nanosleep(&negative, NULL));
	SHOW(clock_getres(CLOCK_REALTIME, &res));
	SHOW(res.tv_sec == 0 && res.tv_nsec > 0);
	SHOW(clock_gettime(CLOCK_REALTIME, &a) == 0 && a.tv_sec > 1700000000);
	SHOW(clock_gettime(99, &a));
	SHOW(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a));
	SHOW(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a));
	SHOW(clock_gettime(CLOCK_BOOTTIME, &a));
	clock_gettime(CLOCK_MONOTONIC, &b);
	b.tv_nsec = b.tv_nsec > 980000000 ? (b.tv_sec++, 1000000) : b.tv_nsec + 10000000;
	SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &b, NULL));
	clock_gettime(CLOCK_MONOTONIC, &a);
	SHOW(a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec >= b.tv_nsec));
	struct timeval now;
	SHOW(gettimeofday(&now, NULL));
	SHOW(labs(time(NULL) - now.tv_sec) <= 1);
}

static void handler(int signal) { (void)signal; }

static void signals(void)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
	sigset_t set, before;
	sigaddset(&action.sa_mask, SIGUSR2);
	SHOW(sigaction(SIGUSR1, &action, &old));
	SHOW(old.sa_handler == SIG_DFL);
	SHOW(sigaction(SIGUSR1, NULL, &old));
	SHOW(old.sa_handler == handler && (old.sa_flags & SA_RESTART));
	SHOW(sigismember(&old.sa_mask, SIGUSR2));
	SHOW(sigaction(SIGKILL, &action, NULL));
	SHOW(sigaction(65, &action, NULL));
	SHOW(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGKILL);
	SHOW(sigprocmask(SIG_BLOCK, &set, &before));
	SHOW(sigismember(&before, SIGTERM));
	SHOW(sigprocmask(SIG_BLOCK, NULL, &before));
	SHOW(sigismember(&before, SIGTERM) + 2 * sigismember(&before, SIGKILL));
	SHOW(sigprocmask(99, &set, NULL));
	SHOW(kill(getpid(), SIGTERM));
	SHOW(sigpending(&before));
	SHOW(sigismember(&before, SIGTERM));
	SHOW(signal(SIGTERM, SIG_IGN) == SIG_DFL);
	SHOW(sigprocmask(SIG_UNBLOCK, &set, NULL));
	SHOW(kill(getpid(), SIGTERM));
	SHOW(kill(getpid(), SIGCHLD));
	SHOW(kill(getpid(), SIGWINCH));
	SHOW(kill(getpid(), 0));
	SHOW(kill(getpid(), 65));
	SHOW(kill(123456789, 0));
	stack_t stack = {.ss_sp = &set, .ss_size = 10};
	SHOW(sigaltstack(&stack, NULL));
}

static void waiting(void)
{
	struct pollfd fds[] = {{1, POLLOUT, 0}, {-5, POLLIN, 0}, {77, POLLIN, 0}};
	struct timeval now = {0, 0};
	fd_set read_set, write_set;
	SHOW(poll(fds, 3, 0));
	printf("%d %d %d\n", fds[0].revents, fds[1].revents, fds[2].revents);
	SHOW(poll(fds, 2, -1));
	SHOW(poll(NULL, 0, 5));
	SHOW(poll(fds, 100000, 0));
	FD_ZERO(&read_set);
	FD_ZERO(&write_set);
	FD_SET(1, &write_set);
	SHOW(select(2, NULL, &write_set, NULL, &now));
	SHOW(FD_ISSET(1, &write_set));
	FD_SET(77, &read_set);
	SHOW(select(78, &read_set, NULL, NULL, &now));
	SHOW(select(-1, NULL, NULL, NULL, &now));
}

int main(void)
{
	uint8_t random[300] = {0};
	struct termios termios;
	identity();
	limits();
	clocks();
	signals();
	waiting();
	SHOW(getrandom(random, sizeof(random), 0));
	SHOW(memchr(random, 0, 8) == NULL || memchr(random + 100, 1, 200) != NULL || 1);
	SHOW(getrandom(random, 1, 999));
	SHOW(getrandom((void *)16, 1, 0));
	SHOW(ioctl(1, TCGETS, &termios));
	SHOW(isatty(0) + isatty(1) + isatty(2));
	SHOW(ioctl(99, TCGETS, &termios));
	SHOW(syscall(9999));
	return 3;
}
