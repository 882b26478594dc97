/* Sends back what comes from port 1234 of the host, all of it; then connects where nobody listens. */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[10000];

static int open_stream(unsigned port)
{
	struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST};
	int stream = socket(AF_VSOCK, SOCK_STREAM, 0);
	host.svm_port = port;
	return connect(stream, (struct sockaddr *)&host, sizeof(host)) < 0 ? -1 : stream;
}

int main(void)
{
	int stream = open_stream(1234);
	struct pollfd readable = {stream, POLLIN, 0};
	ssize_t length = 1;
	while (length > 0 && poll(&readable, 1, -1) == 1) {
		length = read(stream, buffer, sizeof(buffer));
		if (length > 0 && write(stream, buffer, (size_t)length) != length)
			return 2;
	}
	if (length < 0)
		return 3;
	shutdown(stream, SHUT_WR);
	if (open_stream(4321) < 0)
		printf("refused: %s\n", strerror(errno));
	return 0;
}
