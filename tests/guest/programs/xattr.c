/* Extended attributes, on files whose file system has none on Linux either: pipes. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "show.h"

static void arguments(void)
{
	char long_name[300], value[4] = "val";
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	SHOW(setxattr("file", "user.a", value, 3, 4));
	SHOW(setxattr("file", "user.a", value, 65537, 0));
	SHOW(setxattr("file", "", value, 3, 0));
	SHOW(setxattr("nosuch", "user.a", value, 3, 0));
	/* Which is found wrong first, the file or the name, depends on Linux's version. */
	SHOW(getxattr("file", "", value, 3));
	SHOW(getxattr("file", long_name, value, 3));
	SHOW(getxattr("file", (char *)8, value, 3));
	SHOW(getxattr("nosuch", "user.a", value, 3));
	SHOW(getxattr("file/nosuch", "user.a", value, 3));
	SHOW(getxattr((char *)8, "user.a", value, 3));
	SHOW(removexattr("file", ""));
	SHOW(removexattr("nosuch", "user.a"));
	SHOW(listxattr("nosuch", value, 3));
	SHOW(listxattr("file", NULL, 0));
}

static void links(void)
{
	char value[4];
	SHOW(symlink("nosuch", "link"));
	SHOW(getxattr("link", "user.a", value, 3));
	SHOW(lgetxattr("link", "user.a", value, 3));
	SHOW(lsetxattr("link", "user.a", value, 3, 0));
	SHOW(lremovexattr("link", "user.a"));
	SHOW(listxattr("link", NULL, 0));
	SHOW(llistxattr("link", NULL, 0));
}

static void descriptors(void)
{
	char value[4];
	int pipes[2];
	SHOW(pipe(pipes));
	SHOW(fgetxattr(pipes[0], "security.a", value, 3));
	SHOW(fgetxattr(pipes[0], "system.a", value, 3));
	SHOW(fgetxattr(pipes[0], "user.a", value, 3));
	SHOW(fsetxattr(pipes[0], "security.a", value, 3, XATTR_CREATE | XATTR_REPLACE));
	SHOW(fsetxattr(pipes[0], "user.a", value, 3, 0));
	SHOW(fremovexattr(pipes[0], "system.a"));
	SHOW(fremovexattr(pipes[0], "user.a"));
	SHOW(fgetxattr(pipes[0], "other.a", value, 3));
	SHOW(fsetxattr(pipes[1], "noprefix", value, 3, 0));
	SHOW(flistxattr(pipes[0], NULL, 0));
	SHOW(fgetxattr(99, "user.a", value, 3));
	int path = open("file", O_PATH);
	SHOW(fgetxattr(path, "user.a", value, 3));
	SHOW(flistxattr(path, NULL, 0));
}

int main(void)
{
	SHOW(mknod("file", S_IFREG | 0600, 0));
	arguments();
	links();
	descriptors();
	return 0;
}
