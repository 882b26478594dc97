/* epoll: threads that wait, for files, times and signals. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "show.h"
#include "epoll.h"

/* The C library does not have it. */
static int epoll_pwait2(int epoll, void *into, int most, const struct timespec *time, const void *mask)
{
	return syscall(441, epoll, into, most, time, mask, 8);
}

static void *put_soon(void *argument)
{
	usleep(2000);
	put(*(int *)argument);
	return NULL;
}

static void for_a_file(int epoll, int event)
{
	pthread_t thread;
	struct timespec start, now;
	pthread_create(&thread, NULL, put_soon, &event);
	SHOW(epoll_wait(epoll, found, 10, -1));
	pthread_join(thread, NULL);
	take(event);
	clock_gettime(CLOCK_MONOTONIC, &start);
	SHOW(epoll_wait(epoll, found, 10, 20));
	clock_gettime(CLOCK_MONOTONIC, &now);
	SHOW((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 >= 19);
	pthread_create(&thread, NULL, put_soon, &event);
	SHOW(epoll_pwait2(epoll, found, 10, &(struct timespec){5, 0}, NULL));
	pthread_join(thread, NULL);
	SHOW(epoll_pwait2(epoll, found, 10, &(struct timespec){0, 1000000000}, NULL));
	take(event);
	SHOW(epoll_pwait2(epoll, found, 10, &(struct timespec){0, 1000}, NULL));
}

static void for_a_nested_one(int epoll, int event)
{
	pthread_t thread;
	int outer = epoll_create1(0);
	add(outer, epoll, EPOLLIN);
	pthread_create(&thread, NULL, put_soon, &event);
	SHOW(epoll_wait(outer, found, 10, 5000));
	pthread_join(thread, NULL);
	take(event);
	close(outer);
}

static void handle(int signal) {}

static void with_signals(int epoll)
{
	struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
	sigset_t set, old;
	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR1);
	SHOW(epoll_wait(epoll, found, 10, 0));
	SHOW(epoll_pwait(epoll, found, 10, 1000, &old));
	sigprocmask(SIG_BLOCK, NULL, &old);
	SHOW(sigismember(&old, SIGUSR1));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void for_a_timer(int epoll)
{
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec soon = {.it_value = {0, 3000000}};
	add(epoll, timer, EPOLLIN);
	timerfd_settime(timer, 0, &soon, NULL);
	SHOW(epoll_wait(epoll, found, 10, 5000));
	SHOW(found[0].data.u64 == 1000 + timer);
	timerfd_settime(timer, 0, &soon, NULL);
	while (epoll_wait(epoll, found, 10, 0) == 0)
		;
	SHOW(found[0].data.u64 == 1000 + timer);
	close(timer);
}

/* ---- Of several threads, how many wake ---- */

static int woken;

static void *wait_at(void *argument)
{
	struct epoll_event event;
	if (epoll_wait(*(int *)argument, &event, 1, 800) > 0)
		__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* They wait in one, for an edge. */
static void of_an_edge(int epoll, int event)
{
	pthread_t several[3];
	change(epoll, event, EPOLLIN | EPOLLET);
	for (int i = 0; i < 3; i++)
		pthread_create(&several[i], NULL, wait_at, &epoll);
	usleep(100000);
	put(event);
	for (int i = 0; i < 3; i++)
		pthread_join(several[i], NULL);
	SHOW(woken);
	take(event);
}

/* They wait in one each, for all or with EPOLLEXCLUSIVE. */
static void exclusives(void)
{
	int event = eventfd(0, EFD_NONBLOCK), epoll[2];
	pthread_t threads[2];
	for (int round = 0; round < 2; round++) {
		woken = 0;
		for (int i = 0; i < 2; i++) {
			epoll[i] = epoll_create1(0);
			add(epoll[i], event, EPOLLIN | EPOLLET | (round ? EPOLLEXCLUSIVE : 0));
			pthread_create(&threads[i], NULL, wait_at, &epoll[i]);
		}
		usleep(100000);
		put(event);
		for (int i = 0; i < 2; i++) {
			pthread_join(threads[i], NULL);
			close(epoll[i]);
		}
		SHOW(woken);
		take(event);
	}
	close(event);
}

int main(void)
{
	int epoll = epoll_create1(0), event = eventfd(0, EFD_NONBLOCK);
	add(epoll, event, EPOLLIN);
	for_a_file(epoll, event);
	for_a_nested_one(epoll, event);
	of_an_edge(epoll, event);
	with_signals(epoll);
	for_a_timer(epoll);
	close(event), close(epoll);
	exclusives();
	return 0;
}
