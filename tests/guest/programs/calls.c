/* Calls of many kinds, for the record of them (strace). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void handler(int signal) { (void)signal; }

static void files(void)
{
	char text[100];
	struct stat status;
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	write(fd, "a \"quoted\" line\n\001\0012\377", 20);
	struct iovec parts[] = {{"one", 3}, {"\\two", 4}};
	writev(fd, parts, 2);
	pwrite(fd, "x", 1, 3);
	lseek(fd, 0, SEEK_SET);
	read(fd, text, sizeof(text));
	struct iovec halves[] = {{text, 5}, {text + 5, 5}};
	lseek(fd, -3, SEEK_END);
	readv(fd, halves, 2);
	fstat(fd, &status);
	fcntl(fd, F_GETFL);
	fcntl(fd, F_DUPFD, 20);
	mkdirat(AT_FDCWD, "folder", 0700);
	renameat(AT_FDCWD, "file", AT_FDCWD, "folder/file");
	unlinkat(AT_FDCWD, "folder/file", 0);
	unlinkat(AT_FDCWD, "folder", AT_REMOVEDIR);
	open("no/such/file", O_RDONLY);
	openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY);
	read(99, text, 10);
	write(1, (char *)16, 5);
	close(fd);
	getcwd(text, sizeof(text));
}

static void memory(void)
{
	char *page = mmap((void *)0x10000000, 8192, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mprotect(page, 4096, PROT_NONE);
	madvise(page + 4096, 4096, MADV_DONTNEED);
	munmap(page, 8192);
}

static void others(void)
{
	struct timespec short_time = {0, 1000}, now;
	struct pollfd poll_fds[] = {{99, POLLIN | POLLOUT, 0}, {-1, 0, 0}};
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	sigset_t set;
	nanosleep(&short_time, NULL);
	clock_gettime(CLOCK_MONOTONIC, &now);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&action.sa_mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigprocmask(SIG_UNBLOCK, &set, &set);
	sigaction(SIGUSR1, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	poll(poll_fds, 2, 0);
	isatty(0);
	umask(022);
	sched_yield();
	dup3(1, 30, O_CLOEXEC);
}

static void sockets(void)
{
	int pair[2], fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "nobody"};
	connect(fd, (void *)&address, sizeof(address));
	memcpy(address.sun_path, "\0calls", 6);
	bind(fd, (void *)&address, offsetof(struct sockaddr_un, sun_path) + 6);
	listen(fd, 5);
	close(fd);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	sendto(pair[0], "message", 7, 0, NULL, 0);
	pipe2(pair, O_NONBLOCK);
}

int main(void)
{
	files();
	memory();
	sockets();
	others();
	return 3;
}
