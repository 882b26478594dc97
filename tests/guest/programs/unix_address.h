/* Addresses of AF_UNIX: paths, and abstract names of this process alone; sockets that have them. */
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

static struct sockaddr_un address;

/* Make `address` that of a path, or of the abstract "@name": its length. */
static socklen_t name(const char *text)
{
	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	if (text[0] != '@') {
		strncpy(address.sun_path, text, sizeof(address.sun_path));
		return PATH_OFFSET + strlen(text) + 1;
	}
	int length = snprintf(address.sun_path + 1, 100, "%s-%d", text, getpid());
	return PATH_OFFSET + 1 + length;
}

static inline int bind_to(int fd, const char *text)
{
	socklen_t length = name(text);
	return bind(fd, (void *)&address, length);
}

static inline int connect_to(int fd, const char *text)
{
	socklen_t length = name(text);
	return connect(fd, (void *)&address, length);
}

static inline int listener(int type, const char *text, int backlog)
{
	int fd = socket(AF_UNIX, type, 0);
	bind_to(fd, text);
	listen(fd, backlog);
	return fd;
}

/* Print all that poll can find, also what it was not asked for. */
static inline void show_events(const char *title, int fd)
{
	struct pollfd entry = {fd, 0x7fff & ~POLLNVAL, 0};
	poll(&entry, 1, 0);
	printf("%s: events %x\n", title, entry.revents);
}
