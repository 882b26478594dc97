/* Connections of AF_UNIX, of streams and packets: how they begin and how they end. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "show.h"
#include "unix_address.h"

static char buffer[100];

static int caught;
static void count(int signal) { caught += signal; }

/* ---- Beginning ---- */

static int server, client, accepted;

static void listening(int type)
{
	server = socket(AF_UNIX, type, 0), client = socket(AF_UNIX, type, 0);
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
}

static void accepting(void)
{
	SHOW(connect_to(client, "@server"));
	show_events("to be accepted", server);
	show_events("connected", client);
	SHOW(connect_to(client, "@server"));
	SHOW(listen(client, 1));
	SHOW(write(client, "early", 5));
	struct sockaddr_un peer;
	socklen_t length = sizeof(peer);
	SHOW(accept4(server, (void *)&peer, &length, SOCK_NONBLOCK));
	accepted = server + 2;
	printf("peer: length %u family %d\n", length, peer.sun_family);
	show_events("nothing more to accept", server);
	show_events("accepted", accepted);
	SHOW(fcntl(accepted, F_GETFL) & O_NONBLOCK);
	SHOW(fcntl(accepted, F_GETFD));
}

static void show_names(void)
{
	struct sockaddr_un peer;
	socklen_t length = sizeof(peer);
	SHOW(getpeername(client, (void *)&peer, &length));
	printf("%.7s\n", peer.sun_path + 1);
	length = sizeof(peer);
	SHOW(getsockname(accepted, (void *)&peer, &length));
	printf("%.7s\n", peer.sun_path + 1);
	length = sizeof(peer);
	SHOW(getpeername(accepted, (void *)&peer, &length));
	printf("peer: length %u\n", length);
}

static void show_credentials(void)
{
	struct ucred credentials;
	socklen_t length = sizeof(credentials);
	getsockopt(client, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
	printf("peer is me %d %u %u\n", credentials.pid == getpid(), credentials.uid, credentials.gid);
	getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
	printf("peer is me %d\n", credentials.pid == getpid());
	getsockopt(server, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
	printf("peer is me %d\n", credentials.pid == getpid());
}

/* Whoever connected without a name may take one later. */
static void naming_the_client(void)
{
	SHOW(read(accepted, buffer, 100));
	SHOW(read(accepted, buffer, 100));
	SHOW(bind_to(client, "@client"));
	struct sockaddr_un peer;
	socklen_t length = sizeof(peer);
	SHOW(getpeername(accepted, (void *)&peer, &length));
	printf("peer: length %d\n", length > 10);
	length = 50;
	SHOW(write(client, "more", 4));
	SHOW(recvfrom(accepted, buffer, 100, 0, (void *)&peer, &length));
	printf("from: %.7s %d\n", peer.sun_path + 1, length > 10);
}

/* One may wait more than the backlog says. */
static void filling_the_backlog(int type, int waiting[4])
{
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
}

static void leaving_the_backlog(int waiting[4])
{
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
}

static void shutting_a_listener_down(int type)
{
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

static void connecting(int type)
{
	int waiting[4];
	printf("-- connecting, type %d\n", type);
	listening(type);
	accepting();
	show_names();
	show_credentials();
	naming_the_client();
	filling_the_backlog(type, waiting);
	leaving_the_backlog(waiting);
	close(client), close(accepted);
	shutting_a_listener_down(type);
}

/* ---- Ending ---- */

static void show_error(const char *title, int fd)
{
	int value = -1;
	socklen_t length = sizeof(value);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length);
	printf("%s: error %d\n", title, value);
}

static void closing(int type)
{
	int pair[2];
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
}

/* Unread data at the end resets the connection. */
static void resetting(int type)
{
	int pair[2];
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
	show_error("reset", pair[0]);
	show_error("told", pair[0]);
	close(pair[0]);
}

static void shutting_down(int type, int how)
{
	int pair[2];
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

static void ending(int type)
{
	printf("-- ending, type %d\n", type);
	closing(type);
	resetting(type);
	for (int how = SHUT_RD; how <= SHUT_RDWR; how++)
		shutting_down(type, how);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	signal(SIGPIPE, count);
	connecting(SOCK_STREAM);
	connecting(SOCK_SEQPACKET);
	ending(SOCK_STREAM);
	ending(SOCK_SEQPACKET);
	return 0;
}
