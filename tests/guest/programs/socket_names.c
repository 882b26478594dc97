/* Names of sockets of AF_UNIX: paths, abstract ones, given ones; and what is refused. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

static void refused(int fd)
{
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
}

static void a_path(int fd)
{
	struct stat stat;
	SHOW(bind_to(fd, "path"));
	SHOW(lstat("path", &stat));
	printf("mode %o, %lu links, size %ld\n", stat.st_mode, (long)stat.st_nlink, (long)stat.st_size);
	show_name("path", fd, getsockname, 110);
	show_name("path, cut", fd, getsockname, 4);
	show_name("path, no room", fd, getsockname, 0);
	show_name("path, negative room", fd, getsockname, -1);
	SHOW(getsockname(fd, (void *)&address, (void *)8));
}

static void taken_paths(int fd, int other)
{
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
}

static void moved_paths(int fd, int other)
{
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
}

static void paths(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
	refused(fd);
	umask(022);
	a_path(fd);
	taken_paths(fd, other);
	moved_paths(fd, other);
	SHOW(close(fd));
	SHOW(close(other));
	SHOW(access("renamed", F_OK));
	unlink("renamed"), unlink("link");
}

static void modes(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat stat;
	fchmod(fd, 0600);
	SHOW(bind_to(fd, "modes"));
	lstat("modes", &stat);
	printf("mode %o\n", stat.st_mode);
	unlink("modes");
	close(fd);
}

static void abstract_names(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
	int third = socket(AF_UNIX, SOCK_DGRAM, 0);
	SHOW(bind_to(other, "@a"));
	SHOW(bind_to(other, "@b"));
	SHOW(bind_to(third, "@a"));
	close(fd), fd = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(bind_to(fd, "@a"));
	SHOW(close(other));
	SHOW(bind_to(fd, "@a"));
	close(fd), close(third);
}

/* A path as long as it can be has no NUL. */
static void a_long_path(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	memset(&address, 'p', sizeof(address));
	address.sun_family = AF_UNIX;
	SHOW(bind(fd, (void *)&address, sizeof(address)));
	show_name("long", fd, getsockname, 128);
	char long_path[109] = {0};
	memset(long_path, 'p', 108);
	SHOW(unlink(long_path));
	close(fd);
}

/* What comes after a NUL does not count in a path, but does in an abstract name. */
static void behind_a_nul(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	name("short");
	SHOW(bind(fd, (void *)&address, sizeof(address)));
	show_name("short", fd, getsockname, 128);
	SHOW(unlink("short"));
	close(fd);
}

static void a_given_name(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
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
	int other = socket(AF_UNIX, SOCK_DGRAM, 0);
	SHOW(bind(other, (void *)&own, length));
	SHOW(connect(other, (void *)&own, length));
	SHOW(connect(other, (void *)&own, length - 1));
	close(fd), close(other);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	paths();
	modes();
	abstract_names();
	a_long_path();
	behind_a_nul();
	a_given_name();
	return 0;
}
