/* A port of the virtio console whose other end comes, talks, and goes; the argument is its file. */
#include "../programs/show.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char buffer[65536];

static int read_text(int fd)
{
	int length = read(fd, buffer, sizeof(buffer) - 1);
	if (length > 0) {
		buffer[length] = '\0';
		printf("%s", buffer);
	}
	return length;
}

static int wait_for(int fd, int wanted)
{
	struct pollfd entry = {fd, wanted, 0};
	poll(&entry, 1, -1);
	return entry.revents;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	int fd = open(argv[1], O_RDWR | O_NONBLOCK);
	SHOW(open(argv[1], O_RDWR));
	SHOW(read_text(fd));
	SHOW(write(fd, "nobody", 6));
	SHOW(events(fd));
	SHOW(lseek(fd, 0, SEEK_SET));
	SHOW(fcntl(fd, F_SETFL, 0));
	printf("ready\n");
	SHOW(write(fd, "by the port\n", 12));
	SHOW(wait_for(fd, POLLIN));
	SHOW(read_text(fd));
	SHOW(events(fd));
	SHOW(fcntl(fd, F_SETFL, O_NONBLOCK));
	SHOW(read_text(fd));
	/* Nobody reads until it is full; Linux then takes 0 bytes at first, and says EAGAIN later. */
	memset(buffer, 'x', sizeof(buffer));
	while (write(fd, buffer, sizeof(buffer)) > 0)
		;
	SHOW(events(fd));
	printf("full\n");
	SHOW(wait_for(fd, POLLOUT));
	SHOW(fcntl(fd, F_SETFL, 0));
	SHOW(write(fd, "end\n", 4));
	SHOW(wait_for(fd, 0));
	SHOW(read_text(fd));
	SHOW(read_text(fd));
	SHOW(close(fd));
	fd = open(argv[1], O_RDWR);
	SHOW(read_text(fd));
	SHOW(close(fd));
	printf("finished\n");
	return 0;
}
