/* Becoming other users. Programs start as the superuser, who stays the saved user of whom they become,
 * so that they can come back. */
#include <fcntl.h>
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER 1000
#define OTHER 2000
#define GROUP 3000

static inline void show_ids(const char *when)
{
	uid_t user[3];
	gid_t group[3];
	getresuid(&user[0], &user[1], &user[2]);
	getresgid(&group[0], &group[1], &group[2]);
	printf("%s: users %u %u %u %u, groups %u %u %u %u\n", when, user[0], user[1], user[2],
	       (unsigned)setfsuid(-1), group[0], group[1], group[2], (unsigned)setfsgid(-1));
}

static inline void become(uid_t user, gid_t group)
{
	if (setresuid(0, 0, 0) != 0 || setresgid(group, group, 0) != 0 ||
	    setresuid(user, user, 0) != 0)
		printf("cannot become %u of %u\n", user, group);
}

/* Work in a directory that others may search: the one that the test runs in may be closed to them. */
static inline void enter_area(void)
{
	umask(022);
	mkdir("area", 0755);
	chdir("area");
}

static inline int try_open(const char *path, int flags)
{
	int fd = open(path, flags, 0600);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

static inline void show_file(const char *path)
{
	struct stat stat;
	if (lstat(path, &stat) != 0)
		printf("%s: %s\n", path, error_name(errno));
	else
		printf("%s: %o of %u:%u\n", path, stat.st_mode, stat.st_uid, stat.st_gid);
}

static inline void make(const char *path, mode_t mode, uid_t user, gid_t group)
{
	close(open(path, O_CREAT | O_WRONLY, 0600));
	if (chown(path, user, group) != 0 || chmod(path, mode) != 0)
		printf("cannot make %s\n", path);
}
