/* Connections of AF_UNIX: streams and packets; backlog, ends, readiness, waiting. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "show.h"
#include "unix_address.h"

static char buffer[1 << 20];

static void show_events(const char *title, int fd)
{
	struct pollfd entry = {fd, 0x7fff & ~POLLNVAL, 0};
	poll(&entry, 1, 0);
	printf("%s: events %x\n", title, entry.revents);
}

static void error(const char *title, int fd)
{
	int value = -1;
	socklen_t length = sizeof(value);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length);
	printf("%s: error %d\n", title, value);
}

static int caught;
static void count(int signal) { caught += signal; }

static int listener(int type, const char *text, int backlog)
{
	int fd = socket(AF_UNIX, type, 0);
	bind_to(fd, text);
	listen(fd, backlog);
	return fd;
}

static void connecting(int type)
{
	printf("-- connecting, type %d\n", type);
	int server = socket(AF_UNIX, type, 0), client = socket(AF_UNIX, type, 0);
	show_events("new", server);
	SHOW(bind_to(server, "@server"));
	show_events("bound", server);
	SHOW(connect_to(client, "@server"));
	SHOW(listen(server, 1));
	show_events("listening", server);
	int accepts = 0;
	socklen_t length = sizeof(accepts);
	getsockopt(server, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &length);
	printf("accepts %d\n", accepts);
	SHOW(fcntl(server, F_SETFL, O_NONBLOCK));
	SHOW(accept(server, NULL, NULL));
	SHOW(ioctl(server, FIONREAD, &accepts));
	SHOW(read(server, buffer, 1));
	SHOW(write(server, buffer, 1));
	SHOW(connect_to(server, "@server"));
	SHOW(connect_to(client, "@server"));
	show_events("to be accepted", server);
	show_events("connected", client);
	SHOW(connect_to(client, "@server"));
	SHOW(listen(client, 1));
	SHOW(write(client, "early", 5));
	struct sockaddr_un peer;
	length = sizeof(peer);
	SHOW(accept4(server, (void *)&peer, &length, SOCK_NONBLOCK));
	int accepted = server + 2;
	printf("peer: length %u family %d\n", length, peer.sun_family);
	show_events("nothing more to accept", server);
	show_events("accepted", accepted);
	length = sizeof(peer);
	SHOW(getpeername(client, (void *)&peer, &length));
	printf("%.7s\n", peer.sun_path + 1);
	length = sizeof(peer);
	SHOW(getsockname(accepted, (void *)&peer, &length));
	printf("%.7s\n", peer.sun_path + 1);
	length = sizeof(peer);
	SHOW(getpeername(accepted, (void *)&peer, &length));
	printf("peer: length %u\n", length);
	SHOW(fcntl(accepted, F_GETFL) & O_NONBLOCK);
	SHOW(fcntl(accepted, F_GETFD));
	struct ucred credentials;
	length = sizeof(credentials);
	getsockopt(client, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
	printf("peer is me %d %u %u\n", credentials.pid == getpid(), credentials.uid, credentials.gid);
	getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
	printf("peer is me %d\n", credentials.pid == getpid());
	getsockopt(server, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
	printf("peer is me %d\n", credentials.pid == getpid());
	SHOW(read(accepted, buffer, 100));
	SHOW(read(accepted, buffer, 100));
	SHOW(bind_to(client, "@client"));
	length = sizeof(peer);
	SHOW(getpeername(accepted, (void *)&peer, &length));
	printf("peer: length %d\n", length > 10);
	length = 50;
	SHOW(write(client, "more", 4));
	SHOW(recvfrom(accepted, buffer, 100, 0, (void *)&peer, &length));
	printf("from: %.7s %d\n", peer.sun_path + 1, length > 10);

	/* One may wait more than the backlog says. */
	int waiting[4];
	for (int i = 0; i < 4; i++) {
		waiting[i] = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
		SHOW(connect_to(waiting[i], "@server"));
	}
	show_events("refused for now", waiting[3]);
	SHOW(write(waiting[0], "hi", 2));
	SHOW(listen(server, 2));
	SHOW(connect_to(waiting[2], "@server"));
	struct timeval soon = {0, 20000};
	SHOW(fcntl(waiting[3], F_SETFL, 0));
	SHOW(setsockopt(waiting[3], SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)));
	SHOW(connect_to(waiting[3], "@server"));
	SHOW(close(waiting[1]));
	int first = accept(server, NULL, NULL), second = accept(server, NULL, NULL);
	SHOW(read(first, buffer, 10));
	show_events("second, whose client is gone", second);
	SHOW(read(second, buffer, 10));
	SHOW(write(second, buffer, 10));
	printf("caught %d\n", caught);
	SHOW(close(server));
	show_events("server is gone", waiting[2]);
	SHOW(read(waiting[2], buffer, 10));
	SHOW(read(waiting[2], buffer, 10));
	SHOW(connect_to(waiting[3], "@server"));
	close(first), close(second), close(waiting[0]), close(waiting[2]), close(waiting[3]);
	close(client), close(accepted);

	server = listener(type, "listening", 0);
	client = socket(AF_UNIX, type, 0);
	int other = socket(AF_UNIX, type == SOCK_STREAM ? SOCK_SEQPACKET : SOCK_STREAM, 0);
	SHOW(connect_to(other, "listening"));
	SHOW(shutdown(server, SHUT_RD));
	show_events("listener, shut down", server);
	SHOW(connect_to(client, "listening"));
	SHOW(accept(server, NULL, NULL));
	SHOW(unlink("listening"));
	SHOW(connect_to(client, "listening"));
	close(server), close(client), close(other);
}

static void ending(int type)
{
	int pair[2];
	printf("-- ending, type %d\n", type);
	socketpair(AF_UNIX, type, 0, pair);
	show_events("both", pair[0]);
	SHOW(write(pair[1], "abc", 3));
	show_events("data", pair[0]);
	SHOW(close(pair[1]));
	show_events("data, closed", pair[0]);
	SHOW(write(pair[0], "x", 1));
	printf("caught %d\n", caught);
	SHOW(send(pair[0], "x", 1, MSG_NOSIGNAL));
	printf("caught %d\n", caught);
	SHOW(read(pair[0], buffer, 2));
	SHOW(read(pair[0], buffer, 2));
	SHOW(read(pair[0], buffer, 2));
	show_events("nothing", pair[0]);
	socklen_t length = sizeof(address);
	SHOW(getpeername(pair[0], (void *)&address, &length));
	close(pair[0]);

	/* Unread data at the end resets the connection. */
	socketpair(AF_UNIX, type, 0, pair);
	SHOW(write(pair[0], "abc", 3));
	SHOW(write(pair[1], "def", 3));
	close(pair[1]);
	show_events("reset", pair[0]);
	SHOW(read(pair[0], buffer, 10));
	SHOW(read(pair[0], buffer, 10));
	SHOW(read(pair[0], buffer, 10));
	SHOW(send(pair[0], "x", 1, MSG_NOSIGNAL));
	close(pair[0]);
	socketpair(AF_UNIX, type, 0, pair);
	SHOW(write(pair[0], "abc", 3));
	close(pair[1]);
	SHOW(send(pair[0], "x", 1, MSG_NOSIGNAL));
	SHOW(send(pair[0], "x", 1, MSG_NOSIGNAL));
	show_events("after reset", pair[0]);
	close(pair[0]);
	socketpair(AF_UNIX, type, 0, pair);
	SHOW(write(pair[0], "abc", 3));
	close(pair[1]);
	error("reset", pair[0]);
	error("told", pair[0]);
	close(pair[0]);

	for (int how = SHUT_RD; how <= SHUT_RDWR; how++) {
		printf("-- shut down %d\n", how);
		socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, pair);
		SHOW(write(pair[0], "to 1", 4));
		SHOW(write(pair[1], "to 0", 4));
		SHOW(shutdown(pair[0], how));
		show_events("self", pair[0]);
		show_events("peer", pair[1]);
		for (int i = 0; i < 2; i++) {
			SHOW(send(pair[i], "x", 1, MSG_NOSIGNAL));
			SHOW(read(pair[i], buffer, 10));
			SHOW(read(pair[i], buffer, 10));
		}
		SHOW(send(pair[0], "", 0, MSG_NOSIGNAL));
		SHOW(send(pair[1], "", 0, MSG_NOSIGNAL));
		SHOW(shutdown(pair[0], how));
		close(pair[0]), close(pair[1]);
	}
}

static void transferring(void)
{
	int pair[2], bytes = 0;
	struct iovec segments[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}};
	struct timeval soon = {0, 20000};
	printf("-- transferring\n");
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	SHOW(writev(pair[0], segments, 3));
	SHOW(send(pair[0], "ij", 2, 0));
	SHOW(ioctl(pair[1], FIONREAD, &bytes));
	printf("bytes %d\n", bytes);
	SHOW(recv(pair[1], buffer, 4, MSG_PEEK));
	SHOW(recv(pair[1], buffer, 100, MSG_PEEK));
	printf("%.10s\n", buffer);
	SHOW(recv(pair[1], buffer, 2, MSG_TRUNC));
	char a[3] = {0}, b[4] = {0};
	struct iovec places[2] = {{a, 2}, {b, 3}};
	SHOW(readv(pair[1], places, 2));
	printf("%s %s\n", a, b);
	SHOW(recv(pair[1], buffer, 0, 0));
	SHOW(recv(pair[1], buffer, 100, MSG_DONTWAIT));
	SHOW(recv(pair[1], buffer, 100, MSG_DONTWAIT));
	SHOW(recv(pair[1], buffer, 100, MSG_DONTWAIT | MSG_PEEK));
	SHOW(write(pair[0], "", 0));
	SHOW(ioctl(pair[1], FIONREAD, &bytes));
	printf("bytes %d\n", bytes);

	SHOW(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)));
	SHOW(recv(pair[1], buffer, 100, 0));
	SHOW(write(pair[0], "abc", 3));
	SHOW(recv(pair[1], buffer, 5, MSG_WAITALL));
	SHOW(recv(pair[1], buffer, 5, MSG_WAITALL));
	SHOW(write(pair[0], "abc", 3));
	SHOW(recv(pair[1], buffer, 2, MSG_WAITALL));
	bytes = 3;
	SHOW(setsockopt(pair[1], SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes)));
	SHOW(recv(pair[1], buffer, 5, 0));
	SHOW(write(pair[0], "abcd", 4));
	SHOW(recv(pair[1], buffer, 5, 0));
	bytes = 1;
	setsockopt(pair[1], SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));

	SHOW(write(pair[0], (void *)8, 3));
	SHOW(write(pair[0], "abcdef", 6));
	SHOW(read(pair[1], (void *)8, 3));
	SHOW(read(pair[1], buffer, 10));
	segments[2].iov_base = (void *)8;
	SHOW(writev(pair[0], segments, 3));
	SHOW(recv(pair[1], buffer, 10, MSG_DONTWAIT));
	SHOW(write(pair[0], "abc", 3));
	places[1].iov_base = (void *)8;
	SHOW(readv(pair[1], places, 2));
	SHOW(recv(pair[1], buffer, 10, MSG_DONTWAIT));

	/* Full, and how full it must not be to count as writable. */
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	memset(buffer, 'f', sizeof(buffer));
	while (write(pair[0], buffer, 50000) > 0)
		;
	SHOW(write(pair[0], buffer, 1));
	show_events("full", pair[0]);
	SHOW(ioctl(pair[0], TIOCOUTQ, &bytes));
	printf("more than the buffer: %d\n", bytes >= 212992);
	SHOW(recv(pair[1], buffer, 10000, MSG_DONTWAIT));
	show_events("still full", pair[0]);
	while (recv(pair[1], buffer, 10000, MSG_DONTWAIT) > 0)
		;
	show_events("not full", pair[0]);
	SHOW(ioctl(pair[0], TIOCOUTQ, &bytes));
	printf("bytes %d\n", bytes);
	bytes = 0;
	SHOW(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)));
	SHOW(write(pair[0], buffer, 10000));
	SHOW(setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)));
	fcntl(pair[0], F_SETFL, 0);
	SHOW(write(pair[0], buffer, 10000));
	while (recv(pair[1], buffer, 10000, MSG_DONTWAIT) > 0)
		;
	SHOW(write(pair[0], buffer, 10000));
	SHOW(close(pair[0]));
	SHOW(recv(pair[1], buffer, 100000, MSG_WAITALL));
	close(pair[1]);

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	int file = open("file", O_RDWR | O_CREAT, 0600);
	SHOW(write(file, "from a file", 11));
	off_t offset = 5;
	SHOW(sendfile(pair[0], file, &offset, 100));
	SHOW(read(pair[1], buffer, 100));
	SHOW(sendfile(file, pair[0], NULL, 100));
	SHOW(connect_to(pair[0], "file"));
	close(pair[0]), close(pair[1]), close(file), unlink("file");

	printf("-- packets\n");
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
	SHOW(write(pair[0], "one", 3));
	SHOW(write(pair[0], "", 0));
	SHOW(write(pair[0], "three", 5));
	SHOW(ioctl(pair[1], FIONREAD, &bytes));
	printf("bytes %d\n", bytes);
	SHOW(recv(pair[1], buffer, 2, MSG_PEEK | MSG_TRUNC));
	SHOW(read(pair[1], buffer, 2));
	SHOW(recv(pair[1], buffer, 100, 0));
	SHOW(recv(pair[1], buffer, 100, 0));
	SHOW(recv(pair[1], buffer, 100, MSG_DONTWAIT));
	name("anything");
	SHOW(sendto(pair[0], "to", 2, 0, (void *)&address, 20));
	SHOW(recv(pair[1], buffer, 100, MSG_WAITALL));
	SHOW(write(pair[0], buffer, 300000));
	SHOW(write(pair[0], buffer, 212960));
	SHOW(read(pair[1], buffer, 400000));
	SHOW(recv(pair[1], (void *)8, 3, MSG_DONTWAIT));
	SHOW(write(pair[0], "lost", 4));
	SHOW(recv(pair[1], (void *)8, 3, MSG_DONTWAIT));
	SHOW(recv(pair[1], buffer, 3, MSG_DONTWAIT));
	close(pair[0]), close(pair[1]);
}

/* ---- Waiting ---- */

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

static void waiting(void)
{
	pthread_t thread;
	printf("-- waiting\n");
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
	thread = start(receive, 0);
	SHOW(shutdown(waiter[0], SHUT_RD));
	finish("shut down", thread);
	finish("events", start(poll_one, POLLRDHUP | POLLIN));
	SHOW(close(waiter[1]));
	finish("events", start(poll_one, POLLRDHUP | POLLIN));
	close(waiter[0]);

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

	/* Signals */
	socketpair(AF_UNIX, SOCK_STREAM, 0, waiter);
	struct sigaction action = {.sa_handler = count};
	struct itimerval timer = {{0, 0}, {0, 10000}};
	struct timeval long_time = {5, 0}, soon = {0, 30000};
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
	thread = start(receive, 0);
	struct timespec moment = {0, 20000000};
	nanosleep(&moment, NULL);
	SHOW(write(waiter[1], "abc", 3));
	finish("restarted or not at all", thread);
	setsockopt(waiter[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
	struct timespec before, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	SHOW(read(waiter[0], buffer, 1));
	clock_gettime(CLOCK_MONOTONIC, &after);
	long passed = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	printf("in time %d\n", passed >= 20 && passed < 1000);
	printf("caught %d\n", caught);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	signal(SIGPIPE, count);
	connecting(SOCK_STREAM);
	connecting(SOCK_SEQPACKET);
	ending(SOCK_STREAM);
	ending(SOCK_SEQPACKET);
	transferring();
	waiting();
	return 0;
}
