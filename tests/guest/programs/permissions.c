/* What files let their users, groups and others do. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "show.h"
#include "users.h"

static void in_groups(size_t count, gid_t first, gid_t second)
{
	gid_t groups[2] = {first, second};
	become(0, 0);
	if (setgroups(count, groups) != 0)
		printf("cannot be in groups\n");
}

static void show_rights(const char *who)
{
	printf("%s:\n", who);
	for (int mode = 0; mode < 01000; mode += 0111) {
		char name[8];
		snprintf(name, sizeof(name), "m%03o", mode);
		printf("%s: r%d w%d rw%d t%d, access %d%d%d%d\n", name, try_open(name, O_RDONLY),
		       try_open(name, O_WRONLY), try_open(name, O_RDWR),
		       try_open(name, O_RDONLY | O_TRUNC), access(name, R_OK), access(name, W_OK),
		       access(name, X_OK), access(name, F_OK));
	}
	for (int shift = 0; shift < 9; shift += 3) {
		char name[8];
		snprintf(name, sizeof(name), "m%03o", 7 << shift);
		printf("%s: rw%d, access %d\n", name, try_open(name, O_RDWR),
		       faccessat(AT_FDCWD, name, R_OK | W_OK | X_OK, AT_EACCESS));
	}
}

/* Files of all modes, as m644. */
static void make_files(void)
{
	char name[8];
	for (int mode = 0; mode < 01000; mode += 0111) {
		snprintf(name, sizeof(name), "m%03o", mode);
		make(name, mode, OWNER, GROUP);
	}
	for (int shift = 0; shift < 9; shift += 3) {
		snprintf(name, sizeof(name), "m%03o", 7 << shift);
		make(name, 7 << shift, OWNER, GROUP);
	}
}

static void opening(void)
{
	show_rights("the superuser");
	become(OWNER, OWNER);
	show_rights("the owner");
	become(OTHER, GROUP);
	show_rights("the group");
	in_groups(2, OTHER, GROUP);
	become(OTHER, OTHER);
	show_rights("a supplementary group");
	in_groups(0, 0, 0);
	become(OTHER, OTHER);
	show_rights("another");
}

static void opening_specially(void)
{
	become(OTHER, OTHER);
	SHOW(try_open("m444", O_RDONLY | O_NOATIME));
	SHOW(try_open("m000", O_PATH));
	SHOW(try_open("m000", O_RDONLY | O_DIRECTORY));
	SHOW(try_open(".", O_RDONLY | O_DIRECTORY));
	SHOW(try_open(".", O_RDWR));
	SHOW(try_open("new", O_CREAT | O_WRONLY));
	SHOW(try_open("m444", O_CREAT | O_RDONLY));
	SHOW(try_open("m444", O_CREAT | O_EXCL | O_RDONLY));
	SHOW(try_open(".", O_TMPFILE | O_RDWR));
	SHOW(truncate("m444", 0));
	SHOW(truncate("m666", 0));
	SHOW(execl("m444", "m444", NULL));
	become(0, 0);
	SHOW(execl("m000", "m000", NULL));
}

static void real_and_effective(void)
{
	become(0, 0);
	setresuid(OTHER, 0, 0);
	SHOW(access("m700", R_OK));
	SHOW(faccessat(AT_FDCWD, "m700", R_OK, AT_EACCESS));
	SHOW(try_open("m700", O_RDWR));
	setresuid(0, OTHER, 0);
	SHOW(access("m700", R_OK));
	SHOW(faccessat(AT_FDCWD, "m700", R_OK, AT_EACCESS));
	SHOW(try_open("m700", O_RDWR));
	become(0, 0);
	setfsuid(OTHER);
	SHOW(access("m700", R_OK));
	SHOW(try_open("m700", O_RDWR));
	setfsuid(0);
	become(OTHER, OTHER);
	setresuid(OTHER, OTHER, 0);
	SHOW(setfsuid(0));
	SHOW(try_open("m700", O_RDWR));
	become(0, 0);
}

static void make_directories(void)
{
	mkdir("no-search", 0700);
	mkdir("no-read", 0700);
	make("no-search/file", 0666, 0, 0);
	make("no-read/file", 0666, 0, 0);
	symlink("file", "no-read/link");
	symlink("no-search/file", "link");
	chmod("no-search", 0744);
	chmod("no-read", 0711);
}

static void paths(void)
{
	become(OWNER, OWNER);
	SHOW(try_open("no-search/file", O_RDONLY));
	SHOW(try_open("no-search/nothing", O_RDONLY));
	SHOW(try_open("no-search/.", O_RDONLY));
	SHOW(try_open("no-search/", O_RDONLY));
	SHOW(try_open("no-search/..", O_RDONLY));
	SHOW(try_open("m666/file", O_RDONLY));
	SHOW(try_open("no-search/file/", O_RDONLY));
	SHOW(try_open("link", O_RDONLY));
	SHOW(try_open("no-read/file", O_RDWR));
	SHOW(try_open("no-read/link", O_RDWR));
	SHOW(try_open("no-read/nothing", O_RDWR));
	SHOW(try_open("no-read/file/more", O_RDWR));
	become(0, 0);
}

static void directories(void)
{
	DIR *directory;
	become(OWNER, OWNER);
	SHOW((directory = opendir("no-read")) != NULL);
	SHOW((directory = opendir("no-search")) != NULL);
	if (directory != NULL)
		closedir(directory);
	SHOW(access("no-search/file", F_OK));
	SHOW(access("no-search", X_OK));
	SHOW(chdir("no-search"));
	int fd = open("no-search", O_RDONLY);
	SHOW(fchdir(fd));
	close(fd);
	SHOW(chdir("no-read"));
	SHOW(chdir(".."));
	SHOW(chroot("no-search"));
	SHOW(chroot("."));
	SHOW(rename("no-search/file", "no-read/file"));
	SHOW(link("no-search/file", "no-read/other"));
	become(0, 0);
}

static void make_shared_directories(void)
{
	mkdir("all", 0777);
	chmod("all", 0777);
	mkdir("shared", 0777);
	chmod("shared", 01777);
	mkdir("closed", 0755);
	make("closed/file", 0666, OWNER, OWNER);
	make("all/of-root", 0600, 0, 0);
	make("shared/of-root", 0666, 0, 0);
	make("shared/of-owner", 0666, OWNER, OWNER);
	mkdir("shared/directory", 0755);
}

static void entries_of_a_closed_directory(void)
{
	become(OWNER, GROUP);
	SHOW(mkdir("closed/directory", 0755));
	SHOW(mkdir("closed/file", 0755));
	SHOW(symlink("x", "closed/link"));
	SHOW(mkfifo("closed/fifo", 0600));
	SHOW(link("closed/file", "closed/other"));
	SHOW(unlink("closed/file"));
	SHOW(unlink("closed/nothing"));
	SHOW(rmdir("closed/file"));
	SHOW(unlink("closed/file/"));
	SHOW(rename("closed/file", "closed/other"));
	SHOW(rename("closed/file", "closed/file"));
	SHOW(rename("closed/file", "all/file"));
	become(0, 0);
}

static void making_entries(void)
{
	become(OWNER, GROUP);
	SHOW(mkdir("all/directory", 0755));
	SHOW(mkfifo("all/fifo", 0640));
	SHOW(symlink("x", "all/link"));
	/* Whoever makes a file may write to it, whatever its mode; but not open it again. */
	int fd = open("all/sealed", O_CREAT | O_RDWR, 0);
	SHOW(write(fd, "x", 1));
	close(fd);
	SHOW(try_open("all/sealed", O_RDWR));
	SHOW(mknod("all/node", S_IFCHR | 0600, makedev(1, 3)));
	SHOW(mknod("all/block", S_IFBLK | 0600, makedev(1, 3)));
	SHOW(mknod("all/file", S_IFREG | 0600, 0));
	show_file("all/directory");
	show_file("all/fifo");
	show_file("all/link");
	show_file("all/file");
	become(0, 0);
}

/* In a directory with the sticky bit one takes away only what is one's own. */
static void taking_entries_away(void)
{
	become(OWNER, GROUP);
	SHOW(unlink("all/of-root"));
	SHOW(unlink("shared/of-root"));
	SHOW(rmdir("shared/directory"));
	SHOW(unlink("shared/directory"));
	SHOW(rename("shared/of-root", "shared/mine"));
	SHOW(rename("all/file", "shared/of-root"));
	SHOW(rename("shared/of-owner", "shared/mine"));
	SHOW(syscall(SYS_renameat2, AT_FDCWD, "shared/mine", AT_FDCWD, "shared/of-root", 2));
	SHOW(unlink("shared/mine"));
	SHOW(mkdir("all/fixed", 0555));
	SHOW(rename("all/fixed", "all/moved"));
	SHOW(rename("all/moved", "shared/moved"));
	become(OTHER, OTHER);
	SHOW(rename("all/directory", "shared/directory2"));
	SHOW(rename("all/fifo", "shared/fifo"));
	become(0, 0);
	SHOW(unlink("shared/of-root"));
}

static void modes_and_owners(void)
{
	make("mine", 0644, OWNER, GROUP);
	make("open", 0666, 0, 0);
	make("closed-file", 0644, 0, 0);
	become(OWNER, OWNER);
	SHOW(chmod("open", 0600));
	SHOW(chmod("mine", 06755));
	show_file("mine");
	SHOW(chown("mine", OWNER, -1));
	show_file("mine");
	SHOW(chown("mine", OTHER, -1));
	SHOW(chown("mine", -1, GROUP));
	SHOW(chown("mine", -1, OTHER));
	SHOW(chown("mine", -1, OWNER));
	SHOW(chown("open", 0, -1));
	SHOW(chmod("mine", 06775));
	show_file("mine");
	SHOW(chown("mine", -1, -1));
	show_file("mine");
	SHOW(chmod("mine", 06745));
	SHOW(chown("mine", OWNER, OWNER));
	show_file("mine");
	become(0, 0);
}

static void times(void)
{
	struct timespec past[2] = {{1, 0}, {2, 0}}, half[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
	become(OWNER, OWNER);
	SHOW(utimensat(AT_FDCWD, "open", NULL, 0));
	SHOW(utimensat(AT_FDCWD, "open", past, 0));
	SHOW(utimensat(AT_FDCWD, "open", half, 0));
	SHOW(utimensat(AT_FDCWD, "closed-file", NULL, 0));
	SHOW(utimensat(AT_FDCWD, "mine", past, 0));
	become(0, 0);
}

/* Whoever writes takes the set-user-ID and set-group-ID bits away. */
static void writing(void)
{
	chown("mine", OWNER, OWNER);
	chmod("mine", 06777);
	become(OTHER, OTHER);
	SHOW(truncate("mine", 10));
	show_file("mine");
	become(0, 0);
	chmod("mine", 06777);
	SHOW(truncate("mine", 5));
	show_file("mine");
	become(OTHER, OTHER);
	int fd = open("mine", O_WRONLY);
	SHOW(write(fd, "x", 1));
	show_file("mine");
	SHOW(fchmod(fd, 0600));
	SHOW(fchown(fd, OTHER, -1));
	SHOW(fcntl(fd, F_SETFL, O_NOATIME));
	close(fd);
	become(0, 0);
	chmod("mine", 02767);
	become(OTHER, OTHER);
	SHOW(truncate("mine", 1));
	show_file("mine");
	become(0, 0);
}

/* A directory that hands its group down. */
static void groups_of_directories(void)
{
	mkdir("handing", 0777);
	chown("handing", OTHER, GROUP);
	chmod("handing", 02777);
	become(OWNER, OWNER);
	close(open("handing/file", O_CREAT | O_WRONLY, 0644));
	close(open("handing/runs", O_CREAT | O_WRONLY, 02755));
	close(open("handing/stays", O_CREAT | O_WRONLY, 02744));
	mkdir("handing/directory", 0755);
	symlink("x", "handing/link");
	show_file("handing/file");
	show_file("handing/runs");
	show_file("handing/stays");
	show_file("handing/directory");
	show_file("handing/link");
	become(OWNER, GROUP);
	close(open("handing/allowed", O_CREAT | O_WRONLY, 02755));
	show_file("handing/allowed");
	become(0, 0);
	close(open("handing/of-root", O_CREAT | O_WRONLY, 02755));
	show_file("handing/of-root");
}

static void things_without_names(void)
{
	struct stat stat;
	int pair[2];
	become(OWNER, GROUP);
	pipe(pair);
	fstat(pair[0], &stat);
	printf("a pipe of %u:%u\n", stat.st_uid, stat.st_gid);
	SHOW(fcntl(pair[0], F_SETPIPE_SZ, 1 << 20));
	SHOW(fcntl(pair[0], F_SETPIPE_SZ, 1 << 21));
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	fstat(pair[0], &stat);
	printf("a socket of %u:%u\n", stat.st_uid, stat.st_gid);
	fstat(memfd_create("", 0), &stat);
	printf("memory of %u:%u\n", stat.st_uid, stat.st_gid);
	become(0, 0);
}

/* The process's own files stay its own. */
static void own_files(void)
{
	char target[64];
	become(OWNER, OWNER);
	SHOW(try_open("/proc/self/status", O_RDONLY));
	SHOW(try_open("/proc/self/maps", O_RDONLY));
	SHOW(try_open("/proc/self/fd", O_RDONLY));
	SHOW(readlink("/proc/self/fd/0", target, sizeof(target)) > 0);
	SHOW(try_open("/dev/null", O_RDWR));
	SHOW(try_open("/dev/zero", O_RDWR));
	become(0, 0);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	enter_area();
	make_files();
	opening();
	opening_specially();
	real_and_effective();
	make_directories();
	paths();
	directories();
	make_shared_directories();
	entries_of_a_closed_directory();
	making_entries();
	taking_entries_away();
	modes_and_owners();
	times();
	writing();
	groups_of_directories();
	things_without_names();
	own_files();
	return 0;
}
