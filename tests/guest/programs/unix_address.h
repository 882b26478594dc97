/* Addresses of AF_UNIX: paths, and abstract names of this process alone. */
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
