/* Threads that wait in calls on sockets of AF_UNIX: for data, room, connections, the end. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "show.h"
#include "unix_address.h"

static char buffer[500000];

static int caught;
static void count(int signal) { caught += signal; }

/* The socket that a thread waits on, and the other one. */
static int waiter[2];
static long result;
static int result_errno;

static void *receive(void *argument)
{
	result = recv(waiter[0], buffer, 10, (int)(long)argument);
	result_errno = errno;
	return NULL;
}

static void *send_much(void *argument)
{
	result = send(waiter[0], buffer, 500000, MSG_NOSIGNAL);
	result_errno = errno;
	return NULL;
}

static void *accept_one(void *argument)
{
	result = accept(waiter[0], NULL, NULL) >= 0;
	result_errno = errno;
	return NULL;
}

static void *connect_one(void *argument)
{
	result = connect_to(waiter[1], "@queue");
	result_errno = errno;
	return NULL;
}

static void *poll_one(void *argument)
{
	struct pollfd entry = {waiter[0], (short)(long)argument, 0};
	result = poll(&entry, 1, 1000) == 1 ? entry.revents : -1;
	return NULL;
}

static const struct timespec moment = {0, 50000000};

static pthread_t start(void *(*function)(void *), long argument)
{
	pthread_t thread;
	pthread_create(&thread, NULL, function, (void *)argument);
	nanosleep(&moment, NULL);
	return thread;
}

/* From a quarter on a socket is not writable; on a busy host the rest takes a while, too. */
static void wait_until_full(int fd)
{
	struct pollfd entry = {fd, POLLOUT, 0};
	while (poll(&entry, 1, 0) == 1)
		nanosleep(&moment, NULL);
	nanosleep(&moment, NULL);
}

static void finish(const char *title, pthread_t thread)
{
	pthread_join(thread, NULL);
	printf("%s: %ld (%d)\n", title, result, result < 0 ? result_errno : 0);
}

static void for_data(void)
{
	pthread_t thread;
	socketpair(AF_UNIX, SOCK_STREAM, 0, waiter);
	thread = start(receive, 0);
	SHOW(write(waiter[1], "abc", 3));
	finish("data came", thread);
	thread = start(receive, MSG_WAITALL);
	SHOW(write(waiter[1], "abcde", 5));
	SHOW(write(waiter[1], "fghij", 5));
	finish("all data came", thread);
	thread = start(receive, MSG_PEEK);
	SHOW(write(waiter[1], "abc", 3));
	finish("seen", thread);
	SHOW(recv(waiter[0], buffer, 10, 0));
	thread = start(poll_one, POLLIN);
	SHOW(write(waiter[1], "abc", 3));
	finish("events", thread);
	SHOW(recv(waiter[0], buffer, 10, 0));
	thread = start(send_much, 0);
	SHOW(recv(waiter[1], buffer, 500000, MSG_WAITALL));
	finish("all was sent", thread);

	fcntl(waiter[0], F_SETFL, O_NONBLOCK);
	while (write(waiter[0], buffer, 10000) > 0)
		;
	thread = start(poll_one, POLLOUT);
	SHOW(recv(waiter[1], buffer, 300000, 0) > 100000);
	finish("events", thread);
	fcntl(waiter[0], F_SETFL, 0);
}

/* On the connection that for_data leaves, with data unread at its other end. */
static void for_a_shutdown(void)
{
	pthread_t thread = start(receive, 0);
	SHOW(shutdown(waiter[0], SHUT_RD));
	finish("shut down", thread);
	finish("events", start(poll_one, POLLRDHUP | POLLIN));
	SHOW(close(waiter[1]));
	finish("events", start(poll_one, POLLRDHUP | POLLIN));
	close(waiter[0]);
}

static void for_the_end(void)
{
	pthread_t thread;
	socketpair(AF_UNIX, SOCK_STREAM, 0, waiter);
	thread = start(receive, 0);
	SHOW(close(waiter[1]));
	finish("end", thread);
	close(waiter[0]);
	socketpair(AF_UNIX, SOCK_STREAM, 0, waiter);
	thread = start(send_much, 0);
	wait_until_full(waiter[0]);
	SHOW(close(waiter[1]));
	finish("part was sent", thread);
	close(waiter[0]);
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, waiter);
	thread = start(receive, 0);
	SHOW(shutdown(waiter[1], SHUT_WR));
	finish("end", thread);
	close(waiter[0]), close(waiter[1]);
}

static void for_connections(void)
{
	pthread_t thread;
	waiter[0] = listener(SOCK_STREAM, "@queue", 0);
	waiter[1] = socket(AF_UNIX, SOCK_STREAM, 0);
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	thread = start(accept_one, 0);
	SHOW(connect_to(client, "@queue"));
	finish("accepted", thread);
	close(client), client = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(connect_to(client, "@queue"));
	thread = start(connect_one, 0);
	SHOW(accept(waiter[0], NULL, NULL) >= 0);
	finish("connected", thread);
	close(waiter[1]), waiter[1] = socket(AF_UNIX, SOCK_STREAM, 0);
	thread = start(connect_one, 0);
	SHOW(close(waiter[0]));
	finish("refused", thread);
	waiter[0] = listener(SOCK_STREAM, "@queue", 0);
	thread = start(accept_one, 0);
	SHOW(shutdown(waiter[0], SHUT_RD));
	finish("accept, shut down", thread);
}

static void with_signals(void)
{
	socketpair(AF_UNIX, SOCK_STREAM, 0, waiter);
	struct sigaction action = {.sa_handler = count};
	struct itimerval timer = {{0, 0}, {0, 10000}};
	struct timeval long_time = {5, 0};
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	SHOW(read(waiter[0], buffer, 1));
	action.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &action, NULL);
	setsockopt(waiter[0], SOL_SOCKET, SO_RCVTIMEO, &long_time, sizeof(long_time));
	setitimer(ITIMER_REAL, &timer, NULL);
	SHOW(read(waiter[0], buffer, 1));
	memset(&long_time, 0, sizeof(long_time));
	setsockopt(waiter[0], SOL_SOCKET, SO_RCVTIMEO, &long_time, sizeof(long_time));
	setitimer(ITIMER_REAL, &timer, NULL);
	pthread_t thread = start(receive, 0);
	SHOW(write(waiter[1], "abc", 3));
	finish("restarted or not at all", thread);
	printf("caught %d\n", caught);
}

static void for_a_time(void)
{
	struct timeval soon = {0, 30000};
	setsockopt(waiter[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
	struct timespec before, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	SHOW(read(waiter[0], buffer, 1));
	clock_gettime(CLOCK_MONOTONIC, &after);
	long passed = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	printf("in time %d\n", passed >= 20 && passed < 1000);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	for_data();
	for_a_shutdown();
	for_the_end();
	for_connections();
	with_signals();
	for_a_time();
	return 0;
}
