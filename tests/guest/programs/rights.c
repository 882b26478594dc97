/* Descriptors on their way through sockets of AF_UNIX (SCM_RIGHTS). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "show.h"
#include "ancillary.h"

#define MOST 253 /* descriptors that one message can carry */

static void sending(const int pair[2], int file)
{
	int kept = -1, many[MOST + 1];
	SHOW(send_rights(pair[0], "one", &file, 1));
	receive(pair[1], 100, 0, &kept);
	SHOW(lseek(kept, 2, SEEK_SET));
	SHOW(lseek(file, 0, SEEK_CUR));
	SHOW(close(kept));
	for (int i = 0; i <= MOST; i++)
		many[i] = file;
	SHOW(send_rights(pair[0], "many", many, MOST));
	receive(pair[1], 8000, MSG_CMSG_CLOEXEC, NULL);
	SHOW(send_rights(pair[0], "too many", many, MOST + 1));
	many[1] = 99;
	SHOW(send_rights(pair[0], "bad", many, 2));
	many[1] = -1;
	SHOW(send_rights(pair[0], "bad", many, 2));
	many[1] = open(".", O_PATH);
	SHOW(send_rights(pair[0], "path", many, 2));
	close(many[1]);
	receive(pair[1], 100, 0, NULL);
	SHOW(send_rights(pair[0], "none", many, 0));
	receive(pair[1], 100, 0, NULL);
}

/* Not all fit. */
static void cut_off(const int pair[2], int file)
{
	int many[] = {file, file, file, file};
	static const unsigned rooms[] = {0, 8, 16, 19, 20, 23, 24, 27, 28, 32, 40};
	for (unsigned i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		printf("room %u: ", rooms[i]);
		send_rights(pair[0], "three", many, 3);
		receive(pair[1], rooms[i], 0, NULL);
	}
	SHOW(send_rights(pair[0], "by read", &file, 1));
	SHOW(read(pair[1], buffer, 100));
	SHOW(dup(file));
	close(file + 1);
	struct rlimit limit, before;
	getrlimit(RLIMIT_NOFILE, &before);
	limit = before, limit.rlim_cur = file + 3;
	setrlimit(RLIMIT_NOFILE, &limit);
	SHOW(send_rights(pair[0], "no room", many, 4));
	receive(pair[1], 100, 0, NULL);
	setrlimit(RLIMIT_NOFILE, &before);
}

/* A look leaves them there. */
static void looking(const int pair[2], int file)
{
	SHOW(send_rights(pair[0], "look", &file, 1));
	receive(pair[1], 100, MSG_PEEK, NULL);
	receive(pair[1], 100, MSG_PEEK, NULL);
	receive(pair[1], 100, 0, NULL);
}

/* They come with the first byte that they were sent with. */
static void among_bytes(const int pair[2], int file)
{
	SHOW(write(pair[0], "before ", 7));
	SHOW(send_rights(pair[0], "with ", &file, 1));
	SHOW(write(pair[0], "after", 5));
	receive(pair[1], 100, 0, NULL);
	receive(pair[1], 100, 0, NULL);
	receive(pair[1], 100, 0, NULL);
	SHOW(send_rights(pair[0], "two", &file, 1));
	SHOW(send_rights(pair[0], "two", &file, 1));
	SHOW(recv(pair[1], buffer, 1, MSG_PEEK));
	receive(pair[1], 100, 0, NULL);
	receive(pair[1], 100, 0, NULL);
	SHOW(send_rights(pair[0], "", &file, 1));
	receive(pair[1], 100, 0, NULL);
}

/* A pipe lives as long as it is on its way; at last with the socket that it is in. */
static void on_the_way(const int pair[2])
{
	int kept = -1;
	int ends[2];
	pipe(ends);
	SHOW(send_rights(pair[0], "pipe", &ends[1], 1));
	close(ends[1]);
	struct pollfd entry = {ends[0], POLLIN, 0};
	SHOW(poll(&entry, 1, 0));
	receive(pair[1], 100, 0, &kept);
	SHOW(write(kept, "through", 7));
	close(kept);
	SHOW(read(ends[0], buffer, 100));
	SHOW(read(ends[0], buffer, 100));
	close(ends[0]);
	pipe(ends);
	SHOW(send_rights(pair[0], "pipe", &ends[1], 1));
	close(ends[1]);
	SHOW(close(pair[1]));
	SHOW(read(ends[0], buffer, 100));
	close(ends[0]);
}

static void rights(int type)
{
	int pair[2];
	printf("-- rights, type %d\n", type);
	socketpair(AF_UNIX, type, 0, pair);
	int file = open("shared", O_RDWR | O_CREAT, 0600);
	write(file, "content", 7);
	sending(pair, file);
	cut_off(pair, file);
	looking(pair, file);
	among_bytes(pair, file);
	on_the_way(pair);
	close(pair[0]), close(file), unlink("shared");
}

/* ---- Sockets that hold each other: nothing of them stays ---- */

static void rings(void)
{
	int pair[2], other[2];
	for (int i = 0; i < 50; i++) {
		socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
		socketpair(AF_UNIX, SOCK_DGRAM, 0, other);
		send_rights(pair[0], "self", &pair[1], 1);
		send_rights(pair[1], "each other", &other[0], 1);
		send_rights(other[1], "and back", &pair[0], 1);
		close(pair[0]), close(pair[1]), close(other[0]), close(other[1]);
	}
}

/* What such a ring holds is closed with it. */
static void held_by_rings(void)
{
	int pair[2], ends[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	pipe(ends);
	send_rights(pair[0], "pipe", &ends[1], 1);
	send_rights(pair[0], "self", &pair[1], 1);
	close(ends[1]), close(pair[1]), close(pair[0]);
	struct pollfd entry = {ends[0], POLLIN, 0};
	SHOW(poll(&entry, 1, 1000));
	printf("events %x\n", entry.revents);
	close(ends[0]);
}

/* A chain that only its end holds stays. */
static void chains(void)
{
	int chain[21][2], next = -1;
	for (int i = 0; i < 21; i++)
		socketpair(AF_UNIX, SOCK_STREAM, 0, chain[i]);
	for (int i = 0; i < 20; i++) {
		send_rights(chain[i + 1][0], "link", &chain[i][1], 1);
		if (i > 0)
			close(chain[i][0]);
		close(chain[i][1]);
	}
	SHOW(write(chain[0][0], "at the end", 10));
	for (int at = chain[20][1], i = 0; i < 20; i++, at = next)
		receive(at, 100, 0, &next);
	SHOW(read(next, buffer, 100));
}

/* A listener holds who was not accepted, and what was sent to them. */
static void held_by_listeners(void)
{
	int ends[2];
	struct sockaddr_un address = {AF_UNIX, "listener"};
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(server, (void *)&address, 11), listen(server, 5);
	SHOW(connect(client, (void *)&address, 11));
	pipe(ends);
	SHOW(send_rights(client, "pending", &ends[1], 1));
	SHOW(send_rights(client, "itself", &server, 1));
	close(ends[1]), close(server);
	struct pollfd entry = {ends[0], POLLIN, 0};
	SHOW(poll(&entry, 1, 0) * 0);
	SHOW(close(client));
	SHOW(poll(&entry, 1, 1000));
	unlink("listener");
}

/* However deep they lie in each other, they are closed one after the other. */
static void nested(void)
{
	int pair[2], other[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	for (int i = 0; i < 60; i++) {
		socketpair(AF_UNIX, SOCK_STREAM, 0, other);
		send_rights(other[0], "deeper", &pair[1], 1);
		close(pair[0]), close(pair[1]);
		pair[0] = other[0], pair[1] = other[1];
	}
	SHOW(close(pair[0]));
	SHOW(close(pair[1]));
}

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	signal(SIGPIPE, SIG_IGN);
	rights(SOCK_STREAM);
	rights(SOCK_DGRAM);
	rights(SOCK_SEQPACKET);
	printf("-- cycles\n");
	rings();
	held_by_rings();
	chains();
	held_by_listeners();
	nested();
	return 0;
}
