/* Both ways of a stream between guest and host: connect to a port of the host, then serve a port. */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void check(const char *what, int result)
{
	if (result >= 0)
		return;
	perror(what);
	exit(1);
}

static struct sockaddr_vm address(unsigned cid, const char *port)
{
	struct sockaddr_vm result = {.svm_family = AF_VSOCK, .svm_cid = cid};
	result.svm_port = (unsigned)atoi(port);
	return result;
}

/* What the other side says until it has no more. */
static void print_all(int stream)
{
	char buffer[4096];
	ssize_t length;
	while ((length = read(stream, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, (size_t)length, stdout);
	check("read", (int)length);
	fflush(stdout);
}

/* vsock PORT-OF-HOST PORT-OF-GUEST */
int main(int argc, char **argv)
{
	struct sockaddr_vm host = address(VMADDR_CID_HOST, argv[1]);
	struct sockaddr_vm own = address(VMADDR_CID_ANY, argv[2]);
	int stream = socket(AF_VSOCK, SOCK_STREAM, 0);
	(void)argc;
	check("socket", stream);
	check("connect", connect(stream, (struct sockaddr *)&host, sizeof(host)));
	check("write", (int)write(stream, "from the guest\n", 15));
	check("shutdown", shutdown(stream, SHUT_WR));
	print_all(stream);
	close(stream);

	int listener = socket(AF_VSOCK, SOCK_STREAM, 0);
	check("bind", bind(listener, (struct sockaddr *)&own, sizeof(own)));
	check("listen", listen(listener, 1));
	puts("listening");
	fflush(stdout);
	stream = accept(listener, NULL, NULL);
	check("accept", stream);
	check("write", (int)write(stream, "welcome\n", 8));
	print_all(stream);
	return 0;
}
