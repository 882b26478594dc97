/* Sockets of AF_UNIX: making them, names, options, and what each call refuses. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "show.h"
#include "unix_address.h"

static void show_name(const char *title, int fd, int (*get)(int, struct sockaddr *, socklen_t *),
		      socklen_t room)
{
	unsigned char buffer[200];
	memset(buffer, '.', sizeof(buffer));
	socklen_t length = room;
	int result = get(fd, (void *)buffer, &length);
	printf("%s: %d (%d) length %u:", title, result, result < 0 ? errno : 0, length);
	for (unsigned i = 0; result == 0 && i < (room < 24 ? room : 24); i++)
		printf(" %02x", buffer[i]);
	printf("\n");
}

static void making(void)
{
	SHOW(socket(AF_UNIX, SOCK_STREAM, 0));
	SHOW(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	SHOW(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 1));
	SHOW(socket(AF_UNIX, SOCK_RAW, 0));
	SHOW(socket(AF_UNIX, SOCK_RDM, 0));
	SHOW(socket(AF_UNIX, 10, 0));
	SHOW(socket(AF_UNIX, 11, 0));
	SHOW(socket(AF_UNIX, 0, 0));
	SHOW(socket(AF_UNIX, SOCK_STREAM, 2));
	SHOW(socket(AF_UNIX, SOCK_STREAM, 6));
	SHOW(socket(AF_UNIX, SOCK_STREAM | 0x10, 0));
	SHOW(socket(-1, SOCK_STREAM, 0));
	SHOW(socket(46, SOCK_STREAM, 0));
	SHOW(socket(45, 11, 0));
	SHOW(fcntl(3, F_GETFL) & ~O_LARGEFILE);
	SHOW(fcntl(4, F_GETFD));
	SHOW(fcntl(5, F_GETFL) & ~O_LARGEFILE);
	int value = 0;
	socklen_t length = sizeof(value);
	SHOW(getsockopt(6, SOL_SOCKET, SO_TYPE, &value, &length));
	printf("a raw one is of type %d\n", value);
	struct stat stat;
	SHOW(fstat(3, &stat));
	printf("mode %o links %lu size %ld\n", stat.st_mode, (long)stat.st_nlink, (long)stat.st_size);
	struct statfs fs;
	SHOW(fstatfs(3, &fs));
	printf("file system %lx\n", (long)fs.f_type);
	SHOW(lseek(3, 0, SEEK_CUR));
	SHOW(pread(3, &value, 1, 0));
	SHOW(ftruncate(3, 0));
	SHOW(fsync(3));
	char path[40];
	SHOW(open("/proc/self/fd/3", O_RDWR));
	SHOW(open("/dev/fd/3", O_RDONLY));
	SHOW(readlink("/proc/self/fd/3", path, sizeof(path)) > 8);
	printf("%.8s\n", path);
	for (int fd = 3; fd < 7; fd++)
		close(fd);

	int pair[2];
	SHOW(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
	printf("pair %d %d\n", pair[0], pair[1]);
	SHOW(fcntl(pair[0], F_GETFD) + fcntl(pair[1], F_GETFD));
	SHOW(fcntl(pair[1], F_GETFL) & ~O_LARGEFILE);
	SHOW(read(pair[0], &value, 1));
	close(pair[0]), close(pair[1]);
	SHOW(socketpair(AF_UNIX, SOCK_RDM, 0, pair));
	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 3, pair));
	SHOW(socketpair(AF_UNIX, SOCK_STREAM | 0x40, 0, pair));
	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)8));
	SHOW(socketpair(99, SOCK_STREAM, 0, pair));
	struct rlimit limit = {4, 4}, before;
	getrlimit(RLIMIT_NOFILE, &before);
	limit.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	SHOW(socket(AF_UNIX, SOCK_STREAM, 0));
	SHOW(socket(AF_UNIX, SOCK_STREAM, 0));
	setrlimit(RLIMIT_NOFILE, &before);
	close(3);
	SHOW(dup(0));
	close(3);
}

static void binding(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat stat;
	show_name("no name", fd, getsockname, 110);
	show_name("no peer", fd, getpeername, 110);
	SHOW(bind(fd, (void *)&address, 0));
	SHOW(bind(fd, (void *)&address, -1));
	SHOW(bind(fd, (void *)&address, 129));
	SHOW(bind(fd, (void *)8, 10));
	name("x");
	SHOW(bind(fd, (void *)&address, 1));
	SHOW(bind(fd, (void *)&address, 111));
	SHOW(bind(fd, (void *)&address, 128));
	address.sun_family = AF_INET;
	SHOW(bind(fd, (void *)&address, 20));
	SHOW(bind(fd, (void *)&address, 2));
	SHOW(bind(0, (void *)&address, 20));
	SHOW(bind(99, (void *)&address, 20));

	umask(022);
	SHOW(bind_to(fd, "path"));
	SHOW(lstat("path", &stat));
	printf("mode %o, %lu links, size %ld\n", stat.st_mode, (long)stat.st_nlink, (long)stat.st_size);
	show_name("path", fd, getsockname, 110);
	show_name("path, cut", fd, getsockname, 4);
	show_name("path, no room", fd, getsockname, 0);
	show_name("path, negative room", fd, getsockname, -1);
	SHOW(getsockname(fd, (void *)&address, (void *)8));
	SHOW(bind_to(fd, "path"));
	SHOW(bind_to(fd, "other path"));
	SHOW(access("other path", F_OK));
	SHOW(bind_to(fd, "@abstract"));
	SHOW(bind_to(other, "path"));
	SHOW(bind_to(other, "path/"));
	SHOW(bind_to(other, "none/path"));
	SHOW(bind_to(other, "newdir/"));
	SHOW(bind_to(other, "."));
	SHOW(bind_to(other, "path/under"));
	SHOW(open("path", O_RDWR));
	SHOW(open("path", O_WRONLY | O_NONBLOCK));
	SHOW(close(open("path", O_PATH)));
	SHOW(unlink("path"));
	show_name("unlinked", fd, getsockname, 110);
	SHOW(bind_to(other, "path"));
	SHOW(rename("path", "renamed"));
	SHOW(connect_to(fd, "renamed"));
	SHOW(symlink("renamed", "link"));
	SHOW(bind_to(socket(AF_UNIX, SOCK_DGRAM, 0), "link"));
	SHOW(connect_to(fd, "link"));
	SHOW(connect_to(fd, "path"));
	close(fd + 2);
	SHOW(close(fd));
	SHOW(close(other));
	SHOW(access("renamed", F_OK));
	unlink("renamed"), unlink("link");

	fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
	int third = socket(AF_UNIX, SOCK_DGRAM, 0);
	fchmod(fd, 0600);
	SHOW(bind_to(fd, "modes"));
	lstat("modes", &stat);
	printf("mode %o\n", stat.st_mode);
	unlink("modes");
	SHOW(bind_to(other, "@a"));
	SHOW(bind_to(other, "@b"));
	SHOW(bind_to(third, "@a"));
	close(fd), fd = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(bind_to(fd, "@a"));
	SHOW(close(other));
	SHOW(bind_to(fd, "@a"));
	close(fd), close(third);

	/* A path as long as it can be has no NUL. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	memset(&address, 'p', sizeof(address));
	address.sun_family = AF_UNIX;
	SHOW(bind(fd, (void *)&address, sizeof(address)));
	show_name("long", fd, getsockname, 128);
	char long_path[109] = {0};
	memset(long_path, 'p', 108);
	SHOW(unlink(long_path));
	close(fd);
	/* What comes after a NUL does not count in a path, but does in an abstract name. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	name("short");
	SHOW(bind(fd, (void *)&address, sizeof(address)));
	show_name("short", fd, getsockname, 128);
	SHOW(unlink("short"));
	close(fd);

	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	address.sun_family = AF_UNIX;
	SHOW(bind(fd, (void *)&address, 2));
	struct sockaddr_un own;
	socklen_t length = sizeof(own);
	SHOW(getsockname(fd, (void *)&own, &length));
	printf("given: length %u, first %d, digits %zu\n", length, own.sun_path[0],
	       strspn(own.sun_path + 1, "0123456789abcdef"));
	SHOW(bind(fd, (void *)&address, 2));
	SHOW(bind_to(fd, "again"));
	SHOW(access("again", F_OK));
	other = socket(AF_UNIX, SOCK_DGRAM, 0);
	SHOW(bind(other, (void *)&own, length));
	SHOW(connect(other, (void *)&own, length));
	SHOW(connect(other, (void *)&own, length - 1));
	close(fd), close(other);
}

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

static void options(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), value = 7;
	socklen_t length;
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
	static const int switches[] = {SO_DEBUG, SO_REUSEADDR, SO_DONTROUTE, SO_BROADCAST,
				       SO_KEEPALIVE, SO_OOBINLINE, SO_PASSCRED};
	for (unsigned i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		SHOW(set(fd, switches[i], 5));
		show_option(fd, "on", switches[i]);
		SHOW(set(fd, switches[i], 0));
		show_option(fd, "off", switches[i]);
	}
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
	SHOW(set(fd, SO_RCVLOWAT, 0));
	OPTION(fd, SO_RCVLOWAT);
	SHOW(set(fd, SO_RCVLOWAT, 9));
	OPTION(fd, SO_RCVLOWAT);
	SHOW(set(fd, SO_RCVLOWAT, -9));
	OPTION(fd, SO_RCVLOWAT);
	SHOW(set(fd, SO_PRIORITY, 3));
	OPTION(fd, SO_PRIORITY);
	SHOW(set(fd, SO_TYPE, 1));
	SHOW(set(fd, SO_ERROR, 1));
	SHOW(set(fd, SO_DOMAIN, 1));
	SHOW(set(fd, SO_PROTOCOL, 1));
	SHOW(set(fd, SO_ACCEPTCONN, 1));
	SHOW(set(fd, SO_PEERCRED, 1));
	SHOW(set(fd, 3000, 1));

	struct linger linger = {3, 7};
	SHOW(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	OPTION(fd, SO_LINGER);
	linger.l_onoff = 0, linger.l_linger = 9;
	SHOW(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, 4));
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

	SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 3));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, -1));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 8));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, (void *)8, 4));
	SHOW(setsockopt(fd, 6, 1, &value, 4));
	SHOW(setsockopt(fd, 0, 1, &value, 4));
	SHOW(setsockopt(0, SOL_SOCKET, SO_REUSEADDR, &value, 4));
	SHOW(setsockopt(99, SOL_SOCKET, SO_REUSEADDR, &value, 4));
	length = 2;
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
	close(fd);

	int pair[2];
	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	struct ucred peer;
	length = sizeof(peer);
	SHOW(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
	printf("own pid: %d, %u %u\n", peer.pid == getpid(), peer.uid, peer.gid);
	close(pair[0]), close(pair[1]);
}

/* Calls on a socket that has no connection, of each type. */
static void unconnected(int type)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0), value = 0;
	struct msghdr message = {0};
	struct pollfd entry = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
	printf("-- type %d\n", type);
	SHOW(poll(&entry, 1, 0));
	printf("events %x\n", entry.revents);
	SHOW(listen(fd, 5));
	SHOW(accept(fd, NULL, NULL));
	SHOW(accept4(fd, NULL, NULL, 1));
	SHOW(write(fd, "a", 1));
	SHOW(read(fd, &value, 1));
	SHOW(read(fd, &value, 0));
	SHOW(recv(fd, &value, 1, MSG_DONTWAIT));
	SHOW(recv(fd, &value, 1, MSG_OOB | MSG_DONTWAIT) < 0);
	SHOW(sendmsg(fd, &message, 0));
	SHOW(shutdown(fd, 3));
	SHOW(shutdown(fd, -1));
	SHOW(ioctl(fd, FIONREAD, &value));
	SHOW(ioctl(fd, TIOCOUTQ, &value));
	SHOW(ioctl(fd, TCGETS, &value));
	SHOW(ioctl(fd, FIONREAD, 8));
	SHOW(connect_to(fd, "nothing"));
	SHOW(connect_to(fd, "@nothing"));
	SHOW(connect_to(fd, "/"));
	SHOW(connect(fd, (void *)&address, 2));
	SHOW(connect(fd, (void *)&address, 1));
	SHOW(connect(fd, (void *)&address, 111));
	SHOW(connect(fd, (void *)8, 10));
	address.sun_family = AF_INET;
	SHOW(connect(fd, (void *)&address, 20));
	address.sun_family = AF_UNSPEC;
	SHOW(connect(fd, (void *)&address, 20));
	SHOW(connect(fd, (void *)&address, 2));
	SHOW(sendto(fd, "a", 1, 0, (void *)&address, 20));
	name("nothing");
	SHOW(sendto(fd, "a", 1, 0, (void *)&address, 20));
	SHOW(sendto(fd, "a", 1, 0, (void *)&address, 0));
	SHOW(sendto(fd, "a", 1, 0, (void *)&address, 129));
	SHOW(sendto(fd, "a", 1, 0, (void *)8, 20));
	SHOW(sendto(fd, "a", 1, MSG_OOB, NULL, 0) < 0);
	SHOW(shutdown(fd, SHUT_RD));
	poll(&entry, 1, 0);
	printf("events %x\n", entry.revents);
	SHOW(recv(fd, &value, 1, MSG_DONTWAIT));
	SHOW(shutdown(fd, SHUT_WR));
	poll(&entry, 1, 0);
	printf("events %x\n", entry.revents);
	/* Linux 6.18 looks at the shutdown of a datagram socket first, 6.1 at its peer. */
	if (type != SOCK_DGRAM)
		SHOW(send(fd, "a", 1, MSG_NOSIGNAL));
	close(fd);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	making();
	binding();
	options();
	unconnected(SOCK_STREAM);
	unconnected(SOCK_DGRAM);
	unconnected(SOCK_SEQPACKET);

	char value;
	SHOW(listen(0, 1));
	SHOW(listen(99, 1));
	SHOW(accept(0, NULL, NULL));
	SHOW(connect(0, (void *)&address, 10));
	SHOW(connect(99, (void *)&address, 10));
	SHOW(recv(0, &value, 1, 0));
	SHOW(send(1, "a", 1, 0));
	SHOW(sendto(99, "a", 1, 0, NULL, 0));
	SHOW(recvmsg(99, NULL, 0));
	SHOW(recvmsg(0, NULL, 0));
	SHOW(shutdown(0, 0));
	int path = open(".", O_PATH);
	SHOW(getsockname(path, (void *)&address, NULL));
	close(path);
	return 0;
}
