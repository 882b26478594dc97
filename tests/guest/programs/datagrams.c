/* Datagrams of AF_UNIX: where they go, whom they come from, when they are refused. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "show.h"
#include "unix_address.h"

static char buffer[1 << 19];

static int make(const char *text)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (text != NULL)
		bind_to(fd, text);
	return fd;
}

static int send_to(int fd, const char *text, const char *data)
{
	socklen_t length = name(text);
	return sendto(fd, data, strlen(data), 0, (void *)&address, length);
}

static void receive(int fd, socklen_t room)
{
	struct sockaddr_un from;
	memset(&from, '.', sizeof(from));
	memset(buffer, 0, 20);
	int count = recvfrom(fd, buffer, 10, 0, (void *)&from, &room);
	if (count < 0) {
		printf("received nothing (%d)\n", errno);
		return;
	}
	const char *path = from.sun_path + (from.sun_path[0] == 0);
	printf("received %d \"%s\"", count, buffer);
	if (room > 2)
		printf(" from \"%.3s\"", path);
	printf(", length %s\n", room > 2 ? "of a name" : room == 2 ? "2" : "0");
}

static void addresses(void)
{
	int a = make("dga"), b = make("@dgb"), c = make(NULL), bytes;
	SHOW(send_to(c, "dga", "hello"));
	SHOW(send_to(b, "dga", "hallo"));
	SHOW(send_to(a, "@dgb", "salut"));
	SHOW(send_to(a, "dga", "me"));
	show_events("readable", a);
	SHOW(ioctl(a, FIONREAD, &bytes));
	printf("bytes %d\n", bytes);
	receive(a, 110);
	receive(a, 110);
	receive(a, 110);
	receive(b, 110);
	receive(b, 110);
	SHOW(send_to(b, "dga", "long enough to be cut"));
	receive(a, 5);
	SHOW(send_to(c, "dga", "late name"));
	socklen_t length = name("@dgc");
	SHOW(bind(c, (void *)&address, length));
	receive(a, 110);
	SHOW(sendto(c, "", 0, 0, (void *)&address, 0));
	SHOW(connect_to(c, "dga"));
	SHOW(write(c, "", 0));
	SHOW(ioctl(a, FIONREAD, &bytes));
	printf("bytes %d\n", bytes);
	show_events("an empty one", a);
	receive(a, 110);
	show_events("none", a);
	SHOW(send(c, "to the peer", 11, 0));
	SHOW(send_to(c, "@dgb", "elsewhere"));
	receive(a, 110);
	receive(b, 110);
	SHOW(recvfrom(a, buffer, 1, 0, (void *)&address, (void *)8) < 0);
	int stream = socket(AF_UNIX, SOCK_STREAM, 0);
	length = name("stream");
	SHOW(bind(stream, (void *)&address, length));
	SHOW(send_to(a, "stream", "x"));
	SHOW(connect_to(a, "stream"));
	length = name("@stream");
	close(stream), stream = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(bind(stream, (void *)&address, length));
	SHOW(send_to(a, "@stream", "x"));
	SHOW(unlink("stream"));
	SHOW(send_to(a, "stream", "x"));
	SHOW(unlink("dga"));
	SHOW(send_to(b, "dga", "x"));
	close(a), close(b), close(c), close(stream);
}

static void meeting(int a, int b, int c)
{
	struct sockaddr_un peer;
	socklen_t length = sizeof(peer);
	SHOW(getpeername(a, (void *)&peer, &length));
	SHOW(connect_to(a, "dgb"));
	SHOW(getpeername(a, (void *)&peer, &length));
	printf("%s\n", peer.sun_path);
	SHOW(send_to(a, "dgc", "anybody"));
	receive(c, 110);
	SHOW(connect_to(b, "dgc"));
	SHOW(write(a, "not its peer", 12));
	SHOW(send_to(a, "dgb", "not its peer"));
	SHOW(send_to(c, "dgb", "its peer"));
	receive(b, 110);
	SHOW(connect_to(c, "dgb"));
	SHOW(connect_to(a, "dgb"));
	SHOW(write(a, "x", 1));
	SHOW(connect_to(b, "dga"));
	SHOW(write(a, "x", 1));
	receive(b, 110);
	SHOW(write(c, "x", 1));
	show_events("with a peer", a);
}

/* What a peer has not received is lost with it. */
static void parting(int a, int b)
{
	struct sockaddr_un peer;
	socklen_t length = sizeof(peer);
	SHOW(write(a, "lost", 4));
	SHOW(connect_to(b, "dgc"));
	show_events("lost its peer", a);
	SHOW(write(a, "x", 1));
	SHOW(write(a, "x", 1));
	SHOW(recv(b, buffer, 10, 0));
	address.sun_family = AF_UNSPEC;
	SHOW(connect(b, (void *)&address, 2));
	SHOW(connect(a, (void *)&address, 1));
	SHOW(getpeername(b, (void *)&peer, &length));
	SHOW(write(b, "x", 1));
	SHOW(write(a, "once more", 9));
	receive(b, 110);
	SHOW(close(b));
	show_events("its peer is gone", a);
	SHOW(getpeername(a, (void *)&peer, &length));
	SHOW(write(a, "x", 1));
	SHOW(write(a, "x", 1));
	SHOW(getpeername(a, (void *)&peer, &length));
	SHOW(send_to(a, "dgb", "x"));
	SHOW(connect_to(a, "dgb"));
	SHOW(connect_to(a, "dga"));
	SHOW(write(a, "self", 4));
	receive(a, 110);
}

static void pairs(void)
{
	int pair[2];
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair);
	show_events("pair", pair[0]);
	SHOW(write(pair[0], "x", 1));
	SHOW(close(pair[1]));
	show_events("its peer is gone", pair[0]);
	SHOW(read(pair[0], buffer, 1));
	SHOW(write(pair[0], "x", 1));
	SHOW(write(pair[0], "x", 1));
	close(pair[0]);
}

static void shutting_down(int how)
{
	int pair[2];
	printf("-- shut down %d\n", how);
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair);
	SHOW(write(pair[0], "to 1", 4));
	SHOW(write(pair[1], "to 0", 4));
	SHOW(shutdown(pair[0], how));
	for (int i = 0; i < 2; i++) {
		show_events(i == 0 ? "self" : "peer", pair[i]);
		SHOW(write(pair[i], "x", 1));
		SHOW(read(pair[i], buffer, 10));
		SHOW(read(pair[i], buffer, 10));
	}
	fcntl(pair[0], F_SETFL, 0);
	if (how != SHUT_WR)
		SHOW(read(pair[0], buffer, 10));
	close(pair[0]), close(pair[1]);
}

static void peers(void)
{
	printf("-- peers\n");
	int a = make("dga"), b = make("dgb"), c = make("dgc");
	meeting(a, b, c);
	parting(a, b);
	close(a), close(c);
	unlink("dga"), unlink("dgb"), unlink("dgc");
	pairs();
	for (int how = SHUT_RD; how <= SHUT_RDWR; how++)
		shutting_down(how);
}

static void full_receivers(void)
{
	int a = make("dga"), b = make(NULL);
	SHOW(connect_to(b, "dga"));
	while (write(b, "full", 4) == 4)
		;
	printf("(%d)\n", errno);
	SHOW(send_to(make(NULL), "dga", "full"));
	show_events("full", b);
	SHOW(read(a, buffer, 10));
	show_events("room again", b);
	SHOW(write(b, "x", 1));
	while (read(a, buffer, 10) > 0)
		;
	close(a), close(b), unlink("dga");
}

/* Only the sender's buffer limits those who are each other's peer. */
static void full_senders(void)
{
	int pair[2], value = 4608;
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair);
	int count = 0;
	while (write(pair[0], "full", 4) == 4)
		count++;
	printf("many: %d\n", count > 100);
	show_events("full", pair[0]);
	while (read(pair[1], buffer, 10) > 0)
		;
	SHOW(write(pair[0], buffer, 212992));
	SHOW(write(pair[0], buffer, 212960));
	SHOW(write(pair[0], buffer, 1));
	SHOW(recv(pair[1], buffer, sizeof(buffer), MSG_PEEK | MSG_TRUNC));
	SHOW(recv(pair[1], buffer, 7, MSG_PEEK | MSG_TRUNC));
	SHOW(recv(pair[1], buffer, 7, MSG_TRUNC));
	SHOW(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &value, sizeof(value)));
	SHOW(write(pair[0], buffer, 9216));
	SHOW(write(pair[0], buffer, 9184));
	SHOW(recv(pair[1], (void *)8, 7, 0));
	SHOW(write(pair[0], (void *)8, 7));
	SHOW(recv(pair[1], buffer, 7, 0));
	struct timeval soon = {0, 20000};
	fcntl(pair[1], F_SETFL, 0);
	SHOW(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)));
	SHOW(recv(pair[1], buffer, 7, 0));
	close(pair[0]), close(pair[1]);
}

/* ---- Waiting ---- */

static int waiter;
static long result;
static int result_errno;

static void *send_one(void *argument)
{
	result = write(waiter, "waited", 6);
	result_errno = errno;
	return NULL;
}

static void *receive_one(void *argument)
{
	result = read(waiter, buffer, 100);
	result_errno = errno;
	return NULL;
}

static void finish(const char *title, pthread_t thread)
{
	pthread_join(thread, NULL);
	printf("%s: %ld (%d)\n", title, result, result < 0 ? result_errno : 0);
}

static void waiting(void)
{
	pthread_t thread;
	struct timespec moment = {0, 5000000};
	printf("-- waiting\n");
	int a = make("dga");
	waiter = make(NULL);
	connect_to(waiter, "dga");
	while (write(waiter, "full", 4) == 4)
		;
	fcntl(waiter, F_SETFL, 0);
	pthread_create(&thread, NULL, send_one, NULL);
	nanosleep(&moment, NULL);
	SHOW(read(a, buffer, 10));
	finish("sent", thread);
	struct pollfd entry = {waiter, POLLOUT, 0};
	SHOW(poll(&entry, 1, 10));
	pthread_create(&thread, NULL, send_one, NULL);
	nanosleep(&moment, NULL);
	SHOW(close(a));
	finish("refused", thread);
	close(waiter), unlink("dga");

	waiter = make("dga");
	fcntl(waiter, F_SETFL, 0);
	a = make(NULL);
	pthread_create(&thread, NULL, receive_one, NULL);
	nanosleep(&moment, NULL);
	SHOW(send_to(a, "dga", "it came"));
	finish("received", thread);
	pthread_create(&thread, NULL, receive_one, NULL);
	nanosleep(&moment, NULL);
	SHOW(shutdown(waiter, SHUT_RD));
	finish("shut down", thread);
	unlink("dga");
}

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	signal(SIGPIPE, SIG_IGN);
	addresses();
	peers();
	printf("-- limits\n");
	full_receivers();
	full_senders();
	waiting();
	return 0;
}
