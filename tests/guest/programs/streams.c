/* What goes through connections of AF_UNIX: streams of bytes, and packets. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "show.h"
#include "unix_address.h"

static char buffer[1 << 20];

static const struct timeval soon = {0, 20000};

static void reading(const int pair[2])
{
	struct iovec segments[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}};
	int bytes = 0;
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
}

static void reading_enough(const int pair[2])
{
	int bytes = 3;
	SHOW(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)));
	SHOW(recv(pair[1], buffer, 100, 0));
	SHOW(write(pair[0], "abc", 3));
	SHOW(recv(pair[1], buffer, 5, MSG_WAITALL));
	SHOW(recv(pair[1], buffer, 5, MSG_WAITALL));
	SHOW(write(pair[0], "abc", 3));
	SHOW(recv(pair[1], buffer, 2, MSG_WAITALL));
	SHOW(setsockopt(pair[1], SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes)));
	SHOW(recv(pair[1], buffer, 5, 0));
	SHOW(write(pair[0], "abcd", 4));
	SHOW(recv(pair[1], buffer, 5, 0));
	bytes = 1;
	setsockopt(pair[1], SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static void reading_into_nowhere(const int pair[2])
{
	char a[2];
	struct iovec segments[3] = {{"abc", 3}, {"", 0}, {(void *)8, 5}};
	struct iovec places[2] = {{a, 2}, {(void *)8, 3}};
	SHOW(write(pair[0], (void *)8, 3));
	SHOW(write(pair[0], "abcdef", 6));
	SHOW(read(pair[1], (void *)8, 3));
	SHOW(read(pair[1], buffer, 10));
	SHOW(writev(pair[0], segments, 3));
	SHOW(recv(pair[1], buffer, 10, MSG_DONTWAIT));
	SHOW(write(pair[0], "abc", 3));
	SHOW(readv(pair[1], places, 2));
	SHOW(recv(pair[1], buffer, 10, MSG_DONTWAIT));
}

static void drain(int fd)
{
	while (recv(fd, buffer, 10000, MSG_DONTWAIT) > 0)
		;
}

/* Full, and how full it must not be to count as writable. */
static void filling(const int pair[2])
{
	int bytes = 0;
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
	drain(pair[1]);
	show_events("not full", pair[0]);
	SHOW(ioctl(pair[0], TIOCOUTQ, &bytes));
	printf("bytes %d\n", bytes);
}

static void sending_in_time(const int pair[2])
{
	int bytes = 0;
	SHOW(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)));
	SHOW(write(pair[0], buffer, 10000));
	SHOW(setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)));
	fcntl(pair[0], F_SETFL, 0);
	SHOW(write(pair[0], buffer, 10000));
	drain(pair[1]);
	SHOW(write(pair[0], buffer, 10000));
	SHOW(close(pair[0]));
	SHOW(recv(pair[1], buffer, 100000, MSG_WAITALL));
}

static void sending_files(void)
{
	int pair[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	int file = open("file", O_RDWR | O_CREAT, 0600);
	SHOW(write(file, "from a file", 11));
	off_t offset = 5;
	SHOW(sendfile(pair[0], file, &offset, 100));
	SHOW(read(pair[1], buffer, 100));
	SHOW(sendfile(file, pair[0], NULL, 100));
	SHOW(connect_to(pair[0], "file"));
	close(pair[0]), close(pair[1]), close(file), unlink("file");
}

static void streams(void)
{
	int pair[2];
	printf("-- streams\n");
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	reading(pair);
	reading_enough(pair);
	reading_into_nowhere(pair);
	filling(pair);
	sending_in_time(pair);
	close(pair[1]);
	sending_files();
}

static void packets(void)
{
	int pair[2], bytes = 0;
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

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	streams();
	packets();
	return 0;
}
