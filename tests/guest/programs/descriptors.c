/* Files that are no files: eventfd, timerfd, signalfd. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "show.h"

static uint64_t value;

static long get(int fd)
{
	value = 0;
	return read(fd, &value, 8);
}

static long put(int fd, uint64_t number) { return write(fd, &number, 8); }

static void show_name(int fd)
{
	char path[64], text[64] = "";
	struct stat stat;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readlink(path, text, sizeof(text) - 1);
	fstat(fd, &stat);
	printf("%s, mode %o\n", text, stat.st_mode);
}

static void eventfds(void)
{
	puts("-- eventfd");
	int fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
	char bytes[100];
	show_name(fd);
	SHOW(fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
	SHOW(fcntl(fd, F_GETFD));
	SHOW(events(fd));
	SHOW(get(fd));
	SHOW(value);
	SHOW(events(fd));
	SHOW(get(fd));
	SHOW(put(fd, 0));
	SHOW(events(fd));
	SHOW(put(fd, 5));
	SHOW(put(fd, 6));
	SHOW(read(fd, bytes, 7));
	SHOW(write(fd, bytes, 7));
	SHOW(read(fd, NULL, 8));
	SHOW(get(fd));
	SHOW(put(fd, 7));
	SHOW(read(fd, bytes, 100));
	SHOW(put(fd, UINT64_MAX));
	SHOW(put(fd, UINT64_MAX - 1));
	SHOW(events(fd));
	SHOW(put(fd, 0));
	SHOW(put(fd, 1));
	SHOW(get(fd));
	SHOW(value == UINT64_MAX - 1);
	SHOW(put(fd, UINT64_MAX - 2));
	SHOW(events(fd));
	SHOW(put(fd, 2));
	SHOW(ftruncate(fd, 0));
	SHOW(fsync(fd));
	SHOW(ioctl(fd, FIONREAD, bytes));
	SHOW(write(fd, NULL, 8));
	close(fd);
	fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	SHOW(get(fd));
	SHOW(value);
	SHOW(get(fd));
	SHOW(get(fd));
	SHOW(put(fd, 3));
	SHOW(get(fd));
	SHOW(value);
	close(fd);
	SHOW(eventfd(0, 2));
	SHOW(eventfd(0, ~0));
}

static void *add_soon(void *argument)
{
	usleep(1000);
	put(*(int *)argument, 9);
	return NULL;
}

static void *take_soon(void *argument)
{
	uint64_t taken;
	usleep(1000);
	read(*(int *)argument, &taken, 8);
	return NULL;
}

static void blocking_eventfds(void)
{
	pthread_t thread;
	int fd = eventfd(0, 0);
	puts("-- eventfd, blocking");
	pthread_create(&thread, NULL, add_soon, &fd);
	SHOW(get(fd));
	SHOW(value);
	pthread_join(thread, NULL);
	put(fd, UINT64_MAX - 1);
	pthread_create(&thread, NULL, take_soon, &fd);
	SHOW(put(fd, 4));
	pthread_join(thread, NULL);
	SHOW(get(fd));
	SHOW(value);
	close(fd);
}

static struct itimerspec after(long first, long interval)
{
	return (struct itimerspec){
		.it_value = {first / 1000, first % 1000 * 1000000},
		.it_interval = {interval / 1000, interval % 1000 * 1000000},
	};
}

static void timerfds(void)
{
	struct itimerspec set, old;
	puts("-- timerfd");
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	show_name(fd);
	SHOW(fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
	SHOW(get(fd));
	SHOW(events(fd));
	SHOW(write(fd, &value, 8));
	set = after(200, 0);
	SHOW(timerfd_settime(fd, 0, &set, NULL));
	SHOW(get(fd));
	SHOW(timerfd_gettime(fd, &old));
	SHOW(old.it_value.tv_sec == 0 && old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 200000000);
	struct pollfd entry = {fd, POLLIN, 0};
	SHOW(poll(&entry, 1, 10000));
	SHOW(read(fd, &value, 7));
	SHOW(get(fd));
	SHOW(value);
	SHOW(get(fd));
	SHOW(timerfd_gettime(fd, &old));
	SHOW(old.it_value.tv_sec + old.it_value.tv_nsec);
	set = after(1, 1);
	SHOW(timerfd_settime(fd, 0, &set, &old));
	usleep(10000);
	SHOW(get(fd));
	SHOW(value >= 9);
	SHOW(timerfd_gettime(fd, &old));
	SHOW(old.it_interval.tv_nsec);
	set = after(0, 1);
	SHOW(timerfd_settime(fd, 0, &set, &old));
	SHOW(old.it_interval.tv_nsec);
	usleep(3000);
	SHOW(get(fd));
	set = after(100000, 7);
	SHOW(timerfd_settime(fd, 0, &set, NULL));
	SHOW(timerfd_settime(fd, 0, &set, &old));
	SHOW(old.it_value.tv_sec >= 90);
	SHOW(old.it_interval.tv_nsec);
	set = (struct itimerspec){.it_value = {0, 1}};
	SHOW(timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL));
	usleep(2000);
	SHOW(get(fd));
	SHOW(value);
	set.it_value.tv_nsec = 1000000000;
	SHOW(timerfd_settime(fd, 0, &set, NULL));
	set.it_value.tv_nsec = -1;
	SHOW(timerfd_settime(fd, 0, &set, NULL));
	set = after(1, 0);
	SHOW(timerfd_settime(fd, 4, &set, NULL));
	SHOW(timerfd_settime(0, 0, &set, NULL));
	SHOW(timerfd_settime(99, 0, &set, NULL));
	SHOW(timerfd_settime(fd, 0, NULL, NULL));
	SHOW(timerfd_gettime(fd, NULL));
	SHOW(timerfd_gettime(0, &old));
	close(fd);
	fd = timerfd_create(CLOCK_REALTIME, 0);
	clock_gettime(CLOCK_REALTIME, &set.it_value);
	set.it_value.tv_sec -= 10;
	set.it_interval = (struct timespec){4, 0};
	SHOW(timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL));
	SHOW(get(fd));
	SHOW(value);
	set = after(3, 0);
	SHOW(timerfd_settime(fd, 0, &set, NULL));
	SHOW(get(fd));
	SHOW(value);
	close(fd);
	SHOW(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
	SHOW(timerfd_create(CLOCK_MONOTONIC, 1));
	SHOW(close(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC)));
}

static int handled;
static void handle(int signal) { handled += signal; }

static void signalfds(void)
{
	struct signalfd_siginfo info[4];
	sigset_t set, other, pending;
	puts("-- signalfd");
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	signal(SIGUSR1, handle);
	signal(SIGUSR2, handle);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
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
	SHOW(signalfd(0, &set, 0));
	SHOW(signalfd(99, &set, 0));
	SHOW(signalfd(-2, &set, 0));
	SHOW(signalfd(-1, &set, 1));
	SHOW(signalfd(-1, NULL, 0));
	raise(SIGUSR1);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	SHOW(handled);
	SHOW(read(fd, info, 128));
	close(fd);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, 0);
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN,
				 .sigev_value.sival_int = 5};
	struct itimerspec soon = after(2, 0);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &soon, NULL);
	SHOW(read(fd, info, sizeof(info)));
	SHOW(info[0].ssi_code);
	SHOW(info[0].ssi_int);
	close(fd);
}

int main(void)
{
	eventfds();
	blocking_eventfds();
	timerfds();
	signalfds();
	return 0;
}
