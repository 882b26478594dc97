/* Options of sockets of AF_UNIX: what they are at first, what they become, what is refused. */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "show.h"

static void show_option(int fd, const char *title, int option)
{
	unsigned char value[64] = {0};
	socklen_t length = sizeof(value);
	int result = getsockopt(fd, SOL_SOCKET, option, value, &length);
	printf("%s: %d (%d) length %u:", title, result, result < 0 ? errno : 0, length);
	for (unsigned i = 0; result == 0 && i < length; i++)
		printf(" %02x", value[i]);
	printf("\n");
}

#define OPTION(fd, option) show_option(fd, #option, option)

static int set(int fd, int option, int value)
{
	return setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value));
}

static void all_options(int fd)
{
	static const int all[] = {
		SO_DEBUG, SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_DONTROUTE, SO_BROADCAST, SO_SNDBUF,
		SO_RCVBUF, SO_KEEPALIVE, SO_OOBINLINE, SO_PRIORITY, SO_LINGER, SO_PASSCRED,
		SO_PEERCRED, SO_RCVLOWAT, SO_SNDLOWAT, SO_RCVTIMEO, SO_SNDTIMEO, SO_ACCEPTCONN,
		SO_PROTOCOL, SO_DOMAIN, 3000,
	};
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char title[20];
		snprintf(title, sizeof(title), "option %d", all[i]);
		show_option(fd, title, all[i]);
	}
}

static void switches(int fd)
{
	static const int switches[] = {SO_DEBUG, SO_REUSEADDR, SO_DONTROUTE, SO_BROADCAST,
				       SO_KEEPALIVE, SO_OOBINLINE, SO_PASSCRED};
	for (unsigned i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		SHOW(set(fd, switches[i], 5));
		show_option(fd, "on", switches[i]);
		SHOW(set(fd, switches[i], 0));
		show_option(fd, "off", switches[i]);
	}
}

static void sizes(int fd)
{
	/* What is more than systems allow differs between them. */
	static const int sizes[] = {0, 1, 1000, 2304, 4096, 100000, 212992};
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		SHOW(set(fd, SO_SNDBUF, sizes[i]));
		OPTION(fd, SO_SNDBUF);
		SHOW(set(fd, SO_RCVBUF, sizes[i]));
		OPTION(fd, SO_RCVBUF);
	}
	SHOW(set(fd, SO_SNDBUFFORCE, 1 << 20));
	OPTION(fd, SO_SNDBUF);
	SHOW(set(fd, SO_RCVBUFFORCE, -5));
	OPTION(fd, SO_RCVBUF);
}

static void numbers(int fd)
{
	SHOW(set(fd, SO_RCVLOWAT, 0));
	OPTION(fd, SO_RCVLOWAT);
	SHOW(set(fd, SO_RCVLOWAT, 9));
	OPTION(fd, SO_RCVLOWAT);
	SHOW(set(fd, SO_RCVLOWAT, -9));
	OPTION(fd, SO_RCVLOWAT);
	SHOW(set(fd, SO_PRIORITY, 3));
	OPTION(fd, SO_PRIORITY);
}

static void what_cannot_be_set(int fd)
{
	SHOW(set(fd, SO_TYPE, 1));
	SHOW(set(fd, SO_ERROR, 1));
	SHOW(set(fd, SO_DOMAIN, 1));
	SHOW(set(fd, SO_PROTOCOL, 1));
	SHOW(set(fd, SO_ACCEPTCONN, 1));
	SHOW(set(fd, SO_PEERCRED, 1));
	SHOW(set(fd, 3000, 1));
}

static void lingering(int fd)
{
	struct linger linger = {3, 7};
	SHOW(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	OPTION(fd, SO_LINGER);
	linger.l_onoff = 0, linger.l_linger = 9;
	SHOW(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, 4));
}

static void times(int fd)
{
	struct timeval time = {1, 500000};
	SHOW(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	OPTION(fd, SO_RCVTIMEO);
	OPTION(fd, SO_SNDTIMEO);
	SHOW(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, 8));
	time.tv_usec = 1000000;
	SHOW(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	time.tv_usec = -1;
	SHOW(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)));
	time.tv_sec = -1, time.tv_usec = 5;
	SHOW(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)));
	OPTION(fd, SO_SNDTIMEO);
	OPTION(fd, SO_RCVTIMEO);
}

static void bad_settings(int fd)
{
	int value = 7;
	SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 3));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, -1));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 8));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, (void *)8, 4));
	SHOW(setsockopt(fd, 6, 1, &value, 4));
	SHOW(setsockopt(fd, 0, 1, &value, 4));
	SHOW(setsockopt(0, SOL_SOCKET, SO_REUSEADDR, &value, 4));
	SHOW(setsockopt(99, SOL_SOCKET, SO_REUSEADDR, &value, 4));
}

static void bad_questions(int fd)
{
	int value = 7;
	socklen_t length = 2;
	SHOW(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length));
	printf("length %u value %x\n", length, value);
	length = 0;
	SHOW(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length));
	length = -1;
	SHOW(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length));
	length = 4;
	SHOW(getsockopt(fd, SOL_SOCKET, SO_TYPE, (void *)8, &length));
	SHOW(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, (void *)8));
	SHOW(getsockopt(fd, 6, 1, &value, &length));
	SHOW(getsockopt(0, SOL_SOCKET, SO_TYPE, &value, &length));
}

static void peers(void)
{
	int pair[2];
	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	struct ucred peer;
	socklen_t length = sizeof(peer);
	SHOW(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
	printf("own pid: %d, %u %u\n", peer.pid == getpid(), peer.uid, peer.gid);
	close(pair[0]), close(pair[1]);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	all_options(fd);
	switches(fd);
	sizes(fd);
	numbers(fd);
	what_cannot_be_set(fd);
	lingering(fd);
	times(fd);
	bad_settings(fd);
	bad_questions(fd);
	close(fd);
	peers();
	return 0;
}
