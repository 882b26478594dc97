/* signalfd: pending signals as something to read. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "show.h"
#include "anonymous.h"

static sigset_t set;
static struct signalfd_siginfo info[4];

static int handled;
static void handle(int signal) { handled += signal; }

static void one_signal(int fd)
{
	show_name(fd);
	SHOW(events(fd));
	SHOW(read(fd, info, sizeof(info)));
	SHOW(read(fd, info, 127));
	SHOW(write(fd, info, 128));
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR1);
	SHOW(events(fd));
	SHOW(read(fd, info, sizeof(info)));
	SHOW(info[0].ssi_signo);
	SHOW(info[0].ssi_code);
	SHOW(info[0].ssi_pid == getpid());
	SHOW(handled);
}

static void several(int fd)
{
	sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 11});
	sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 12});
	raise(SIGUSR1);
	SHOW(read(fd, info, sizeof(info)));
	SHOW(info[0].ssi_signo);
	SHOW(info[0].ssi_code);
	SHOW(info[1].ssi_int);
	SHOW(info[1].ssi_code);
	SHOW(info[2].ssi_int);
	SHOW(events(fd));
}

static void other_sets(int fd)
{
	sigset_t other, pending;
	sigemptyset(&other);
	sigaddset(&other, SIGUSR2);
	raise(SIGUSR1);
	SHOW(signalfd(fd, &other, 0) == fd);
	SHOW(events(fd));
	SHOW(signalfd(fd, &set, 0) == fd);
	SHOW(events(fd));
	SHOW(read(fd, info, 128));
	sigpending(&pending);
	SHOW(sigismember(&pending, SIGUSR1));
	raise(SIGUSR2);
	SHOW(handled);
}

static void refused(void)
{
	SHOW(signalfd(0, &set, 0));
	SHOW(signalfd(99, &set, 0));
	SHOW(signalfd(-2, &set, 0));
	SHOW(signalfd(-1, &set, 1));
	SHOW(signalfd(-1, NULL, 0));
}

static void delivered_after_all(int fd)
{
	raise(SIGUSR1);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	SHOW(handled);
	SHOW(read(fd, info, 128));
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void of_a_timer(void)
{
	int fd = signalfd(-1, &set, 0);
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN,
				 .sigev_value.sival_int = 5};
	struct itimerspec soon = {.it_value = {0, 2000000}};
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &soon, NULL);
	SHOW(read(fd, info, sizeof(info)));
	SHOW(info[0].ssi_code);
	SHOW(info[0].ssi_int);
	close(fd);
}

int main(void)
{
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	signal(SIGUSR1, handle);
	signal(SIGUSR2, handle);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	one_signal(fd);
	several(fd);
	other_sets(fd);
	refused();
	delivered_after_all(fd);
	close(fd);
	of_a_timer();
	return 0;
}
