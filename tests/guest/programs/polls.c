/* poll, select, ppoll, pselect. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "show.h"

static void handle(int signal) {}

static long raw_poll(void *entries, unsigned count, struct timespec *time)
{
	return syscall(SYS_ppoll, entries, count, time, NULL, 0);
}

static void show_entries(const struct pollfd *entries, int count)
{
	for (int i = 0; i < count; i++)
		printf(" %d:%#x", entries[i].fd, entries[i].revents);
	printf("\n");
}

static void polls(void)
{
	int fds[2], event = eventfd(1, EFD_NONBLOCK);
	puts("-- poll");
	pipe(fds);
	int plain = open("file", O_RDWR | O_CREAT, 0600);
	int null = open("/dev/null", O_RDWR);
	int path = open("file", O_PATH);
	int directory = open("/", O_RDONLY);
	struct pollfd entries[] = {
		{fds[0], POLLIN, 7},
		{fds[1], POLLIN | POLLOUT, 7},
		{event, POLLIN | POLLOUT, 7},
		{plain, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLPRI, 7},
		{null, POLLIN, 7},
		{path, POLLIN, 7},
		{directory, POLLIN, 7},
		{-1, POLLIN, 7},
		{99, POLLIN, 7},
		{99, 0, 7},
		{fds[0], 0, 7},
	};
	SHOW(poll(entries, 11, 0));
	show_entries(entries, 11);
	SHOW(poll(entries, 0, 0));
	SHOW(poll(NULL, 1, 0));
	SHOW(poll(entries, 1, 0));
	SHOW(poll(entries, 1, 3));
	SHOW(poll(NULL, 0, 3));
	write(fds[1], "x", 1);
	SHOW(poll(entries, 1, -1));
	SHOW(poll(entries, 1, -5));
	close(fds[1]);
	SHOW(poll(entries, 1, 0));
	show_entries(entries, 1);
	SHOW(poll(entries + 10, 1, 0));
	show_entries(entries + 10, 1);
	struct rlimit limit = {20, 20};
	setrlimit(RLIMIT_NOFILE, &limit);
	SHOW(raw_poll(entries, 21, NULL));
	SHOW(raw_poll(entries, 1, &(struct timespec){0, -1}));
	SHOW(raw_poll(entries, 1, &(struct timespec){-1, 0}));
	SHOW(raw_poll(entries, 1, (void *)8));
	close(fds[0]);
	close(event);
	close(plain);
	close(null);
	close(path);
	close(directory);
}

static void show_sets(const fd_set *in, const fd_set *out, const fd_set *except)
{
	for (int fd = 0; fd < 20; fd++)
		printf("%c%c%c ", in && FD_ISSET(fd, in) ? 'r' : '-', out && FD_ISSET(fd, out) ? 'w' : '-',
		       except && FD_ISSET(fd, except) ? 'x' : '-');
	printf("\n");
}

static void selects(void)
{
	int fds[2];
	fd_set in, out, except;
	struct timeval none = {0, 0}, some = {0, 2000};
	puts("-- select");
	pipe(fds);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&except);
	FD_SET(fds[0], &in);
	FD_SET(fds[1], &in);
	FD_SET(fds[0], &out);
	FD_SET(fds[1], &out);
	FD_SET(fds[1], &except);
	SHOW(select(fds[1] + 1, &in, &out, &except, &none));
	show_sets(&in, &out, &except);
	FD_SET(fds[0], &in);
	SHOW(select(fds[1] + 1, &in, NULL, NULL, &some));
	show_sets(&in, NULL, NULL);
	write(fds[1], "x", 1);
	FD_SET(fds[0], &in);
	SHOW(select(fds[1] + 1, &in, NULL, NULL, NULL));
	show_sets(&in, NULL, NULL);
	SHOW(select(fds[0], &in, NULL, NULL, &none));
	FD_SET(fds[0], &in);
	SHOW(select(-1, &in, NULL, NULL, &none));
	none.tv_usec = -1;
	SHOW(select(1, NULL, NULL, NULL, &none));
	none.tv_usec = 0;
	SHOW(select(0, NULL, NULL, NULL, &none));
	SHOW(syscall(SYS_pselect6, 5, 8, NULL, NULL, &(struct timespec){0, 0}, NULL));
	close(fds[1]);
	FD_ZERO(&in);
	FD_ZERO(&except);
	FD_SET(fds[0], &in);
	FD_SET(fds[0], &except);
	SHOW(select(fds[0] + 1, &in, NULL, &except, &none));
	show_sets(&in, NULL, &except);
	close(fds[0]);
	pipe(fds);
	close(fds[0]);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fds[1], &in);
	FD_SET(fds[1], &out);
	SHOW(select(fds[1] + 1, &in, &out, NULL, &none));
	show_sets(&in, &out, NULL);
	close(fds[1]);
}

static void *put_soon(void *argument)
{
	usleep(2000);
	write(*(int *)argument, "later", 5);
	return NULL;
}

static void waits(void)
{
	int fds[2], other[2];
	pthread_t thread;
	sigset_t set, old;
	fd_set in;
	puts("-- waiting");
	pipe(fds);
	pipe(other);
	struct pollfd entries[] = {{other[0], POLLIN, 0}, {fds[0], POLLIN, 0}, {fds[0], POLLIN, 0}};
	pthread_create(&thread, NULL, put_soon, &fds[1]);
	SHOW(poll(entries, 3, 10000));
	show_entries(entries, 3);
	pthread_join(thread, NULL);
	char bytes[8];
	read(fds[0], bytes, 8);
	pthread_create(&thread, NULL, put_soon, &fds[1]);
	FD_ZERO(&in);
	FD_SET(fds[0], &in);
	FD_SET(other[0], &in);
	SHOW(select(20, &in, NULL, NULL, NULL));
	show_sets(&in, NULL, NULL);
	pthread_join(thread, NULL);
	read(fds[0], bytes, 8);

	signal(SIGUSR1, handle);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR1);
	SHOW(poll(entries, 2, 2));
	SHOW(ppoll(entries, 2, &(struct timespec){10, 0}, &old));
	raise(SIGUSR1);
	FD_ZERO(&in);
	FD_SET(fds[0], &in);
	SHOW(pselect(20, &in, NULL, NULL, &(struct timespec){10, 0}, &old));
	sigprocmask(SIG_BLOCK, NULL, &old);
	SHOW(sigismember(&old, SIGUSR1));
	SHOW(syscall(SYS_ppoll, entries, 2, NULL, &old, 4));
	raise(SIGUSR1);
	write(fds[1], "x", 1);
	SHOW(ppoll(entries, 2, NULL, &set));
	for (int i = 0; i < 2; i++) {
		close(fds[i]);
		close(other[i]);
	}
}

int main(void)
{
	polls();
	selects();
	waits();
	return 0;
}
