/*
 * One TCP connection to a host: sends so many bytes, so much at a call, or takes as many.
 *
 * transfer send|receive ADDRESS PORT SIZE CALLS
 */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[1 << 20];

static int fail(const char *what)
{
	perror(what);
	return 1;
}

/* The end of the connection is the other side's word that all has come. */
static int send_all(int fd, size_t size, long calls)
{
	while (calls--)
		if (write(fd, buffer, size) != (ssize_t)size)
			return fail("write");
	shutdown(fd, SHUT_WR);
	return read(fd, buffer, 1) == 0 ? 0 : fail("read");
}

static int receive_all(int fd, size_t size, long calls)
{
	size_t left = size * (size_t)calls;
	ssize_t got;

	dprintf(fd, "%zu %ld\n", size, calls);
	while (left && (got = read(fd, buffer, size)) > 0)
		left -= (size_t)got;
	return left ? fail("read") : 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in peer = {.sin_family = AF_INET};
	size_t size;
	long calls;
	int fd;

	if (argc != 6)
		return 2;
	size = strtoul(argv[4], NULL, 10);
	calls = strtol(argv[5], NULL, 10);
	peer.sin_port = htons((unsigned short)atoi(argv[3]));
	if (size > sizeof(buffer) || !inet_aton(argv[2], &peer.sin_addr))
		return 2;
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)) < 0)
		return fail("connect");
	return !strcmp(argv[1], "send") ? send_all(fd, size, calls) : receive_all(fd, size, calls);
}
