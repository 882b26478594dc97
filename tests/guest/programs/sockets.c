/* Sockets of AF_UNIX: making them, what they are as files, and calls on those without a connection. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "show.h"
#include "unix_address.h"

/* The descriptors 3 to 6 are sockets; the last is a raw one. */
static void show_files(void)
{
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
	show_files();
	for (int fd = 3; fd < 7; fd++)
		close(fd);
}

static void making_pairs(void)
{
	int pair[2], value;
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
}

static void without_descriptors(void)
{
	int pair[2];
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

/* ---- Calls on a socket that has no connection, of each type ---- */

static void transferring(int fd)
{
	int value = 0;
	struct msghdr message = {0};
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
}

static void connecting(int fd)
{
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
}

static void sending(int fd)
{
	address.sun_family = AF_UNSPEC;
	SHOW(sendto(fd, "a", 1, 0, (void *)&address, 20));
	name("nothing");
	SHOW(sendto(fd, "a", 1, 0, (void *)&address, 20));
	SHOW(sendto(fd, "a", 1, 0, (void *)&address, 0));
	SHOW(sendto(fd, "a", 1, 0, (void *)&address, 129));
	SHOW(sendto(fd, "a", 1, 0, (void *)8, 20));
	SHOW(sendto(fd, "a", 1, MSG_OOB, NULL, 0) < 0);
}

static void shutting_down(int fd, int type)
{
	int value = 0;
	SHOW(shutdown(fd, SHUT_RD));
	show_events("shut down", fd);
	SHOW(recv(fd, &value, 1, MSG_DONTWAIT));
	SHOW(shutdown(fd, SHUT_WR));
	show_events("shut down", fd);
	/* Linux 6.18 looks at the shutdown of a datagram socket first, 6.1 at its peer. */
	if (type != SOCK_DGRAM)
		SHOW(send(fd, "a", 1, MSG_NOSIGNAL));
}

static void unconnected(int type)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
	printf("-- type %d\n", type);
	show_events("new", fd);
	transferring(fd);
	connecting(fd);
	sending(fd);
	shutting_down(fd, type);
	close(fd);
}

static void on_what_is_no_socket(void)
{
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
}

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	making();
	making_pairs();
	without_descriptors();
	unconnected(SOCK_STREAM);
	unconnected(SOCK_DGRAM);
	unconnected(SOCK_SEQPACKET);
	on_what_is_no_socket();
	return 0;
}
