/* Talks by the virtio console: a line out, then each line that comes, until "end"; and the size. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void)
{
	char line[256];
	int console = open("/dev/hvc0", O_RDWR | O_NONBLOCK);
	struct pollfd poll_fd = {console, POLLIN, 0};
	if (console < 0) {
		perror("hvc0");
		return 1;
	}
	int empty = (int)read(console, line, sizeof(line));
	dprintf(console, "empty %d %d, poll %d\n", empty, errno == EAGAIN, poll(&poll_fd, 1, 0));
	fcntl(console, F_SETFL, 0);
	for (;;) {
		dprintf(console, "poll %d", poll(&poll_fd, 1, -1));
		ssize_t length = read(console, line, sizeof(line) - 1);
		if (length < 0) {
			perror("read");
			return 2;
		}
		line[length] = '\0';
		dprintf(console, " %d: %s", poll_fd.revents, line);
		if (strcmp(line, "end\n") == 0)
			return 0;
		if (strcmp(line, "size\n") == 0) {
			struct winsize size;
			int error = ioctl(console, TIOCGWINSZ, &size);
			dprintf(console, "%d: %dx%d\n", error, size.ws_col, size.ws_row);
		}
	}
}
