/* Users, groups and what files let them do. It starts as the superuser, who is also the saved user of
 * whom it becomes, so that it can come back; at the end it cannot. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "show.h"

#define OWNER 1000
#define OTHER 2000
#define GROUP 3000

/* ---- Who one is ---- */

static void show_ids(const char *when)
{
	uid_t user[3];
	gid_t group[3];
	getresuid(&user[0], &user[1], &user[2]);
	getresgid(&group[0], &group[1], &group[2]);
	printf("%s: users %u %u %u %u, groups %u %u %u %u\n", when, user[0], user[1], user[2],
	       (unsigned)setfsuid(-1), group[0], group[1], group[2], (unsigned)setfsgid(-1));
}

static void show_groups(void)
{
	gid_t groups[8];
	int count = getgroups(8, groups);
	printf("%d groups:", count);
	for (int i = 0; i < count; i++)
		printf(" %u", groups[i]);
	printf("\n");
}

static void become(uid_t user, gid_t group)
{
	if (setresuid(0, 0, 0) != 0 || setresgid(group, group, 0) != 0 ||
	    setresuid(user, user, 0) != 0)
		printf("cannot become %u of %u\n", user, group);
}

static void in_groups(size_t count, gid_t first, gid_t second)
{
	gid_t groups[2] = {first, second};
	become(0, 0);
	if (setgroups(count, groups) != 0)
		printf("cannot be in groups\n");
}

static void show_status(void)
{
	char line[256];
	FILE *status = fopen("/proc/self/status", "r");
	while (fgets(line, sizeof(line), status) != NULL) {
		if (strncmp(line, "Uid", 3) == 0 || strncmp(line, "Gid", 3) == 0 ||
		    strncmp(line, "Groups", 6) == 0)
			printf("%s", line);
	}
	fclose(status);
}

static void identities(void)
{
	gid_t unsorted[3] = {30, 10, 20}, wrong[1] = {-1};
	show_ids("at first");
	SHOW(setuid(-1));
	SHOW(syscall(SYS_setgroups, -1, unsorted));
	SHOW(syscall(SYS_setgroups, 65537, unsorted));
	SHOW(setgroups(1, wrong));
	SHOW(syscall(SYS_setgroups, 3, 8));
	SHOW(setgroups(3, unsorted));
	show_groups();
	SHOW(getgroups(0, NULL));
	SHOW(getgroups(2, unsorted));
	SHOW(syscall(SYS_getgroups, 3, 8));
	SHOW(setresgid(7, 8, 9));
	SHOW(setresuid(4, 5, 0));
	show_ids("setresuid(4, 5, 0)");
	show_status();
	SHOW(setgroups(0, NULL));
	SHOW(setresuid(6, -1, -1));
	SHOW(setresuid(5, 4, -1));
	show_ids("exchanged");
	SHOW(setuid(6));
	SHOW(setuid(0));
	show_ids("setuid(0)");
	SHOW(setreuid(1, -1));
	show_ids("setreuid(1, -1)");
	SHOW(setreuid(-1, 1));
	SHOW(setreuid(2, -1));
	SHOW(setresuid(0, 0, 0));
	SHOW(setresuid(-1, 3, -1));
	SHOW(setreuid(0, 3));
	show_ids("setreuid(0, 3)");
	SHOW(setreuid(3, 0));
	show_ids("setreuid(3, 0)");
	SHOW(setreuid(0, 5));
	show_ids("setreuid(0, 5)");
	SHOW(setresuid(0, 0, 0));
	SHOW(setfsuid(11));
	SHOW(setfsuid(12));
	show_ids("setfsuid(12)");
	SHOW(setresuid(0, 13, 0));
	show_ids("the file user follows");
	SHOW(setfsuid(14));
	SHOW(setfsuid(0));
	SHOW(setfsuid(-1));
	SHOW(setresuid(0, 0, 0));
	SHOW(setregid(20, 21));
	show_ids("setregid(20, 21)");
	SHOW(setfsgid(23));
	SHOW(setresgid(0, 0, 0));
	show_ids("back");
	SHOW(setgroups(0, NULL));
	show_groups();
}

/* ---- What files let one do ---- */

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags, 0600);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

static void show_file(const char *path)
{
	struct stat stat;
	if (lstat(path, &stat) != 0)
		printf("%s: %s\n", path, error_name(errno));
	else
		printf("%s: %o of %u:%u\n", path, stat.st_mode, stat.st_uid, stat.st_gid);
}

static void make(const char *path, mode_t mode, uid_t user, gid_t group)
{
	close(open(path, O_CREAT | O_WRONLY, 0600));
	if (chown(path, user, group) != 0 || chmod(path, mode) != 0)
		printf("cannot make %s\n", path);
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

static void opening(void)
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
	/* Whoever has made a file may write to it, whatever its mode. */
	become(OWNER, OWNER);
	int fd = open("/tmp-of-none/x", O_CREAT | O_RDWR, 0);
	SHOW(fd);
	become(0, 0);
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

static void directories(void)
{
	DIR *directory;
	mkdir("no-search", 0700);
	mkdir("no-read", 0700);
	make("no-search/file", 0666, 0, 0);
	make("no-read/file", 0666, 0, 0);
	symlink("file", "no-read/link");
	symlink("no-search/file", "link");
	chmod("no-search", 0744);
	chmod("no-read", 0711);
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

static void entries(void)
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
	SHOW(mkdir("all/directory", 0755));
	SHOW(mkfifo("all/fifo", 0640));
	SHOW(symlink("x", "all/link"));
	SHOW(mknod("all/node", S_IFCHR | 0600, makedev(1, 3)));
	SHOW(mknod("all/block", S_IFBLK | 0600, makedev(1, 3)));
	SHOW(mknod("all/file", S_IFREG | 0600, 0));
	show_file("all/directory");
	show_file("all/fifo");
	show_file("all/link");
	show_file("all/file");
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

static void attributes(void)
{
	struct timespec past[2] = {{1, 0}, {2, 0}}, half[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
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
	SHOW(utimensat(AT_FDCWD, "open", NULL, 0));
	SHOW(utimensat(AT_FDCWD, "open", past, 0));
	SHOW(utimensat(AT_FDCWD, "open", half, 0));
	SHOW(utimensat(AT_FDCWD, "closed-file", NULL, 0));
	SHOW(utimensat(AT_FDCWD, "mine", past, 0));
	become(0, 0);
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

/* ---- Sockets ---- */

static void show_peer(const char *what, int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
	printf("%s: %u:%u\n", what, peer.uid, peer.gid);
}

static int send_as(int fd, uid_t user, gid_t group)
{
	struct ucred claim = {getpid(), user, group};
	char byte = 'x', control[CMSG_SPACE(sizeof(claim))] = "";
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	*header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(claim)), .cmsg_level = SOL_SOCKET,
				   .cmsg_type = SCM_CREDENTIALS};
	memcpy(CMSG_DATA(header), &claim, sizeof(claim));
	return (int)sendmsg(fd, &message, 0);
}

static void receive(int fd)
{
	struct ucred sender = {0};
	char byte, control[CMSG_SPACE(sizeof(sender))] = "";
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof(control)};
	if (recvmsg(fd, &message, MSG_DONTWAIT) < 0) {
		printf("nothing: %s\n", error_name(errno));
		return;
	}
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	memcpy(&sender, CMSG_DATA(header), sizeof(sender));
	printf("from %u:%u\n", sender.uid, sender.gid);
}

static void sockets(void)
{
	struct sockaddr_un name = {AF_UNIX, "all/socket"}, closed = {AF_UNIX, "closed/socket"};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), on = 1, pair[2], large = 7;
	become(OWNER, GROUP);
	SHOW(bind(listener, (void *)&closed, sizeof(closed)));
	SHOW(bind(listener, (void *)&name, sizeof(name)));
	show_file("all/socket");
	SHOW(listen(listener, 5));
	become(OTHER, OTHER);
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(connect(client, (void *)&name, sizeof(name)));
	become(0, 0);
	chmod("all/socket", 0722);
	setresgid(5, 6, 0);
	setresuid(OWNER, OTHER, 0);
	SHOW(connect(client, (void *)&name, sizeof(name)));
	become(0, 0);
	int server = accept(listener, NULL, NULL);
	show_peer("the client's peer", client);
	show_peer("the server's peer", server);
	SHOW(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&closed, sizeof(closed)));
	setresgid(5, 6, 0);
	setresuid(OWNER, OTHER, 0);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	show_peer("a pair", pair[0]);
	setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	write(pair[0], "x", 1);
	receive(pair[1]);
	SHOW(send_as(pair[0], 0, 0));
	SHOW(send_as(pair[0], 1, 5));
	SHOW(send_as(pair[0], OTHER, 1));
	SHOW(send_as(pair[0], OTHER, 6));
	receive(pair[1]);
	SHOW(send_as(pair[0], OWNER, 0));
	receive(pair[1]);
	SHOW(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &on, sizeof(on)));
	SHOW(setsockopt(pair[0], SOL_SOCKET, SO_PRIORITY, &on, sizeof(on)));
	SHOW(setsockopt(pair[0], SOL_SOCKET, SO_PRIORITY, &large, sizeof(large)));
	become(0, 0);
	SHOW(send_as(pair[0], 4321, 1234));
	receive(pair[1]);
}

/* ---- The rest ---- */

static void *show_in_thread(void *unused)
{
	show_ids("a new thread");
	syscall(SYS_setresuid, 0, 0, 0);
	show_ids("has changed");
	return unused;
}

static volatile int signalled;
static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	signalled = (int)info->si_uid + 1;
}

static void processes(void)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct rlimit limit;
	pthread_t thread;
	sigaction(SIGUSR1, &action, NULL);
	setresuid(OWNER, OTHER, 0);
	SHOW(kill(getpid(), SIGUSR1));
	printf("signalled by %d\n", signalled - 1);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = limit.rlim_max = 1 << 30;
	SHOW(setrlimit(RLIMIT_FSIZE, &limit));
	limit.rlim_max++;
	SHOW(setrlimit(RLIMIT_FSIZE, &limit));
	become(OWNER, GROUP);
	pthread_create(&thread, NULL, show_in_thread, NULL);
	pthread_join(thread, NULL);
	show_ids("the first thread");
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

static void for_good(void)
{
	gid_t groups[1] = {5};
	SHOW(setgroups(1, groups));
	SHOW(setgid(GROUP));
	SHOW(setuid(OWNER));
	show_ids("for good");
	show_groups();
	SHOW(setuid(0));
	SHOW(setreuid(-1, 0));
	SHOW(setresuid(-1, -1, 0));
	SHOW(setfsuid(0));
	SHOW(setgid(0));
	SHOW(setgid(5));
	SHOW(setgroups(1, groups));
	SHOW(chroot("."));
	SHOW(try_open("closed-file", O_WRONLY));
	SHOW(try_open("m700", O_RDWR));
	show_ids("still");
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(022);
	printf("secure: %lu\n", getauxval(AT_SECURE));
	identities();
	/* The directory that the test runs in may be closed to others; from within one is in it. */
	mkdir("area", 0755);
	chdir("area");
	opening();
	real_and_effective();
	directories();
	entries();
	attributes();
	groups_of_directories();
	things_without_names();
	sockets();
	processes();
	own_files();
	for_good();
	return 0;
}
