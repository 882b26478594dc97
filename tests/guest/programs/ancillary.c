/* sendmsg and recvmsg: vectors, names, flags, descriptors and credentials; many in one call. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "show.h"

#define MOST 253 /* descriptors that one message can carry */

static char buffer[4096];
/* The C library would look into the header itself. */
#define sendmsg(fd, header, flags) syscall(SYS_sendmsg, fd, header, flags)
#define recvmsg(fd, header, flags) syscall(SYS_recvmsg, fd, header, flags)

static _Alignas(8) char control[8192];
static struct msghdr message;
static struct iovec segment;

/* Make `message` carry data and no control messages yet. */
static void start(const char *data)
{
	memset(&message, 0, sizeof(message));
	segment = (struct iovec){(void *)data, strlen(data)};
	message.msg_iov = &segment;
	message.msg_iovlen = 1;
	message.msg_control = control;
	memset(control, 0, 64);
}

static struct cmsghdr *add(int type, const void *data, unsigned length)
{
	struct cmsghdr *header = (void *)(control + message.msg_controllen);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = type;
	header->cmsg_len = CMSG_LEN(length);
	memcpy(CMSG_DATA(header), data, length);
	message.msg_controllen += CMSG_SPACE(length);
	return header;
}

static int send_rights(int fd, const char *data, const int *rights, int count)
{
	start(data);
	add(SCM_RIGHTS, rights, count * sizeof(int));
	return sendmsg(fd, &message, 0);
}

/* Receive and print all there is; descriptors are closed again, or the first one is kept. */
static int receive(int fd, unsigned room, int flags, int *keep)
{
	memset(buffer, 0, 100);
	start("");
	segment = (struct iovec){buffer, 100};
	message.msg_controllen = room;
	errno = 0;
	int count = recvmsg(fd, &message, flags | MSG_DONTWAIT);
	if (count < 0) {
		printf("received nothing (%d)\n", errno);
		return count;
	}
	printf("received %d \"%s\" flags %x control %lu:", count, buffer, message.msg_flags,
	       (long)message.msg_controllen);
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
	     header = CMSG_NXTHDR(&message, header)) {
		printf(" [%d %d length %lu", header->cmsg_level, header->cmsg_type,
		       (long)header->cmsg_len);
		int *data = (void *)CMSG_DATA(header), number = (header->cmsg_len - 16) / 4;
		if (header->cmsg_type == SCM_CREDENTIALS && number == 3)
			printf(": %s, %d, %d", data[0] == getpid() ? "me" : data[0] == 0 ? "0" : "?",
			       data[1], data[2]);
		for (int i = 0; i < number && header->cmsg_type == SCM_RIGHTS; i++) {
			if (i < 4)
				printf(" %d%s", data[i],
				       fcntl(data[i], F_GETFD) == FD_CLOEXEC ? "c" : "");
			if (i == 0 && keep != NULL)
				*keep = data[0];
			else
				close(data[i]);
		}
		printf("]");
	}
	printf("\n");
	return count;
}

static void vectors(void)
{
	int pair[2];
	struct iovec many[20], too_many[IOV_MAX + 1];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	start("plain");
	SHOW(sendmsg(pair[0], &message, 0));
	receive(pair[1], 0, 0, NULL);
	for (int i = 0; i < 20; i++)
		many[i] = (struct iovec){"0123456789" + i % 10, 1};
	start("");
	message.msg_iov = many, message.msg_iovlen = 20;
	SHOW(sendmsg(pair[0], &message, 0));
	receive(pair[1], 0, 0, NULL);
	memset(too_many, 0, sizeof(too_many));
	message.msg_iov = too_many, message.msg_iovlen = IOV_MAX + 1;
	SHOW(sendmsg(pair[0], &message, 0));
	SHOW(recvmsg(pair[1], &message, MSG_DONTWAIT));
	message.msg_iovlen = IOV_MAX;
	SHOW(sendmsg(pair[0], &message, 0));
	SHOW(writev(pair[0], too_many, IOV_MAX + 1));
	too_many[0].iov_len = -1;
	SHOW(sendmsg(pair[0], &message, 0));
	SHOW(recvmsg(pair[1], &message, MSG_DONTWAIT));
	message.msg_iov = (void *)8, message.msg_iovlen = 1;
	SHOW(sendmsg(pair[0], &message, 0));
	message.msg_iovlen = 0;
	SHOW(sendmsg(pair[0], &message, 0));
	SHOW(sendmsg(pair[0], (void *)8, 0));
	SHOW(recvmsg(pair[1], (void *)8, MSG_DONTWAIT));
	start("x");
	message.msg_name = buffer, message.msg_namelen = -1;
	SHOW(sendmsg(pair[0], &message, 0));
	SHOW(recvmsg(pair[1], &message, MSG_DONTWAIT));
	message.msg_namelen = 20;
	SHOW(sendmsg(pair[0], &message, 0));
	message.msg_name = NULL;
	SHOW(sendmsg(pair[0], &message, 0));
	message.msg_name = buffer, message.msg_namelen = 200;
	segment.iov_base = buffer + 500;
	SHOW(recvmsg(pair[1], &message, 0));
	printf("name length %u\n", message.msg_namelen);
	close(pair[0]), close(pair[1]);

	struct sockaddr_un address = {AF_UNIX, "dgram"}, from;
	int a = socket(AF_UNIX, SOCK_DGRAM, 0), b = socket(AF_UNIX, SOCK_DGRAM, 0);
	SHOW(bind(a, (void *)&address, 8));
	start("to a name");
	message.msg_name = &address, message.msg_namelen = 8;
	SHOW(sendmsg(b, &message, 0));
	SHOW(sendmsg(a, &message, 0));
	segment = (struct iovec){buffer, 4};
	memset(&from, '.', sizeof(from));
	message.msg_name = &from, message.msg_namelen = sizeof(from);
	SHOW(recvmsg(a, &message, 0));
	printf("name length %u flags %x\n", message.msg_namelen, message.msg_flags);
	message.msg_namelen = 4;
	SHOW(recvmsg(a, &message, MSG_TRUNC));
	printf("name length %u flags %x, family %d, %.3s\n", message.msg_namelen, message.msg_flags,
	       from.sun_family, from.sun_path);
	close(a), close(b), unlink("dgram");
}

static void rights(int type)
{
	int pair[2], kept = -1, many[MOST + 1];
	printf("-- rights, type %d\n", type);
	socketpair(AF_UNIX, type, 0, pair);
	int file = open("shared", O_RDWR | O_CREAT, 0600);
	write(file, "content", 7);
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
	many[1] = file;

	/* Not all fit. */
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

	/* A look leaves them there. */
	SHOW(send_rights(pair[0], "look", &file, 1));
	receive(pair[1], 100, MSG_PEEK, NULL);
	receive(pair[1], 100, MSG_PEEK, NULL);
	receive(pair[1], 100, 0, NULL);
	/* They come with the first byte that they were sent with. */
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

	/* A pipe lives as long as it is on its way. */
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
	close(ends[0]), close(pair[0]), close(file), unlink("shared");
}

static void refused(void)
{
	int pair[2], value = 0;
	printf("-- refused\n");
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	start("x"), add(SCM_RIGHTS, &value, 4)->cmsg_len = 15;
	SHOW(sendmsg(pair[0], &message, 0));
	start("x"), add(SCM_RIGHTS, &value, 4)->cmsg_len = 30;
	SHOW(sendmsg(pair[0], &message, 0));
	start("x"), add(SCM_RIGHTS, &value, 4)->cmsg_len = 16;
	SHOW(sendmsg(pair[0], &message, 0));
	start("x"), add(SCM_RIGHTS, &value, 4)->cmsg_level = 77;
	SHOW(sendmsg(pair[0], &message, 0));
	start("x"), add(77, &value, 4);
	SHOW(sendmsg(pair[0], &message, 0));
	start("x"), add(SCM_CREDENTIALS, &value, 4);
	SHOW(sendmsg(pair[0], &message, 0));
	start("x"), message.msg_controllen = 15;
	SHOW(sendmsg(pair[0], &message, 0));
	start("x"), add(SCM_RIGHTS, &value, 4), message.msg_controllen = 20;
	SHOW(sendmsg(pair[0], &message, 0));
	start("x"), message.msg_control = (void *)8, message.msg_controllen = 24;
	SHOW(sendmsg(pair[0], &message, 0));
	start("x"), message.msg_controllen = 1u << 31;
	SHOW(sendmsg(pair[0], &message, 0));
	start("x"), message.msg_controllen = 1 << 24;
	SHOW(sendmsg(pair[0], &message, 0));
	struct ucred credentials = {getpid(), getuid(), getgid()};
	credentials.pid = 12345678;
	start("x"), add(SCM_CREDENTIALS, &credentials, sizeof(credentials));
	SHOW(sendmsg(pair[0], &message, 0));
	credentials.pid = getpid(), credentials.uid = -1;
	start("x"), add(SCM_CREDENTIALS, &credentials, sizeof(credentials));
	SHOW(sendmsg(pair[0], &message, 0));
	value = pair[0];
	start("x"), add(SCM_RIGHTS, &value, 4), add(SCM_RIGHTS, &value, 4);
	SHOW(sendmsg(pair[0], &message, 0));
	while (receive(pair[1], 100, 0, NULL) > 0)
		;
	start("x"), add(SCM_RIGHTS, &value, 4);
	SHOW(sendmsg(pair[0], &message, 0));
	segment = (struct iovec){buffer, 10};
	message.msg_control = (void *)8, message.msg_controllen = 100;
	SHOW(recvmsg(pair[1], &message, 0));
	printf("flags %x control %lu\n", message.msg_flags, (long)message.msg_controllen);
	close(pair[0]), close(pair[1]);
}

static int pass(int fd, int on)
{
	return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
}

static void credentials(int type)
{
	int pair[2];
	struct ucred given = {getpid(), 33, 44};
	printf("-- credentials, type %d\n", type);
	socketpair(AF_UNIX, type, 0, pair);
	SHOW(write(pair[0], "early", 5));
	SHOW(pass(pair[1], 1));
	SHOW(write(pair[0], "late", 4));
	receive(pair[1], 100, 0, NULL);
	receive(pair[1], 100, 0, NULL);
	start("given"), add(SCM_CREDENTIALS, &given, sizeof(given));
	SHOW(sendmsg(pair[0], &message, 0));
	SHOW(write(pair[0], "own", 3));
	SHOW(write(pair[0], "same", 4));
	receive(pair[1], 100, MSG_PEEK, NULL);
	receive(pair[1], 100, 0, NULL);
	receive(pair[1], 100, 0, NULL);
	receive(pair[1], 100, 0, NULL);
	static const unsigned rooms[] = {0, 15, 16, 20, 27, 28, 31, 32, 40};
	for (unsigned i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		printf("room %u: ", rooms[i]);
		write(pair[0], "cut", 3);
		receive(pair[1], rooms[i], 0, NULL);
	}
	SHOW(send_rights(pair[0], "both", pair, 2));
	receive(pair[1], 100, 0, NULL);
	SHOW(send_rights(pair[0], "both, cut", pair, 2));
	receive(pair[1], 52, 0, NULL);
	SHOW(write(pair[0], "no place", 8));
	start("");
	segment = (struct iovec){buffer, 10};
	message.msg_control = NULL, message.msg_controllen = 40;
	SHOW(recvmsg(pair[1], &message, 0));
	printf("flags %x control %lu\n", message.msg_flags, (long)message.msg_controllen);
	SHOW(pass(pair[1], 0));
	start("unasked"), add(SCM_CREDENTIALS, &given, sizeof(given));
	SHOW(sendmsg(pair[0], &message, 0));
	receive(pair[1], 100, 0, NULL);
	SHOW(shutdown(pair[0], SHUT_WR));
	pass(pair[1], 1);
	if (type != SOCK_DGRAM)
		receive(pair[1], 100, 0, NULL);
	close(pair[0]), close(pair[1]);

	/* Who wants to know gets a name, so that it can be answered. */
	struct sockaddr_un address = {AF_UNIX, "named"};
	socklen_t length = sizeof(address);
	int server = socket(AF_UNIX, type, 0), client = socket(AF_UNIX, type, 0);
	bind(server, (void *)&address, 8);
	pass(server, 1), pass(client, 1);
	if (type != SOCK_DGRAM)
		listen(server, 5);
	SHOW(connect(client, (void *)&address, 8));
	SHOW(getsockname(client, (void *)&address, &length));
	printf("length %u\n", length);
	SHOW(write(client, "x", 1));
	if (type != SOCK_DGRAM) {
		int accepted = accept(server, NULL, NULL);
		receive(accepted, 100, 0, NULL);
		close(accepted);
	}
	close(client), close(server), unlink("named");
}

static void several(void)
{
	struct mmsghdr messages[4];
	struct iovec segments[4];
	int pair[2];
	printf("-- several\n");
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < 4; i++) {
		segments[i] = (struct iovec){buffer + 100 * i, i + 1};
		messages[i].msg_hdr.msg_iov = &segments[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair);
	SHOW(sendmmsg(pair[0], messages, 4, 0));
	printf("%u %u %u %u\n", messages[0].msg_len, messages[1].msg_len, messages[2].msg_len,
	       messages[3].msg_len);
	for (int i = 0; i < 4; i++)
		segments[i].iov_len = 3, messages[i].msg_len = 77;
	SHOW(recvmmsg(pair[1], messages, 2, 0, NULL));
	SHOW(recvmmsg(pair[1], messages + 2, 2, 0, NULL));
	printf("%u %u %u %u flags %x %x\n", messages[0].msg_len, messages[1].msg_len,
	       messages[2].msg_len, messages[3].msg_len, messages[2].msg_hdr.msg_flags,
	       messages[3].msg_hdr.msg_flags);
	SHOW(recvmmsg(pair[1], messages, 4, 0, NULL));
	SHOW(sendmmsg(pair[0], messages, 3, 0));
	SHOW(recvmmsg(pair[1], messages, 4, 0, NULL));
	SHOW(sendmmsg(pair[0], messages, 0, 0));
	messages[1].msg_hdr.msg_iov = (void *)8;
	SHOW(sendmmsg(pair[0], messages, 3, 0));
	SHOW(sendmmsg(pair[0], messages + 1, 3, 0));
	messages[1].msg_hdr.msg_iov = &segments[1];
	SHOW(sendmmsg(pair[0], messages, 1, 0));
	messages[1].msg_hdr.msg_iov = (void *)8;
	SHOW(recvmmsg(pair[1], messages, 3, 0, NULL));
	SHOW(recvmmsg(pair[1], messages, 3, 0, NULL));
	messages[1].msg_hdr.msg_iov = &segments[1];
	fcntl(pair[1], F_SETFL, 0);
	SHOW(sendmmsg(pair[0], messages, 2, 0));
	SHOW(recvmmsg(pair[1], messages, 4, MSG_WAITFORONE, NULL));
	SHOW(sendmmsg(pair[0], messages, 1, 0));
	struct timespec none = {0, 0}, bad = {0, -1};
	SHOW(recvmmsg(pair[1], messages, 4, 0, &none));
	SHOW(recvmmsg(pair[1], messages, 4, 0, &bad));
	SHOW(recvmmsg(99, messages, 4, 0, NULL));
	SHOW(sendmmsg(0, messages, 4, 0));
	SHOW(close(pair[1]));
	SHOW(sendmmsg(pair[0], messages, 4, 0));
	close(pair[0]);
}

/* Sockets that hold each other. Nothing of them stays. */
static void cycles(void)
{
	int pair[2], other[2], ends[2];
	printf("-- cycles\n");
	for (int i = 0; i < 50; i++) {
		socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
		socketpair(AF_UNIX, SOCK_DGRAM, 0, other);
		send_rights(pair[0], "self", &pair[1], 1);
		send_rights(pair[1], "each other", &other[0], 1);
		send_rights(other[1], "and back", &pair[0], 1);
		close(pair[0]), close(pair[1]), close(other[0]), close(other[1]);
	}
	/* What such a cycle holds is closed with it. */
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	pipe(ends);
	send_rights(pair[0], "pipe", &ends[1], 1);
	send_rights(pair[0], "self", &pair[1], 1);
	close(ends[1]), close(pair[1]), close(pair[0]);
	struct pollfd entry = {ends[0], POLLIN, 0};
	SHOW(poll(&entry, 1, 1000));
	printf("events %x\n", entry.revents);
	close(ends[0]);
	/* A chain that only its end holds stays. */
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
	/* A listener holds who was not accepted, and what was sent to them. */
	struct sockaddr_un address = {AF_UNIX, "listener"};
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(server, (void *)&address, 11), listen(server, 5);
	SHOW(connect(client, (void *)&address, 11));
	pipe(ends);
	SHOW(send_rights(client, "pending", &ends[1], 1));
	SHOW(send_rights(client, "itself", &server, 1));
	close(ends[1]), close(server);
	entry.fd = ends[0];
	SHOW(poll(&entry, 1, 0) * 0);
	SHOW(close(client));
	SHOW(poll(&entry, 1, 1000));
	unlink("listener");
	/* However deep they lie in each other, they are closed one after the other. */
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
	vectors();
	rights(SOCK_STREAM);
	rights(SOCK_DGRAM);
	rights(SOCK_SEQPACKET);
	refused();
	credentials(SOCK_STREAM);
	credentials(SOCK_DGRAM);
	credentials(SOCK_SEQPACKET);
	several();
	cycles();
	return 0;
}
