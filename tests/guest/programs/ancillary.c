/* sendmsg and recvmsg: vectors, names, flags, credentials, what is refused; many in one call. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "show.h"
#include "ancillary.h"

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
	close(pair[0]), close(pair[1]);
}

static void names_of_connected(void)
{
	int pair[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
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
}

static void names_of_datagrams(void)
{
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
	receive(pair[1], 100, 0, NULL);
	close(pair[0]), close(pair[1]);
}

static void two_of_a_kind(void)
{
	int pair[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	int value = pair[0];
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

static void told(const int pair[2])
{
	struct ucred given = {getpid(), 33, 44};
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
}

static void cut_off(const int pair[2])
{
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
}

static void unasked(const int pair[2], int type)
{
	struct ucred given = {getpid(), 33, 44};
	SHOW(pass(pair[1], 0));
	start("unasked"), add(SCM_CREDENTIALS, &given, sizeof(given));
	SHOW(sendmsg(pair[0], &message, 0));
	receive(pair[1], 100, 0, NULL);
	SHOW(shutdown(pair[0], SHUT_WR));
	pass(pair[1], 1);
	if (type != SOCK_DGRAM)
		receive(pair[1], 100, 0, NULL);
}

/* Who wants to know gets a name, so that it can be answered. */
static void naming(int type)
{
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

static void credentials(int type)
{
	int pair[2];
	printf("-- credentials, type %d\n", type);
	socketpair(AF_UNIX, type, 0, pair);
	told(pair);
	cut_off(pair);
	unasked(pair, type);
	close(pair[0]), close(pair[1]);
	naming(type);
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

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	signal(SIGPIPE, SIG_IGN);
	vectors();
	names_of_connected();
	names_of_datagrams();
	refused();
	two_of_a_kind();
	credentials(SOCK_STREAM);
	credentials(SOCK_DGRAM);
	credentials(SOCK_SEQPACKET);
	several();
	return 0;
}
